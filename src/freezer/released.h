/* The clients that were released a moment ago. A release reaches the freezer and each worker at
 * different moments, so it may find a connection that is on its way from one to the other at
 * neither. Both remember it for RELEASED_MS, and answer at once what arrives meanwhile.
 *
 * A process counts as one that has released only if it was silent for no longer than 1.5 s
 * (control/holders.h); what it sent before is then here within RELEASED_MS, unless it cannot be read
 * because a large release is under way (releases.h). Not thread-safe. Time is
 * an argument: monotonic ms. */
#ifndef MIRED_FREEZER_RELEASED_H
#define MIRED_FREEZER_RELEASED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"

enum { RELEASED_PLACES = 256, RELEASED_MS = 2000 };

struct released {
    struct {
        struct network network;
        uint64_t until; /* 0: this place is free */
    } last[RELEASED_PLACES];
    unsigned next;      /* the oldest, which the next release replaces */
    uint64_t all_until; /* until then everybody counts as released */
};

/* A network that was released before keeps its place. More releases than there are places release
 * everybody for as long as those that had to go would have counted: a hold that ends early does less
 * harm than a released client that still waits. */
void released_note(struct released *r, const struct network *n, uint64_t now);

/* Whether this client was released within the last RELEASED_MS, at `since` or later. */
bool released_lately(const struct released *r, const struct addr *client, uint64_t since,
                     uint64_t now);

#endif
