/* What happens next: a binary heap of (time, agent). Equal times come out in the order of their
 * agents, so that a run is the same each time. */
#ifndef MIRED_SIM_HEAP_H
#define MIRED_SIM_HEAP_H

#include <stdbool.h>
#include <stdint.h>

struct heap_item {
    uint64_t at;
    uint32_t agent;
};

struct heap {
    struct heap_item *item;
    uint32_t count, room;
};

/* Room for `room` items; false without memory. */
bool heap_open(struct heap *h, uint32_t room);
void heap_close(struct heap *h);

/* There is always room, because an agent is in the heap at most once. */
void heap_add(struct heap *h, uint64_t at, uint32_t agent);

/* Takes the earliest out; false when empty. */
bool heap_next(struct heap *h, struct heap_item *out);

#endif
