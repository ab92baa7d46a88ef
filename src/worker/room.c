/* Room for every client: what one client may use of a worker, and which connection makes room when
 * it runs short; see room.h. */
#include <sys/random.h>

#include "base/metrics.h"
#include "config/config.h"
#include "worker/budget.h"
#include "worker/conn.h"
#include "worker/journal.h"
#include "worker/room.h"
#include "worker/who.h"
#include "worker/worker_part.h"

enum {
    CONNECTIONS_LEAST = 16, /* connections of one client in a worker that are always allowed */
    ENVELOPES_MAX = 64 * 1024 * 1024,  /* octets of long envelopes in a worker */
    ENVELOPES_LEAST = 4 * 1024 * 1024, /* one client's */
    IDLE_MS = 10000,                   /* a client that is silent for so long makes room */
    LOOK_AT = 128,                     /* how many connections one call examines for that */
};

/* The octets that an envelope counts, by conn.envelope; short ones count 0. */
static const uint32_t envelope_steps[] = {0,          8 * 1024,   32 * 1024, 64 * 1024,
                                          128 * 1024, 192 * 1024, 256 * 1024};
enum { ENVELOPE_STEPS = sizeof envelope_steps / sizeof envelope_steps[0] };
static_assert((int)ENVELOPE_STEPS <= 1 << 3, "conn.envelope holds it");

bool room_open(struct worker *w)
{
    struct sipkey key;

    if (getrandom(&key, sizeof key, 0) != (ssize_t)sizeof key)
        return false;
    w->budget = budget_open(&key);
    if (!w->budget)
        return false;
    budget_limit(w->budget, BUDGET_CONNECTIONS, w->open_max, CONNECTIONS_LEAST);
    budget_limit(w->budget, BUDGET_SPOOL, w->config->spool_max,
                 w->config->size_max + w->config->size_max / 4);
    budget_limit(w->budget, BUDGET_ENVELOPES, ENVELOPES_MAX, ENVELOPES_LEAST);
    return true;
}

void room_close(struct worker *w)
{
    budget_close(w->budget);
}

bool room_is_free(const struct conn *c)
{
    return c->flags & CONN_EXEMPT || c->smtp.flags & SMTP_AUTHENTICATED;
}

/* ---- connections ---- */

bool room_for_connection(const struct worker *w, const struct addr *peer)
{
    return budget_allows(w->budget, BUDGET_CONNECTIONS, peer, 1, w->open);
}

void room_count(struct worker *w, const struct conn *c, int by)
{
    budget_count(w->budget, BUDGET_CONNECTIONS, &c->peer, by);
}

/* How long the client has sent nothing of use, if the connection waits for it. During a message the
 * connection's timer measures the pace. A handshake, and taking the last reply, have all of their
 * time to be quick in: what comes of them octet by octet is of no use yet. */
static uint64_t silent_ms(const struct worker *w, const struct conn *c)
{
    if (c->phase == CONN_SHAKING || c->phase == CONN_CLOSING)
        return conn_waited(w, c);
    if (c->work && c->work->spool)
        return (uint32_t)w->loop.now - c->work->heard_ms;
    uint64_t left = c->alarm.timer.at > w->loop.now ? c->alarm.timer.at - w->loop.now : 0;

    return left < w->config->timeout_ms ? w->config->timeout_ms - left : 0;
}

/* Whether the client is who the connection waits for. Held connections are the guard's; a clerk's
 * answer and a backend's reply come by themselves; a PROXY header has no longer than IDLE_MS. */
static bool waits_for_client(const struct conn *c)
{
    return c->phase == CONN_READING || c->phase == CONN_SHAKING || c->phase == CONN_CLOSING;
}

static bool may_make_room(const struct worker *w, const struct conn *c, enum budget_kind kind)
{
    bool spools = c->work && c->work->spool;

    return waits_for_client(c) && !room_is_free(c) && !(c->flags & CONN_RUNNING) &&
           spools == (kind == BUDGET_SPOOL) && silent_ms(w, c) >= IDLE_MS;
}

/* Examines some of the connections in turn at each call, and returns the silent one whose client
 * uses the most. */
static struct conn *silent_one(struct worker *w, enum budget_kind kind)
{
    struct conn *worst = NULL;
    uint64_t most = 0;

    for (int i = 0; i < LOOK_AT && !ring_is_empty(&w->awake); i++) {
        struct conn *c = conn_of_link(w->awake.next);
        ring_remove(&c->link);
        ring_add(&w->awake, &c->link);
        if (!may_make_room(w, c, kind))
            continue;
        uint64_t has = budget_of(w->budget, kind, &c->peer);
        if (!worst || has > most) {
            worst = c;
            most = has;
        }
    }
    return worst;
}

static void close_for_another(struct worker *w, struct conn *c)
{
    metric_add(METRIC_GUARD_EVICTIONS, 1);
    if (c->phase == CONN_CLOSING) /* the last reply has been said */
        conn_close(w, c, CLOSE_EVICTED);
    else
        conn_shut(w, c, REPLY_EVICTED);
}

static bool evict(struct worker *w, enum budget_kind kind)
{
    struct conn *c = silent_one(w, kind);

    if (!c)
        return false;
    journal_step(c, "makes room", "silent for %.0f s", (double)silent_ms(w, c) / 1000);
    close_for_another(w, c);
    return true;
}

bool room_evict(struct worker *w)
{
    return evict(w, BUDGET_CONNECTIONS);
}

/* Who may have a place when there are too few. */
struct claim {
    bool proven;
    uint64_t share; /* how many places it has already */
};

/* Whatever it sends at the moment: also a bounce. */
static struct claim claim_of(struct worker *w, const struct conn *c)
{
    struct tarpit_who who = who_of(w, &c->peer, c->flags & CONN_EXEMPT);

    return (struct claim){.proven = tarpit_is_proven(&w->tarpit, &who, w->loop.wall),
                          .share = budget_share(w->budget, BUDGET_CONNECTIONS, &c->peer)};
}

/* Whether b should give way to a. Nobody gives way to an equal for a few connections more, or clients
 * would close each other's all the time. */
static bool outweighs(struct claim a, struct claim b)
{
    if (a.proven != b.proven)
        return a.proven;
    return b.share > CONNECTIONS_LEAST && b.share > a.share + 1;
}

/* Of those that have to give way, the one that does so first. */
static bool goes_before(struct claim a, struct claim b)
{
    return a.proven != b.proven ? b.proven : a.share > b.share;
}

bool room_displace(struct worker *w, const struct addr *peer, bool proven)
{
    struct claim newcomer = {proven, budget_share(w->budget, BUDGET_CONNECTIONS, peer)},
                 last = {.proven = false};
    struct conn *victim = NULL;

    for (int i = 0; i < LOOK_AT && !ring_is_empty(&w->awake); i++) {
        struct conn *c = conn_of_link(w->awake.next);
        ring_remove(&c->link);
        ring_add(&w->awake, &c->link);
        if (!waits_for_client(c) || room_is_free(c) || c->flags & CONN_RUNNING)
            continue;
        struct claim claim = claim_of(w, c);
        if (!outweighs(newcomer, claim) || (victim && !goes_before(claim, last)))
            continue;
        victim = c;
        last = claim;
    }
    if (!victim)
        return false;
    journal_step(victim, "makes room", "for a client with %s",
                 proven && !last.proven ? "good mail" : "fewer connections");
    close_for_another(w, victim);
    return true;
}

/* ---- messages ---- */

static bool is_in_debt(struct worker *w, struct conn *c)
{
    struct tarpit_who who = conn_who(w, c);

    return tarpit_debt(&w->tarpit, &who, w->loop.wall) > 0;
}

/* The spool counts the octets of all workers, a client's budget those of this worker: a client's
 * connections spread evenly over the workers. */
bool room_for_octets(struct worker *w, struct conn *c, uint64_t octets)
{
    uint64_t max = w->config->spool_max;
    uint64_t taken = w->params->spool_used ? atomic_load(w->params->spool_used) : 0;
    bool good;

    if (taken + octets > max / 4 * 3)
        w->spool_is_short = true;
    if (room_is_free(c))
        good = true;
    else if (taken + octets > max / 4 * 3 && is_in_debt(w, c))
        good = false;
    else
        good = budget_allows(w->budget, BUDGET_SPOOL, &c->peer, octets, taken);
    if (!good)
        metric_add(METRIC_BUDGET_SPOOL, 1);
    return good;
}

void room_count_octets(struct worker *w, const struct conn *c, int64_t octets)
{
    budget_count(w->budget, BUDGET_SPOOL, &c->peer, octets);
}

/* Not during conn_run(): no other connection may be closed then. */
void room_look_after(struct worker *w)
{
    if (!w->spool_is_short)
        return;
    w->spool_is_short = false;
    (void)evict(w, BUDGET_SPOOL);
}

/* ---- envelopes ---- */

void room_count_envelope(struct worker *w, struct conn *c, uint32_t octets)
{
    unsigned step = ENVELOPE_STEPS - 1;

    while (octets < envelope_steps[step])
        step--;
    if (step == c->envelope)
        return;
    budget_count(w->budget, BUDGET_ENVELOPES, &c->peer,
                 (int64_t)envelope_steps[step] - envelope_steps[c->envelope]);
    c->envelope = step;
}

bool room_for_recipient(struct worker *w, const struct conn *c)
{
    bool good = c->envelope == 0 || room_is_free(c) ||
                budget_allows(w->budget, BUDGET_ENVELOPES, &c->peer, 0,
                              budget_taken(w->budget, BUDGET_ENVELOPES));

    if (!good)
        metric_add(METRIC_BUDGET_ENVELOPES, 1);
    return good;
}
