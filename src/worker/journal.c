/* Writes the log lines of a session: one when it ends, one for each message and one for each
 * refused recipient; holds at debug level.
 *
 * Lines of sessions and refused recipients are rationed (ration.h); those of a flood become sums. A
 * session that sent nothing (a health check) has a debug line. All lines of a session have its
 * `id`; a message's id begins with it (ident.h). */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "relay/queue_id.h"
#include "relay/relay.h"
#include "worker/conn.h"
#include "worker/ident.h"
#include "worker/journal.h"
#include "worker/lists.h"
#include "worker/ration.h"
#include "worker/tls.h"
#include "worker/worker_part.h"

/* ---- rations ---- */

static void tell_sum(void *arg, const struct ration_sum *sum)
{
    struct log_line l;

    log_begin(&l, LOG_INFO, "summary");
    log_addr(&l, "client", &sum->client);
    if (sum->client.family == ADDR_NONE)
        log_int(&l, "clients", sum->clients);
    log_int(&l, "sessions", sum->sessions);
    log_int(&l, "refused", sum->refused);
    log_int(&l, "offences", sum->offences);
    log_seconds(&l, "held", sum->held_ms);
    log_end(&l);
}

static void tell_sums(struct loop *loop, struct alarm *a)
{
    ration_tell(worker_of(loop)->rations, tell_sum, NULL);
}

bool journal_open(struct worker *w)
{
    w->rations = rations_open(w->params->slots);
    w->ration_alarm.due = tell_sums;
    return w->rations != NULL;
}

void journal_close(struct worker *w)
{
    if (!w->rations)
        return;
    loop_alarm_off(&w->loop, &w->ration_alarm);
    if (ration_owes(w->rations)) /* to look at it would touch all of its pages */
        ration_tell(w->rations, tell_sum, NULL);
    rations_close(w->rations);
    w->rations = NULL;
}

static bool may_write(struct worker *w, const struct conn *c)
{
    bool stranger = !(c->flags & CONN_EXEMPT) && !(c->smtp.flags & SMTP_AUTHENTICATED);

    return !w->rations || ration_take(w->rations, &c->peer, stranger, w->loop.now);
}

static void count(struct worker *w, const struct conn *c, enum ration_kind kind, uint32_t offences,
                  uint64_t held_ms)
{
    if (!ration_owes(w->rations))
        loop_alarm(&w->loop, &w->ration_alarm, w->loop.now + RATION_TELL_MS);
    ration_count(w->rations, &c->peer, kind, offences, held_ms);
}

/* ---- fields that lines share ---- */

/* Adds the client and the session. These come before all words of the client, so that log watchers
 * can rely on them. */
static void put_client(struct log_line *l, const struct conn *c, const char *id)
{
    log_addr(l, "client", &c->peer);
    log_text(l, "id", id);
    if (c->smtp.flags & SMTP_AUTHENTICATED)
        log_span(l, "user", smtp_login(&c->smtp));
}

static void put_recipients(struct log_line *l, const struct envelope *e)
{
    struct envelope_recipient to = {0};
    char also[512];
    size_t n = 0;

    if (envelope_next(e, &to))
        log_span(l, "to", to.address);
    while (n < sizeof also && envelope_next(e, &to)) {
        struct span address = span_first(to.address, sizeof also - n);
        if (n)
            also[n++] = ',';
        address = span_first(address, sizeof also - n);
        memcpy(also + n, address.at, address.len);
        n += address.len;
    }
    if (n)
        log_span(l, "also", (struct span){also, n});
}

/* R20: a message that would have been late, or deferred with a 450 (then would_mask is set). */
static void put_would(struct log_line *l, const struct tarpit_hold *would)
{
    if (!would->would_ms && !would->would_mask)
        return;
    log_seconds(l, "would_hold", would->would_ms);
    if (would->would_mask)
        log_text(l, "would_defer", "yes");
    log_text(l, "rule", tarpit_rule_name(would->rule));
}

/* ---- lines ---- */

/* Nothing but a greeting, a name and a goodbye: a health check, or a port scan. */
static bool said_nothing(const struct conn *c, enum close_reason reason)
{
    return !c->offences && !c->messages && !c->held_ms && !c->last_code &&
           !(c->smtp.flags & SMTP_AUTHENTICATED) && !envelope_has_sender(&c->smtp.envelope) &&
           (reason == CLOSE_QUIT || reason == CLOSE_HUNG_UP);
}

void journal_session(struct worker *w, struct conn *c, enum close_reason reason, const char *detail)
{
    enum log_level level = said_nothing(c, reason) ? LOG_DEBUG : LOG_INFO;
    bool good = c->messages || c->smtp.flags & SMTP_AUTHENTICATED;
    struct envelope_recipient to = {0};
    char id[IDENT_MAX], result[160];
    struct log_line l;

    if (!log_wants(level))
        return;
    if (level == LOG_INFO && !good && !may_write(w, c)) {
        count(w, c, RATION_SESSION, c->offences, c->held_ms);
        return;
    }
    log_begin(&l, level, "session");
    put_client(&l, c, ident_session(&c->peer, c->opened_s, id));
    if (envelope_helo(&c->smtp.envelope).len)
        log_span(&l, "helo", envelope_helo(&c->smtp.envelope));
    if (envelope_has_sender(&c->smtp.envelope))
        log_span(&l, "from", envelope_sender(&c->smtp.envelope));
    if (envelope_next(&c->smtp.envelope, &to))
        log_span(&l, "to", to.address);
    if (detail)
        snprintf(result, sizeof result, "%s: %s", close_reason_name(reason), detail);
    log_text(&l, "result", detail ? result : close_reason_name(reason));
    if (c->smtp.flags & SMTP_AUTHENTICATED)
        log_text(&l, "auth", "yes");
    if (c->smtp.flags & SMTP_TLS_ON)
        log_text(&l, "tls", tls_version(w, c));
    if (c->last_code)
        log_int(&l, "code", c->last_code);
    lists_journal(w, &c->peer, &l);
    log_int(&l, "messages", c->messages);
    log_int(&l, "offences", c->offences);
    log_seconds(&l, w->config->observe ? "would_hold" : "held", c->held_ms);
    log_seconds(&l, "open", clock_since((uint64_t)c->opened_s * 1000, w->loop.wall));
    log_end(&l);
}

void journal_step(const struct conn *c, const char *what, const char *format, ...)
{
    char id[IDENT_MAX], about[512];
    struct log_line l;
    va_list args;

    if (!log_wants(LOG_DEBUG))
        return;
    log_begin(&l, LOG_DEBUG, "decision");
    if (!l.on)
        return;
    put_client(&l, c, ident_session(&c->peer, c->opened_s, id));
    log_text(&l, "phase", conn_phase_name((enum conn_phase)c->phase));
    log_text(&l, "what", what);
    va_start(args, format);
    vsnprintf(about, sizeof about, format, args);
    va_end(args);
    if (about[0])
        log_text(&l, "about", about);
    log_end(&l);
}

void journal_hold(struct worker *w, const struct conn *c, const struct reply *reply, uint64_t ms)
{
    char id[IDENT_MAX];
    struct log_line l;

    log_begin(&l, LOG_DEBUG, "hold");
    if (!l.on)
        return;
    put_client(&l, c, ident_session(&c->peer, c->opened_s, id));
    log_int(&l, "code", reply->code);
    log_span(&l, "about", reply->arg);
    log_seconds(&l, "for", ms);
    log_end(&l);
}

void journal_refused(struct worker *w, const struct conn *c, const struct refusal *r)
{
    char id[IDENT_MAX];
    struct log_line l;

    if (!log_wants(LOG_INFO))
        return;
    if (!may_write(w, c)) {
        count(w, c, RATION_REFUSED, 0, 0);
        return;
    }
    log_begin(&l, LOG_INFO, "refused");
    put_client(&l, c, ident_session(&c->peer, c->opened_s, id));
    log_span(&l, "from", envelope_sender(&c->smtp.envelope));
    log_span(&l, "to", r->address);
    log_int(&l, "code", r->code);
    log_text(&l, "why", r->why);
    if (r->hold.rule)
        log_text(&l, "rule", tarpit_rule_name(r->hold.rule));
    if (r->hold.rule == RULE_CORRESPONDENT)
        log_span(&l, "correspondent", conn_sender_domain(c));
    if (r->text.len)
        log_span(&l, "text", r->text);
    log_seconds(&l, "hold", r->hold.ms);
    if (r->hold.would_ms)
        log_seconds(&l, "would_hold", r->hold.would_ms);
    log_end(&l);
}

void journal_message(struct worker *w, const struct conn *c, const struct relay_result *result,
                     uint64_t us, const struct tarpit_hold *would, bool correspondent)
{
    struct span name = queue_id(result->reply.arg);
    struct log_line l;

    log_begin(&l, LOG_INFO, "message");
    if (!l.on)
        return;
    put_client(&l, c, c->work->id);
    log_span(&l, "from", envelope_sender(&c->smtp.envelope));
    put_recipients(&l, &c->smtp.envelope);
    log_int(&l, "recipients", envelope_recipients(&c->smtp.envelope));
    log_int(&l, "size", (int64_t)c->smtp.size);
    log_text(&l, "backend", result->backend);
    log_text(&l, "route", result->route);
    log_text(&l, "result",
             result->reply.code < 300   ? "passed"
             : result->reply.code < 500 ? "deferred"
                                        : "refused");
    log_int(&l, "code", result->reply.code);
    if (result->reply.code < 300 && name.len)
        log_span(&l, "backend_id", name);
    else if (result->reply.arg.len)
        log_span(&l, "text", result->reply.arg);
    if (result->why)
        log_text(&l, "why", result->why);
    log_seconds(&l, "took", us / 1000);
    put_would(&l, would);
    if (correspondent)
        log_span(&l, "correspondent", conn_sender_domain(c));
    log_end(&l);
}
