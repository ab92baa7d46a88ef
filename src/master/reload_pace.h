/* How often the configuration is read again: a few times at once, then once a second. Reloads
 * without pauses would take half of a small machine from mail. Pure. */
#ifndef MIRED_MASTER_RELOAD_PACE_H
#define MIRED_MASTER_RELOAD_PACE_H

#include <stdint.h>

enum { RELOAD_EVERY_MS = 1000, RELOAD_AT_ONCE = 4 };

struct reload_pace {
    uint64_t spent_until; /* ms; 0: nothing spent */
};

/* How many ms from `now` (ms, monotonic) the next reload has to wait; 0: none. */
uint64_t reload_pace_wait(const struct reload_pace *p, uint64_t now);

/* A reload begins at `now`. */
void reload_pace_take(struct reload_pace *p, uint64_t now);

#endif
