/* Private to the tarpit: the standing of a client (standing.c) and the booking of offences
 * (booking.c). tarpit.c decides with them. */
#ifndef MIRED_TARPIT_TARPIT_PART_H
#define MIRED_TARPIT_TARPIT_PART_H

#include "tarpit/tarpit.h"

/* A client's state as the rules need it. */
struct standing {
    double own;       /* live offences that its own good mail does not cover */
    double debt;      /* the debt that counts: own, or 0 if its correspondent covers it (R21) */
    uint64_t debt_ms; /* wall ms: when its last offence's hold ends */
    uint64_t turn_ms; /* wall ms: when its last turn ends */
    uint64_t cap;     /* R12, R13 */
    struct ledger_key network; /* the widest bad network around it (R10); hash 0: none, or it
                                  makes no difference to this client */
    bool guilty;
    bool covered;       /* R8, R21: one more offence would still leave it out of debt */
    bool correspondent; /* R21 has made its debt 0 */
    bool newcomer;      /* R10: waits once */
    bool shares;        /* R10: shares turns with the guilty clients of its network */
    bool as_null;       /* R13: judged by what it did as <> as well */
    bool paced;         /* R4 */
    bool secret;        /* R6: turns are pending, so no reply may depend on their verdicts */
    bool delivered;     /* has delivered good mail recently */
    bool met;           /* R22: its greeting need not wait */
    bool free;
};

/* R14: an account whose password is being guessed. `offences` is 0 if the account has logged in
 * from here before. */
struct account {
    struct ledger_key key;
    uint64_t here; /* names the account together with the client's network */
    double offences;
    bool any, known;
};

static inline double more(double a, double b)
{
    return a > b ? a : b;
}

struct standing standing_of(const struct tarpit *t, const struct tarpit_who *who, uint64_t now);

/* What the client's own entry says alone, for a part of the work: most good mail comes from clients
 * that are not in debt, whatever their networks and correspondents are. */
struct own {
    struct ledger_entry entry; /* all zero if it is free by tarpit_is_free() */
    bool clear;  /* neither free nor in debt; false: only its standing says. Next two: if true */
    bool met;    /* R22, without its network */
    bool proven; /* has delivered good mail recently, so it is no newcomer */
};
struct own own_of(const struct tarpit *t, const struct tarpit_who *who, uint64_t now);

/* Like standing_of(), which reads `own` itself. */
struct standing standing_with(const struct tarpit *t, const struct tarpit_who *who,
                              const struct own *own, uint64_t now);

struct account account_of(const struct tarpit *t, const struct tarpit_who *who, struct span user,
                          uint64_t now);

/* The ledger keys that a client's offences are booked on. */
struct ledger_decay tarpit_decay(const struct tarpit *t);
struct addr tarpit_address(const struct tarpit_who *who);
struct ledger_key tarpit_client_key(const struct tarpit_who *who);
struct ledger_key tarpit_network_key(const struct tarpit_who *who);
struct ledger_key tarpit_pair_key(const struct tarpit_who *who);

/* Which entry a client's offences go to: as <>, one of their own (R13). */
struct ledger_key tarpit_offender(const struct tarpit *t, const struct tarpit_who *who);

/* R19 and the exempt list: the client is neither delayed nor booked. */
bool tarpit_is_free(const struct tarpit_who *who);

/* Books an offence on the client, its network and the account, and takes the cost from good mail.
 */
void book_offence(struct tarpit *t, const struct tarpit_who *who, const struct standing *s,
                  const struct account *a, enum offence offence, uint64_t now);

/* R15. */
void book_trap(struct tarpit *t, const struct tarpit_who *who, const struct standing *s,
               uint64_t now);

#endif
