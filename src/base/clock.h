/* The only place that reads a clock. Code that makes decisions gets the time as an argument. */
#ifndef MIRED_BASE_CLOCK_H
#define MIRED_BASE_CLOCK_H

#include <stdint.h>

/* Milliseconds since 1970, for data that outlives the process (ledger, frozen holds, partial
 * deliveries, logs). */
uint64_t clock_wall_ms(void);

/* Milliseconds since the machine started, for timers; this clock never steps. */
uint64_t clock_mono_ms(void);

/* Microseconds of the same clock, for measuring how long something took. */
uint64_t clock_mono_us(void);

#endif
