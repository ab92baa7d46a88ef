/* How one word of a ledger's entry changes. For ledger.c and ledger_times.c. */
#ifndef MIRED_TARPIT_LEDGER_CHANGE_H
#define MIRED_TARPIT_LEDGER_CHANGE_H

#include "tarpit/ledger_others.h"
#include "tarpit/ledger_table.h"

/* How a word changes: from its payload to a new one. Returns false to leave it as it is. */
struct word_change {
    uint64_t now;
    uint64_t a, b, from; /* arguments of the function below */
    double amount, limit, taken;
    bool raise;
    uint64_t old, new; /* payloads, after the change */
};

typedef bool word_change_fn(struct word_change *c);

/* Finds or creates the entry, records the time, and changes one of its words. False if the word
 * stays, or the table has no place. */
bool ledger_book(struct ledger *l, const struct ledger_key *k, enum ledger_word w,
                 word_change_fn *fn, struct word_change *c);

/* What others know of the key; all zero without a fleet. *spent_here: of that, what this member has
 * spent. */
struct ledger_share ledger_others_of(const struct ledger *l, const struct ledger_key *k,
                                     const struct ledger_decay *d, uint64_t now,
                                     double *spent_here);

#endif
