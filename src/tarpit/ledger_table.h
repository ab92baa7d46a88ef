/* The ledger's table: slots, sets, and how a slot is found and claimed. Private to the ledger;
 * others see ledger.h.
 *
 * A slot is one cache line of eight 64-bit words. Word 0 is the key:
 *
 *     0                 empty
 *     hash | kind       in use; the lowest four bits hold enum ledger_kind and the address family
 *     since << 4 | 15   being claimed since that time (ms)
 *
 * An allowance's kind has the bit of the address family too (it has no address), because the three
 * bits of the kind are used up.
 *
 * Words 2 to 7 carry the key's highest eight bits as a tag; 56 bits are left. A slot changes hands
 * in three steps: the key word is swapped for the claiming mark, the words are cleared under the
 * new tag, the mark is swapped for the new key. So a writer that found its entry and lost it to an
 * eviction fails its compare-and-swap (its tag is gone), and a claimer that is killed leaves a mark
 * that any process may take over a second later. */
#ifndef MIRED_TARPIT_LEDGER_TABLE_H
#define MIRED_TARPIT_LEDGER_TABLE_H

#include <stdatomic.h>

#include "base/mapfile.h"
#include "tarpit/ledger.h"

enum ledger_word {
    WORD_KEY,
    WORD_LABEL,    /* the address, readable for people; written once, when claimed */
    WORD_OFFENCES, /* amounts: see ledger_amount.h */
    WORD_GOOD,
    WORD_TURN,  /* tag 8 | paced 1 | pass 13 | end, wall ms 42 */
    WORD_DEBT,  /* tag 8 | delivered 14 | end, wall ms 42 */
    WORD_FLAGS, /* tag 8 | enum ledger_flag 8 | mark 24 | patience, ms 24 */
    WORD_SEEN,  /* tag 8 | exempt until 24, or marks | last change, wall s 32 */
    WORD_COUNT
};

/* LEDGER_ACCOUNT_NETWORK entries have the time of the first login in WORD_TURN, and LEDGER_ALLOWANCE
 * entries have a layout of their own (ledger_allowance.c). No edition of the file tells of them:
 * where an earlier version has written the file they are missing, and an earlier version that gets
 * the file back leaves them alone.
 *
 * LEDGER_PAIR and LEDGER_MAILBOXES entries keep a sketch of a day's mailboxes instead of offences,
 * turn, debt and flags: tag 8 | day 16 | bits 40, and three times tag 8 | bits 56. */
enum { LEDGER_SKETCH_DAY_SHIFT = 40, LEDGER_SKETCH_BITS = 40 + 3 * 56 };

struct ledger_slot {
    _Alignas(64) _Atomic uint64_t word[WORD_COUNT];
};
_Static_assert(sizeof(struct ledger_slot) == 64, "an entry is one cache line");

enum { LEDGER_WAYS = 8 };

/* How many of the LEDGER_WAYS slots are reserved for entries for which ledger_is_kept() is true. */
enum { LEDGER_KEPT = 4 };

/* An end of an exemption below this is none, but the marks of ledger_reserve.c. */
enum { LEDGER_MARKS = 128 };

/* A claiming mark older than this may be taken over. */
enum { LEDGER_CLAIM_MS = 1000 };

/* The body of the file begins with one line of counters; the slots follow. `edition` says which
 * rules the amounts were booked by: 0 up to version 0.1 (ledger_edition.c). */
struct ledger_head {
    _Alignas(64) _Atomic uint64_t entries;
    _Atomic uint64_t evictions;
    _Atomic uint64_t edition;
    _Atomic uint64_t forgotten; /* how many entries people have had forgotten */
    /* ledger_clock.c; 0 in files of earlier versions, which leave them alone */
    _Atomic uint64_t start; /* of the machine: its name 32, how long it was off before, s 32 */
    _Atomic uint64_t ahead; /* the wall clock of the clock since then, ms */
    _Atomic uint64_t began; /* wall ms: the first look since then */
    _Atomic uint64_t last;  /* wall ms: about when something was booked last */
};
_Static_assert(sizeof(struct ledger_head) == 64, "one line, as in all versions");

/* The last events that a process has written, by key, and their numbers: what the reader has not
 * reached yet need not be told again (ledger_others.c). */
enum { OTHERS_TOLD = 16 };
struct others_told {
    uint64_t hash[OTHERS_TOLD], number[OTHERS_TOLD];
    uint8_t what[OTHERS_TOLD];
};

struct ledger {
    struct mapfile file;
    struct ledger_head *head;
    struct ledger_slot *slot;
    uint64_t sets;                /* of LEDGER_WAYS slots */
    struct ledger_others *others; /* R25; NULL: none */
    struct others_told *told;     /* this process' last events for the fleet; NULL without */
    struct proposer
        *proposer; /* of a worker (ledger_proposals.h); NULL: changes the table itself */
    /* Of the keeper, which carries out what was done up to LEDGER_SKEW_MS ago: wall ms. Others judge
     * the age of a claiming mark by their clocks. 0: each change is made when it is done. */
    uint64_t present;
};

enum { LEDGER_TAG_SHIFT = 56 };
#define LEDGER_PAYLOAD ((UINT64_C(1) << LEDGER_TAG_SHIFT) - 1)

/* The end of a turn or a debt has so many bits; the bits above it are other fields. */
enum { LEDGER_END_BITS = 42 };
#define LEDGER_END        ((UINT64_C(1) << LEDGER_END_BITS) - 1)
#define LEDGER_TURN_PACED (UINT64_C(1) << 55)

static inline uint64_t ledger_tag(uint64_t hash)
{
    return hash & ~LEDGER_PAYLOAD;
}

enum { LEDGER_KIND_BITS = 7, LEDGER_KIND_IP6 = 8 };

/* Whether a key word's entry keeps a sketch in place of offences, turn, debt and flags. */
static inline bool ledger_is_sketch(uint64_t key_word)
{
    uint64_t kind = key_word & LEDGER_KIND_BITS;
    return kind == LEDGER_PAIR || kind == LEDGER_MAILBOXES;
}

static inline enum ledger_kind ledger_kind(uint64_t key_word)
{
    bool allowance = (key_word & (LEDGER_KIND_BITS | LEDGER_KIND_IP6)) == LEDGER_ALLOWANCE;
    return allowance ? LEDGER_ALLOWANCE : (enum ledger_kind)(key_word & LEDGER_KIND_BITS);
}

/* Whether an entry has the words as enum ledger_word names them. */
static inline bool ledger_is_common(uint64_t key_word)
{
    return !ledger_is_sketch(key_word) && ledger_kind(key_word) != LEDGER_ALLOWANCE;
}

/* Whether a key word is an entry's, not empty and not a mark. */
bool ledger_in_use(uint64_t key_word);

/* Prefetches the lines that a look-up of `hash` reads first. */
void ledger_prefetch_lines(const struct ledger *l, uint64_t hash);

/* The slot that holds `hash`, or NULL; of a worker, what it has proposed for it. */
struct ledger_slot *ledger_find(const struct ledger *l, uint64_t hash);

/* The same, in the table itself. */
struct ledger_slot *ledger_find_kept(const struct ledger *l, uint64_t hash);

/* The slot that holds the key, claimed for it if need be. NULL only while all slots of its set are
 * being claimed by other processes at this moment, or in a worker without room for another proposal;
 * the caller then books nothing. */
struct ledger_slot *ledger_claim(struct ledger *l, const struct ledger_key *k, uint64_t now);

/* The slot of an entry that exists, for a change; NULL if there is none (ledger.c). */
struct ledger_slot *ledger_find_to_change(struct ledger *l, const struct ledger_key *k,
                                          uint64_t now);

/* Brings the amounts of an earlier edition's file to this one's. Called once, by ledger_open(). */
void ledger_convert(struct ledger *l);

/* The payload of a word; 0 if the word has another entry's tag. */
static inline uint64_t ledger_payload(const struct ledger_slot *slot, enum ledger_word w,
                                      uint64_t hash)
{
    uint64_t word = atomic_load(&slot->word[w]);
    return ledger_tag(word) == ledger_tag(hash) ? word & LEDGER_PAYLOAD : 0;
}

/* Changes one word's payload atomically: `fn` computes the new value from the old one. `fn` may be
 * called several times; if it returns false, the word stays as it is. Returns true if the word was
 * changed, false also if the slot belongs to another key by now. */
typedef bool ledger_change_fn(uint64_t old, uint64_t *new, void *arg);
bool ledger_change(struct ledger_slot *slot, enum ledger_word w, uint64_t hash,
                   ledger_change_fn *fn, void *arg);

/* Of a payload of WORD_DEBT and of WORD_TURN: the last delivery as wall ms, and back; and an end
 * that can be believed, else 0 (ledger.c). */
uint64_t ledger_delivered_at(uint64_t payload, uint64_t seen_ms, uint64_t now);
uint64_t ledger_delivered_bits(uint64_t at_ms);
static inline uint64_t ledger_believable(uint64_t end, uint64_t now)
{
    return end > now + LEDGER_HORIZON_MS ? 0 : end;
}

/* Of WORD_TURN: the last pass (R22) as wall ms, and back. */
uint64_t ledger_pass_at(uint64_t turn_word, uint64_t seen_ms, uint64_t now);
uint64_t ledger_pass_bits(uint64_t at_ms);

/* How often an amount has halved, for a shift: of 64 bits at most 63. For both tables. */
static inline uint64_t ledger_halvings(uint64_t age_s, uint64_t half_life_s)
{
    uint64_t n = age_s / half_life_s;
    return n < 63 ? n : 63;
}

/* Where the set and the way of a hash are; for both tables. */
static inline uint64_t ledger_set_index(uint64_t hash, uint64_t sets)
{
    return (((hash >> 24) & UINT32_MAX) * sets) >> 32;
}
static inline unsigned ledger_first_way(uint64_t hash)
{
    return (unsigned)(hash >> 4) % LEDGER_WAYS;
}

/* ---- ledger_others.c ---- */

struct ledger_share;

/* Whether there is a fleet. */
bool ledger_is_shared(const struct ledger *l);

/* What others know of the key; false and all zero: nothing. `spent_here` is what this member has
 * spent of their good mail. */
bool ledger_others_get(const struct ledger *l, const struct ledger_key *k,
                       const struct ledger_decay *d, uint64_t now, struct ledger_share *theirs,
                       double *spent_here);

/* Notes that this member has spent so much of what others earned. */
void ledger_others_spend(struct ledger *l, const struct ledger_key *k, const struct ledger_decay *d,
                         uint64_t now, double amount);
void ledger_others_forget(struct ledger *l, const struct ledger_key *k);
void ledger_others_prefetch(const struct ledger *l, const struct ledger_key *k);

/* Tells the fleet process that the key has changed, or (enum others_what) why else it matters. */
void ledger_tell(const struct ledger *l, const struct ledger_key *k, uint8_t what);

/* The common hash of what is no address alone. */
uint64_t ledger_common(const struct ledger *l, uint8_t kind, const struct addr *a,
                       struct span folded_user);

/* Records in the entry that it was changed at `now` (ledger.c). */
void ledger_seen(struct ledger_slot *slot, uint64_t hash, uint64_t now);

/* Whether the entry records a change within the last LEDGER_RECENT_MS, or up to LEDGER_SKEW_MS
 * ahead. */
bool ledger_is_recent(const struct ledger_slot *slot, uint64_t hash, uint64_t now);

#endif
