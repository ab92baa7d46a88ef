/* Asks the tarpit; with `observe` passes the connection's steps to its shadow instead
 * (tarpit/shadow.h). The shadows' results go to the counters, the log and the report.
 *
 * An observed connection is never held, so two fields of `struct conn` that tell of a hold have
 * another use: hold_ms is the handle of its shadow, held_ms is what it would have waited so far. */
#include "worker/judge.h"

#include "base/log.h"
#include "base/metrics.h"
#include "config/config.h"
#include "tarpit/observed.h"
#include "tarpit/shadow.h"
#include "worker/conn.h"
#include "worker/guard.h"
#include "worker/proxied.h"
#include "worker/worker_part.h"

enum { LATE_MS = 1000 };

static const struct tarpit_hold nothing = {0};

static bool observes(const struct worker *w, struct span domain)
{
    if (w->config->observe)
        return true;
    for (size_t i = 0; domain.len && i < w->config->observe_domains.count; i++)
        if (span_equal(domain, span_of(w->config->observe_domains.at[i])))
            return true;
    return false;
}

/* In place of `hold`: no hold, with what it would have been, for the log. */
static struct tarpit_hold observed(const struct tarpit_hold *hold)
{
    return (struct tarpit_hold){
        .rule = hold->rule, .would_ms = (uint32_t)hold->ms, .would_mask = hold->masked};
}

/* ---- results ---- */

static void note_hold(struct worker *w, const struct tarpit_hold *hold, bool first)
{
    if (hold->ms == 0)
        return;
    metric_add(METRIC_WOULD_HOLD_MS, (int64_t)hold->ms);
    metric_add(METRIC_WOULD_HOLD + (enum metric)hold->rule, 1);
    observed_hold(w->params->observed, hold, first, w->loop.wall);
}

static void tell_late(const struct shadow_note *n)
{
    struct log_line l;

    if (!log_wants(LOG_INFO))
        return;
    log_begin(&l, LOG_INFO, "late");
    log_addr(&l, "client", &n->client);
    log_text(&l, "domain", n->domain[0] ? n->domain : "<>");
    log_seconds(&l, "would_hold", n->late_ms);
    log_text(&l, "rule", tarpit_rule_name((enum tarpit_rule)n->rule));
    if (n->put_off)
        log_text(&l, "would_defer", "yes");
    log_end(&l);
}

static void note(struct worker *w, const struct shadow_note *n)
{
    struct observed_mail mail = {.client = n->client,
                                 .domain = span_of(n->domain),
                                 .late_ms = n->late_ms,
                                 .put_off = n->put_off,
                                 .rule = n->rule};

    note_hold(w, &n->hold, n->first);
    if (n->open) /* then its connection is, too */
        ((struct conn *)(uintptr_t)n->owner)->held_ms += (uint32_t)n->hold.ms;
    if (n->typo)
        observed_typo(w->params->observed, &n->client, mail.domain, n->hold.ms, w->loop.wall);
    if (n->mail && (n->late_ms > LATE_MS || n->put_off)) {
        metric_add(METRIC_WOULD_BE_LATE, 1);
        observed_good(w->params->observed, &mail, w->loop.wall);
        tell_late(n);
    }
}

/* ---- shadows ---- */

static void wake(struct worker *w)
{
    uint64_t next = shadows_next(w->shadows);

    if (next == UINT64_MAX)
        loop_alarm_off(&w->loop, &w->shadow_alarm);
    else
        loop_alarm(&w->loop, &w->shadow_alarm,
                   w->loop.now + (next > w->loop.wall ? next - w->loop.wall : 0));
}

/* A bounded number at once: after a jump of the clock all of them are due. */
static void shadows_are_due(struct loop *loop, struct alarm *a)
{
    enum { AT_ONCE = 256 };
    struct worker *w = worker_of(loop);
    struct shadow_note n;

    for (int i = 0; i < AT_ONCE && shadows_due(w->shadows, loop->wall, &n); i++)
        note(w, &n);
    wake(w);
}

static bool have_shadows(struct worker *w)
{
    if (!w->shadows && shadows_open(&w->shadows, &w->tarpit) == 0)
        w->shadow_alarm.due = shadows_are_due;
    return w->shadows != NULL;
}

/* Returns the shadow's result, if it is known already. */
static struct shadow_note observe(struct worker *w, struct conn *c, struct shadow_step step)
{
    uint32_t handle = c->hold_ms;
    struct shadow_note n = {0};

    if (!have_shadows(w))
        return n;
    step.who = conn_who(w, c);
    step.client = c->peer;
    step.domain = conn_sender_domain(c);
    if (shadow_step(w->shadows, &handle, (uintptr_t)c, &step, w->loop.wall, &n))
        note(w, &n);
    if (handle != c->hold_ms)
        wake(w);
    c->hold_ms = handle & CONN_HOLD_MAX_MS;
    return n;
}

void judge_closed(struct worker *w, const struct conn *c)
{
    if (w->shadows)
        shadow_leave(w->shadows, c->hold_ms, (uintptr_t)c);
}

void judge_close(struct worker *w)
{
    struct shadow_note n;

    while (w->shadows && shadows_end(w->shadows, &n))
        note(w, &n);
    loop_alarm_off(&w->loop, &w->shadow_alarm);
    shadows_close(w->shadows);
    w->shadows = NULL;
}

/* ---- judging ---- */

struct tarpit_hold judge_offence(struct worker *w, struct conn *c, enum offence offence)
{
    struct tarpit_who who = conn_who(w, c);

    if (!w->config->observe)
        return tarpit_offence(&w->tarpit, &who, offence, w->loop.wall);
    observe(w, c, (struct shadow_step){.kind = SHADOW_OFFENCE, .offence = offence});
    return nothing;
}

static bool is_for_users(const struct worker *w, const struct conn *c)
{
    return w->config->listen[c->listener].submission;
}

struct tarpit_hold judge_wait(struct worker *w, struct conn *c)
{
    struct tarpit_who who = conn_who(w, c);

    if (is_for_users(w, c))
        return nothing;
    if (!w->config->observe)
        return tarpit_wait(&w->tarpit, &who, w->loop.wall);
    observe(w, c, (struct shadow_step){.kind = SHADOW_WAIT});
    return nothing;
}

/* R22: there is no pause on listeners where users log in (on an implicit TLS port the client also
 * speaks first), and none for a balancer's own checks. When room is short no client is paused,
 * because a pause must not cost another client its place. */
static bool pauses(struct worker *w, struct conn *c)
{
    const struct config_listen *listen = &w->config->listen[c->listener];

    return listen->tls != TLS_IMPLICIT && !proxied_is_balancer(w, c->listener, &c->peer) &&
           guard_has_room(w, c);
}

struct tarpit_hold judge_greet(struct worker *w, struct conn *c)
{
    if (is_for_users(w, c))
        return nothing;
    struct tarpit_who who = conn_who(w, c);
    bool paused = pauses(w, c);

    if (w->config->observe) {
        observe(w, c, (struct shadow_step){.kind = paused ? SHADOW_GREET : SHADOW_WAIT});
        return nothing;
    }
    struct tarpit_hold hold = paused ? tarpit_greet(&w->tarpit, &who, w->loop.wall)
                                     : tarpit_wait(&w->tarpit, &who, w->loop.wall);
    metric_add(METRIC_GREETING_PAUSES, hold.rule == RULE_GREET);
    return hold;
}

struct tarpit_permit judge_ask(struct worker *w, struct conn *c, struct span user)
{
    struct tarpit_who who = conn_who(w, c);

    if (w->config->observe)
        return (struct tarpit_permit){0};
    return tarpit_ask(&w->tarpit, &who, user, w->loop.wall);
}

struct tarpit_permit judge_ask_password(struct worker *w, struct conn *c, struct span user)
{
    struct tarpit_who who = conn_who(w, c);

    if (w->config->observe)
        return (struct tarpit_permit){0};
    return tarpit_ask_password(&w->tarpit, &who, user, w->loop.wall);
}

struct tarpit_permit judge_ask_recipient(struct worker *w, struct conn *c, struct span folded,
                                         struct span domain)
{
    struct tarpit_who who = conn_who(w, c);
    uint64_t mailbox = folded.len ? tarpit_mailbox(&w->tarpit, folded) : 0;

    if (w->config->observe) /* the shadow asks */
        return (struct tarpit_permit){.mailbox = mailbox};
    struct tarpit_permit permit = tarpit_ask_recipient(&w->tarpit, &who, mailbox, w->loop.wall);
    if (!observes(w, domain))
        return permit;
    permit.stranger_to = 0; /* no queries wait in line */
    if (permit.masked) {
        note_hold(w, &permit.hold, c->offences == 0);
        permit = (struct tarpit_permit){.would_mask = true, .hold = permit.hold};
    }
    return permit;
}

struct tarpit_hold judge_verdict(struct worker *w, struct conn *c, struct span user,
                                 struct span domain, const struct tarpit_permit *permit,
                                 enum offence offence)
{
    struct tarpit_who who = conn_who(w, c);

    if (w->config->observe) {
        struct shadow_note n = observe(w, c,
                                       (struct shadow_step){.kind = SHADOW_VERDICT,
                                                            .offence = offence,
                                                            .user = user,
                                                            .recipient = permit->mailbox});
        return observed(&n.hold);
    }
    if (!observes(w, domain))
        return tarpit_verdict(&w->tarpit, &who, user, permit, offence, w->loop.wall);
    struct tarpit_hold hold = permit->hold;
    if (!permit->would_mask) {
        hold = tarpit_verdict(&w->tarpit, &who, user, permit, offence, w->loop.wall);
        note_hold(w, &hold, c->offences == 0);
    }
    if (offence == OFFENCE_RECIPIENT && hold.ms &&
        tarpit_has_delivered(&w->tarpit, &who, w->loop.wall))
        observed_typo(w->params->observed, &c->peer, conn_sender_domain(c), hold.ms, w->loop.wall);
    return observed(&hold);
}

void judge_no_verdict(struct worker *w, struct conn *c, const struct tarpit_permit *permit)
{
    struct tarpit_who who = conn_who(w, c);

    tarpit_no_verdict(&w->tarpit, &who, permit, w->loop.wall);
}

void judge_good(struct worker *w, struct conn *c, const uint64_t *mailbox, uint32_t count)
{
    if (w->config->observe && have_shadows(w)) {
        observe(w, c,
                (struct shadow_step){.kind = SHADOW_GOOD, .mailbox = mailbox, .mailboxes = count});
    } else if (count > 0) {
        struct tarpit_who who = conn_who(w, c);
        tarpit_good(&w->tarpit, &who, mailbox, count, w->loop.wall);
    }
}

bool judge_by_correspondent(struct worker *w, struct conn *c)
{
    struct tarpit_who who = conn_who(w, c);

    return tarpit_by_correspondent(&w->tarpit, &who, w->loop.wall);
}

struct tarpit_hold judge_delivered(struct worker *w, struct conn *c)
{
    struct tarpit_hold hold = {0};

    if (!w->config->observe || c->smtp.flags & SMTP_AUTHENTICATED)
        return hold;
    observed_message(w->params->observed, w->loop.wall);
    (void)observe(w, c, (struct shadow_step){.kind = SHADOW_DELIVERED});
    hold.would_ms =
        (uint32_t)shadow_lag(w->shadows, c->hold_ms, (uintptr_t)c, w->loop.wall, &hold.rule);
    return hold;
}
