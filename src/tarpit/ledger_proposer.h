/* A worker's side of ledger_proposals.h: what it has proposed and the keeper has not yet carried
 * out. Private to the ledger. */
#ifndef MIRED_TARPIT_LEDGER_PROPOSER_H
#define MIRED_TARPIT_LEDGER_PROPOSER_H

#include "tarpit/ledger_proposals.h"
#include "tarpit/ledger_table.h"

struct proposer;

void proposer_close(struct proposer *p);

/* The entry with what this process has proposed; NULL if it has proposed nothing that is not yet in
 * the table. Of an allowance: with what all workers have proposed (ledger_accounts.h). */
struct ledger_slot *proposer_find(const struct ledger *l, uint64_t hash);

/* A copy of the entry that this process may change, before it proposes the change. NULL: no room,
 * because the keeper is away. */
struct ledger_slot *proposer_claim(struct ledger *l, const struct ledger_key *k, uint64_t now);

/* The ledger's entry, if it is time to compare this word of `slot`, which workers share, with it; else
 * NULL. */
const struct ledger_slot *proposer_compare(const struct ledger *l, const struct ledger_slot *slot,
                                           enum ledger_word w, uint64_t hash, uint64_t now);

/* Proposes; without a proposer it does nothing. */
void ledger_propose(const struct ledger *l, const struct ledger_key *k, uint64_t now,
                    struct proposal what);

/* How many proposals there have been, and how many of them are carried out. */
uint64_t proposer_number(const struct proposer *p, uint64_t *done);

/* The next turn, as ledger_take_turn_from(): its beginning, or 0. `taken` is the last end that the
 * caller knows of. */
uint64_t proposer_take_turn(struct proposer *p, uint64_t hash, uint64_t now, uint64_t from,
                            uint64_t length, uint64_t latest, uint64_t taken);

#endif
