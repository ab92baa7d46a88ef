/* What accounts have sent (LEDGER_ALLOWANCE entries), as far as the keeper has not booked it yet:
 * one table that all workers write, so that connections to several workers together never exceed an
 * allowance, and only one of them finds that an account looks stolen. Private to the ledger.
 *
 * A place is a copy of the ledger's entry with the workers' changes. Workers propose each change to
 * the keeper, too. The keeper counts its rounds through the rings of proposals. A place is in use
 * until the keeper has finished a round that began after the last change; from then on the ledger
 * has all of it. The system may stop a worker between its change and its proposal while the keeper
 * finishes rounds, so a place that was claimed lately stays in use, too. The entry of an account that is
 * busy all the time must also see what the fleet and administrators change: a release ends all
 * copies, and the rest is taken over after AGAIN_MS.
 *
 * While the workers of two configurations run, each keeper counts rounds through its own rings, so
 * a worker may then miss what one of the other configuration took and its keeper has not booked: of
 * the last milliseconds, or of longer if that keeper is late.
 *
 * It lives in shared memory, zero at first. Nothing blocks: when a set is full, or a process was
 * killed or stopped while it filled the place of an account that is new here, the caller uses a table
 * of its own. */
#ifndef MIRED_TARPIT_LEDGER_ACCOUNTS_H
#define MIRED_TARPIT_LEDGER_ACCOUNTS_H

#include "tarpit/ledger_table.h"

enum { ACCOUNT_SETS = 512, ACCOUNT_WAYS = 8 };

struct accounts {
    _Alignas(64) _Atomic uint64_t round, done; /* of the keeper: the last begun, and finished */
    _Atomic uint64_t filling[ACCOUNT_SETS];    /* wall ms: a place is filled since then; 0: none */
    struct account_place {
        struct ledger_slot slot;
        _Alignas(64) _Atomic uint64_t used; /* the round of its last change */
        _Atomic uint64_t forgotten;         /* the ledger's count of releases when it was filled */
        _Atomic uint64_t claimed_ms;        /* wall ms: when a worker last claimed it */
        _Atomic uint64_t made_ms;           /* wall ms: when it had the ledger's words last */
        _Atomic uint64_t looked_ms[WORD_COUNT]; /* and when one was last compared with those */
    } place[ACCOUNT_SETS][ACCOUNT_WAYS];
};

/* The place in use of this hash, or NULL. */
struct ledger_slot *accounts_find(struct accounts *a, const struct ledger *l, uint64_t hash);

/* The place of this key, filled from the ledger if need be. NULL: there is no room at the moment. */
struct ledger_slot *accounts_claim(struct accounts *a, const struct ledger *l,
                                   const struct ledger_key *k, uint64_t now);

/* A change of this entry has just been proposed. */
void accounts_changed(struct accounts *a, uint64_t hash);

/* The ledger's entry, if it is time to compare this word of the place with it; else NULL. `slot` may be
 * any. */
const struct ledger_slot *accounts_compare(struct accounts *a, const struct ledger *l,
                                           const struct ledger_slot *slot, enum ledger_word w,
                                           uint64_t hash, uint64_t now);

#endif
