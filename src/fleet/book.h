/* The book: what each member has said of each key, in the memory of the fleet process.
 *
 * One register a key and member, in which the share with the later time stays (each member is the
 * only writer of its own). What the others know of a key is the sum of the registers. So the order
 * of arrival, repetition and loss with a later repetition change nothing (docs/fleet.md says which
 * CRDT that is). Amounts decay when they are read.
 *
 * Of fixed size: when it is full, what counts least of a few makes room; Redis still has it. Time
 * is an argument (wall ms). One thread. */
#ifndef MIRED_FLEET_BOOK_H
#define MIRED_FLEET_BOOK_H

#include "fleet/share.h"

struct book;

enum { BOOK_SELF = 0 }; /* the member number of this mired */

/* Room for `places` shares; memory is taken as it fills. 0 or -errno. */
int book_open(struct book **out, uint32_t places);
void book_close(struct book *b);

/* Takes what `member` says. True: it is later than what it has said before. */
bool book_take(struct book *b, uint16_t member, const struct share *s,
               const struct tarpit_rules *rules, uint64_t now);

/* The sum of what all members but BOOK_SELF have of the key, live at `now`. A DNS list or a file
 * gives each member the same first offences of a client, so these count once in all: `own` is what
 * this member has booked itself. */
void book_sum(const struct book *b, const struct ledger_name *n, const struct ledger_share *own,
              const struct tarpit_rules *rules, uint64_t now, struct ledger_share *sum);

/* How many members but BOOK_SELF have a share of the key. */
unsigned book_sharers(const struct book *b, const struct ledger_name *n);

/* Forgets what members have said of the key up to `stamp_ms`. True: there was something. */
bool book_forget(struct book *b, const struct ledger_name *n, uint64_t stamp_ms);

/* Remembers which entry of this ledger a pair or account is, for a later repetition; and goes
 * through those: *at is 0 at first, false at the end. */
void book_note(struct book *b, const struct ledger_name *n, uint64_t hash, uint64_t now);
bool book_next_noted(const struct book *b, uint32_t *at, struct ledger_name *n, uint64_t *hash);

/* Goes through all that other members have said, as above. */
bool book_next(const struct book *b, uint32_t *at, struct ledger_name *n);

/* Looks at some of the places and frees those that count no more. Call it regularly. */
void book_tend(struct book *b, const struct tarpit_rules *rules, uint64_t now);

uint32_t book_count(const struct book *b);

#endif
