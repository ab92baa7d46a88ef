/* The mirror: between the ledger, the table of what others know, and the book of who said what.
 * What the fleet process does with a share, without Redis and without a clock, so that the tests
 * drive it in virtual time. */
#ifndef MIRED_FLEET_MIRROR_H
#define MIRED_FLEET_MIRROR_H

#include "fleet/book.h"
#include "tarpit/ledger_others.h"

struct mirror {
    struct ledger *ledger; /* borrowed, as the rest */
    struct ledger_others *others;
    struct book *book;
    struct tarpit_rules rules;
    int64_t skew;        /* the fleet's time less this machine's */
    uint64_t last_stamp; /* of own shares: each is later than the one before */
};

/* The own share of the key with that name, whose entry in the ledger has that hash, as it is to be
 * sent now: it says "nothing" where the entry is gone. *seen_ms: its last change, wall ms. */
void mirror_own(struct mirror *m, const struct ledger_name *n, uint64_t hash, uint64_t now,
                struct share *s, uint64_t *seen_ms);

/* A share of another member. True: it was news. */
bool mirror_take(struct mirror *m, uint16_t member, const struct share *s, uint64_t now);

/* A share of this member's own, as Redis has it from an earlier life. Raises what the ledger lacks,
 * unless the ledger has booked on the key since then. `hash` as above; 0: it has the label's. */
void mirror_take_own(struct mirror *m, const struct share *s, uint64_t hash, uint64_t now);

/* A person has had the key forgotten at that time: nothing said before counts. */
void mirror_forget(struct mirror *m, const struct ledger_name *n, uint64_t at, uint64_t now);

#endif
