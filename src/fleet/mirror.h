/* The mirror: keeps the ledger, the table of what others know, and the book of shares in step. It
 * is what the fleet process does with a share, without Redis and without a clock, so the tests
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
    uint64_t last_stamp; /* of own shares */
};

/* Shares that are sent from now on have a later stamp than those that were sent before. */
void mirror_turn(struct mirror *m, uint64_t now);

/* Prefetches what mirror_own() reads of the key, or (`theirs`) mirror_take(). */
void mirror_prefetch(const struct mirror *m, const struct ledger_name *n, bool theirs);

/* This member's share of the key with that name, to be sent now. `hash` finds its entry in the
 * ledger; if the entry is gone, the share says "nothing". *seen_ms: its last change, wall ms. */
void mirror_own(struct mirror *m, const struct ledger_name *n, uint64_t hash, uint64_t now,
                struct share *s, uint64_t *seen_ms);

/* Takes a share of another member. True if it was new. */
bool mirror_take(struct mirror *m, uint16_t member, const struct share *s, uint64_t now);

/* Takes a share of this member itself, which Redis has from an earlier run. Raises the ledger's
 * amounts to it, unless the ledger has booked on the key since then. `hash` as above; 0: the
 * label's. */
void mirror_take_own(struct mirror *m, const struct share *s, uint64_t hash, uint64_t now);

/* A person had the key forgotten at that time: earlier shares no longer count. */
void mirror_forget(struct mirror *m, const struct ledger_name *n, uint64_t at, uint64_t now);

#endif
