/* MAIL and RCPT: paths, and the parameters after them (RFC 1870, 3461, 4954, 6152, 6531).
 *
 * One table has all parameters, with the command that each belongs to and the extension that it
 * needs. Parameters of DSN are checked here and passed to the backend as written. The caller says
 * whether a recipient exists. See session.c for how handlers are called. */
#include <string.h>

#include "smtp/ability.h"
#include "smtp/session_part.h"
#include "smtp/text.h"

enum { ENVID_MAX = 100, ORCPT_MAX = 500, NOTIFY_WORDS = 3 };

enum { OF_MAIL = 1, OF_RCPT = 2, KEPT = 4, LONE = 8, OF_AGAIN = 16 };

enum outcome { PARAM_FINE, PARAM_WRONG, PARAM_TOO_LARGE, PARAM_LACKING };

/* A parameter's function checks its value, and uses it. */
struct parameter {
    const char *keyword;
    uint8_t flags; /* its command; KEPT: stays in the envelope, and is passed on to the backend;
                      LONE: has no value; OF_AGAIN: needs smtp_service.again */
    uint8_t needs; /* of enum smtp_offer */
    enum outcome (*check)(struct turn *t, struct span value);
};

static enum outcome fine_if(bool condition)
{
    return condition ? PARAM_FINE : PARAM_WRONG;
}

static enum outcome check_size(struct turn *t, struct span value)
{
    uint64_t size;
    if (!span_number(value, &size))
        return PARAM_WRONG;
    t->s->size = size < UINT32_MAX ? (uint32_t)size : UINT32_MAX;
    return t->service->size_max && size > t->service->size_max ? PARAM_TOO_LARGE : PARAM_FINE;
}

static enum outcome check_body(struct turn *t, struct span value)
{
    if (span_equal_fold(value, SPAN("8BITMIME")))
        t->s->flags |= SMTP_8BIT;
    else if (!span_equal_fold(value, SPAN("7BIT")))
        return PARAM_WRONG;
    return PARAM_FINE;
}

static enum outcome check_smtputf8(struct turn *t, struct span value)
{
    t->s->flags |= SMTP_UTF8;
    return PARAM_FINE;
}

static enum outcome check_auth(struct turn *t, struct span value)
{
    return fine_if(value.len && (span_equal(value, SPAN("<>")) || text_is_xtext(value, false)));
}

static enum outcome check_ret(struct turn *t, struct span value)
{
    return fine_if(span_equal_fold(value, SPAN("FULL")) || span_equal_fold(value, SPAN("HDRS")));
}

static enum outcome check_envid(struct turn *t, struct span value)
{
    return fine_if(value.len && value.len <= ENVID_MAX && text_is_xtext(value, false));
}

/* NEVER alone, or a list of the other keywords; a longer list would only repeat them. */
static enum outcome check_notify(struct turn *t, struct span value)
{
    if (span_equal_fold(value, SPAN("NEVER")))
        return PARAM_FINE;
    for (int words = 1;; words++) {
        struct span word = span_first(value, span_find(value, ','));
        if (words > NOTIFY_WORDS)
            return PARAM_WRONG;
        if (!span_equal_fold(word, SPAN("SUCCESS")) && !span_equal_fold(word, SPAN("FAILURE")) &&
            !span_equal_fold(word, SPAN("DELAY")))
            return PARAM_WRONG;
        if (word.len == value.len)
            return PARAM_FINE;
        value = span_after(value, word.len + 1);
    }
}

static enum outcome check_again(struct turn *t, struct span value)
{
    return PARAM_FINE;
}

/* addr-type ";" xtext; with type utf-8 also UTF-8, if the message uses SMTPUTF8 (RFC 6533). */
static enum outcome check_orcpt(struct turn *t, struct span value)
{
    size_t type = span_find(value, ';');
    if (!type || type == value.len || value.len > ORCPT_MAX)
        return PARAM_WRONG;
    for (size_t i = 0; i < type; i++)
        if (!text_is_alnum(value.at[i]) && value.at[i] != '-')
            return PARAM_WRONG;
    bool utf8 = t->s->flags & SMTP_UTF8 && span_equal_fold(span_first(value, type), SPAN("utf-8"));
    struct span address = span_after(value, type + 1);
    return fine_if(address.len && text_is_xtext(address, utf8));
}

static const struct parameter parameters[] = {
    {"SIZE", OF_MAIL, 0, check_size},
    {"BODY", OF_MAIL, SMTP_OFFER_8BITMIME, check_body},
    {"SMTPUTF8", OF_MAIL | LONE, SMTP_OFFER_SMTPUTF8, check_smtputf8},
    {"AUTH", OF_MAIL, 0, check_auth},
    {"RET", OF_MAIL | KEPT, SMTP_OFFER_DSN, check_ret},
    {"ENVID", OF_MAIL | KEPT, SMTP_OFFER_DSN, check_envid},
    {SMTP_AGAIN, OF_MAIL | KEPT | LONE | OF_AGAIN, 0, check_again},
    {"NOTIFY", OF_RCPT | KEPT, SMTP_OFFER_DSN, check_notify},
    {"ORCPT", OF_RCPT | KEPT, SMTP_OFFER_DSN, check_orcpt},
};

enum { PARAMETERS = sizeof parameters / sizeof *parameters };

/* The row of a keyword, if this command may have it in this session; else PARAMETERS. */
static unsigned find_parameter(const struct turn *t, struct span keyword, unsigned of)
{
    for (unsigned i = 0; i < PARAMETERS; i++) {
        const struct parameter *p = &parameters[i];
        if (!span_equal_fold(keyword, span_of(p->keyword)) || !(p->flags & of))
            continue;
        bool offered = t->s->flags & SMTP_ESMTP && (t->s->offered & p->needs) == p->needs &&
                       (t->service->again || !(p->flags & OF_AGAIN));
        return offered ? i : PARAMETERS;
    }
    return PARAMETERS;
}

/* The parameters to pass on, as written, with a space between them. */
struct kept {
    char text[SMTP_LINE_MAX];
    size_t len;
};

static void keep(struct kept *k, struct span word)
{
    if (k->len)
        k->text[k->len++] = ' ';
    memcpy(k->text + k->len, word.at, word.len);
    k->len += word.len;
}

static void say_too_large(struct turn *t)
{
    struct reply r = session_too_large(t->s, t->service);
    session_tell(t->s, &r);
}

/* Checks one parameter, and replies if it is wrong. `seen` is a set of rows: none may come
 * twice. */
static bool take_parameter(struct turn *t, struct span word, unsigned of, unsigned *seen,
                           struct kept *kept)
{
    struct span keyword = span_first(word, span_find(word, '='));
    struct span value = span_after(word, keyword.len + 1);
    unsigned row = find_parameter(t, keyword, of);
    if (row == PARAMETERS) {
        session_say_with(t->s, REPLY_BAD_PARAMETER, keyword);
        return false;
    }
    const struct parameter *p = &parameters[row];
    bool has_value = keyword.len < word.len;
    enum outcome outcome = PARAM_WRONG;
    if (!(*seen & (1u << row)) && has_value == !(p->flags & LONE))
        outcome = p->check(t, value);
    if (outcome == PARAM_FINE && p->needs & ~t->service->able)
        outcome = PARAM_LACKING; /* the backends no longer have it */
    *seen |= 1u << row;
    if (outcome == PARAM_WRONG)
        session_say_with(t->s, REPLY_BAD_ARGUMENT, span_of(p->keyword));
    else if (outcome == PARAM_TOO_LARGE)
        say_too_large(t);
    else if (outcome == PARAM_LACKING)
        session_say(t->s, REPLY_LACKING);
    else if (p->flags & KEPT)
        keep(kept, word);
    return outcome == PARAM_FINE;
}

/* Reads everything after a path; false if it was wrong, and a reply says so. */
static bool take_parameters(struct turn *t, struct span text, unsigned of, struct kept *kept)
{
    unsigned seen = 0;
    kept->len = 0;
    for (struct span word = text_word(&text); word.len; word = text_word(&text))
        if (!take_parameter(t, word, of, &seen, kept))
            return false;
    return true;
}

/* Reads "FROM:" or "TO:" and a path, followed by a space or the end. Spaces before the path are not
 * in the grammar, but many programs send them. Our own devices may omit the brackets; other clients
 * that do so are usually bots. */
static enum path_result take_path(const struct smtp_session *s, struct span *arg,
                                  struct span keyword, struct mailbox *box)
{
    size_t used;
    if (!span_starts_fold(*arg, keyword))
        return PATH_BAD;
    struct span text = span_trim(span_after(*arg, keyword.len));
    bool bare = (s->trusted || s->flags & SMTP_AUTHENTICATED) && text.len && text.at[0] != '<';
    enum path_result result =
        bare ? path_parse_bare(text, &used, box) : path_parse(text, &used, box);
    *arg = span_after(text, used);
    if (arg->len && arg->at[0] != ' ')
        return PATH_BAD;
    *arg = span_trim(*arg);
    return result;
}

/* local@domain as one span of the input; the local part alone for <postmaster>. */
static struct span address_of(const struct mailbox *box)
{
    size_t domain = box->domain.len ? 1 + box->domain.len : 0;
    return (struct span){box->local.at, box->local.len + domain};
}

/* A client that may not send at all gets that reply first (RFC 4954 section 6). */
static bool may_send(struct turn *t)
{
    if (!t->service->submission || t->s->flags & SMTP_AUTHENTICATED)
        return true;
    bool after_tls =
        !session_may_auth(t->s, t->service) && t->service->tls && !(t->s->flags & SMTP_TLS_ON);
    session_say(t->s, after_tls ? REPLY_TLS_FIRST : REPLY_AUTH_FIRST);
    return false;
}

static void set_sender(struct turn *t, enum path_result path, struct span address,
                       const struct kept *kept)
{
    struct smtp_session *s = t->s;
    if (path == PATH_NON_ASCII && !(s->flags & SMTP_UTF8)) {
        session_say(s, REPLY_NEEDS_UTF8);
    } else if (envelope_set_sender(&s->envelope, address, (struct span){kept->text, kept->len})) {
        smtp_shut(s, REPLY_BUSY);
    } else {
        if (path == PATH_NULL)
            s->flags |= SMTP_NULL_SENDER;
        s->state = STATE_SENDER;
        session_say(s, REPLY_SENDER_OK);
    }
}

static void take_sender(struct turn *t, struct span arg)
{
    struct mailbox box = {0};
    struct kept kept;
    enum path_result path = take_path(t->s, &arg, SPAN("FROM:"), &box);
    if (path == PATH_BAD || path == PATH_POSTMASTER)
        session_say(t->s, REPLY_BAD_SENDER);
    else if (take_parameters(t, arg, OF_MAIL, &kept))
        set_sender(t, path, address_of(&box), &kept);
}

void session_mail(struct turn *t, struct span arg)
{
    struct smtp_session *s = t->s;
    s->flags &= ~SMTP_TRIED;
    s->size = 0;
    if (t->service->mails_max && s->mails >= t->service->mails_max) {
        smtp_shut(s, REPLY_TOO_MANY_MAILS);
        return;
    }
    s->mails++;
    if (may_send(t))
        take_sender(t, arg);
    if (s->state != STATE_SENDER)
        s->flags = (uint16_t)((s->flags & ~(SMTP_UTF8 | SMTP_8BIT)) | SMTP_TRIED);
}

/* Whether the envelope takes no more recipients; the sender sends the others in another message
 * (RFC 5321 4.5.3.1.10). Long addresses and parameters do not get more memory. */
static bool is_full(const struct envelope *e)
{
    return envelope_recipients(e) >= ENVELOPE_RECIPIENTS_LEAST &&
           envelope_block(e).len >= ENVELOPE_OCTETS_MAX;
}

static void ask(struct turn *t, const struct mailbox *box, const struct kept *kept)
{
    struct smtp_session *s = t->s;
    struct span address = address_of(box);
    if (envelope_propose(&s->envelope, address, (struct span){kept->text, kept->len})) {
        smtp_shut(s, REPLY_BUSY);
        return;
    }
    s->wait = WAIT_RECIPIENT;
    t->step->box = *box;
    t->step->address = address;
    t->want = SMTP_RECIPIENT;
}

void session_rcpt(struct turn *t, struct span arg)
{
    struct mailbox box = {0};
    struct kept kept;
    t->s->flags |= SMTP_TRIED;
    enum path_result path = take_path(t->s, &arg, SPAN("TO:"), &box);
    if (path == PATH_BAD || path == PATH_NULL)
        session_say(t->s, REPLY_BAD_RECIPIENT);
    else if (!take_parameters(t, arg, OF_RCPT, &kept))
        return;
    else if (path == PATH_NON_ASCII && !(t->s->flags & SMTP_UTF8))
        session_say(t->s, REPLY_NEEDS_UTF8);
    else if (envelope_recipients(&t->s->envelope) >= session_recipients_max(t->service) ||
             is_full(&t->s->envelope))
        session_say(t->s, REPLY_TOO_MANY);
    else
        ask(t, &box, &kept);
}

uint32_t smtp_declared_size(const struct smtp_session *s)
{
    return s->size;
}

struct span smtp_asked(const struct smtp_session *s)
{
    return s->wait == WAIT_RECIPIENT ? envelope_note(&s->envelope) : (struct span){0};
}

void smtp_recipient_is(struct smtp_session *s, enum recipient_verdict v, struct span address,
                       const struct reply *other)
{
    static const uint16_t replies[] = {
        [RECIPIENT_UNKNOWN] = REPLY_NO_USER, [RECIPIENT_RELAYING] = REPLY_NO_RELAY,
        [RECIPIENT_TRAP] = REPLY_TRAP,       [RECIPIENT_LATER] = REPLY_DIRECTORY_DOWN,
        [RECIPIENT_MASKED] = REPLY_MASKED,
    };
    if (s->wait != WAIT_RECIPIENT)
        return;
    assert(span_equal(address, smtp_asked(s)));
    if (v == RECIPIENT_TAKE) {
        envelope_accept(&s->envelope);
        s->state = STATE_RECIPIENTS;
        session_say(s, REPLY_RECIPIENT_OK);
    } else if (v == RECIPIENT_OTHER) {
        session_tell(s, other);
    } else {
        session_say_with(s, (enum reply_id)replies[v], envelope_note(&s->envelope));
    }
}
