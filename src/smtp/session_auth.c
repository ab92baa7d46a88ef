/* AUTH (RFC 4954): PLAIN (RFC 4616) with or without initial response, and LOGIN.
 *
 * Responses are decoded on the stack, copied into the step's login and wiped; the session itself
 * never holds a password (LOGIN's user name waits as the envelope's note for the password to come).
 * Who checks it is the caller's matter. See session.c for how handlers are called. */
#include <string.h>

#include "smtp/session_part.h"
#include "smtp/text.h"

/* PLAIN's longest message: two names, a password, two NULs. */
enum { USER_MAX = 255, PASSWORD_MAX = 1023, RESPONSE_MAX = 2 * USER_MAX + PASSWORD_MAX + 2 };

static_assert(sizeof((struct smtp_step){0}.login.user) == USER_MAX + 1, "with its NUL");
static_assert(sizeof((struct smtp_step){0}.login.password) == PASSWORD_MAX + 1, "with its NUL");

bool session_may_auth(const struct smtp_session *s, const struct smtp_service *service)
{
    return service->auth && !(s->flags & SMTP_AUTHENTICATED) &&
           (s->flags & (SMTP_TLS_ON | SMTP_LOCAL) || service->auth_plain_from_afar);
}

/* Copies a name or a password with a NUL behind it; false when it is empty, too long or holds a
 * NUL. */
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

/* [authzid] NUL authcid NUL password; nobody may act for another. */
static void take_plain(struct turn *t, struct span response)
{
    struct span identity = span_first(response, span_find(response, 0));
    struct span rest = span_after(response, identity.len + 1);
    struct span user = span_first(rest, span_find(rest, 0));
    struct span password = span_after(rest, user.len + 1);
    bool good = (!identity.len || span_equal(identity, user)) &&
                copy_text(t->step->login.user, USER_MAX, user) &&
                copy_text(t->step->login.password, PASSWORD_MAX, password);
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
                copy_text(t->step->login.password, PASSWORD_MAX, response);
    if (good)
        ask(t);
    else
        stop(t, REPLY_AUTH_FAILED);
}

/* What is asked for, in base64 as it is sent, and what becomes of the answer. */
static const struct {
    const char *name; /* of the mechanism that begins here */
    struct span prompt;
    void (*take)(struct turn *t, struct span response);
} mechanisms[MECHANISM_COUNT] = {
    [MECHANISM_PLAIN] = {"PLAIN", {"", 0}, take_plain},
    [MECHANISM_LOGIN_USER] = {"LOGIN", {"VXNlcm5hbWU6", 12}, take_user},
    [MECHANISM_LOGIN_PASSWORD] = {NULL, {"UGFzc3dvcmQ6", 12}, take_password},
};

struct span session_auth_prompt(const struct smtp_session *s)
{
    return mechanisms[s->mechanism].prompt;
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Decodes padded base64 (RFC 4648 section 4) and keeps the first `room` octets; *length is how many
 * there are in all. False when it is not base64. */
static bool base64_decode(struct span text, char *out, size_t room, size_t *length)
{
    size_t padding = 0;
    uint32_t bits = 0;
    while (padding < 2 && text.len > padding && text.at[text.len - 1 - padding] == '=')
        padding++;
    if (text.len % 4)
        return false;
    *length = 0;
    for (size_t i = 0; i < text.len - padding; i++) {
        int value = base64_value(text.at[i]);
        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        if (i % 4 == 0)
            continue;
        if (*length < room)
            out[*length] = (char)(bits >> (6 - 2 * (i % 4)));
        ++*length;
    }
    return true;
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

void session_read_auth(struct turn *t)
{
    struct span line;
    switch (session_line(t, SMTP_AUTH_LINE_MAX, &line)) {
    case LINE_MORE: return;
    case LINE_WHOLE: break;
    default: /* it has been replied to, and is no response */
        t->s->reading = READ_COMMAND;
        t->s->mechanism = MECHANISM_NONE;
        return;
    }
    if (span_equal(line, SPAN("*")))
        stop(t, REPLY_AUTH_CANCELLED);
    else
        take_response(t, line);
}

static enum session_mechanism find_mechanism(struct span name)
{
    for (unsigned i = 0; i < MECHANISM_COUNT; i++)
        if (mechanisms[i].name && span_equal_fold(name, span_of(mechanisms[i].name)))
            return (enum session_mechanism)i;
    return MECHANISM_NONE;
}

void session_auth(struct turn *t, struct span arg)
{
    struct smtp_session *s = t->s;
    struct span initial = arg, name = text_word(&initial);
    enum session_mechanism mechanism = find_mechanism(name);
    if (s->flags & SMTP_AUTHENTICATED)
        session_say_with(s, REPLY_SEQUENCE, SPAN("Authenticated already"));
    else if (!t->service->auth || mechanism == MECHANISM_NONE)
        session_say(s, REPLY_NO_MECHANISM);
    else if (!session_may_auth(s, t->service))
        session_say(s, REPLY_AUTH_NEEDS_TLS);
    else if (!initial.len)
        prompt(t, mechanism);
    else {
        s->mechanism = (uint8_t)mechanism;
        /* "=" is an initial response that is there and empty. */
        take_response(t, span_equal(initial, SPAN("=")) ? SPAN("") : initial);
    }
}

void smtp_password_is(struct smtp_session *s, enum password_verdict v)
{
    static const uint16_t replies[] = {
        [PASSWORD_RIGHT] = REPLY_AUTH_OK,
        [PASSWORD_WRONG] = REPLY_AUTH_FAILED,
        [PASSWORD_LATER] = REPLY_AUTH_LATER,
    };
    if (s->wait != WAIT_PASSWORD)
        return;
    if (v == PASSWORD_RIGHT)
        s->flags |= SMTP_AUTHENTICATED;
    session_say(s, (enum reply_id)replies[v]);
}
