/* The book: each member's share of each key, in the memory of the fleet process.
 *
 * There is one register for each key and member. It keeps the share with the latest time; each
 * member is the only writer of its own registers. What the others know of a key is the sum of the
 * registers. So the order of arrival does not matter, nor does a share that arrives twice, or one
 * that is lost and sent again (docs/fleet.md says which CRDT that is). Amounts decay when they are
 * read.
 *
 * The size is fixed. When the book is full, it drops the share that counts least among a few; Redis
 * still has that share. Time is an argument (wall ms). For one thread. */
#ifndef MIRED_FLEET_BOOK_H
#define MIRED_FLEET_BOOK_H

#include "fleet/share.h"

struct book;

enum { BOOK_SELF = 0 }; /* the member number of this mired */

/* Room for `places` shares; it takes memory only as it fills. 0 or -errno. */
int book_open(struct book **out, uint32_t places);
void book_close(struct book *b);

/* Takes a share that `member` sent. True if it is later than the member's earlier one. Of two with
 * the same stamp the larger one stays, so that the order does not matter. A stamp that is more than
 * SHARE_AHEAD_MS in the future counts as the earliest: Redis' clock was wrong when it was given. */
bool book_take(struct book *b, uint16_t member, const struct share *s,
               const struct tarpit_rules *rules, uint64_t now);

/* The sum of the shares of all members except BOOK_SELF, decayed to `now`. A DNS list or a file
 * gives each member the same first offences of a client, so these count only once; `own` is what
 * this member has booked itself. */
void book_sum(const struct book *b, const struct ledger_name *n, const struct ledger_share *own,
              const struct tarpit_rules *rules, uint64_t now, struct ledger_share *sum);

/* Prefetches the beginning of the key's chain. */
void book_prefetch(const struct book *b, const struct ledger_name *n);

/* How many members except BOOK_SELF have a share of the key. */
unsigned book_sharers(const struct book *b, const struct ledger_name *n);

/* Forgets the shares of the key up to `stamp_ms`, and those from the future. `fleet_now` is fleet time.
 * True if there were any. */
bool book_forget(struct book *b, const struct ledger_name *n, uint64_t stamp_ms,
                 uint64_t fleet_now);

/* This machine's wall clock was set by so much: what was said keeps its age. */
void book_clock_was_set(struct book *b, int64_t by_ms);

/* book_note() remembers which entry of this ledger a pair or account is, so that it can be sent
 * again later. The other function goes through those entries: *at is 0 at first; false at the
 * end. */
void book_note(struct book *b, const struct ledger_name *n, uint64_t hash, uint64_t now);
bool book_next_noted(const struct book *b, uint32_t *at, struct ledger_name *n, uint64_t *hash);

/* Goes through the shares of all other members, as above. */
bool book_next(const struct book *b, uint32_t *at, struct ledger_name *n);

/* Looks at some of the places and frees those that no longer count. Call it regularly. */
void book_tend(struct book *b, const struct tarpit_rules *rules, uint64_t now);

uint32_t book_count(const struct book *b);

#endif
