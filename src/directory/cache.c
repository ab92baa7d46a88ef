/* Remembered answers; see cache.h.
 *
 * Sets of four places. A full set gives up the answer that was got longest ago. Keys are 62 bits of
 * a keyed hash: nobody outside can aim for a collision. */
#include "directory/cache.h"

#include <stdlib.h>
#include <sys/random.h>

#include "base/siphash.h"

enum { WAYS = 4 };

struct place {
    uint64_t key_and_result; /* 0: empty; the lowest two bits are the result */
    uint64_t got_ms;
};

struct cache {
    struct sipkey key;
    uint64_t good_ms, bad_ms;
    uint64_t sets;
    struct place place[];
};

struct cache *cache_open(uint32_t places, uint64_t good_ms, uint64_t bad_ms)
{
    uint64_t sets = 1;

    while (sets * WAYS < places)
        sets *= 2;
    struct cache *c = calloc(1, sizeof *c + sets * WAYS * sizeof c->place[0]);
    if (!c)
        return NULL;
    c->sets = sets;
    c->good_ms = good_ms;
    c->bad_ms = bad_ms;
    if (getrandom(&c->key, sizeof c->key, 0) != sizeof c->key) {
        free(c);
        return NULL;
    }
    return c;
}

void cache_close(struct cache *c)
{
    free(c);
}

static struct place *set_of(const struct cache *c, uint64_t hash)
{
    return (struct place *)&c->place[(hash >> 32 & (c->sets - 1)) * WAYS];
}

bool cache_find(const struct cache *c, struct span key, uint64_t now_ms, bool stale,
                enum answer_result *result)
{
    uint64_t hash = siphash(&c->key, key.at, key.len) & ~(uint64_t)3;
    const struct place *set = set_of(c, hash);

    for (int i = 0; i < WAYS; i++) {
        if ((set[i].key_and_result & ~(uint64_t)3) != hash || !set[i].key_and_result)
            continue;
        *result = (enum answer_result)(set[i].key_and_result & 3);
        return stale || now_ms - set[i].got_ms < (*result == ANSWER_YES ? c->good_ms : c->bad_ms);
    }
    return false;
}

void cache_put(struct cache *c, struct span key, uint64_t now_ms, enum answer_result result)
{
    uint64_t hash = siphash(&c->key, key.at, key.len) & ~(uint64_t)3;
    struct place *set = set_of(c, hash), *to = set;

    if (result != ANSWER_YES && result != ANSWER_NO)
        return;
    for (int i = 0; i < WAYS; i++) {
        if ((set[i].key_and_result & ~(uint64_t)3) == hash || !set[i].key_and_result) {
            to = &set[i];
            break;
        }
        if (set[i].got_ms < to->got_ms)
            to = &set[i];
    }
    *to = (struct place){hash | (uint64_t)result, now_ms};
}
