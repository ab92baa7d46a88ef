/* The reserved places of a set: which entries have one, and which has to wait for one. Private to the
 * ledger and the keeper; others see ledger.h.
 *
 * Half of each set (LEDGER_KEPT) is for entries of good mail, logins and exemptions, so that
 * strangers, however many, push out only each other. A worker that was taken over can claim good
 * mail or an account for any name. So the keeper gives the places of a set to the first that come,
 * and remembers for each entry by which worker it came. An entry that comes when all places of its
 * set are taken waits: it has all that was booked, but lives among the strangers, until it is booked
 * on when there is a place. It takes the place of
 *
 *   - the weakest entry of another worker, if that worker has more places of the set than its own
 *     worker would then have: so no worker keeps the others' good clients out;
 *   - a weaker entry of its own worker with little good mail: so those that wrote once make room.
 *
 * Both are limited by the caller. No other process than the keeper limits itself: what the fleet, a
 * person or the simulator write has a place at once.
 *
 * All functions are safe from any process that mapped the ledger, and nothing blocks. `now` is wall
 * ms. */
#ifndef MIRED_TARPIT_LEDGER_RESERVE_H
#define MIRED_TARPIT_LEDGER_RESERVE_H

#include "tarpit/ledger_table.h"

/* Workers are told apart by a number from 1 to this. 0: not a worker, or an earlier version. */
enum { LEDGER_MAKERS = 63 };

/* Below so much good mail an entry makes room for a stronger one of its own worker. */
#define LEDGER_LITTLE_GOOD 8.0

/* How much a slot is worth: the weakest of a set makes room for a new entry. */
uint64_t ledger_strength(const struct ledger_slot *slot, uint64_t now);

/* The same of an entry with a reserved place, beside others that have one: only what has given it the
 * place counts, and not turns, debt or offences, which cost a liar nothing. */
uint64_t ledger_kept_strength(const struct ledger_slot *slot, uint64_t now);

/* Whether the entry has something that only good mail, a login or an administrator can cause, not too
 * long ago, and does not wait for a place. */
bool ledger_is_kept(const struct ledger_slot *slot, uint64_t now);

enum reserve_state {
    RESERVE_NONE, /* there is no such entry, or it needs no reserved place */
    RESERVE_HAS,
    RESERVE_WANTS
};
enum reserve_state ledger_reserve_state(const struct ledger *l, const struct ledger_key *k,
                                        uint64_t now);

enum reserve_place {
    RESERVE_FREE,   /* a place is free */
    RESERVE_TAKES,  /* one that another entry has, *from; else *from is NULL */
    RESERVE_NOWHERE /* none */
};

/* Which place an entry of that maker can have. */
enum reserve_place ledger_reserve_look(const struct ledger *l, const struct ledger_key *k,
                                       unsigned maker, uint64_t now, struct ledger_slot **from);

/* Says by which worker the entry has come, and whether it has to wait. An exempt one never waits. */
void ledger_reserve_put(struct ledger *l, const struct ledger_key *k, unsigned maker, bool waiting);

/* The entry that ledger_reserve_look() has found now waits. */
void ledger_reserve_leave(struct ledger_slot *from);

#endif
