/* The guard (R17): held connections never crowd out clients that are not in debt.
 *
 * Held connections stand in lists by their clients' debt; when there is no more room the oldest one
 * of the deepest list is told 421 and closed. A client's own held connections are counted by a hash
 * of its address. Limits for all workers are shared out evenly (the kernel spreads connections
 * evenly over the slots), so that a worker never has to ask another, and a dead one leaves no count
 * behind. */
#include <math.h>

#include "base/metrics.h"
#include "config/config.h"
#include "worker/conn.h"

static uint16_t *client_count(struct worker *w, const struct conn *c)
{
    struct tarpit_who who = conn_who(w, c);
    return &w->guard.client[who.client % GUARD_CLIENTS];
}

bool guard_admit(struct worker *w, const struct addr *peer, bool exempt)
{
    if (w->open < w->open_reserve_from)
        return true;
    struct tarpit_who who = tarpit_who(&w->tarpit, peer, exempt);
    if (!who.exempt && tarpit_debt(&w->tarpit, &who, w->loop.wall) > 0)
        return false; /* the reserve is not for it */
    return w->open < w->open_max || guard_evict(w);
}

bool guard_hold(struct worker *w, struct conn *c)
{
    struct guard *g = &w->guard;
    uint16_t *mine = client_count(w, c);

    if (*mine >= w->held_per_client)
        return false;
    if (g->held >= w->held_max && !guard_evict(w))
        return false;

    struct tarpit_who who = conn_who(w, c);
    double debt = ceil(tarpit_debt(&w->tarpit, &who, w->loop.wall));
    unsigned level = debt < GUARD_LEVELS ? (unsigned)debt : GUARD_LEVELS - 1;

    if (!g->level[level])
        g->tail[level] = &g->level[level];
    c->guard_level = (uint8_t)level;
    c->held.next = NULL;
    c->held.prev = g->tail[level];
    *g->tail[level] = &c->held;
    g->tail[level] = &c->held.next;
    g->busy |= (uint64_t)1 << level;
    g->held++;
    ++*mine;
    return true;
}

void guard_release(struct worker *w, struct conn *c)
{
    struct guard *g = &w->guard;
    unsigned level = c->guard_level;

    *c->held.prev = c->held.next;
    if (c->held.next)
        c->held.next->prev = c->held.prev;
    else
        g->tail[level] = c->held.prev;
    if (!g->level[level])
        g->busy &= ~((uint64_t)1 << level);
    g->held--;
    --*client_count(w, c);
}

bool guard_evict(struct worker *w)
{
    struct guard *g = &w->guard;

    if (!g->busy)
        return false;
    struct held_link *worst = g->level[63 - __builtin_clzll(g->busy)];
    metric_add(METRIC_GUARD_EVICTIONS, 1);
    conn_shut(w, (struct conn *)((char *)worst - offsetof(struct conn, held)), REPLY_EVICTED);
    return true;
}
