/* The keys that must be sent, each once, in the order of their first change. The size is fixed; a
 * sweep of the ledger finds keys that did not fit. For one thread. */
#ifndef MIRED_FLEET_OUTBOX_H
#define MIRED_FLEET_OUTBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/siphash.h"
#include "tarpit/ledger_others.h"

enum { OUTBOX_MOST = 1 << 16 };

struct outbox_item {
    struct ledger_name name;
    uint64_t hash;     /* of the ledger; 0: the label's */
    uint64_t since_ms; /* wall: when it changed */
    uint16_t ask;      /* a cluster is moving the key: the node to ask, plus 1; 0: none */
    bool forget;       /* a person has had it forgotten */
};

struct outbox {
    struct outbox_item *item; /* a circle */
    uint32_t *place;          /* by hash of the name: a position, plus 1, that may be another's */
    uint32_t first, count;
    struct sipkey key;
};

/* 0, -ENOMEM or -EIO (no random key). */
int outbox_open(struct outbox *o);
void outbox_close(struct outbox *o);

/* False: it is full. */
bool outbox_add(struct outbox *o, const struct outbox_item *item);

/* The next item; NULL if there is none. Valid until the next call. */
const struct outbox_item *outbox_take(struct outbox *o);

/* The wall clock was set by so much: what waits has waited for as long as before. */
void outbox_clock_was_set(struct outbox *o, int64_t by_ms);

/* The item that outbox_take() will give after `n` others; NULL if there are not so many. */
const struct outbox_item *outbox_peek(const struct outbox *o, uint32_t n);

#endif
