/* The table below the memory of mixed answers: a mapped, set-associative table of 32-octet entries
 * that all workers share. Private to partial_delivery.c, which knows what entries mean, and
 * partial_share.c, which shares them with a fleet.
 *
 * A writer writes the key last, and a reader checks the key again after reading, so a reader sees a
 * complete entry or none. If two writers write the same place, one of the two entries remains, or
 * one with a wrong check, which counts as none. A retry is then treated as a first try: before the
 * data that does no harm, after it there may be a duplicate, but never a loss. */
#ifndef MIRED_RELAY_PARTIAL_TABLE_H
#define MIRED_RELAY_PARTIAL_TABLE_H

#include <stdatomic.h>

#include "base/mapfile.h"
#include "relay/partial_delivery.h"

enum { PARTIAL_SETS = 8192, PARTIAL_WAYS = 8 };

/* The longest time that an entry counts, and a day for clocks that are not the same: `settle` and what
 * is known of a backend are up to 30 days. */
#define PARTIAL_LONGEST_MS (UINT64_C(31) * 86400 * 1000)

/* What an entry is about; the first three are shared with a fleet. A MARK says that there are
 * entries of a sender and a recipient whose keys contain a message's hash; MARKED_FROM says from
 * when on all of these have one. COMMON has the key of a fleet. */
enum partial_what { DELIVERED = 1, MIXED, GROUP, BACKEND, MARK, MARKED_FROM, COMMON };

/* The lowest bits of `flags` are enum partial_what; 0: of an earlier version, or not shared. */
enum {
    PARTIAL_WHAT = 7,
    PARTIAL_OF_OTHERS = 8, /* from another member of the fleet */
    PARTIAL_TOLD = 16,     /* the other members have been told */
    PARTIAL_ELSEWHERE = 32 /* they may know an earlier one of that name */
};

/* The value of an entry that was told and does not count any more. */
#define PARTIAL_GONE UINT64_MAX

struct partial_entry {
    _Atomic uint64_t key;   /* 0: none */
    _Atomic uint64_t until; /* wall ms */
    uint64_t value;         /* enum partial_group, a backend's word, or a mark's key */
    uint32_t check;         /* over key, value and flags, so that a mixture of two is recognised */
    _Atomic uint32_t flags;
};
_Static_assert(sizeof(struct partial_entry) == 32, "two in a cache line");

struct partial_delivery {
    struct mapfile file;
    struct partial_entry *entry;
    uint64_t keep_ms;
    uint64_t marked_from; /* wall ms */
    /* the entries of the fleet's key, which each message looks up; from `file.key`, which stays */
    uint64_t common_name[2];
    struct sipkey common; /* what partial_key() has returned last */
    void (*change)(void *arg, const struct partial_change *what); /* NULL: changes it itself */
    void (*settle)(void *arg);
    bool (*may_believe)(void *arg, uint64_t key); /* NULL: always */
    void *arg;
    bool unsettled; /* the keeper may not have made all changes */
};

/* Puts an entry into its place, or into that of the entry that counts least: one that has ended,
 * else one of another member, else the one that ends first. `flags` with PARTIAL_OF_OTHERS: not
 * into the place of an entry of this member; false if there is no other. */
bool partial_put(struct partial_delivery *s, uint64_t key, uint64_t value, uint64_t until,
                 uint32_t flags, uint64_t now);

/* The entry's value and flags; false: there is none, or it has ended. */
bool partial_get(const struct partial_delivery *s, uint64_t key, uint64_t now, uint64_t *value,
                 uint32_t *flags);

/* Empties the entry's place; if other members have been told of it, they will be told that it is
 * gone. */
void partial_drop(struct partial_delivery *s, uint64_t key);

/* Whether the entry is whole. */
bool partial_is_whole(const struct partial_delivery *s, const struct partial_entry *e);

#endif
