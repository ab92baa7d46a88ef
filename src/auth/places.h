/* A limited number of places for logins that wait, shared by worker slots.
 *
 * An attacker may control a worker, and begin logins without end. So while all places are taken, the
 * slot that has the most of them loses its oldest login for each new one. A slot that has less than
 * its share keeps what it has, and a slot that is alone may have all.
 *
 * Pure: no clock, no I/O. Not thread-safe. A place is embedded in the caller's struct. */
#ifndef MIRED_AUTH_PLACES_H
#define MIRED_AUTH_PLACES_H

#include <stdint.h>

#include "base/ring.h"

struct place {
    struct ring link;   /* private: in its slot, the oldest first */
    struct place *next; /* private: in its bucket */
    uint32_t number;    /* the caller's; never 0 */
    uint32_t slot;
};

struct places;

/* `count`: how many there are; `slots`: at least 1. NULL without memory. */
struct places *places_open(uint32_t count, uint32_t slots);

/* Does not free what has places; its owner does. */
void places_close(struct places *p);

/* Takes a place for a login of `slot`, which is found under `number`; nothing else may have that
 * number. A slot beyond the last one counts as the last. Returns the one that loses its place for
 * it, or NULL. That may be `place` itself, if there are more slots than places. */
struct place *places_take(struct places *p, struct place *place, uint32_t slot, uint32_t number);

/* NULL: nothing has that number. */
struct place *places_find(const struct places *p, uint32_t number);

void places_leave(struct places *p, struct place *place);

/* All of them, slot by slot; NULL: there are no more. A place may leave once the next one is known. */
struct place *places_first(const struct places *p);
struct place *places_next(const struct places *p, const struct place *place);

#endif
