/* How workers change the ledger: they cannot write it. A worker writes proposals into a ring that it
 * shares with the keeper, and the keeper, which owns the ledger, checks each one and carries it out
 * (ledger_disposal.h). So a worker that an attacker has taken over changes nothing by itself.
 *
 * Until the keeper has carried out a proposal, the worker sees its effect in a table of its own, so
 * a booking costs no wait. Other workers see it a moment later. Turns and allowances must
 * not wait for that, because two connections to two workers must never get the same turn, or the
 * same rest of an allowance: all workers share a table of the ends of turns and of what accounts
 * send (struct turns), and take both there by compare-and-swap (ledger_accounts.h).
 *
 * A process without proposals (the keeper, web, the simulator, tests) changes the ledger itself.
 * Nothing blocks. When the ring is full, because the keeper is away, nothing is booked. */
#ifndef MIRED_TARPIT_LEDGER_PROPOSALS_H
#define MIRED_TARPIT_LEDGER_PROPOSALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tarpit/ledger.h"

enum proposal_op {
    PROPOSE_OFFENCES = 1, /* x: how many; negative: paid for with good mail. y: the most */
    PROPOSE_RAISE,        /* offences; x: to */
    PROPOSE_EARN,         /* a: the mailbox */
    PROPOSE_GOOD,         /* x: how many, as earned */
    PROPOSE_SPEND,        /* x: how much of the good mail */
    PROPOSE_DELIVERED,
    PROPOSE_PASS,     /* a: when */
    PROPOSE_TURN,     /* a: its end; b: 1: paced */
    PROPOSE_DEBT,     /* a: its end */
    PROPOSE_PATIENCE, /* a: ms */
    PROPOSE_FLAGS,    /* a: to set */
    PROPOSE_MARK,     /* a: the flag; b: the period */
    PROPOSE_TAKE,     /* a: enum ledger_bucket | recipients << 8; b: most << 32 | period, s */
    PROPOSE_GIVE,     /* the same */
    PROPOSE_LOGIN,    /* a: since */
    PROPOSE_SETTLE,
    PROPOSE_REFUSED, /* a: hash of the network */
    PROPOSE_STOLEN,  /* a: until */
    PROPOSE_SIGHT,   /* of the fleet: a decision about the key comes */
    PROPOSE_ELSE,    /* not for the ledger: a record of another room's memory, which the keeper owns
                      * too; b: until when it counts, past: it is withdrawn */
    PROPOSE_COUNT
};

struct proposal {
    uint64_t now; /* wall ms */
    uint64_t hash, label, common;
    uint64_t a;
    union {
        uint64_t b;
        double y;
    };
    double x;
    uint8_t op, kind; /* enum proposal_op; enum ledger_kind */
};

/* ---- shared memory ---- */

/* A worker's ring, and the table of turns. proposals_size() and turns_size() are the sizes in octets
 * of the mappings, whole pages, zero at first. */
struct proposals;
struct turns;
size_t proposals_size(void);
size_t turns_size(void);

/* ---- for a worker ---- */

/* From now on the ledger of this process proposes its changes. `turns` may be NULL. Returns 0 or
 * -ENOMEM. ledger_close() ends it. */
int ledger_propose_to(struct ledger *l, struct proposals *p, struct turns *turns);

/* Writes a proposal. False if the ring is full. Its last places are for PROPOSE_ELSE, so that a flood
 * of bookings while the keeper is away loses no record of a message. */
bool proposals_write(struct proposals *p, const struct proposal *what);

/* True if the keeper sleeps and proposals wait for it: the caller then wakes it. */
bool proposals_must_wake(struct proposals *p);

/* Whether the keeper has carried out all of them. */
bool proposals_are_done(const struct proposals *p);

/* The worker waits no longer for what it has written, and goes on as if nothing of it were done. */
void proposals_give_up(struct proposals *p);

/* How many the keeper has yet to carry out. Of any process that has the mapping. */
uint64_t proposals_waiting(const struct proposals *p);

/* Says whether a worker uses the ring. */
void proposals_attach(struct proposals *p, bool attached);

/* Of records of messages (PROPOSE_ELSE). One that is withdrawn stays in its table until the keeper
 * removes it, and says meanwhile of the next message with the same octets that it was delivered: that
 * message would be lost. So no worker believes a record while the keeper may not have removed it.
 *
 * turns_withdraw() is called after the withdrawal of `key` was written into `p`; `lost`: the ring had
 * no place for it, and records with this key are never believed again. turns_may_believe() is called
 * before the table is read. It may be false without need, for one key in thousands: then there is a
 * second copy. Of any worker; `generation` is the worker's. `t` may be NULL. */
void turns_withdraw(struct turns *t, uint32_t generation, const struct proposals *p, uint64_t key,
                    bool lost);
bool turns_may_believe(const struct turns *t, uint64_t key);

/* The wall clock was set by `by_ms` and is `now` (ms): the ends of turns move with it. Of any process;
 * a turn that is taken at this moment may move as well. */
void turns_clock_was_set(struct turns *t, int64_t by_ms, uint64_t now);

/* ---- for the keeper ---- */

bool proposals_are_attached(const struct proposals *p);

/* Reads the next proposal. False if there is none. The proposal may contain anything. */
bool proposals_read(struct proposals *p, struct proposal *out);

/* Whether the worker has given up the one that was read last. A keeper that asks after it has carried
 * it out, and hears no, knows that the worker has gone on later than that. */
bool proposals_are_given_up(const struct proposals *p);

/* Reads again those that a keeper had read when it died, from the oldest: it may not have carried out
 * the last. *at is 0 at first, and counts. proposals_finish() ends it. */
bool proposals_read_again(const struct proposals *p, uint32_t *at, struct proposal *out);

/* A round through the rings of all workers of a generation, from its beginning until none of them has
 * a proposal left; a round that leaves some has no end. Of any process. */
struct turns_round {
    uint32_t generation;
    uint64_t of_accounts, of_records; /* their numbers */
};
struct turns_round turns_begin_round(struct turns *t, uint32_t generation);
void turns_end_round(struct turns *t, struct turns_round round);

/* The proposals that were read have been carried out. */
void proposals_finish(struct proposals *p);

/* Asks to be woken for the next proposal. False if one is there already. */
bool proposals_sleep(struct proposals *p);

#endif
