/* The frozen table's index by addresses and ports; see table_part.h. Runs in the freezer.
 *
 * A linear hash: it grows by one bucket at a time, so that its size follows the number of holds,
 * and no put has to wait while it grows. 12 octets for each hold. */
#include <errno.h>
#include <stdlib.h>

#include "base/siphash.h"
#include "freezer/table_part.h"

enum { BUCKETS_LEAST = 1024 };

int index_open(struct table_index *x, uint32_t records)
{
    x->buckets = x->level = BUCKETS_LEAST;
    x->bucket = calloc(records + BUCKETS_LEAST + 1, sizeof *x->bucket);
    x->link = calloc(records, sizeof *x->link);
    return x->bucket && x->link ? 0 : -ENOMEM;
}

void index_close(struct table_index *x)
{
    free(x->bucket);
    free(x->link);
}

uint32_t index_hash(const struct frozen_table *t, const uint8_t *packed)
{
    struct span key = record_key(packed);

    return (uint32_t)siphash(&t->file.key, key.at, key.len);
}

static uint32_t *bucket_of(const struct table_index *x, uint32_t hash)
{
    uint32_t b = hash & (x->level * 2 - 1);

    return &x->bucket[b < x->buckets ? b : b - x->level];
}

/* Adds a bucket, and moves those links of an old bucket's chain that belong to it. */
static void split_bucket(struct table_index *x)
{
    uint32_t *from = &x->bucket[x->buckets - x->level], *to = &x->bucket[x->buckets];

    x->buckets++;
    while (*from) {
        uint32_t id = *from;
        struct index_link *link = &x->link[id];
        if (bucket_of(x, link->hash) != to) {
            from = &link->next;
            continue;
        }
        *from = link->next;
        link->next = *to;
        *to = id;
    }
    if (x->buckets == x->level * 2)
        x->level = x->buckets;
}

uint32_t index_find(const struct frozen_table *t, const uint8_t *packed, uint32_t hash)
{
    const struct table_index *x = &t->index;
    uint32_t id = *bucket_of(x, hash);
    struct span key = record_key(packed);

    while (id &&
           (x->link[id].hash != hash || !span_equal(record_key(record_at(t, id)->octets), key)))
        id = x->link[id].next;
    return id;
}

void index_add(struct frozen_table *t, uint32_t id, uint32_t hash)
{
    struct table_index *x = &t->index;

    if (t->count > x->buckets)
        split_bucket(x);
    uint32_t *bucket = bucket_of(x, hash);
    x->link[id] = (struct index_link){*bucket, hash};
    *bucket = id;
}

void index_remove(struct frozen_table *t, uint32_t id)
{
    struct table_index *x = &t->index;
    uint32_t *p = bucket_of(x, x->link[id].hash);

    while (*p && *p != id)
        p = &x->link[*p].next;
    if (*p) /* else it was dropped before: only of a damaged table */
        *p = x->link[id].next;
}

/* Each step reads what the step before has prefetched for the whole batch: buckets, then the first
 * links of their chains, then the second ones. Chains are hardly ever longer. */
static void expect_chain(const struct table_index *x, uint32_t first)
{
    if (first)
        __builtin_prefetch(&x->link[first], 1);
}

void index_expect(const struct frozen_table *t, const uint32_t *hash, size_t n)
{
    const struct table_index *x = &t->index;
    const uint32_t *split = &x->bucket[x->buckets - x->level]; /* the next ones to be split */

    for (size_t i = 0; i < n; i++)
        __builtin_prefetch(bucket_of(x, hash[i]), 1);
    for (size_t i = 0; i < n && x->buckets - x->level + i < x->level; i++)
        expect_chain(x, split[i]);
    for (size_t i = 0; i < n; i++)
        expect_chain(x, *bucket_of(x, hash[i]));
    for (size_t i = 0; i < n; i++) {
        uint32_t first = *bucket_of(x, hash[i]);
        if (first)
            expect_chain(x, x->link[first].next);
    }
}

void index_expect_removals(const struct table_index *x, const uint32_t *id, size_t n)
{
    for (size_t i = 0; i < n; i++)
        __builtin_prefetch(&x->link[id[i]]);
    for (size_t i = 0; i < n; i++)
        __builtin_prefetch(bucket_of(x, x->link[id[i]].hash), 1);
    for (size_t i = 0; i < n; i++)
        expect_chain(x, *bucket_of(x, x->link[id[i]].hash));
}
