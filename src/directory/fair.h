/* The order of waiting queries: fair by rank, then by network, then by client.
 *
 * A better rank goes first. Within a rank networks take turns, within a network its clients, and a
 * client's own queries keep their order. A client, a network, and all clients in debt together may
 * each use only a part of the queries in flight, so that others find room; RANK_FIRST has no such
 * limits. When too many wait, the worst rank loses first: of the client with the most waiting
 * queries in it, the newest is dropped.
 *
 * Pure: no clock, no I/O. Not thread-safe. Items are embedded in the caller's structs. */
#ifndef MIRED_DIRECTORY_FAIR_H
#define MIRED_DIRECTORY_FAIR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/ring.h"
#include "query/query.h"

struct fair_node;

struct fair_item {
    struct ring link;         /* private */
    struct fair_node *client; /* private; NULL: neither waiting nor in flight */
};

struct fair;

/* `asked`: how many items may be in flight; `waiting`: how many may wait. NULL without memory. */
struct fair *fair_open(uint32_t asked, uint32_t waiting);

/* Does not free items; their owner does. */
void fair_close(struct fair *f);

/* Lets the item wait. Returns the item that loses its place for it, or NULL. That may be the item
 * itself, also for lack of memory. */
struct fair_item *fair_put(struct fair *f, struct fair_item *item, const struct addr *client,
                           enum query_rank rank);

/* Whether the owner of the items allows this one to be in flight now. */
typedef bool fair_may(const void *arg, const struct fair_item *item);

/* The next item, which is in flight until fair_done(); NULL if none waits or the limits allow none.
 * Items that `may` (if not NULL) does not allow are passed over. */
struct fair_item *fair_take(struct fair *f, fair_may *may, const void *arg);

void fair_done(struct fair *f, struct fair_item *item);

/* Removes any waiting item, whatever the limits are; NULL if none waits. */
struct fair_item *fair_any(struct fair *f);

uint32_t fair_waiting(const struct fair *f);
uint32_t fair_asked(const struct fair *f);

#endif
