/* What the keeper does with the proposals of one worker (ledger_proposals.h): checks each one as if
 * an attacker had written it, and carries it out on the ledger.
 *
 * A worker that was taken over can still tell lies that a true worker could tell: that a client has
 * done something wrong, or delivered good mail. What it can do with them is bounded: amounts by the
 * limits of the rules and of what the ledger has, and the number of bookings a second by the rates
 * below. It can never exempt a client, forget one, or lower offences without good mail that pays
 * for them.
 *
 * Pure but for the ledger: time is an argument. For one process and thread. */
#ifndef MIRED_TARPIT_LEDGER_DISPOSAL_H
#define MIRED_TARPIT_LEDGER_DISPOSAL_H

#include <stdatomic.h>
#include <stdint.h>

#include "tarpit/ledger_proposals.h"
#include "tarpit/rules.h"

/* R(identifier, a second, at once): how many proposals of a kind one worker may make. Those on
 * clients are far above what a true worker books under attack, except PROVEN: bookings that put a
 * client in debt that has delivered good mail are rare. */
#define DISPOSAL_RATES(R)                                                                          \
    R(PROVEN, 20, 200)        /* offences of clients that have delivered good mail */              \
    R(NEW, 300, 3000)         /* the first offence of other clients */                             \
    R(CLIENT, 100000, 300000) /* other bookings on clients and networks */                         \
    R(TRAP, 5, 50)                                                                                 \
    R(GOOD, 50000, 200000)                                                                         \
    R(ACCOUNT, 2000, 10000)   /* guesses of passwords */                                           \
    R(STOLEN, 100, 1000)      /* that an account looks stolen, and why */                          \
    R(ALLOWANCE, 5000, 20000) /* recipients of accounts */                                         \
    R(LOGIN, 200, 5000)       /* from new networks; each needs a right password as well */         \
    R(SIGHT, 20000, 60000)                                                                         \
    R(ELSE, 5000, 20000) /* records of mixed answers, and what backends offer */

enum disposal_rate {
#define DISPOSAL_RATE_ID(id, a_second, at_once) DISPOSAL_##id,
    DISPOSAL_RATES(DISPOSAL_RATE_ID)
#undef DISPOSAL_RATE_ID
        DISPOSAL_RATE_COUNT
};

struct disposal_rules {
    struct tarpit_rules tarpit;
    double raise_most; /* the highest offences that a list or a trap gives */
};

/* Of one worker; all zero at first. */
struct disposal {
    struct {
        double level;
        uint64_t at;
    } rate[DISPOSAL_RATE_COUNT];
    double spent;           /* good mail that was spent, and not yet used to lower offences */
    uint64_t spent_network; /* label: whose */
    double earned, of_pair; /* good mail that mailboxes have earned, and not yet booked */
    double earned_network;
    double taken;             /* recipients taken from buckets, and not given back */
    uint32_t settled;         /* accounts that had their first login, and its network not yet */
    _Atomic uint32_t *logins; /* how many bookings of logins the clerks' answers allow; NULL: any */
};

enum disposal_result {
    DISPOSAL_DONE,     /* as far as there is something to spend or to give back */
    DISPOSAL_TOO_MANY, /* beyond a rate: not done */
    DISPOSAL_WRONG,    /* no true worker proposes that: not done */
};

/* Carries the proposal out. PROPOSE_ELSE only counts: the caller does it if DISPOSAL_DONE. One that
 * withdraws a record is never refused: the record would say of the next message with the same
 * octets that it was delivered, and that message would be lost. Without a record there may be a
 * second copy. */
enum disposal_result dispose(struct disposal *d, struct ledger *l, const struct disposal_rules *r,
                             const struct proposal *p, uint64_t now);

#endif
