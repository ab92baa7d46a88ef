/* How often the members of a fleet write to the stream, by their number `n` (this one included).
 *
 * Each member reads each entry, so n members that write at a fixed rate cost Redis n * n. Therefore
 * a member writes less often in a larger fleet: all of them together make Redis deliver about a
 * million entries a second at most, which is what one processor can do (docs/fleet.md). Pure. */
#ifndef MIRED_FLEET_PACE_H
#define MIRED_FLEET_PACE_H

#include <stdint.h>

/* Between two entries with changes: 16 ms for three members, a second for 1,000. */
static inline uint64_t pace_entries_ms(uint64_t n)
{
    return 15 + n / 2 + n * n / 2000;
}

/* Between two hellos: a second, 11 s for 1,000 members. */
static inline uint64_t pace_hello_ms(uint64_t n)
{
    return 1000 * (1 + n / 100);
}

/* A member that has said nothing for that long is not present. */
static inline uint64_t pace_away_ms(uint64_t n)
{
    return 10000 + 3 * (pace_hello_ms(n) - 1000);
}

#endif
