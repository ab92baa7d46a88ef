/* Which worker slot's query a source gets next.
 *
 * A source may accept fewer queries at once than all lookups, so the order of fair.h, which counts
 * all of them, is not enough: a slot that asks one source only would always come first there. Here
 * the slot with the fewest queries in flight at this source comes first, and of equals the one that
 * had its last turn the longest time ago.
 *
 * Pure: no clock, no I/O. Not thread-safe. */
#ifndef MIRED_DIRECTORY_SOURCE_SLOTS_H
#define MIRED_DIRECTORY_SOURCE_SLOTS_H

#include <stdint.h>

struct source_slots;

/* For the slots 0 to `slots` - 1. NULL without memory. free() it. */
struct source_slots *source_slots_open(uint32_t slots);

/* A query of a slot waits; it waits no more; it is in flight; it has ended. */
void source_slots_wait(struct source_slots *s, uint32_t slot);
void source_slots_leave(struct source_slots *s, uint32_t slot);
void source_slots_begin(struct source_slots *s, uint32_t slot);
void source_slots_end(struct source_slots *s, uint32_t slot);

/* The slot that comes first of those that wait; UINT32_MAX if none waits. */
uint32_t source_slots_first(struct source_slots *s);

#endif
