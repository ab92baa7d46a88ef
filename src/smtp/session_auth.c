/* AUTH (RFC 4954): PLAIN (RFC 4616) with or without initial response, LOGIN, and SCRAM-SHA-256 with
 * and without -PLUS (RFC 5802, 7677).
 *
 * Responses are decoded on the stack, copied into the step's login and wiped; the session itself
 * never holds a password (LOGIN's user name waits as the envelope's note for the password to come).
 * The caller checks the password and computes SCRAM's messages. This file passes SCRAM's messages
 * on, and refuses those that are wrong without using any secret. See session.c for how handlers are
 * called. */
#include <string.h>

#include "base/base64.h"
#include "smtp/scram.h"
#include "smtp/session_part.h"
#include "smtp/text.h"

/* PLAIN's longest message: two names, a password, two NULs. */
enum { USER_MAX = 255, PASSWORD_MAX = 1023, RESPONSE_MAX = 2 * USER_MAX + PASSWORD_MAX + 2 };
enum { SCRAM_MESSAGE_MAX = 512 }; /* of ours: the text of a clerk's answer is not longer */

static_assert(sizeof((struct smtp_step){0}.login.user) == USER_MAX + 1, "with its NUL");
static_assert(sizeof((struct smtp_step){0}.login.response) == PASSWORD_MAX + 1, "with its NUL");

uint32_t session_may_auth(const struct smtp_session *s, const struct smtp_service *service)
{
    if (s->flags & SMTP_AUTHENTICATED ||
        !(s->flags & (SMTP_TLS_ON | SMTP_LOCAL) || service->auth_plain_from_afar))
        return 0;
    return service->auth & ~(s->flags & SMTP_TLS_BINDS ? 0u : SMTP_AUTH_SCRAM_PLUS);
}

/* Copies a name or a password, NUL-terminated; false if it is empty, too long or has a NUL. */
static bool copy_text(char *to, size_t max, struct span from)
{
    if (!from.len || from.len > max || memchr(from.at, 0, from.len))
        return false;
    memcpy(to, from.at, from.len);
    to[from.len] = 0;
    return true;
}

static void stop(struct turn *t, enum reply_id id)
{
    t->s->reading = READ_COMMAND;
    t->s->mechanism = MECHANISM_NONE;
    session_say(t->s, id);
}

static void prompt(struct turn *t, enum session_mechanism mechanism)
{
    t->s->reading = READ_AUTH;
    t->s->mechanism = (uint8_t)mechanism;
    session_say(t->s, REPLY_AUTH_PROMPT);
}

static void ask(struct turn *t)
{
    t->s->reading = READ_COMMAND;
    t->s->mechanism = MECHANISM_NONE;
    t->s->wait = WAIT_PASSWORD;
    t->want = SMTP_PASSWORD;
}

/* [authzid] NUL authcid NUL password; one account may not act for another. */
static void take_plain(struct turn *t, struct span response)
{
    struct span identity = span_first(response, span_find(response, 0));
    struct span rest = span_after(response, identity.len + 1);
    struct span user = span_first(rest, span_find(rest, 0));
    struct span password = span_after(rest, user.len + 1);
    bool good = (!identity.len || span_equal(identity, user)) &&
                copy_text(t->step->login.user, USER_MAX, user) &&
                copy_text(t->step->login.response, PASSWORD_MAX, password);
    if (good)
        ask(t);
    else
        stop(t, REPLY_AUTH_FAILED);
}

static void take_user(struct turn *t, struct span response)
{
    if (!copy_text(t->step->login.user, USER_MAX, response))
        stop(t, REPLY_AUTH_FAILED);
    else if (envelope_set_note(&t->s->envelope, response, NULL))
        smtp_shut(t->s, REPLY_BUSY);
    else
        prompt(t, MECHANISM_LOGIN_PASSWORD);
}

static void take_password(struct turn *t, struct span response)
{
    bool good = copy_text(t->step->login.user, USER_MAX, envelope_note(&t->s->envelope)) &&
                copy_text(t->step->login.response, PASSWORD_MAX, response);
    if (good)
        ask(t);
    else
        stop(t, REPLY_AUTH_FAILED);
}

static void ask_scram(struct turn *t, enum session_mechanism next)
{
    t->s->reading = READ_COMMAND;
    t->s->mechanism = (uint8_t)next;
    t->s->wait = WAIT_SCRAM;
    t->want = SMTP_SCRAM;
}

static enum scram_binding find_binding(struct span name)
{
    return span_equal(name, SPAN("tls-exporter"))           ? SCRAM_TLS_EXPORTER
           : span_equal(name, SPAN("tls-server-end-point")) ? SCRAM_TLS_END_POINT
                                                            : SCRAM_UNBOUND;
}

/* -PLUS requires a binding that we know; the other mechanism must not have one. If a client says
 * that it can bind but that we did not offer it (y), although we did, somebody has changed our
 * offer on the way (RFC 5802 section 6). */
static bool is_bound_well(const struct turn *t, const struct scram_first *first)
{
    if (t->s->mechanism == MECHANISM_SCRAM_PLUS)
        return first->flag == 'p' && find_binding(first->binding) != SCRAM_UNBOUND;
    return first->flag == 'n' ||
           (first->flag == 'y' && !(session_may_auth(t->s, t->service) & SMTP_AUTH_SCRAM_PLUS));
}

static void take_scram_first(struct turn *t, struct span response)
{
    struct scram_first first;
    char authzid[USER_MAX + 1];
    char *user = t->step->login.user;
    bool good = copy_text(t->step->login.response, PASSWORD_MAX, response) &&
                scram_read_first(response, &first) && is_bound_well(t, &first) &&
                scram_name(first.user, user, USER_MAX + 1);
    if (good && first.authzid.len)
        good = scram_name(first.authzid, authzid, sizeof authzid) && !strcmp(authzid, user);
    if (!good) {
        stop(t, REPLY_AUTH_FAILED);
        return;
    }
    t->step->login.binding = find_binding(first.binding);
    ask_scram(t, MECHANISM_SCRAM_PROOF);
}

static void take_scram_proof(struct turn *t, struct span response)
{
    struct scram_final final;
    if (copy_text(t->step->login.response, PASSWORD_MAX, response) &&
        scram_read_final(response, &final)) {
        t->step->login.user[0] = 0;
        ask_scram(t, MECHANISM_SCRAM_END);
    } else {
        stop(t, REPLY_AUTH_FAILED);
    }
}

/* The client has the verdict with our signature, and confirms it with an empty response. */
static void take_scram_end(struct turn *t, struct span response)
{
    if (!response.len)
        t->s->flags |= SMTP_AUTHENTICATED;
    stop(t, response.len ? REPLY_AUTH_FAILED : REPLY_AUTH_OK);
}

/* The prompt, in base64 as it is sent (NULL: the session's note), and the function for the
 * response. */
static const struct {
    const char *name; /* of the mechanism that begins here */
    uint32_t offer;   /* enum smtp_auth */
    struct span prompt;
    void (*take)(struct turn *t, struct span response);
} mechanisms[MECHANISM_COUNT] = {
    [MECHANISM_PLAIN] = {"PLAIN", SMTP_AUTH_PLAIN, {"", 0}, take_plain},
    [MECHANISM_LOGIN_USER] = {"LOGIN", SMTP_AUTH_LOGIN, {"VXNlcm5hbWU6", 12}, take_user},
    [MECHANISM_LOGIN_PASSWORD] = {NULL, 0, {"UGFzc3dvcmQ6", 12}, take_password},
    [MECHANISM_SCRAM] = {"SCRAM-SHA-256", SMTP_AUTH_SCRAM, {"", 0}, take_scram_first},
    [MECHANISM_SCRAM_PLUS] = {"SCRAM-SHA-256-PLUS",
                              SMTP_AUTH_SCRAM_PLUS,
                              {"", 0},
                              take_scram_first},
    [MECHANISM_SCRAM_PROOF] = {NULL, 0, {NULL, 0}, take_scram_proof},
    [MECHANISM_SCRAM_END] = {NULL, 0, {NULL, 0}, take_scram_end},
};

struct span session_auth_prompt(const struct smtp_session *s)
{
    struct span prompt = mechanisms[s->mechanism].prompt;
    return prompt.at ? prompt : envelope_note(&s->envelope);
}

struct span smtp_login(const struct smtp_session *s)
{
    return s->flags & SMTP_AUTHENTICATED ? envelope_login(&s->envelope) : (struct span){0};
}

bool smtp_in_scram(const struct smtp_session *s)
{
    return s->mechanism == MECHANISM_SCRAM_PROOF || s->mechanism == MECHANISM_SCRAM_END;
}

static void take_response(struct turn *t, struct span text)
{
    char response[RESPONSE_MAX];
    size_t length;
    if (!base64_decode(text, response, sizeof response, &length))
        stop(t, REPLY_BAD_BASE64);
    else if (length > sizeof response)
        stop(t, REPLY_AUTH_FAILED);
    else
        mechanisms[t->s->mechanism].take(t, (struct span){response, length});
    explicit_bzero(response, sizeof response);
}

/* A refusal that the session gives by itself counts as junk: nobody is asked, and where no offence is
 * held (R19) it costs the client nothing. */
void session_read_auth(struct turn *t)
{
    struct smtp_session *s = t->s;
    struct span line;
    switch (session_line(t, SMTP_AUTH_LINE_MAX, REPLY_AUTH_LINE_TOO_LONG, &line)) {
    case LINE_MORE: return;
    case LINE_WHOLE:
        if (span_equal(line, SPAN("*")))
            stop(t, REPLY_AUTH_CANCELLED);
        else
            take_response(t, line);
        break;
    default: /* the line has been answered, and is not a response */
        s->reading = READ_COMMAND;
        s->mechanism = MECHANISM_NONE;
        break;
    }
    if (s->wait == WAIT_TELL && s->pending.code >= 500)
        session_count_junk(t, SMTP_JUNK_STEPS);
}

static enum session_mechanism find_mechanism(struct span name)
{
    for (unsigned i = 0; i < MECHANISM_COUNT; i++)
        if (mechanisms[i].name && span_equal_fold(name, span_of(mechanisms[i].name)))
            return (enum session_mechanism)i;
    return MECHANISM_NONE;
}

/* A mechanism that is never offered gets 504; one that is not offered here or now gets another
 * refusal. */
void session_auth(struct turn *t, struct span arg)
{
    struct smtp_session *s = t->s;
    struct span initial = arg, name = text_word(&initial);
    enum session_mechanism mechanism = find_mechanism(name);
    uint32_t may = session_may_auth(s, t->service);
    if (s->flags & SMTP_AUTHENTICATED)
        session_say_with(s, REPLY_SEQUENCE, SPAN("Authenticated already"));
    else if (!(t->service->auth & mechanisms[mechanism].offer))
        session_say(s, REPLY_NO_MECHANISM);
    else if (!may)
        session_say(s, REPLY_AUTH_NEEDS_TLS);
    else if (!(may & mechanisms[mechanism].offer))
        session_say(s, REPLY_NO_MECHANISM);
    else if (!initial.len)
        prompt(t, mechanism);
    else {
        s->mechanism = (uint8_t)mechanism;
        /* "=" is an empty initial response. */
        take_response(t, span_equal(initial, SPAN("=")) ? SPAN("") : initial);
    }
}

static void say_verdict(struct smtp_session *s, enum password_verdict v)
{
    static const uint16_t replies[] = {
        [PASSWORD_RIGHT] = REPLY_AUTH_OK,
        [PASSWORD_WRONG] = REPLY_AUTH_FAILED,
        [PASSWORD_LATER] = REPLY_AUTH_LATER,
        [PASSWORD_MORE] = REPLY_AUTH_LATER, /* a password needs one message only */
    };
    s->mechanism = MECHANISM_NONE;
    session_say(s, (enum reply_id)replies[v]);
}

void smtp_password_is(struct smtp_session *s, enum password_verdict v)
{
    if (s->wait != WAIT_PASSWORD)
        return;
    if (v == PASSWORD_RIGHT)
        s->flags |= SMTP_AUTHENTICATED;
    say_verdict(s, v);
}

/* Stores our message in base64 as the note, which is the text of the prompt. */
static void challenge(struct smtp_session *s, struct span message)
{
    char text[BASE64_LEN(SCRAM_MESSAGE_MAX)];
    size_t len = base64_encode(span_first(message, SCRAM_MESSAGE_MAX), text);
    if (envelope_set_note(&s->envelope, (struct span){text, len}, NULL)) {
        smtp_shut(s, REPLY_BUSY);
        return;
    }
    s->reading = READ_AUTH;
    session_say(s, REPLY_AUTH_PROMPT);
}

void smtp_scram_is(struct smtp_session *s, enum password_verdict v, struct span message)
{
    bool second = s->mechanism == MECHANISM_SCRAM_END;
    if (s->wait != WAIT_SCRAM)
        return;
    if (v == (second ? PASSWORD_RIGHT : PASSWORD_MORE))
        challenge(s, message);
    else
        say_verdict(s, v == PASSWORD_WRONG ? v : PASSWORD_LATER);
}
