/* Verdicts on RCPT: whether a recipient is one of ours.
 *
 * The tarpit is first asked for a permit. If the client's turn is too far away, it gets the masked
 * reply and nothing is looked up, so that neither words nor timing can reveal the verdict (R5, R6).
 * Otherwise the worker decides what it can (domains, traps), and a clerk the rest. When the verdict
 * is known, the tarpit books it and says how long its reply waits. A good recipient whose
 * route does not take the message, or that must have a transaction of its own after a mixed answer,
 * hears that instead of 250 (docs/mixed-answers.md). */
#include <stdlib.h>
#include <string.h>

#include "base/metrics.h"
#include "base/probe.h"
#include "config/config.h"
#include "query/query.h"
#include "relay/outcome.h"
#include "relay/relay.h"
#include "smtp/verdict.h"
#include "tarpit/tried.h"
#include "worker/conn.h"
#include "worker/journal.h"
#include "worker/judge.h"
#include "worker/queries.h"
#include "worker/recipient.h"
#include "worker/room.h"
#include "worker/sending.h"
#include "worker/verdict.h"
#include "worker/who.h"
#include "worker/worker_part.h"

static bool is_postmaster(struct span local)
{
    return span_equal(local, SPAN("postmaster"));
}

/* Whether a backend might send mail for this address of ours on to another domain. Then it is a
 * recipient only if a directory has exactly that address. */
static bool is_routing(const struct config *config, struct span folded)
{
    return !config->routing_addresses && local_is_routing(span_first(folded, address_sign(folded)));
}

static bool needs_permit(const struct conn *c)
{
    return !(c->smtp.flags & SMTP_AUTHENTICATED);
}

/* Logs a refused recipient. `why` is one word; NULL: the verdict's. */
static void tell(struct worker *w, struct conn *c, enum recipient_verdict v, struct span address,
                 const struct reply *other, struct tarpit_hold hold, const char *why)
{
    static const struct {
        int code;
        const char *why;
    } words[] = {
        [RECIPIENT_TAKE] = {250, ""},          [RECIPIENT_UNKNOWN] = {550, "unknown"},
        [RECIPIENT_RELAYING] = {550, "relay"}, [RECIPIENT_TRAP] = {550, "trap"},
        [RECIPIENT_LATER] = {451, "later"},    [RECIPIENT_MASKED] = {450, "masked"},
        [RECIPIENT_OTHER] = {0, "backend"},
    };
    struct refusal r = {.address = address,
                        .code = other ? other->code : words[v].code,
                        .why = why ? why : words[v].why,
                        .text = other ? other->arg : (struct span){0},
                        .hold = hold};

    c->last_code = (uint16_t)r.code;
    if (r.code < 300)
        journal_step(c, "accepts recipient", "%.*s, rule %s, held %.1f s", (int)address.len,
                     address.at, hold.rule ? tarpit_rule_name(hold.rule) : "none",
                     (double)hold.ms / 1000);
    if (r.code >= 300)
        journal_refused(w, c, &r);
}

/* Whether mired refuses or defers a recipient that exists: its route does not take this message, or
 * not together with the recipients before it. Then *reply and *why say so. */
static bool is_not_taken(struct worker *w, const struct conn *c, struct span address,
                         struct reply *reply, const char **why)
{
    static const struct {
        enum reply_id id;
        const char *why;
    } replies[] = {[RELAY_NO_ROUTE] = {REPLY_NO_ROUTE, "no route"},
                   [RELAY_TOO_LARGE] = {REPLY_TOO_LARGE_THERE, "size"},
                   [RELAY_LACKS] = {REPLY_LACKING, "lacking"},
                   [RELAY_APART] = {REPLY_APART, "apart"}};
    const struct envelope *e = &c->smtp.envelope;
    uint32_t size = smtp_declared_size(&c->smtp);
    bool dsn = envelope_sender_params(e).len || envelope_note_params(e).len;
    uint32_t needs = (c->smtp.flags & SMTP_UTF8 ? SMTP_OFFER_SMTPUTF8 : 0) |
                     (c->smtp.flags & SMTP_8BIT ? SMTP_OFFER_8BITMIME : 0) |
                     (dsn ? SMTP_OFFER_DSN : 0);
    enum relay_fit fit = w->relay ? relay_fit(w->relay, e, address, needs, size) : RELAY_FITS;

    if (fit == RELAY_FITS && outcome_apart(e, address, size, w->params->partial, w->loop.wall))
        fit = RELAY_APART;
    if (fit == RELAY_FITS)
        return false;
    *why = replies[fit].why;
    *reply = reply_make(replies[fit].id, fit == RELAY_NO_ROUTE ? address : (struct span){0});
    return true;
}

/* Books a recipient's verdict and gives it to the session. */
static void recipient_is(struct worker *w, struct conn *c, const struct tarpit_permit *permit,
                         enum recipient_verdict v, struct span address, const struct reply *other)
{
    static const enum offence offence[] = {[RECIPIENT_UNKNOWN] = OFFENCE_RECIPIENT,
                                           [RECIPIENT_RELAYING] = OFFENCE_RELAY,
                                           [RECIPIENT_TRAP] = OFFENCE_TRAP,
                                           [RECIPIENT_OTHER] = OFFENCE_NONE};
    struct tarpit_hold hold = {0};
    struct reply beyond;
    char text[SENDING_TEXT];
    const char *why = NULL;
    enum offence o = v == RECIPIENT_OTHER && other ? (enum offence)other->offence : offence[v];

    if (v == RECIPIENT_LATER) {
        metric_add(METRIC_VERDICT_UNKNOWN, 1);
    } else if (needs_permit(c)) {
        hold = judge_verdict(w, c, (struct span){0}, span_after(address, address_sign(address) + 1),
                             permit, o);
        if (hold.masked)
            v = RECIPIENT_MASKED;
        metric_add(hold.masked           ? METRIC_VERDICT_MASKED
                   : v == RECIPIENT_TAKE ? METRIC_VERDICT_GOOD
                                         : METRIC_VERDICT_BAD,
                   1);
        if (hold.rule == RULE_CORRESPONDENT)
            metric_add(v == RECIPIENT_TAKE ? METRIC_CORRESPONDENT_GOOD : METRIC_CORRESPONDENT_BAD,
                       1);
        verdict_hold(c, hold);
    }
    struct reply instead;
    if (v == RECIPIENT_TAKE && is_not_taken(w, c, address, &instead, &why)) {
        v = RECIPIENT_OTHER;
        other = &instead;
    }
    if (v == RECIPIENT_TAKE && !sending_recipient(w, c, &beyond, text)) {
        v = RECIPIENT_OTHER;
        other = &beyond;
        why = "allowance";
    }
    PROBE4(verdict, c->watch.fd, v, hold.ms, hold.rule);
    tell(w, c, v, address, v == RECIPIENT_OTHER ? other : NULL, hold, why);
    smtp_recipient_is(&c->smtp, v, address, other);
}

/* A recipient in a domain that is not ours. */
static void judge_abroad(struct worker *w, struct conn *c, const struct tarpit_permit *permit,
                         struct span address)
{
    bool may = conn_may_relay(w, c);

    if (may && w->relay && relay_only_stores(w->relay, address)) {
        struct reply not_here = reply_make(REPLY_NOT_HERE, address);
        not_here.offence = OFFENCE_NONE;
        recipient_is(w, c, permit, RECIPIENT_OTHER, address, &not_here);
    } else {
        recipient_is(w, c, permit, may ? RECIPIENT_TAKE : RECIPIENT_RELAYING, address, NULL);
    }
}

/* Decides what needs no query; false: a clerk must be queried. */
static bool known_here(struct worker *w, struct conn *c, const struct tarpit_permit *permit,
                       struct span address, struct span folded)
{
    const struct config *config = w->config;
    size_t sign = address_sign(folded);
    struct span local = span_first(folded, sign);
    struct span domain = span_after(folded, sign + 1);

    /* RFC 5321 4.5.1: <postmaster> is always accepted */
    if (sign == folded.len && is_postmaster(local)) {
        recipient_is(w, c, permit, RECIPIENT_TAKE, address, NULL);
    } else if (!config_is_local(config, domain)) {
        judge_abroad(w, c, permit, address);
    } else if (is_postmaster(local)) {
        recipient_is(w, c, permit, RECIPIENT_TAKE, address, NULL);
    } else if (config_is_trap(config, folded)) {
        recipient_is(w, c, permit, RECIPIENT_TRAP, address, NULL);
    } else if (is_routing(config, folded) && !config_names_addresses(config, domain)) {
        recipient_is(w, c, permit, RECIPIENT_RELAYING, address, NULL);
    } else {
        return false;
    }
    return true;
}

bool recipient_begin(struct worker *w, struct conn *c, const struct smtp_step *step)
{
    struct tarpit_permit permit = {0};
    char text[ADDRESS_MAX * 4];

    if (!room_for_recipient(w, c)) {
        struct reply r = reply_make(REPLY_TOO_MANY, (struct span){0});
        smtp_recipient_is(&c->smtp, RECIPIENT_OTHER, step->address, &r);
        return true;
    }
    size_t len = mailbox_fold(&step->box, text, sizeof text);
    struct span folded = {text, len};
    if (needs_permit(c)) {
        permit = judge_ask_recipient(w, c, folded, step->box.domain);
        if (permit.mailbox) /* for the booking of the message */
            who_keep_mailbox(w, &c->peer, step->address, permit.mailbox);
        if (permit.masked) {
            verdict_masked(c, &permit);
            tell(w, c, RECIPIENT_MASKED, step->address, NULL, permit.hold,
                 permit.shielded ? "shield" : NULL);
            smtp_recipient_is(&c->smtp, RECIPIENT_MASKED, step->address, NULL);
            return true;
        }
    }
    if (len == 0) { /* not a valid domain, so not one of ours */
        recipient_is(w, c, &permit, RECIPIENT_UNKNOWN, step->address, NULL);
        return true;
    }
    if (known_here(w, c, &permit, step->address, folded))
        return true;

    if (query_ask(w, c,
                  query_new(QUERY_RECIPIENT, &permit, step->address, folded, (struct span){0})))
        return false;
    recipient_is(w, c, &permit, RECIPIENT_LATER, step->address, NULL);
    return true;
}

/* R15: records which recipients exist, and which others strangers try, for `mirectl traps
 * --suggest`. Bounces of strangers say nothing: anybody can make a server send them. */
static void note_tried(struct worker *w, struct conn *c, struct span folded, bool exists)
{
    uint64_t now = w->loop.wall;

    if (w->config->recipients_count == 0)
        return;
    if (exists) {
        tried_exists(w->params->tried, folded, now);
        return;
    }
    struct tarpit_who who = conn_who(w, c);
    if (tarpit_in_good_standing(&w->tarpit, &who, now))
        tried_by_good(w->params->tried, folded, now);
    else if (!who.null_sender)
        tried_by_stranger(w->params->tried, folded, &c->peer, now);
}

void recipient_answered(struct worker *w, struct conn *c, const struct query *q,
                        const struct answer *a)
{
    struct span address = {q->text, q->kept_len};
    struct span folded = {q->text + q->kept_len, q->first_len};
    struct reply other = {.id = REPLY_OTHER};

    if (a && (a->result == ANSWER_YES || a->result == ANSWER_NO))
        note_tried(w, c, folded, a->result == ANSWER_YES);
    switch (a ? (enum answer_result)a->result : ANSWER_LATER) {
    case ANSWER_YES: recipient_is(w, c, &q->permit, RECIPIENT_TAKE, address, NULL); break;
    case ANSWER_TRAP: recipient_is(w, c, &q->permit, RECIPIENT_TRAP, address, NULL); break;
    case ANSWER_NO:
        recipient_is(w, c, &q->permit,
                     is_routing(w->config, folded) ? RECIPIENT_RELAYING : RECIPIENT_UNKNOWN,
                     address, NULL);
        break;
    case ANSWER_OTHER:
        other.code = a->code;
        memcpy(other.enhanced, a->enhanced, sizeof other.enhanced);
        other.arg = (struct span){a->text, a->len};
        if (reply_is_offence(STAGE_RCPT, SPEAKER_PROBE, &other))
            other.offence = OFFENCE_BACKEND;
        if (other.enhanced[0] == 0) /* ENHANCEDSTATUSCODES is offered: X.0.0 (RFC 2034 4) */
            other.enhanced[0] = (uint8_t)(other.code / 100);
        recipient_is(w, c, &q->permit, RECIPIENT_OTHER, address, &other);
        break;
    case ANSWER_MORE:
    case ANSWER_LATER: recipient_is(w, c, &q->permit, RECIPIENT_LATER, address, NULL); break;
    }
}
