/* The order of what waits: fair by worker slot, then by rank, network and client. Clerks order
 * queries by it, and workers the messages for a busy backend (of one slot and rank, without limits).
 *
 * Rank and client are what a worker says, and a worker that was taken over may say anything. So the
 * slot with the fewest queries in flight goes first, and equals take turns; what is idle belongs to
 * all. What one slot says of a network counts for other slots only as far as its own share goes.
 *
 * Within a slot a better rank goes first, within a rank networks take turns, within a network its
 * clients, and a client's own queries keep their order. A client, a network, and all clients in debt
 * together may each use only a part of the queries in flight, so that others find room; RANK_FIRST
 * has no such limits. Where several slots have queries, each has its share of these parts, but at
 * least one query. All slots together have no more queries of one network in flight than the
 * network's part, or two. When too many wait, a slot loses that has more than its share of the
 * places: of the worst rank, and of the client with the most waiting queries in it, the newest is
 * dropped.
 *
 * An item that gives up leaves whose turn it is as it was.
 *
 * No clock, no I/O but the key of its table. Not thread-safe. Items are embedded in the caller's structs. */
#ifndef MIRED_QUERY_FAIR_H
#define MIRED_QUERY_FAIR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/ring.h"
#include "query/query.h"

struct fair_node;

struct fair_item {
    struct ring link;         /* private */
    uint64_t number;          /* private: the order in which items were put */
    struct fair_node *client; /* private; NULL: neither waiting nor in flight */
};

struct fair;

/* `asked`: how many items may be in flight; `waiting`: how many may wait; `slots`: at least 1. NULL
 * without memory. */
struct fair *fair_open(uint32_t asked, uint32_t waiting, uint32_t slots);

/* Does not free items; their owner does. */
void fair_close(struct fair *f);

/* Lets the item wait. A `slot` beyond the last one counts as the last. Returns the item that loses
 * its place for it, or NULL. That may be the item itself, also for lack of memory. */
struct fair_item *fair_put(struct fair *f, struct fair_item *item, uint32_t slot,
                           const struct addr *client, enum query_rank rank);

/* Whether the owner of the items allows this one to be in flight now. */
typedef bool fair_may(const void *arg, const struct fair_item *item);

/* The next item, which is in flight until fair_done(); NULL if none waits or the limits allow none.
 * Items that `may` (if not NULL) does not allow are passed over. */
struct fair_item *fair_take(struct fair *f, fair_may *may, const void *arg);

/* The same for an owner that knows which few of the waiting items it allows, and so need not have all
 * others passed over: it takes the first of them that the limits allow. */
bool fair_allows(const struct fair *f, const struct fair_item *item);
bool fair_is_before(const struct fair *f, const struct fair_item *a, const struct fair_item *b);
void fair_take_this(struct fair *f, struct fair_item *item);

/* What fair_take() without `may` would return. */
struct fair_item *fair_next(const struct fair *f);

/* The item ends that is in flight. */
void fair_done(struct fair *f, struct fair_item *item);

/* Removes an item that waits. */
void fair_drop(struct fair *f, struct fair_item *item);

/* Removes any waiting item, whatever the limits are; NULL if none waits. */
struct fair_item *fair_any(struct fair *f);

uint32_t fair_waiting(const struct fair *f);
uint32_t fair_asked(const struct fair *f);

#endif
