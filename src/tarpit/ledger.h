/* The ledger: the history of each client, network, account and correspondent, in one mapped file
 * that all processes share (docs/tarpit.md, "The ledger").
 *
 * A set-associative table of 64-octet entries. An amount (offences, good mail) decays
 * exponentially; it is stored with the time of its last change and decayed when read. Every field
 * is one 64-bit word that carries a tag of its entry's key and changes by compare-and-swap. So
 * there is no lock that a dead process could keep; a process killed in the middle loses at most its
 * one booking. Keys are SipHashes under the file's own random key.
 *
 * All functions are safe from any process that mapped the file; none blocks, allocates or fails (a
 * full set evicts its weakest entry). In a worker, which can only read the file, those that change
 * an entry propose the change to the keeper (ledger_proposals.h). `now` is wall time in ms and may
 * go back by up to LEDGER_SKEW_MS. */
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
    LEDGER_ALLOWANCE = LEDGER_ACCOUNT | 8, /* R23: what an account has sent (ledger_allowance.h) */
};

/* Names one entry. A key is cheap (one hash or two), so callers make it for each call. It is valid
 * only with the ledger that made it. */
struct ledger_key {
    uint64_t hash;
    uint64_t label; /* the address or network itself, so that a person can read the table; 0 for
                       accounts */
    uint64_t
        common; /* R25: the name of a pair or an account among the members of a fleet; 0: it has
                        none, or the label is the name (ledger_others.h) */
    uint8_t kind;
};

/* Opens or creates the file (NULL: memory only) with room for size/64 entries. Call it before the
 * processes that share the ledger start. Returns 0 or -errno. */
int ledger_open(struct ledger **out, const char *path, uint64_t size);
void ledger_close(struct ledger *l);

/* Version 0.1 has used the file since a later version last did: converts its amounts (ledger_edition.c).
 * Before the processes that share it are started. */
void ledger_convert_again(struct ledger *l);

/* From now on this process can only read the file (base/shared.h). Returns 0 or -errno. */
int ledger_read_only(struct ledger *l);

struct ledger_key ledger_key_client(const struct ledger *l, const struct addr *a);
struct ledger_key ledger_key_network(const struct ledger *l, const struct addr *a);

/* The network of `bits` around addr_inner(a). 24 and 48 give ledger_key_network()'s key; an IPv6
 * address also has networks of 40 and 32 bits (R10). Any other combination, such as 40 bits of a
 * 6to4 or Teredo client, which counts as IPv4, gives a key with hash 0: there is no such entry, and
 * the key must not be used. */
struct ledger_key ledger_key_level(const struct ledger *l, const struct addr *a, unsigned bits);

/* The client's network with the domain of MAIL FROM; case does not matter. */
struct ledger_key ledger_key_pair(const struct ledger *l, const struct addr *a, struct span domain);
struct ledger_key ledger_key_bounces(const struct ledger *l, const struct addr *a);
struct ledger_key ledger_key_mailboxes(const struct ledger *l, const struct addr *a);
struct ledger_key ledger_key_account(const struct ledger *l, struct span user);
struct ledger_key ledger_key_account_network(const struct ledger *l, struct span user,
                                             const struct addr *a);
struct ledger_key ledger_key_allowance(const struct ledger *l, struct span user);

/* Whether `k`, from ledger_next(), is a network that `user` has logged in from, and then which one.
 * Entries of earlier versions do not say which one: false. */
bool ledger_key_is_login(const struct ledger *l, const struct ledger_key *k, struct span user,
                         struct addr *network);

/* The address or network of a key; ADDR_NONE for accounts and mailboxes. */
struct addr ledger_key_addr(const struct ledger_key *k);

/* The length of that network's prefix: 32 and 64 for clients, 24, 48, 40 or 32 for networks. */
unsigned ledger_key_bits(const struct ledger_key *k);

/* The hash of a recipient for the mailbox sketches, from its folded address. Ignores everything
 * from a '+' on in the local part: all sub-addresses are one mailbox. */
uint64_t ledger_mailbox(const struct ledger *l, struct span folded);

/* Prefetches the entry's cache lines for a look-up or booking that follows soon. In a large ledger
 * most of a look-up's cost is the wait for memory, and several prefetches together wait only once.
 * It changes nothing and does not wait. */
void ledger_prefetch(const struct ledger *l, const struct ledger_key *k);

/* A snapshot of one entry, amounts decayed to `now`. All zero when there is none. */
struct ledger_entry {
    double offences, good;
    uint64_t turn_ms;         /* wall ms: when the last verdict's turn ends; 0: never */
    uint64_t debt_ms;         /* wall ms: when the last offence's hold ends; 0: never */
    uint64_t seen_ms;         /* wall ms of the last change; see ledger_delivered() */
    uint64_t exempt_until_ms; /* with LEDGER_EXEMPT: wall ms; 0: no end */
    uint64_t delivered_ms; /* wall ms, to about 9 minutes: the last good mail; 0: none in 48 days */
    uint64_t pass_ms;      /* wall ms, to an hour: R22, the last pass; 0: none in 170 days */
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

/* The same without what other members of a fleet know (R25). */
bool ledger_get_alone(const struct ledger *l, const struct ledger_key *k,
                      const struct ledger_decay *d, uint64_t now, struct ledger_entry *out);

/* Adds to the amount, and returns the new one. */
double ledger_add_offences(struct ledger *l, const struct ledger_key *k,
                           const struct ledger_decay *d, uint64_t now, double weight);
double ledger_add_good(struct ledger *l, const struct ledger_key *k, const struct ledger_decay *d,
                       uint64_t now, double amount);

/* Adds offences, but not beyond `most` live ones; an amount that is higher already stays. */
double ledger_add_offences_to(struct ledger *l, const struct ledger_key *k,
                              const struct ledger_decay *d, uint64_t now, double weight,
                              double most);

/* Takes up to `most` from the good amount, or nothing when there is less than `least`. Returns the
 * amount taken. Concurrent calls never take the same amount twice. */
double ledger_spend_good(struct ledger *l, const struct ledger_key *k, const struct ledger_decay *d,
                         uint64_t now, double least, double most);

/* R8: records a delivery to `mailbox` (ledger_mailbox()) in the sketch of a LEDGER_PAIR or
 * LEDGER_MAILBOXES entry, and returns the credit: 0 if the sketch has the mailbox today, else 1,
 * and up to 4 in a fuller sketch, which corrects for false positives. So a thousand mailboxes a day
 * earn a few hundred, and no entry earns more than LEDGER_EARN_MOST. The day of each entry begins
 * at a secret time that depends on the ledger's key. */
enum { LEDGER_EARN_MOST = 512 };
double ledger_earn(struct ledger *l, const struct ledger_key *k, uint64_t now, uint64_t mailbox);

/* Records that good mail was delivered at `now`.
 *
 * A delivery that would change nothing of an entry but `seen_ms` is recorded once in
 * LEDGER_RECENT_MS: neither this function nor ledger_earn() writes or proposes anything while the
 * entry's last change is more recent. So an entry of steady good mail may look older than it is by
 * that time and no more, and what depends on its age, such as its strength, begins to fade earlier
 * by that time at most. */
enum { LEDGER_RECENT_MS = 60 * 1000 };
void ledger_delivered(struct ledger *l, const struct ledger_key *k, uint64_t now);

/* R22: records that the client has waited for a greeting at `at` (wall ms, not after `now`). A later
 * pass stays. */
void ledger_pass(struct ledger *l, const struct ledger_key *k, uint64_t now, uint64_t at);

/* Raises the offences to `to` live ones; never lowers them. Returns the amount after it. */
double ledger_raise_offences(struct ledger *l, const struct ledger_key *k,
                             const struct ledger_decay *d, uint64_t now, double to);

double ledger_raise_good(struct ledger *l, const struct ledger_key *k, const struct ledger_decay *d,
                         uint64_t now, double to);

/* Takes the next turn of `length` ms: it begins at the later of `now` and the end of the last one
 * taken. When it would begin after `latest`, none is taken and 0 is returned; else its beginning
 * (wall ms; `now` must not be 0). An end more than LEDGER_HORIZON_MS away dates from before the
 * clock was set back and is ignored. */
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

/* Sets `flag` unless it was set within the last `period` ms (to about a minute; 0: ever). True if
 * it did; of several concurrent calls only one gets true. Each entry can have one such flag. */
bool ledger_mark(struct ledger *l, const struct ledger_key *k, uint64_t now, uint32_t flag,
                 uint64_t period);

/* Sets LEDGER_EXEMPT until that wall time, in steps of 256 s; 0: without end. ledger_set_flags()
 * clears it. */
void ledger_exempt(struct ledger *l, const struct ledger_key *k, uint64_t now, uint64_t until);

/* Merges an entry for the same key from another ledger, or from this one at an earlier time `at`
 * (wall ms; its amounts decay from then on). The larger of two amounts, ends and exemptions stays,
 * the later of two passes, the shorter of two patiences, and the flags of both. So a merge lowers nothing, the order does
 * not matter, and a repeated merge changes nothing. ledger_merge.c. */
void ledger_merge(struct ledger *l, const struct ledger_key *k, const struct ledger_decay *d,
                  uint64_t now, const struct ledger_entry *other, uint64_t at);

/* Removes the entry. */
void ledger_forget(struct ledger *l, const struct ledger_key *k);
/* Of a client or network: forgets all but good mail, the last delivery and pass, and an exemption,
 * which stay all the while. ledger_forget.c. */
void ledger_forgive(struct ledger *l, const struct ledger_key *k);

/* Iterates over all entries, in no order; other processes may change them meanwhile. *at is 0 at
 * first; false at the end. `who` is the address or network for those kinds. */
bool ledger_next(const struct ledger *l, uint64_t *at, const struct ledger_decay *d, uint64_t now,
                 struct ledger_key *key, struct addr *who, struct ledger_entry *out);

struct ledger_stats {
    uint64_t capacity, entries, evictions; /* off by the slots that killed processes had claimed */
};
struct ledger_stats ledger_stats(const struct ledger *l);

#endif
