/* The only place that reads a clock. Code that makes decisions gets the time as an argument. */
#ifndef MIRED_BASE_CLOCK_H
#define MIRED_BASE_CLOCK_H

#include <stdint.h>

/* Milliseconds since 1970, for data that outlives the process (ledger, frozen holds, partial
 * deliveries, logs). */
uint64_t clock_wall_ms(void);

/* Milliseconds since the machine started, for timers; this clock never steps. */
uint64_t clock_mono_ms(void);

/* The same, but it goes on while the machine is suspended, as the wall clock does: what is left of the
 * difference between both was set by somebody. */
uint64_t clock_boot_ms(void);

/* Microseconds of the monotonic clock, for measuring how long something took. */
uint64_t clock_mono_us(void);

/* How far a clock was set (ms): `lead` is how far it leads another one now, and *known how far it did
 * before, which becomes `lead`. 0: by less than a second, and *known stays, so that steps add up. */
static inline int64_t clock_set_by(int64_t *known, int64_t lead)
{
    int64_t by = lead - *known;

    if (by > -1000 && by < 1000)
        return 0;
    *known = lead;
    return by;
}

/* How long ago that was (ms, both of one clock); 0 if it is in the future, because the wall clock was
 * set back. */
static inline uint64_t clock_since(uint64_t then, uint64_t now)
{
    return now > then ? now - then : 0;
}

#endif
