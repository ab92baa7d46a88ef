/* The line of deliveries that wait for a link; see pool_part.h.
 *
 * It is the order of query/fair.h, with one slot and one rank: networks take turns, and the clients
 * of each. So a client with one message waits for one message of each other, however many those
 * have. Links are shared by all clients, so nobody's part of them is limited. */
#include "backend/pool_part.h"
#include "base/container.h"
#include "query/fair.h"

static struct delivery *delivery_of(struct fair_item *item)
{
    return item ? container_of(item, struct delivery, turn) : NULL;
}

bool pool_line_add(struct backend *b, struct delivery *d)
{
    if (!b->line)
        b->line = fair_open(UINT32_MAX, UINT32_MAX, 1);
    if (!b->line || fair_put(b->line, &d->turn, 0, &d->client, RANK_FIRST))
        return false;
    loop_alarm(b->pool->params.loop, &d->alarm, d->until_ms);
    return true;
}

struct delivery *pool_line_first(const struct backend *b)
{
    return b->line ? delivery_of(fair_next(b->line)) : NULL;
}

struct delivery *pool_line_take(struct backend *b)
{
    struct fair_item *item = b->line ? fair_take(b->line, NULL, NULL) : NULL;

    if (item)
        fair_done(b->line, item);
    return delivery_of(item);
}

void pool_line_stand_aside(struct backend *b, struct delivery *d)
{
    enum { SHIFT_MAX = 8 };
    uint64_t pause = (uint64_t)POOL_ASK_MS << (d->refusals < SHIFT_MAX ? d->refusals : SHIFT_MAX);

    if (d->refusals < UINT8_MAX)
        d->refusals++;
    d->back_ms = b->pool->params.loop->now + (pause < POOL_LIMITED_MS ? pause : POOL_LIMITED_MS);
    d->aside_next = b->aside;
    d->aside_prev = &b->aside;
    if (d->aside_next)
        d->aside_next->aside_prev = &d->aside_next;
    b->aside = d;
    loop_alarm(b->pool->params.loop, &d->alarm, d->until_ms);
}

static void stand_no_more(struct delivery *d)
{
    *d->aside_prev = d->aside_next;
    if (d->aside_next)
        d->aside_next->aside_prev = d->aside_prev;
    d->aside_prev = NULL;
}

struct delivery *pool_line_back(struct backend *b, bool all)
{
    struct delivery *d = b->aside;

    while (d && !all && d->back_ms > b->pool->params.loop->now)
        d = d->aside_next;
    if (d)
        stand_no_more(d);
    return d;
}

bool pool_line_any(const struct backend *b)
{
    return pool_line_first(b) || b->aside;
}

void pool_line_drop(struct backend *b, struct delivery *d)
{
    if (d->aside_prev)
        stand_no_more(d);
    else if (d->turn.client)
        fair_drop(b->line, &d->turn);
}

void pool_line_close(struct backend *b)
{
    fair_close(b->line);
    b->line = NULL;
}
