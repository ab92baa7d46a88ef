/* The only place that reads a clock. Rooms that decide something get the time as an argument. */
#ifndef MIRED_BASE_CLOCK_H
#define MIRED_BASE_CLOCK_H

#include <stdint.h>

/* Milliseconds since 1970, for what outlives the process (ledger, frozen holds, settling, logs). */
uint64_t clock_wall_ms(void);

/* Milliseconds of a clock that never steps, for timers; its origin is the machine's start. */
uint64_t clock_mono_ms(void);

/* Microseconds of the same clock, for measuring how long something took. */
uint64_t clock_mono_us(void);

#endif
