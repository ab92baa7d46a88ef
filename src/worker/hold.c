/* Holds: replies that are ready and sent later (docs/tarpit.md).
 *
 * The tarpit decides what to hold and for how long; this file carries it out. A held connection
 * keeps its reply as the row of a table and a few octets of argument in the envelope's block, and
 * uses the connection's only timer. The offence was booked when the reply was decided, so when the
 * hold ends, only the client's patience is left to book. */
#include <assert.h>
#include <sys/socket.h>

#include "base/metrics.h"
#include "base/probe.h"
#include "config/config.h"
#include "tarpit/policy.h"
#include "worker/conn.h"
#include "worker/conn_step.h"
#include "worker/freeze.h"
#include "worker/guard.h"
#include "worker/hold.h"
#include "worker/io.h"
#include "worker/journal.h"
#include "worker/judge.h"
#include "worker/login.h"
#include "worker/tls.h"
#include "worker/worker_part.h"

enum { FREEZE_AGAIN_MS = 1000, FREEZE_WORTH_MS = 500, FREEZE_TOGETHER_MS = 64 };

static const enum metric offence_metric[OFFENCE_COUNT] = {
#define OFFENCE_METRIC(id, name, weight, verdict) [OFFENCE_##id] = METRIC_OFFENCE_##id,
    OFFENCES(OFFENCE_METRIC)
#undef OFFENCE_METRIC
};

/* Whether a client in debt waits for this reply although it is no offence (R3). */
static bool is_conversation(const struct reply *r)
{
    switch ((enum reply_id)r->id) {
    case REPLY_HELO:
    case REPLY_EHLO:
    case REPLY_START_TLS:
    case REPLY_SENDER_OK: return true;
    default: return false;
    }
}

static struct tarpit_hold decide(struct worker *w, struct conn *c, const struct reply *r)
{
    struct tarpit_hold none = {0};

    struct tarpit_hold guess;

    /* A cancelled SCRAM login is one offence; its 501 is not a second one. */
    if (c->work && c->work->login && !smtp_in_scram(&c->smtp) &&
        login_dropped(w, c, r->offence == OFFENCE_AUTH, &guess) && r->offence != OFFENCE_NONE)
        return guess;
    if (r->offence != OFFENCE_NONE && !conn_is_spared(w, c)) {
        metric_add(offence_metric[r->offence], 1);
        c->offences++;
    }
    if (c->flags & CONN_HOLD_SET) { /* a verdict: decided, and booked, when it was known */
        c->flags &= ~(uint32_t)CONN_HOLD_SET;
        return c->work ? c->work->hold : none;
    }
    if (r->offence != OFFENCE_NONE)
        return judge_offence(w, c, (enum offence)r->offence);
    if (r->id == REPLY_GREETING)
        return judge_greet(w, c);
    if (is_conversation(r))
        return judge_wait(w, c);
    return none;
}

/* The reply that is held; the session has kept it. */
static struct reply held_reply(struct worker *w, const struct conn *c)
{
    struct reply r = {0};
    bool there = smtp_reply_again(&c->smtp, &w->service[c->listener], &r);
    assert(there);
    return r;
}

/* When to freeze it: after freeze_after; if that fails, when it has waited twice as long. Rounded
 * up, so that connections that are frozen at about the same time go in one batch. */
static uint64_t freeze_at(const struct worker *w, const struct conn *c, uint64_t since)
{
    uint64_t waited = conn_waited(w, c), at = since + w->tarpit.rules.freeze_after;

    if (waited > w->tarpit.rules.freeze_after)
        at = w->loop.now + (waited > FREEZE_AGAIN_MS ? waited : FREEZE_AGAIN_MS);
    return (at + FREEZE_TOGETHER_MS - 1) / FREEZE_TOGETHER_MS * FREEZE_TOGETHER_MS;
}

static void set_timer(struct worker *w, struct conn *c)
{
    struct tarpit_hold hold = {.ms = c->hold_ms, .drip_at_ms = c->drip_after_ms};
    uint64_t since = w->loop.now - conn_waited(w, c);
    uint64_t next = drip_next(&w->tarpit.rules, since, &hold, c->drip_lines, w->loop.now);

    if (c->flags & CONN_FREEZE)
        next = freeze_at(w, c, since);
    loop_alarm(&w->loop, &c->alarm, next ? next : since + c->hold_ms);
}

static uint32_t field(uint64_t ms)
{
    return ms < CONN_HOLD_MAX_MS ? (uint32_t)ms : CONN_HOLD_MAX_MS;
}

enum hold_outcome hold_reply(struct worker *w, struct conn *c, const struct reply *r)
{
    struct tarpit_hold hold = decide(w, c, r);
    if (hold.ms == 0)
        return HOLD_NONE;
    if (!io_flush(w, c)) /* earlier replies are sent now */
        return HOLD_GONE;
    if (!guard_hold(w, c)) {
        conn_shut(w, c, REPLY_EVICTED);
        return HOLD_GONE;
    }
    PROBE5(hold, c->watch.fd, r->code, hold.ms, hold.rule, hold.masked);
    journal_hold(w, c, r, hold.ms);
    smtp_fit(&c->smtp);
    metric_add(METRIC_HELD, 1);
    conn_phase(w, c, CONN_HELD, hold.ms);
    c->since_ms -= hold.waited_ms;
    c->hold_ms = field(hold.ms);
    c->drip_after_ms = field(hold.drip_at_ms);
    c->drip_lines = 0;
    c->flags &= ~(uint32_t)CONN_FREEZE;
    if (hold.freeze) { /* no drip, frozen or not: see docs/frozen.md */
        c->drip_after_ms = 0;
        if (freeze_may(w, c))
            c->flags |= CONN_FREEZE;
    }
    set_timer(w, c);
    return HOLD_HELD;
}

/* R22: the client has waited for its greeting to the end and said nothing. */
static void note_pass(struct worker *w, struct conn *c)
{
    struct tarpit_who who = conn_who(w, c);

    if (w->tarpit.rules.greet && c->flags & CONN_GREETING && conn_waited(w, c) >= c->hold_ms)
        tarpit_greeted(&w->tarpit, &who, w->loop.wall);
}

/* The hold has ended with its whole time, or is ended: says the reply and goes on. */
static void answer(struct worker *w, struct conn *c, const struct reply *r)
{
    if (!(c->drip_lines ? conn_say_end(c, r) : conn_say(c, r))) {
        conn_close(w, c, CLOSE_NO_MEMORY);
        return;
    }
    conn_phase(w, c, CONN_READING, w->config->timeout_ms);
    conn_run(w, c);
}

static void add_held(struct conn *c, uint64_t held)
{
    metric_add(METRIC_HOLD_MS, (int64_t)held);
    c->held_ms += (uint32_t)held;
}

static void journal_release(const struct worker *w, struct conn *c, const struct reply *r)
{
    journal_step(c, "releases the reply", "%u after %.1f s of %.1f s", r->code,
                 (double)conn_waited(w, c) / 1000, (double)c->hold_ms / 1000);
}

/* What is due takes no place among the held ones: somebody would have to leave for it. */
static void answer_at_once(struct worker *w, struct conn *c)
{
    struct reply r = held_reply(w, c);

    c->hold_ms = field(conn_waited(w, c));
    note_pass(w, c);
    journal_release(w, c, &r);
    add_held(c, conn_waited(w, c));
    answer(w, c, &r);
}

void hold_resume(struct worker *w, struct conn *c, uint64_t left)
{
    uint32_t since = c->since_ms;

    if (left == 0) {
        answer_at_once(w, c);
        return;
    }
    if (!guard_hold(w, c)) {
        conn_shut(w, c, REPLY_EVICTED);
        return;
    }
    metric_add(METRIC_HELD, 1);
    conn_phase(w, c, CONN_HELD, left + 1);
    c->since_ms = since;
    c->hold_ms = field(conn_waited(w, c) + left);
    uint64_t again = freeze_at(w, c, w->loop.now - conn_waited(w, c)) - w->loop.now;
    if (again + FREEZE_WORTH_MS < left && freeze_may(w, c))
        c->flags |= CONN_FREEZE;
    set_timer(w, c);
}

void hold_cut(struct worker *w, struct conn *c, uint64_t left, enum reply_id id)
{
    struct reply r = held_reply(w, c);

    add_held(c, conn_waited(w, c));
    if (left == 0 && r.code >= 400)
        (void)conn_say(c, &r); /* sent with the other one, if the socket takes it at once */
    journal_step(c, "makes room", "it comes back and may not stay");
    conn_shut(w, c, id);
}

void hold_end(struct worker *w, struct conn *c)
{
    uint64_t held = conn_waited(w, c);

    guard_release(w, c);
    metric_add(METRIC_HELD, -1);
    add_held(c, held);
    c->phase = CONN_READING;
}

void hold_release(struct worker *w, struct conn *c)
{
    struct reply r = held_reply(w, c);

    note_pass(w, c);
    journal_release(w, c, &r);
    hold_end(w, c);
    answer(w, c, &r);
}

static void drip(struct worker *w, struct conn *c)
{
    struct reply r = held_reply(w, c);

    if (!conn_work(c) || reply_drip(&r, c->drip_lines == 0, &c->work->out) < 0) {
        conn_close(w, c, CLOSE_NO_MEMORY);
        return;
    }
    c->drip_lines++;
    journal_step(c, "drips", "line %u of %u", (unsigned)c->drip_lines, r.code);
    if (!io_flush(w, c))
        return;
    if (!c->work->out.len)
        conn_rest(c);
    io_want(w, c);
    set_timer(w, c);
}

void hold_due(struct worker *w, struct conn *c)
{
    if (conn_waited(w, c) >= c->hold_ms) {
        hold_release(w, c);
    } else if (c->flags & CONN_FREEZE) {
        c->flags &= ~(uint32_t)CONN_FREEZE;
        if (!freeze_try(w, c)) /* then it stays an ordinary hold */
            set_timer(w, c);
    } else {
        drip(w, c);
    }
}

static void note_patience(struct worker *w, struct conn *c)
{
    struct tarpit_who who = conn_who(w, c);

    tarpit_gave_up(&w->tarpit, &who, conn_waited(w, c), w->loop.wall);
}

void hold_gave_up(struct worker *w, struct conn *c)
{
    note_patience(w, c);
    conn_close(w, c, CLOSE_GAVE_UP);
}

/* Some clients (swaks, curl) send QUIT when they have waited long enough, and then wait for the
 * answer to that. Pipelined input comes at once and is no sign of impatience; tarpit_gave_up()
 * tells them apart. */
static void spoken_while_waiting(struct worker *w, struct conn *c)
{
    note_patience(w, c);
    io_want(w, c);
}

static bool is_early(const struct conn *c)
{
    return c->flags & CONN_GREETING && !(c->flags & CONN_EXEMPT);
}

static ssize_t peek(struct worker *w, struct conn *c, char *at, size_t room)
{
    return c->flags & CONN_TLS ? tls_peek(w, c, at, room)
                               : recv(c->watch.fd, at, room, MSG_PEEK | MSG_DONTWAIT);
}

bool hold_may_be_early(struct worker *w, struct conn *c)
{
    char one;

    return c->phase == CONN_HELD && is_early(c) && peek(w, c, &one, 1) > 0;
}

/* Checks (smtp_early()) learn nothing, so one of a client that owes nothing is answered at once,
 * and one of a client in debt at the end of its hold. Neither is an offence, and neither a pass. */
static void check_while_waiting(struct worker *w, struct conn *c)
{
    struct tarpit_who who = conn_who(w, c);

    if (tarpit_debt(&w->tarpit, &who, w->loop.wall) > 0)
        io_want(w, c);
    else
        hold_release(w, c);
}

void hold_spoken(struct worker *w, struct conn *c)
{
    char early[SMTP_EARLY_MAX];

    if (!is_early(c)) {
        spoken_while_waiting(w, c);
        return;
    }
    ssize_t n = peek(w, c, early, sizeof early);
    if (n < 0) { /* a part of a TLS record */
        c->flags &= ~(uint32_t)CONN_READ_OFF;
        return;
    }
    if (n == 0) {
        hold_gave_up(w, c);
        return;
    }
    if (!(c->flags & CONN_TLS) && smtp_early((struct span){early, (size_t)n}) == SMTP_EARLY_CHECK) {
        check_while_waiting(w, c);
        return;
    }
    c->flags &= ~(uint32_t)CONN_GREETING;
    journal_step(c, "talks too early", "before the held greeting");
    metric_add(METRIC_EARLY_TALKERS, !conn_is_spared(w, c));
    hold_end(w, c);
    smtp_shut(&c->smtp, REPLY_EARLY_TALKER);
    conn_phase(w, c, CONN_READING, w->config->timeout_ms);
    conn_run(w, c); /* which books the offence and holds the 554 */
}
