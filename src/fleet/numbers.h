/* Numbers in what members tell each other: most significant octet first. */
#ifndef MIRED_FLEET_NUMBERS_H
#define MIRED_FLEET_NUMBERS_H

#include <stdint.h>

#include "base/bytes.h"

/* Writes the low `octets` octets of the number, and returns where they end. */
static inline uint8_t *number_put(uint8_t *at, uint64_t n, int octets)
{
    for (int i = octets - 1; i >= 0; i--)
        *at++ = (uint8_t)(n >> (8 * i));
    return at;
}

/* Reads a number of so many octets, which the span must have, and moves the span past it. */
static inline uint64_t number_take(struct span *s, size_t octets)
{
    uint64_t n = 0;

    for (size_t i = 0; i < octets; i++)
        n = n << 8 | (uint8_t)s->at[i];
    *s = span_after(*s, octets);
    return n;
}

#endif
