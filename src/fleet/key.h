/* Which of two keys a fleet keeps. Redis may be emptied, and a member that starts then makes another
 * key before those that are there notice. With the new key, pairs, accounts and mixed answers would
 * have other names, and what was known of them would be found no more. So the older key stays: the
 * first 4 octets of a key are the time at which it was made, and the lesser key wins. Members agree,
 * because the order is total. Pure. */
#ifndef MIRED_FLEET_KEY_H
#define MIRED_FLEET_KEY_H

#include <stdbool.h>

#include "base/siphash.h"

static inline bool key_is_known(const struct sipkey *k)
{
    return k->k0 || k->k1;
}

/* From 16 random octets and the time; 96 bits of it stay random. */
static inline struct sipkey key_made(struct sipkey random, uint64_t now_ms)
{
    random.k0 = now_ms / 1000 << 32 | (random.k0 & UINT32_MAX);
    return random;
}

/* Whether a member that knows `own` puts it in the place of `there`. */
static inline bool key_wins(const struct sipkey *own, const struct sipkey *there)
{
    if (!key_is_known(own))
        return false;
    return own->k0 != there->k0 ? own->k0 < there->k0 : own->k1 < there->k1;
}

#endif
