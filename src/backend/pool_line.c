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

void pool_line_drop(struct backend *b, struct delivery *d)
{
    if (d->turn.client)
        fair_drop(b->line, &d->turn);
}

void pool_line_close(struct backend *b)
{
    fair_close(b->line);
    b->line = NULL;
}
