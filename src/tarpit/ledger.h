/* The ledger: what is known of each client, network, account and correspondent, in one mapped file
 * that all processes share (docs/tarpit.md, "The ledger").
 *
 * A set-associative table of 64-octet entries. An amount (offences, good mail) decays by halves; it
 * is kept with the time of its last change and decayed when read. Every field is one 64-bit word
 * that carries a tag of its entry's key and is changed by compare-and-swap: there is no lock that a
 * dead process could keep, and one killed in the middle leaves at worst its one booking undone.
 * Keys are SipHashes under the file's own random key.
 *
 * All functions are safe from any process that mapped the file; none blocks, allocates or fails (a
 * full set evicts its weakest entry). `now` is wall time in ms and may go back by up to
 * LEDGER_SKEW_MS. */
#ifndef MIRED_TARPIT_LEDGER_H
#define MIRED_TARPIT_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/bytes.h"

struct ledger; /* opaque */

enum { LEDGER_SKEW_MS = 5000, LEDGER_HORIZON_MS = 30 * 60 * 1000 };

enum ledger_kind {
    LEDGER_CLIENT = 1,
    LEDGER_NETWORK,
    LEDGER_ACCOUNT,
    LEDGER_ACCOUNT_NETWORK,
    LEDGER_PAIR,      /* R21: a network and a sender's domain: credit, and today's mailboxes */
    LEDGER_BOUNCES,   /* R13: what a client did as <> */
    LEDGER_MAILBOXES, /* R8: the mailboxes that a client has delivered to today */
};

/* Says which entry a function is about. Keys are cheap (one hash or two), so callers make them for
 * each call and keep none beside the ledger that made them. */
struct ledger_key {
    uint64_t hash;
    uint64_t label; /* the address itself, so that a person can read the table; 0 for accounts */
    uint8_t kind;
};

/* Opens or begins the file (NULL: memory only) with room for size/64 entries. Returns 0 or -errno.
 * Before the processes that share it are started. */
int ledger_open(struct ledger **out, const char *path, uint64_t size);
void ledger_close(struct ledger *l);

struct ledger_key ledger_key_client(const struct ledger *l, const struct addr *a);
struct ledger_key ledger_key_network(const struct ledger *l, const struct addr *a);

/* The network of `bits` around addr_inner(a). 24 and 48 give ledger_key_network()'s key; an IPv6
 * address also has networks of 40 and 32 bits (R10). Any other combination, such as 40 bits of a
 * 6to4 or Teredo client, which counts as IPv4, gives a key with hash 0: there is no such entry, and
 * the key must not be used. */
struct ledger_key ledger_key_level(const struct ledger *l, const struct addr *a, unsigned bits);

/* The client's network and the domain of MAIL FROM, which is taken without regard to case. */
struct ledger_key ledger_key_pair(const struct ledger *l, const struct addr *a, struct span domain);
struct ledger_key ledger_key_bounces(const struct ledger *l, const struct addr *a);
struct ledger_key ledger_key_mailboxes(const struct ledger *l, const struct addr *a);
struct ledger_key ledger_key_account(const struct ledger *l, struct span user);
struct ledger_key ledger_key_account_network(const struct ledger *l, struct span user,
                                             const struct addr *a);

/* The address or network that a key is of; ADDR_NONE for accounts and mailboxes. */
struct addr ledger_key_addr(const struct ledger_key *k);

/* The length of that network's prefix: 32 and 64 for clients, 24, 48, 40 or 32 for networks. */
unsigned ledger_key_bits(const struct ledger_key *k);

/* A recipient as the mailbox sketches know it, from its folded address. What stands behind a '+' in
 * the local part does not count: all sub-addresses are one mailbox. */
uint64_t ledger_mailbox(const struct ledger *l, struct span folded);

/* Says that the entry is soon to be looked up or booked on: memory is asked for its lines while the
 * caller goes on with something else. In a large ledger that wait is most of what a look-up costs,
 * and two entries that are expected together cost one. A hint: changes nothing, waits for nothing.
 */
void ledger_prefetch(const struct ledger *l, const struct ledger_key *k);

/* A snapshot of one entry, amounts decayed to `now`. All zero when there is none. */
struct ledger_entry {
    double offences, good;
    uint64_t turn_ms;         /* wall ms: when the last verdict's turn ends; 0: never */
    uint64_t debt_ms;         /* wall ms: when the last offence's hold ends; 0: never */
    uint64_t seen_ms;         /* wall ms of the last change */
    uint64_t exempt_until_ms; /* with LEDGER_EXEMPT: wall ms; 0: for good */
    uint64_t delivered_ms; /* wall ms, to about 9 minutes: the last good mail; 0: none in 48 days */
    uint32_t patience_ms;  /* 0: not known */
    uint32_t flags;        /* enum ledger_flag; LEDGER_EXEMPT only while it lasts */
    bool paced;            /* R4: one of the turns up to turn_ms was taken whatever its verdict */
};

enum ledger_flag {
    LEDGER_SUSPECT = 1,
    LEDGER_TRAPPED = 2,
    LEDGER_EXEMPT = 4,
    LEDGER_KNOWN = 8,
    LEDGER_COUNTED = 16 /* of a network: it is counted in the next wider one (R10) */
};

struct ledger_decay {
    uint64_t half_life, good_half_life; /* ms; 0: never fades */
};

bool ledger_get(const struct ledger *l, const struct ledger_key *k, const struct ledger_decay *d,
                uint64_t now, struct ledger_entry *out);

/* Adds and returns the amount after it. */
double ledger_add_offences(struct ledger *l, const struct ledger_key *k,
                           const struct ledger_decay *d, uint64_t now, double weight);
double ledger_add_good(struct ledger *l, const struct ledger_key *k, const struct ledger_decay *d,
                       uint64_t now, double amount);

/* Adds offences, but not beyond `most` live ones; an amount that is higher already stays. */
double ledger_add_offences_to(struct ledger *l, const struct ledger_key *k,
                              const struct ledger_decay *d, uint64_t now, double weight,
                              double most);

/* Takes up to `most` of the good amount away, or nothing when there is less than `least`. Returns
 * what it took. Of several processes that spend at once no two get the same. */
double ledger_spend_good(struct ledger *l, const struct ledger_key *k, const struct ledger_decay *d,
                         uint64_t now, double least, double most);

/* R8: notes that `mailbox` (ledger_mailbox()) was delivered to, in the sketch of a LEDGER_PAIR or
 * LEDGER_MAILBOXES entry, and returns what it earns: 0 when the sketch has it today, else 1, and up
 * to 4 in a sketch that is fuller, to make up for those that it takes for known. So a thousand
 * mailboxes a day earn a few hundred, and nothing earns more than LEDGER_EARN_MOST. The day of each
 * entry begins at a moment that only the ledger's key tells. */
enum { LEDGER_EARN_MOST = 512 };
double ledger_earn(struct ledger *l, const struct ledger_key *k, uint64_t now, uint64_t mailbox);

/* Good mail has come from it just now. */
void ledger_delivered(struct ledger *l, const struct ledger_key *k, uint64_t now);

/* Raises the offences to `to` live ones; never lowers them. Returns the amount after it. */
double ledger_raise_offences(struct ledger *l, const struct ledger_key *k,
                             const struct ledger_decay *d, uint64_t now, double to);

double ledger_raise_good(struct ledger *l, const struct ledger_key *k, const struct ledger_decay *d,
                         uint64_t now, double to);

/* Takes the next turn of `length` ms: it begins at the later of `now` and the end of the last one
 * taken. When it would begin after `latest`, none is taken and 0 is returned; else its beginning
 * (wall ms; `now` must not be 0). An end more than LEDGER_HORIZON_MS away is one from before the
 * clock was set back, and is not believed. */
uint64_t ledger_take_turn(struct ledger *l, const struct ledger_key *k, uint64_t now,
                          uint64_t length, uint64_t latest);

/* The same, but it begins no earlier than `from`, and with `paced` the entry says that it is paced
 * until its turns have run out. */
uint64_t ledger_take_turn_from(struct ledger *l, const struct ledger_key *k, uint64_t now,
                               uint64_t from, uint64_t length, uint64_t latest, bool paced);

/* Raises the end of the last turn taken to `until`; never lowers it. `paced` as above. */
void ledger_raise_turn(struct ledger *l, const struct ledger_key *k, uint64_t now, uint64_t until,
                       bool paced);

/* Raises the debt's end to `until`; never lowers it. */
void ledger_set_debt(struct ledger *l, const struct ledger_key *k, uint64_t now, uint64_t until);
void ledger_set_patience(struct ledger *l, const struct ledger_key *k, uint64_t now,
                         uint32_t patience_ms);
void ledger_set_flags(struct ledger *l, const struct ledger_key *k, uint64_t now, uint32_t set,
                      uint32_t clear);

/* Sets `flag` unless that was done within the last `period` ms (to about a minute; 0: ever), and
 * tells whether it did: of several processes that ask at the same time, one is told true. One such
 * flag an entry. */
bool ledger_mark(struct ledger *l, const struct ledger_key *k, uint64_t now, uint32_t flag,
                 uint64_t period);

/* LEDGER_EXEMPT until that wall time, in steps of 256 s; 0: for good. ledger_set_flags() takes it
 * back. */
void ledger_exempt(struct ledger *l, const struct ledger_key *k, uint64_t now, uint64_t until);

/* Takes in what another ledger, or this one earlier, knew of the same key at `at` (wall ms; its
 * amounts are decayed from then on). Of two amounts, ends and exemptions the larger stays, of two
 * patiences the shorter, and flags of both; so nothing is lowered, the order of merges does not
 * matter, and a second time changes nothing. ledger_merge.c. */
void ledger_merge(struct ledger *l, const struct ledger_key *k, const struct ledger_decay *d,
                  uint64_t now, const struct ledger_entry *other, uint64_t at);

/* Removes the entry: as if it had never been seen. */
void ledger_forget(struct ledger *l, const struct ledger_key *k);

/* Goes over all entries (in no order, others may change them meanwhile). *at is 0 at first; false
 * at the end. `who` is the address or network for those kinds. */
bool ledger_next(const struct ledger *l, uint64_t *at, const struct ledger_decay *d, uint64_t now,
                 struct ledger_key *key, struct addr *who, struct ledger_entry *out);

struct ledger_stats {
    uint64_t capacity, entries,
        evictions; /* entries may be off by as many as were claimed by the killed */
};
struct ledger_stats ledger_stats(const struct ledger *l);

#endif
