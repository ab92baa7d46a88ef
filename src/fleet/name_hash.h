/* The place of a name in a table of this process: a SipHash under a random key.
 *
 * Names are addresses and networks, which clients choose, and have few bits that differ: the last
 * four octets of an IPv4 label are 0. Without a key a member can be made to take one client for
 * another that it has asked for or that lasts long enough. Pure. */
#ifndef MIRED_FLEET_NAME_HASH_H
#define MIRED_FLEET_NAME_HASH_H

#include "base/siphash.h"
#include "tarpit/ledger_others.h"

static inline uint64_t name_hash(const struct sipkey *key, const struct ledger_name *n)
{
    const uint64_t words[] = {n->id, n->kind};
    return siphash(key, words, sizeof words);
}

#endif
