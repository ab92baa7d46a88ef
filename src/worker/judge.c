/* Asks the tarpit, and with `observe` notes what it says in place of doing it (judge.h).
 *
 * An observed connection is never held, so the fields of `struct conn` that tell of a hold tell
 * of the waits that would have been: held_ms is their sum, hold_ms the end of the last one, in
 * steps of 64 ms of the loop's clock; drip_after_ms is what the sum was when the message in hand
 * began, in such steps; drip_lines counts its recipients that would have been put off. */
#include "worker/judge.h"

#include "base/metrics.h"
#include "config/config.h"
#include "tarpit/observed.h"
#include "worker/conn.h"
#include "worker/worker_part.h"

enum { STEP_MS = 64, STEP_MASK = CONN_HOLD_MAX_MS, PUT_OFF_MAX = 63, LATE_MS = 1000 };

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
    bool first = c->held_ms == 0;

    if (hold->ms == 0)
        return;
    if (everywhere(w)) {
        uint32_t end = (uint32_t)((w->loop.now + hold->ms) / STEP_MS) & STEP_MASK;
        c->held_ms += (uint32_t)hold->ms;
        c->hold_ms = end ? end : 1;
    }
    metric_add(METRIC_WOULD_HOLD_MS, (int64_t)hold->ms);
    metric_add(METRIC_WOULD_HOLD + (enum metric)hold->rule, 1);
    observed_hold(w->params->observed, hold, first, w->loop.wall);
}

static const struct tarpit_hold nothing = {0};

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
        permit = (struct tarpit_permit){.unjudged = true, .would_mask = true};
    }
    return permit;
}

/* A client whose good mail is known is told of when it mistypes. */
static void note_typo(struct worker *w, struct conn *c, const struct tarpit_who *who,
                      const struct tarpit_hold *hold)
{
    if (hold->ms && !hold->masked && tarpit_has_delivered(&w->tarpit, who, w->loop.wall))
        observed_typo(w->params->observed, &c->peer, conn_sender_domain(c), hold->ms, w->loop.wall);
}

struct tarpit_hold judge_verdict(struct worker *w, struct conn *c, struct span user,
                                 struct span domain, const struct tarpit_permit *permit,
                                 enum offence offence)
{
    struct tarpit_who who = conn_who(w, c);
    struct tarpit_hold hold = {.masked = permit->would_mask};

    if (!observes(w, domain))
        return tarpit_verdict(&w->tarpit, &who, user, permit, offence, w->loop.wall);
    if (!permit->unjudged && !would_wait(w, c)) {
        hold = tarpit_verdict(&w->tarpit, &who, user, permit, offence, w->loop.wall);
        note(w, c, &hold);
    }
    if (offence == OFFENCE_RECIPIENT)
        note_typo(w, c, &who, &hold);
    if (everywhere(w) && offence == OFFENCE_NONE && hold.masked && domain.len &&
        c->drip_lines < PUT_OFF_MAX)
        c->drip_lines++;
    return nothing;
}

void judge_delivered(struct worker *w, struct conn *c)
{
    if (!everywhere(w))
        return;
    uint32_t before = c->drip_after_ms * STEP_MS;
    struct observed_mail mail = {.client = c->peer,
                                 .domain = conn_sender_domain(c),
                                 .late_ms = c->held_ms > before ? c->held_ms - before : 0,
                                 .put_off = c->drip_lines > 0,
                                 .rule = c->drip_lines > 0 ? RULE_MASK : RULE_DEBT};

    if (!(c->smtp.flags & SMTP_AUTHENTICATED) && (mail.late_ms > LATE_MS || mail.put_off)) {
        metric_add(METRIC_WOULD_BE_LATE, 1);
        observed_good(w->params->observed, &mail, w->loop.wall);
    }
    c->drip_after_ms = c->held_ms / STEP_MS & STEP_MASK;
    c->drip_lines = 0;
}
