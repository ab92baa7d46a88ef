/* How a session begins, begins again and ends: EHLO, HELO, LHLO, STARTTLS, RSET, QUIT.
 *
 * This file makes the reply to EHLO, from what is offered at that moment on that connection. See
 * session.c for how handlers are called. */
#include <string.h>

#include "smtp/ability.h"
#include "smtp/session_part.h"
#include "smtp/text.h"

/* With the longest host name all keywords together have fewer than 500 octets. */
enum { HELO_MAX = 255, KEYWORDS_MAX = 512 };

/* Accepts any printable name: a wrong one is no reason to refuse mail (RFC 5321 4.1.4). The name
 * ends at a space. */
static bool hello(struct turn *t, struct span arg, uint16_t flags)
{
    struct smtp_session *s = t->s;
    struct span name = text_word(&arg);
    bool good = name.len > 0 && name.len <= HELO_MAX;
    for (struct span rest = name; good && rest.len;) {
        size_t n = text_printable(rest);
        good = n > 0;
        rest = span_after(rest, n);
    }
    if (!good) {
        struct span needed = SPAN("a host name is needed");
        if (name.len)
            session_say_with(s, REPLY_BAD_ARGUMENT, needed);
        else
            session_say_kindly(s, REPLY_BAD_ARGUMENT, needed);
        return false;
    }
    session_reset(s);
    s->flags = (uint16_t)((s->flags & ~(SMTP_ESMTP | SMTP_LMTP)) | flags);
    s->state = STATE_READY;
    if (envelope_set_helo(&s->envelope, name)) {
        smtp_shut(s, REPLY_BUSY);
        return false;
    }
    return true;
}

/* The lines of the reply to EHLO. */
struct keywords {
    char text[KEYWORDS_MAX];
    size_t len;
};

static void offer(struct keywords *k, bool applies, const char *keyword)
{
    size_t len = strlen(keyword);

    if (!applies || k->len + len + 2 > sizeof k->text)
        return;
    if (k->len)
        k->text[k->len++] = '\n';
    memcpy(k->text + k->len, keyword, len + 1);
    k->len += len;
}

/* Adds a word to the keyword that was offered last, if the whole still fits. */
static void offer_more(struct keywords *k, bool applies, const char *word)
{
    size_t len = strlen(word);

    if (!applies || k->len + len + 1 > sizeof k->text)
        return;
    memcpy(k->text + k->len, word, len + 1);
    k->len += len;
}

static void offer_number(struct keywords *k, uint64_t number)
{
    char text[24];

    *write_decimal(number, 1, text) = '\0';
    offer_more(k, true, text);
}

static void offer_auth(struct keywords *k, uint32_t mechanisms)
{
    offer(k, mechanisms, "AUTH");
    offer_more(k, mechanisms & SMTP_AUTH_PLAIN, " PLAIN");
    offer_more(k, mechanisms & SMTP_AUTH_LOGIN, " LOGIN");
    offer_more(k, mechanisms & SMTP_AUTH_SCRAM, " SCRAM-SHA-256");
    offer_more(k, mechanisms & SMTP_AUTH_SCRAM_PLUS, " SCRAM-SHA-256-PLUS");
}

/* RFC 9422: limits that this session enforces. */
static void offer_limits(struct keywords *k, const struct smtp_service *service)
{
    offer(k, true, "LIMITS");
    if (service->mails_max) {
        offer_more(k, true, " MAILMAX=");
        offer_number(k, service->mails_max);
    }
    offer_more(k, true, " RCPTMAX=");
    offer_number(k, session_recipients_max(service));
}

static void extended_hello(struct turn *t, struct span arg, uint16_t flags)
{
    if (!hello(t, arg, flags))
        return;
    const struct smtp_service *service = t->service;
    struct smtp_session *s = t->s;
    struct keywords k = {.len = 0};
    s->offered = service->offer & SMTP_OFFER_ALL;
    offer(&k, true, service->hostname);
    offer(&k, true, "PIPELINING");
    offer(&k, true, "SIZE");
    if (service->size_max) {
        offer_more(&k, true, " ");
        offer_number(&k, service->size_max);
    }
    offer(&k, service->tls && !(s->flags & SMTP_TLS_ON), "STARTTLS");
    offer_auth(&k, session_may_auth(s, service));
    offer(&k, service->offer & SMTP_OFFER_8BITMIME, "8BITMIME");
    offer(&k, service->offer & SMTP_OFFER_SMTPUTF8, "SMTPUTF8");
    offer(&k, service->offer & SMTP_OFFER_DSN, "DSN");
    offer(&k, !service->no_chunking, "CHUNKING");
    offer(&k, service->again, SMTP_AGAIN);
    offer_limits(&k, service);
    /* Last what is always offered: check tools look for "250-STARTTLS" and "250-AUTH". */
    offer(&k, true, "ENHANCEDSTATUSCODES");
    session_say_with(t->s, REPLY_EHLO, (struct span){k.text, k.len});
}

void session_ehlo(struct turn *t, struct span arg)
{
    extended_hello(t, arg, SMTP_ESMTP);
}

void session_lhlo(struct turn *t, struct span arg)
{
    extended_hello(t, arg, SMTP_ESMTP | SMTP_LMTP);
}

void session_helo(struct turn *t, struct span arg)
{
    if (hello(t, arg, 0))
        session_say(t->s, REPLY_HELO);
}

/* Octets that come together with STARTTLS were sent before TLS began. They may be those of an
 * attacker in between, who wants them to count as sent over TLS (RFC 3207 section 6). They are
 * dropped, and the session ends, because the rest of a command may still follow. */
void session_starttls(struct turn *t, struct span arg)
{
    struct smtp_session *s = t->s;
    if (!t->service->tls) {
        session_say(s, REPLY_UNKNOWN_COMMAND);
    } else if (s->flags & SMTP_TLS_ON) {
        session_say_with(s, REPLY_SEQUENCE, SPAN("TLS is on already"));
    } else if (t->in.len) {
        t->in = span_after(t->in, t->in.len);
        session_say(s, REPLY_INJECTED);
        s->after = AFTER_END;
    } else {
        session_say(s, REPLY_START_TLS);
        s->after = AFTER_TLS;
    }
}

void smtp_tls_is_on(struct smtp_session *s, bool binds)
{
    uint16_t on = SMTP_TLS_ON | (binds ? SMTP_TLS_BINDS : 0);
    if (s->pending.id == REPLY_GREETING && s->wait == WAIT_TELL)
        s->flags |= on;
    if (s->wait != WAIT_TLS)
        return;
    envelope_free(&s->envelope);
    *s = (struct smtp_session){.flags = (s->flags & (SMTP_LOCAL | SMTP_MENDS)) | on,
                               .state = STATE_FRESH,
                               .junk = s->junk};
}

void session_rset(struct turn *t, struct span arg)
{
    session_reset(t->s);
    session_say(t->s, REPLY_OK);
}

void session_quit(struct turn *t, struct span arg)
{
    session_reset(t->s);
    session_say(t->s, REPLY_BYE);
    t->s->after = AFTER_END;
}
