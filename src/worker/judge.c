/* Asks the tarpit, and with `observe` notes what it says in place of doing it (judge.h).
 *
 * An observed connection is never held, so the fields of `struct conn` that tell of a hold tell
 * of the waits that would have been: held_ms is their sum, hold_ms the end of the last one, in
 * steps of 64 ms of the loop's clock; drip_after_ms is what the sum was when the message in hand
 * began, in such steps; drip_lines says whether a recipient of it would have been put off, and the
 * rule that decided last about it (WHY_SHIFT). */
#include "worker/judge.h"

#include "base/metrics.h"
#include "config/config.h"
#include "tarpit/observed.h"
#include "worker/conn.h"
#include "worker/guard.h"
#include "worker/proxied.h"
#include "worker/worker_part.h"

enum { STEP_MS = 64, STEP_MASK = CONN_HOLD_MAX_MS, PUT_OFF = 1, WHY_SHIFT = 1, LATE_MS = 1000 };
static_assert(RULE_COUNT <= 1 << (6 - WHY_SHIFT), "drip_lines holds it");

static bool observes(const struct worker *w, struct span domain)
{
    if (w->config->observe)
        return true;
    for (size_t i = 0; domain.len && i < w->config->observe_domains.count; i++)
        if (span_equal(domain, span_of(w->config->observe_domains.at[i])))
            return true;
    return false;
}

static bool everywhere(const struct worker *w)
{
    return w->config->observe;
}

/* Whether the connection would still wait. Those of `observe_domains` are not followed: they may be
 * held for other domains, and then these fields tell of that. */
static bool would_wait(const struct worker *w, struct conn *c)
{
    if (!everywhere(w))
        return false;
    uint32_t left = (c->hold_ms - (uint32_t)(w->loop.now / STEP_MS)) & STEP_MASK;

    if (c->hold_ms && (left == 0 || left > STEP_MASK / 2))
        c->hold_ms = 0;
    return c->hold_ms != 0;
}

static void note(struct worker *w, struct conn *c, const struct tarpit_hold *hold)
{
    bool first = everywhere(w) ? c->held_ms == 0 : c->offences == 0;

    if (hold->ms == 0)
        return;
    if (everywhere(w)) {
        uint32_t end = (uint32_t)((w->loop.now + hold->ms) / STEP_MS) & STEP_MASK;
        c->held_ms += (uint32_t)hold->ms;
        c->hold_ms = end ? end : 1;
        if (!(c->drip_lines & PUT_OFF))
            c->drip_lines = (hold->rule << WHY_SHIFT) & 63u;
    }
    metric_add(METRIC_WOULD_HOLD_MS, (int64_t)hold->ms);
    metric_add(METRIC_WOULD_HOLD + (enum metric)hold->rule, 1);
    observed_hold(w->params->observed, hold, first, w->loop.wall);
}

static const struct tarpit_hold nothing = {0};

/* What is done in place of `hold`: nothing, and what it would have been is kept for the log. */
static struct tarpit_hold observed(const struct tarpit_hold *hold)
{
    return (struct tarpit_hold){
        .rule = hold->rule, .would_ms = (uint32_t)hold->ms, .would_mask = hold->masked};
}

struct tarpit_hold judge_offence(struct worker *w, struct conn *c, enum offence offence)
{
    struct tarpit_who who = conn_who(w, c);

    if (!everywhere(w))
        return tarpit_offence(&w->tarpit, &who, offence, w->loop.wall);
    if (!would_wait(w, c)) {
        struct tarpit_hold hold = tarpit_offence(&w->tarpit, &who, offence, w->loop.wall);
        note(w, c, &hold);
    }
    return nothing;
}

struct tarpit_hold judge_wait(struct worker *w, struct conn *c)
{
    struct tarpit_who who = conn_who(w, c);
    struct tarpit_hold hold = tarpit_wait(&w->tarpit, &who, w->loop.wall);

    if (!everywhere(w))
        return hold;
    if (!would_wait(w, c))
        note(w, c, &hold);
    return nothing;
}

/* R22: where users log in there is no pause (a client of an implicit TLS port speaks first, too),
 * nor for a balancer's own checks. When there is little room nobody is paused: a pause is worth no
 * other client's place. */
static bool pauses(struct worker *w, struct conn *c)
{
    const struct config_listen *listen = &w->config->listen[c->listener];

    return !listen->submission && listen->tls != TLS_IMPLICIT &&
           !proxied_is_balancer(w, c->listener, &c->peer) && guard_has_room(w, c);
}

/* Observed, a client counts as one that would have waited, and passed. */
struct tarpit_hold judge_greet(struct worker *w, struct conn *c)
{
    struct tarpit_who who = conn_who(w, c);
    struct tarpit_hold hold = pauses(w, c) ? tarpit_greet(&w->tarpit, &who, w->loop.wall)
                                           : tarpit_wait(&w->tarpit, &who, w->loop.wall);

    if (!everywhere(w)) {
        metric_add(METRIC_GREETING_PAUSES, hold.rule == RULE_GREET);
        return hold;
    }
    note(w, c, &hold);
    if (hold.rule == RULE_GREET)
        tarpit_greeted(&w->tarpit, &who, w->loop.wall);
    return nothing;
}

struct tarpit_permit judge_ask(struct worker *w, struct conn *c, struct span user,
                               struct span domain)
{
    struct tarpit_who who = conn_who(w, c);

    if (!observes(w, domain))
        return tarpit_ask(&w->tarpit, &who, user, w->loop.wall);
    if (would_wait(w, c))
        return (struct tarpit_permit){.unjudged = true};
    struct tarpit_permit permit = tarpit_ask(&w->tarpit, &who, user, w->loop.wall);
    permit.stranger_to = 0; /* nobody stands in line */
    if (permit.masked) {
        note(w, c, &permit.hold);
        permit = (struct tarpit_permit){.unjudged = true, .would_mask = true, .hold = permit.hold};
    }
    return permit;
}

/* A client whose good mail is known is told of when it mistypes. */
static void note_typo(struct worker *w, struct conn *c, const struct tarpit_who *who,
                      const struct tarpit_hold *hold)
{
    if (hold->ms && tarpit_has_delivered(&w->tarpit, who, w->loop.wall))
        observed_typo(w->params->observed, &c->peer, conn_sender_domain(c), hold->ms, w->loop.wall);
}

/* A good recipient would have heard 450: its message would have been put off. */
static void note_put_off(const struct worker *w, struct conn *c, const struct tarpit_hold *hold)
{
    if (everywhere(w))
        c->drip_lines = ((hold->rule << WHY_SHIFT) | PUT_OFF) & 63u;
}

struct tarpit_hold judge_verdict(struct worker *w, struct conn *c, struct span user,
                                 struct span domain, const struct tarpit_permit *permit,
                                 enum offence offence)
{
    struct tarpit_who who = conn_who(w, c);
    struct tarpit_hold hold = {0};

    if (!observes(w, domain))
        return tarpit_verdict(&w->tarpit, &who, user, permit, offence, w->loop.wall);
    if (permit->would_mask) {
        hold = permit->hold;
    } else if (!permit->unjudged && !would_wait(w, c)) {
        hold = tarpit_verdict(&w->tarpit, &who, user, permit, offence, w->loop.wall);
        note(w, c, &hold);
    }
    if (offence == OFFENCE_RECIPIENT)
        note_typo(w, c, &who, &hold);
    if (offence == OFFENCE_NONE && hold.masked && domain.len)
        note_put_off(w, c, &hold);
    return observed(&hold);
}

struct tarpit_hold judge_delivered(struct worker *w, struct conn *c)
{
    uint32_t before = c->drip_after_ms * STEP_MS;
    struct observed_mail mail = {.client = c->peer,
                                 .domain = conn_sender_domain(c),
                                 .late_ms = c->held_ms > before ? c->held_ms - before : 0,
                                 .put_off = (c->drip_lines & PUT_OFF) != 0,
                                 .rule = c->drip_lines >> WHY_SHIFT};
    struct tarpit_hold hold = {0};

    if (!everywhere(w))
        return hold;
    if (!(c->smtp.flags & SMTP_AUTHENTICATED)) {
        bool late = mail.late_ms > LATE_MS || mail.put_off;
        hold = (struct tarpit_hold){
            .rule = mail.rule, .would_ms = (uint32_t)mail.late_ms, .would_mask = mail.put_off};
        observed_message(w->params->observed, w->loop.wall);
        if (late) {
            metric_add(METRIC_WOULD_BE_LATE, 1);
            observed_good(w->params->observed, &mail, w->loop.wall);
        }
    }
    c->drip_after_ms = c->held_ms / STEP_MS & STEP_MASK;
    c->drip_lines = 0;
    return hold;
}
