/* What a session leaves in the log: one line when it ends, one for each message; holds at debug
 * level. */
#include "base/log.h"
#include "config/config.h"
#include "worker/conn.h"

void journal_session(struct worker *w, struct conn *c, const char *why)
{
    struct log_line l;
    struct envelope_recipient to = {0};

    log_begin(&l, LOG_INFO, "session");
    if (!l.on)
        return;
    log_addr(&l, "client", &c->peer);
    if (envelope_helo(&c->smtp.envelope).len)
        log_span(&l, "helo", envelope_helo(&c->smtp.envelope));
    if (envelope_has_sender(&c->smtp.envelope))
        log_span(&l, "from", envelope_sender(&c->smtp.envelope));
    if (envelope_next(&c->smtp.envelope, &to))
        log_span(&l, "to", to.address);
    log_text(&l, "result", why);
    if (c->smtp.flags & SMTP_AUTHENTICATED)
        log_text(&l, "auth", "yes");
    if (c->smtp.flags & SMTP_TLS_ON)
        log_text(&l, "tls", tls_version(w, c));
    if (c->last_code)
        log_int(&l, "code", c->last_code);
    lists_journal(w, &c->peer, &l);
    log_int(&l, "messages", c->messages);
    log_int(&l, "offences", c->offences);
    log_seconds(&l, "held", c->held_ms);
    log_seconds(&l, "open", w->loop.now - (uint64_t)c->opened_s * 1000);
    log_end(&l);
}

void journal_hold(struct worker *w, const struct conn *c, const struct reply *reply, uint64_t ms)
{
    struct log_line l;

    log_begin(&l, LOG_DEBUG, "hold");
    if (!l.on)
        return;
    log_addr(&l, "client", &c->peer);
    log_int(&l, "code", reply->code);
    log_span(&l, "about", reply->arg);
    log_seconds(&l, "for", ms);
    log_end(&l);
}

void journal_message(struct worker *w, const struct conn *c, const struct relay_result *result,
                     uint64_t us)
{
    struct log_line l;
    struct envelope_recipient to = {0};

    log_begin(&l, LOG_INFO, "message");
    if (!l.on)
        return;
    log_addr(&l, "client", &c->peer);
    log_span(&l, "from", envelope_sender(&c->smtp.envelope));
    if (envelope_next(&c->smtp.envelope, &to))
        log_span(&l, "to", to.address);
    log_int(&l, "recipients", envelope_recipients(&c->smtp.envelope));
    log_int(&l, "size", (int64_t)c->smtp.size);
    log_text(&l, "backend", result->backend);
    log_text(&l, "result",
             result->reply.code < 300   ? "passed"
             : result->reply.code < 500 ? "deferred"
                                        : "refused");
    log_int(&l, "code", result->reply.code);
    if (result->reply.code >= 300)
        log_span(&l, "text", result->reply.arg);
    log_seconds(&l, "took", us / 1000);
    log_end(&l);
}
