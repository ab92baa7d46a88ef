/* What the keeper does with the proposals of one worker (ledger_proposals.h): checks each one as if
 * an attacker had written it, and carries it out on the ledger.
 *
 * A worker that was taken over can still tell lies that a true worker could tell: that a client has
 * done something wrong, or delivered good mail. What it can do with them is bounded: amounts by the
 * limits of the rules and of what the ledger has, and the number of bookings a second by the rates
 * below. It can never exempt a client, forget one, lower offences without good mail that pays for
 * them, or spend a client's credit without an offence. And it can never push out what others know of
 * good clients: see KEPT and CLAIM below.
 *
 * Pure but for the ledger: time is an argument. For one process and thread. */
#ifndef MIRED_TARPIT_LEDGER_DISPOSAL_H
#define MIRED_TARPIT_LEDGER_DISPOSAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "tarpit/ledger_proposals.h"
#include "tarpit/rules.h"

/* R(identifier, a second, at once, whether an attack from outside can reach it, what is limited):
 * how much of a kind the keeper does for one worker.
 *
 * A limit harms when it is too low: what the keeper does not book, an attacker does not pay for, and
 * a flood of new addresses would hear verdicts for nothing. So a limit is above what a true worker
 * can cause (10,000 to 20,000 first verdicts a second), unless a lie of that kind does great harm.
 *
 * NEW: a lie that an unknown client has offences. Up to DISPOSAL_SHALLOW of them the client waits
 * and takes turns, and its retries get through (R3, R4, R26). In any case such lies concern at most
 * as many clients as the half of the ledger holds that is not reserved for good mail. A low limit
 * would only delay that.
 *
 * PROVEN: the same of a client that has delivered good mail. Its credit pays first (R8), so a lie
 * harms clients of little credit. Counted in offences.
 *
 * CREDIT: that credit pays for offences which were booked before. True workers seldom need it, and
 * what is not paid changes no debt (R8). Counted in offences.
 *
 * DEEP: offences beyond DISPOSAL_SHALLOW, up to the shield, where a client hears nothing but 450.
 * This is the great harm. A true worker needs many only for traps and for attackers that do not
 * wait for turns, and what is not booked costs little: the client has the longest hold already.
 *
 * KEPT: entries that come to have a reserved place in the ledger (ledger_reserve.h): of good mail,
 * correspondents, logins and accounts. A new client that delivers needs four, and one a day. Beyond
 * the limit an entry is booked all the same, but lives among the strangers for now.
 *
 * CLAIM: of these, those that take the place of another entry that has one, which then lives among
 * the strangers. That is no attack by itself, and what is beyond the limit is not told. */
#define DISPOSAL_SHALLOW 5.0
#define DISPOSAL_RATES(R)                                                                          \
    R(PROVEN, 1000, 20000, 1, "offences of clients that have delivered good mail")                 \
    R(CREDIT, 1000, 20000, 1, "credit that pays for offences of before")                           \
    R(NEW, 30000, 100000, 0, "first offences of clients")                                          \
    R(DEEP, 5000, 100000, 1, "offences beyond the fifth of a client")                              \
    R(CLIENT, 100000, 300000, 0, "other bookings on clients and networks")                         \
    R(GOOD, 50000, 200000, 0, "good mail")                                                         \
    R(ACCOUNT, 20000, 60000, 0, "wrong passwords of accounts")                                     \
    R(STOLEN, 100, 1000, 1, "reports that an account looks stolen")                                \
    R(ALLOWANCE, 50000, 200000, 0, "recipients of accounts")                                       \
    R(LOGIN, 200, 5000, 1, "logins from new networks")                                             \
    R(KEPT, 100, 250000, 0, "new entries of good mail and logins")                                 \
    R(CLAIM, 3, 20000, 0, "reserved places that change hands")                                     \
    R(SIGHT, 60000, 200000, 0, "clients that the fleet is asked about")                            \
    R(ELSE, 20000, 100000, 0, "records of mixed answers and of backends")

enum disposal_rate {
#define DISPOSAL_RATE_ID(id, a_second, at_once, outside, about) DISPOSAL_##id,
    DISPOSAL_RATES(DISPOSAL_RATE_ID)
#undef DISPOSAL_RATE_ID
        DISPOSAL_RATE_COUNT
};

struct disposal_rules {
    struct tarpit_rules tarpit;
    double raise_most; /* the highest offences that a list or a trap gives */
};

/* Of one worker; all zero at first, but for `maker` and `logins`. */
struct disposal {
    struct {
        double level;
        uint64_t at;
        uint64_t refused; /* how often something was beyond it; the caller may reset it */
    } rate[DISPOSAL_RATE_COUNT];
    double due;             /* credit that the last offence may cost its client and correspondent */
    double due_added;       /* the part of it for what that offence has added */
    uint64_t due_network;   /* label: whose */
    double spent;           /* good mail that was spent, and not yet used to lower offences */
    uint64_t spent_network; /* label: whose */
    double earned, of_pair; /* good mail that mailboxes have earned, and not yet booked */
    double earned_network;
    double taken;             /* recipients taken from buckets, and not given back */
    uint32_t settled;         /* accounts that had their first login, and its network not yet */
    unsigned maker;           /* which worker it is: 1 to LEDGER_MAKERS; 0: all are one */
    _Atomic uint32_t *logins; /* how many bookings of logins the clerks' answers allow; NULL: any */
};

enum disposal_result {
    DISPOSAL_DONE,     /* as far as there is something to spend or to give back */
    DISPOSAL_TOO_MANY, /* beyond a rate: not done, or not all of it */
    DISPOSAL_WRONG,    /* no true worker proposes that: not done */
};

/* What a rate limits, for people, and whether an attack from outside can reach it. */
const char *disposal_about(enum disposal_rate rate, bool *outside);

/* Carries the proposal out. PROPOSE_ELSE only counts: the caller does it if DISPOSAL_DONE. One that
 * withdraws a record is never refused: the record would say of the next message with the same
 * octets that it was delivered, and that message would be lost. Without a record there may be a
 * second copy. */
enum disposal_result dispose(struct disposal *d, struct ledger *l, const struct disposal_rules *r,
                             const struct proposal *p, uint64_t now);

#endif
