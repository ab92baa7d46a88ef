/* The mapping of ledger_others.h: the table of what others know, and the ring of what they must hear.
 * For ledger_others.c and ledger_events.c. */
#ifndef MIRED_TARPIT_LEDGER_OTHERS_PART_H
#define MIRED_TARPIT_LEDGER_OTHERS_PART_H

#include <assert.h>

#include "tarpit/ledger_others.h"

enum { OTHERS_EVENTS = 1 << 16 };

/* An event of the ring. */
struct event {
    _Atomic uint64_t stamp; /* 0: never used; 2n+1: being written; 2n+2: it is event n */
    _Atomic uint64_t id, hash, what;
};

enum place_word {
    PLACE_KEY,
    PLACE_OFFENCES,
    PLACE_GOOD,
    PLACE_SPENT,      /* by others, of what they did not earn */
    PLACE_SPENT_HERE, /* by this member, of what it did not earn */
    PLACE_TURN,       /* as the ledger's words; of an account's network the first login */
    PLACE_DEBT,
    PLACE_FLAGS, /* tag 8 | enum ledger_flag 8 | queues 8 | unused 8 | last change, wall s 32 */
};

struct place {
    _Alignas(64) _Atomic uint64_t word[8];
};
static_assert(sizeof(struct place) == 64, "an entry is one cache line");

struct ledger_others {
    uint64_t layout, sets;
    _Atomic uint64_t owner; /* 0: nobody maintains it, and it is not looked at */
    _Atomic uint64_t k0, k1;
    _Atomic uint64_t moves;
    _Alignas(64) _Atomic uint64_t next; /* of the ring */
    _Alignas(64) _Atomic uint64_t read; /* how far the owner has read */
    _Alignas(64) struct event ring[OTHERS_EVENTS];
    struct place place[];
};

/* The name that a fleet has for the key; false if it has none. */
bool ledger_name_of(const struct ledger_key *k, struct ledger_name *n);

#endif
