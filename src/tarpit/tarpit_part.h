/* Private to the tarpit: what is known of the client that asks (standing.c), and how an offence is
 * booked (booking.c). tarpit.c decides with them. */
#ifndef MIRED_TARPIT_TARPIT_PART_H
#define MIRED_TARPIT_TARPIT_PART_H

#include "tarpit/tarpit.h"

/* What the rules need to know of a client. */
struct standing {
    double own;       /* live offences that its own good mail does not cover */
    double debt;      /* what it is judged by: own, but 0 where its correspondent covers it (R21) */
    uint64_t debt_ms; /* wall ms: when its last offence's hold ends */
    uint64_t turn_ms; /* wall ms: when its last turn ends */
    uint64_t cap;     /* R12, R13 */
    struct ledger_key network; /* the widest bad network around it (R10); hash 0: none */
    bool guilty;
    bool covered;       /* R8, R21: one more offence would still leave it out of debt */
    bool correspondent; /* R21 has made its debt 0 */
    bool newcomer;      /* R10: waits once */
    bool shares;        /* R10: takes turns with the guilty of its network */
    bool as_null;       /* R13: judged by what it did as <> as well */
    bool paced;         /* R4 */
    bool secret; /* R6: turns are still to come, so nothing may depend on how their verdicts are */
    bool delivered; /* good mail, lately */
    bool free;
};

/* R14: an account that is being guessed at. `offences` is 0 where it has logged in before. */
struct account {
    struct ledger_key key;
    double offences;
    bool any, known;
};

struct standing standing_of(const struct tarpit *t, const struct tarpit_who *who, uint64_t now);
struct account account_of(const struct tarpit *t, const struct tarpit_who *who, struct span user,
                          uint64_t now);

/* Keys of what the client's questions are booked on. */
struct ledger_decay tarpit_decay(const struct tarpit *t);
struct addr tarpit_address(const struct tarpit_who *who);
struct ledger_key tarpit_client_key(const struct tarpit_who *who);
struct ledger_key tarpit_network_key(const struct tarpit_who *who);
struct ledger_key tarpit_pair_key(const struct tarpit_who *who);

/* Which entry a client's offences go to: as <>, one of their own (R13). */
struct ledger_key tarpit_offender(const struct tarpit *t, const struct tarpit_who *who);

/* R19 and the exempt list: neither delayed nor booked. */
bool tarpit_is_free(const struct tarpit_who *who);

/* Books an offence on the client, its network and the account, and has good mail pay for it. */
void book_offence(struct tarpit *t, const struct tarpit_who *who, const struct standing *s,
                  const struct account *a, enum offence offence, uint64_t now);

/* R15. */
void book_trap(struct tarpit *t, const struct tarpit_who *who, const struct standing *s,
               uint64_t now);

#endif
