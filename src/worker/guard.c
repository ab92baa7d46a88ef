/* The guard (R17): held connections never take the room of clients without debt.
 *
 * Held connections are in lists by the debt of their clients (tarpit_depth()). When there is no more room, the
 * oldest one of the list with the deepest debt hears 421 and is closed. A hash of the address
 * counts each client's held connections. Limits are divided evenly among the workers (the kernel
 * spreads connections evenly over the slots), so that a worker never has to ask another, and a
 * worker that dies leaves no wrong count behind. */
#include <stdlib.h>

#include "base/metrics.h"
#include "config/config.h"
#include "query/tally.h"
#include "worker/conn.h"
#include "worker/guard.h"
#include "worker/journal.h"
#include "worker/room.h"
#include "worker/who.h"
#include "worker/worker_part.h"

/* There are half as many to as many counters as held connections: few clients share one, and a held
 * connection costs two octets at most. */
enum { CLIENT_BITS_FIRST = 10 };

/* Connections from balancers beyond the limit. A balancer sends its header at once, so they stay for a
 * moment only. */
enum { HEADERS_AWAITED = 16 };

bool guard_open(struct guard *g)
{
    for (int i = 0; i < GUARD_LEVELS; i++)
        ring_init(&g->level[i]);
    g->client_bits = CLIENT_BITS_FIRST;
    g->client = calloc((size_t)1 << g->client_bits, sizeof *g->client);
    return g->client;
}

void guard_close(struct guard *g)
{
    free(g->client);
    g->client = NULL;
}

static uint16_t *client_count(struct worker *w, struct conn *c)
{
    struct tarpit_who who = conn_who(w, c);
    return &w->guard
                .client[who.client * UINT64_C(0x9e3779b97f4a7c15) >> (64 - w->guard.client_bits)];
}

void guard_grow(struct worker *w)
{
    struct guard *g = &w->guard;

    if (g->held <= (uint32_t)2 << g->client_bits)
        return;
    uint16_t *more = calloc((size_t)2 << g->client_bits, sizeof *more);
    if (!more)
        return; /* then more clients share a counter */
    free(g->client);
    g->client = more;
    g->client_bits++;
    for (int i = 0; i < GUARD_LEVELS; i++)
        for (struct ring *link = g->level[i].next; link != &g->level[i]; link = link->next)
            ++*client_count(w, conn_of_link(link));
}

/* `open`: how many other connections are. */
static bool admit(struct worker *w, const struct addr *peer, bool exempt, uint32_t open)
{
    if (!exempt && !room_for_connection(w, peer)) {
        metric_add(METRIC_BUDGET_CONNECTIONS, 1);
        return false;
    }
    if (open < w->open_reserve_from)
        return true;
    struct tarpit_who who = who_of(w, peer, exempt);
    if (!who.exempt && !w->config->observe && tarpit_debt(&w->tarpit, &who, w->loop.wall) > 0)
        return false; /* the reserve is for clients without debt */
    return open < w->open_max || guard_evict(w) ||
           room_displace(w, peer, tarpit_is_proven(&w->tarpit, &who, w->loop.wall));
}

bool guard_admit(struct worker *w, const struct addr *peer, bool exempt)
{
    return admit(w, peer, exempt, w->open);
}

bool guard_admit_balancer(struct worker *w)
{
    return w->open < w->open_max + HEADERS_AWAITED || guard_evict(w);
}

bool guard_admit_behind(struct worker *w, const struct addr *peer, bool exempt)
{
    return admit(w, peer, exempt, w->open - 1);
}

/* The deepest level with a connection in it; NULL if none is held. */
static struct ring *deepest(struct guard *g)
{
    while (g->busy) {
        unsigned level = 63 - (unsigned)__builtin_clzll(g->busy);
        if (!ring_is_empty(&g->level[level]))
            return &g->level[level];
        g->busy &= ~((uint64_t)1 << level);
    }
    return NULL;
}

static unsigned level_of(struct worker *w, struct conn *c)
{
    struct tarpit_who who = conn_who(w, c);
    return tarpit_depth(&w->tarpit, &who, w->loop.wall, GUARD_LEVELS);
}

bool guard_hold(struct worker *w, struct conn *c)
{
    struct guard *g = &w->guard;
    uint16_t *mine = client_count(w, c);

    if (*mine >= w->held_per_client)
        return false;
    unsigned level = level_of(w, c);
    if (g->held >= w->held_max) {
        struct ring *worst = deepest(g);
        if (!worst || worst < &g->level[level]) /* no held client has more debt than the new one */
            return false;
        guard_evict(w);
    }
    ring_remove(&c->link);
    ring_add(&g->level[level], &c->link);
    g->busy |= (uint64_t)1 << level;
    g->held++;
    ++*mine;
    return true;
}

bool guard_has_room(struct worker *w, struct conn *c)
{
    return w->guard.held < w->held_max && w->open < w->open_reserve_from &&
           *client_count(w, c) < w->held_per_client;
}

void guard_release(struct worker *w, struct conn *c)
{
    ring_remove(&c->link);
    ring_add(&w->awake, &c->link);
    w->guard.held--;
    --*client_count(w, c);
}

void guard_gather(struct worker *w, const struct network *n, struct ring *to)
{
    for (int i = 0; i < GUARD_LEVELS; i++) {
        struct ring *level = &w->guard.level[i];
        for (struct ring *link = level->next, *next; link != level; link = next) {
            next = link->next;
            if (n && !network_concerns(n, &conn_of_link(link)->peer))
                continue;
            ring_remove(link);
            ring_add(to, link);
        }
    }
}

uint32_t guard_count(const struct worker *w, const struct network *n)
{
    uint32_t count = 0;

    for (int i = 0; i < GUARD_LEVELS; i++) {
        const struct ring *level = &w->guard.level[i];
        for (struct ring *link = level->next; link != level; link = link->next)
            count += network_concerns(n, &conn_of_link(link)->peer);
    }
    return count;
}

void guard_tally(const struct worker *w, struct tally *t)
{
    for (int i = 0; i < GUARD_LEVELS; i++) {
        const struct ring *level = &w->guard.level[i];
        for (struct ring *link = level->next; link != level; link = link->next)
            tally_count(t, &conn_of_link(link)->peer);
    }
}

bool guard_evict(struct worker *w)
{
    struct ring *worst = deepest(&w->guard);

    if (!worst)
        return room_evict(w);
    metric_add(METRIC_GUARD_EVICTIONS, 1);
    journal_step(conn_of_link(worst->next), "makes room", "the deepest in debt of %u held",
                 w->guard.held);
    conn_shut(w, conn_of_link(worst->next), REPLY_EVICTED);
    return true;
}
