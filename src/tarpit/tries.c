/* The table of buckets (tries.h). Runs in workers and in the simulator.
 *
 * A word is a place: 22 bits of the key, and when its bucket will be empty (wall ms, 42 bits). Two
 * keys with the same bits in one set would share a bucket: one pair in four billion. */
#include "tarpit/tries.h"

#include <stdatomic.h>

#include "tarpit/ledger.h"

enum { SETS = 1024, WAYS = 8, PAGE = 4096, END_BITS = 42 };
#define END ((UINT64_C(1) << END_BITS) - 1)

struct tries {
    _Atomic uint64_t word[SETS][WAYS];
};
_Static_assert(sizeof(struct tries) % PAGE == 0, "whole pages");

size_t tries_size(void)
{
    return sizeof(struct tries);
}

static uint64_t length_of(struct ledger_rate rate)
{
    return 1 + (rate.period_ms - 1) / rate.most;
}

/* When the bucket will be empty; `now` if it is. An end that is further away than a full bucket's
 * dates from before the clock was set back, or from an earlier, slower rate. */
static uint64_t end_of(uint64_t word, struct ledger_rate rate, uint64_t now)
{
    uint64_t end = word & END, full = rate.period_ms + length_of(rate);

    if (end <= now || end > now + full + LEDGER_SKEW_MS)
        return now;
    return end;
}

static bool is_of(uint64_t word, uint64_t key)
{
    return word != 0 && word >> END_BITS == key >> END_BITS;
}

/* The way of this key in its set, and its word; WAYS: it has none. */
static int find(const _Atomic uint64_t set[WAYS], uint64_t key, uint64_t *word)
{
    for (int i = 0; i < WAYS; i++) {
        *word = atomic_load(&set[i]);
        if (is_of(*word, key))
            return i;
    }
    *word = 0;
    return WAYS;
}

/* The same, or else a free way. */
static int find_or_free(const _Atomic uint64_t set[WAYS], uint64_t key, struct ledger_rate rate,
                        uint64_t now, uint64_t *word)
{
    int way = find(set, key, word);

    for (int i = 0; i < WAYS && way == WAYS; i++) {
        *word = atomic_load(&set[i]);
        if (end_of(*word, rate, now) == now)
            way = i;
    }
    return way;
}

static uint64_t word_of(uint64_t key, uint64_t end)
{
    return key >> END_BITS << END_BITS | (end & END);
}

static unsigned set_of(uint64_t key)
{
    return (key >> 8) % SETS;
}

bool tries_take(struct tries *t, uint64_t key, struct ledger_rate rate, uint64_t now)
{
    _Atomic uint64_t *set = t->word[set_of(key)];

    if (rate.most == 0)
        return false;
    for (;;) {
        uint64_t word;
        int way = find_or_free(set, key, rate, now, &word);
        if (way == WAYS)
            return false;
        uint64_t end = (is_of(word, key) ? end_of(word, rate, now) : now) + length_of(rate);
        if (end > now + length_of(rate) * rate.most)
            return false;
        if (atomic_compare_exchange_strong(&set[way], &word, word_of(key, end)))
            return true;
    }
}

void tries_give(struct tries *t, uint64_t key, struct ledger_rate rate, uint64_t now)
{
    _Atomic uint64_t *set = t->word[set_of(key)];
    uint64_t word, end;
    int way = find(set, key, &word);

    if (rate.most == 0 || way == WAYS)
        return;
    do {
        end = end_of(word, rate, now);
        if (!is_of(word, key) || end == now)
            return;
    } while (!atomic_compare_exchange_weak(&set[way], &word, word_of(key, end - length_of(rate))));
}

uint32_t tries_left(const struct tries *t, uint64_t key, struct ledger_rate rate, uint64_t now)
{
    uint64_t word;

    if (rate.most == 0)
        return 0;
    find(t->word[set_of(key)], key, &word);
    uint64_t used = (end_of(word, rate, now) - now + length_of(rate) - 1) / length_of(rate);
    return used < rate.most ? rate.most - (uint32_t)used : 0;
}
