/* The order of waiting queries: fair by rank, then by network, then by client.
 *
 * A better rank goes first. Within a rank networks take turns, within a network its clients, and a
 * client's own queries keep their order. A client, a network, and all clients in debt together may
 * each use only a part of the queries in flight, so that others find room; RANK_FIRST has no such
 * limits. When too many wait, the worst rank loses first: the newest query of its client with the
 * most waiting.
 *
 * Pure: no clock, no I/O, one thread. Items are embedded in what they stand for. */
#ifndef MIRED_DIRECTORY_FAIR_H
#define MIRED_DIRECTORY_FAIR_H

#include <stdint.h>

#include "base/addr.h"
#include "base/ring.h"
#include "query/query.h"

struct fair_node;

struct fair_item {
    struct ring link;         /* private */
    struct fair_node *client; /* private; NULL: neither waiting nor asked */
};

struct fair;

/* `asked`: how many may be asked at once; `waiting`: how many may wait. NULL without memory. */
struct fair *fair_open(uint32_t asked, uint32_t waiting);

/* Does not free waiting and asked items; their owner does. */
void fair_close(struct fair *f);

/* The item waits. Returns the one that has lost its place for it (it may be the item itself, also
 * without memory), or NULL. */
struct fair_item *fair_put(struct fair *f, struct fair_item *item, const struct addr *client,
                           enum query_rank rank);

/* The item to ask next, which counts as asked until fair_done(); NULL: none waits that may be. */
struct fair_item *fair_take(struct fair *f);

void fair_done(struct fair *f, struct fair_item *item);

/* Takes any waiting item out, whatever the limits say; NULL: none waits. */
struct fair_item *fair_any(struct fair *f);

uint32_t fair_waiting(const struct fair *f);
uint32_t fair_asked(const struct fair *f);

#endif
