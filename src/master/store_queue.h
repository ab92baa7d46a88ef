/* Connections of workers on their way to the store, in the master.
 *
 * The master sends them on one pair. While that is full, because the store has died or a worker sends
 * connections without end, each worker slot has a queue of its own here, and the slots take turns when
 * there is room. So a worker that was taken over fills its own queue only: the connections of the
 * others wait for what is in the pair, and none is lost. */
#ifndef MIRED_MASTER_STORE_QUEUE_H
#define MIRED_MASTER_STORE_QUEUE_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/loop.h"

/* A true worker opens one connection after the other, to each of its backends. */
enum { STORE_QUEUE_EACH = 64 };

struct store_queue {
    struct watch room;          /* of the pair, watched while connections wait */
    struct store_waiting *slot; /* of each slot; NULL: none has waited yet */
    uint32_t slots;
    uint32_t next;    /* the slot whose turn it is */
    uint32_t waiting; /* connections of all slots */
};

/* Sends `fd` to the store on `pair`, as a connection of that slot, with what the worker says with it
 * (query/store_words.h), or keeps a copy of both until there is room; the caller keeps fd. Returns 0, or
 * how many connections of the slot have been dropped so far because its queue was full or the words
 * were too many, with this one. *q is zeroed at first. */
uint32_t store_queue_put(struct loop *loop, struct store_queue *q, int pair, uint32_t slot, int fd,
                         struct span words);

/* Closes all connections that wait. */
void store_queue_close(struct loop *loop, struct store_queue *q);

#endif
