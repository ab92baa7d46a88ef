/* The cache of answers; see cache.h.
 *
 * A table of sets with eight places. A place has three words: the answer with the time at which it
 * was received, that word XORed with the key, and until when a clerk renews it. If two writers
 * write the same place, or one is killed between two words, the words do not match, which means no
 * answer. Keys are 64 bits of a keyed hash over source and address, so that outsiders cannot cause
 * collisions. */
#include "directory/cache.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/mapfile.h"
#include "base/sharing.h"

enum { WAYS = 8, SOURCES = 64, CLOCK_SLACK_MS = 60000 };

struct place {
    _Atomic uint64_t mixed;  /* key ^ answer */
    _Atomic uint64_t answer; /* when it was received << 2 | result; 0: empty */
    _Atomic uint64_t claimed;
};

struct set {
    struct place place[WAYS];
};
_Static_assert(sizeof(struct set) % 64 == 0, "whole cache lines");

/* A source that has ever been down. `until`: 0 means up; else when it may be tried again. */
struct source_state {
    _Atomic uint64_t id; /* 0: empty */
    _Atomic uint64_t until;
};

/* Of a source: answers received up to this time do not count. */
struct source_since {
    _Atomic uint64_t id;
    _Atomic uint64_t since;
};

struct body {
    struct source_state source[SOURCES];
    struct source_since forgotten[SOURCES];
    _Atomic uint64_t no_since; /* the same for all that say NO */
    uint64_t unused[7];        /* sets are whole cache lines */
    struct set set[];
};

struct cache {
    struct mapfile file;
    struct body *body;
    uint64_t sets;
    struct sharing *sharing;
};

int cache_open(struct cache **out, const char *path, uint32_t places)
{
    struct cache *c = calloc(1, sizeof *c);

    if (!c)
        return -ENOMEM;
    c->sets = 1;
    while (c->sets * WAYS < places)
        c->sets *= 2;
    int error = sharing_open(&c->sharing);
    if (!error)
        error = mapfile_open(&c->file, path, "MRDANSWR", 2,
                             sizeof(struct body) + c->sets * sizeof(struct set));
    if (error) {
        sharing_close(c->sharing);
        free(c);
        return error;
    }
    c->body = c->file.body;
    *out = c;
    return 0;
}

void cache_close(struct cache *c)
{
    if (!c)
        return;
    mapfile_close(&c->file);
    sharing_close(c->sharing);
    free(c);
}

struct sharing *cache_sharing(const struct cache *c)
{
    return c->sharing;
}

uint64_t cache_source_id(const struct cache *c, struct span description)
{
    uint64_t id = siphash(&c->file.key, description.at, description.len);
    return id ? id : 1;
}

/* ---- answers ---- */

static uint64_t key_of(const struct cache *c, const struct cache_source *s, struct span key)
{
    struct siphash h;

    siphash_start(&h, &c->file.key);
    siphash_add(&h, &s->id, sizeof s->id);
    siphash_add(&h, key.at, key.len);
    return siphash_end(&h);
}

static struct set *set_of(const struct cache *c, uint64_t key)
{
    return &c->body->set[key >> 20 & (c->sets - 1)];
}

/* The place with the key, or NULL, and the answer in it. */
static struct place *find(struct set *set, uint64_t key, uint64_t *answer)
{
    for (struct place *p = set->place; p < set->place + WAYS; p++) {
        *answer = atomic_load(&p->answer);
        if (*answer && (atomic_load(&p->mixed) ^ *answer) == key)
            return p;
    }
    return NULL;
}

/* If the time is in the future, because the clock was set back, nothing is forgotten. */
static bool is_before(uint64_t got, uint64_t since, uint64_t now)
{
    return got <= since && since <= now + CLOCK_SLACK_MS;
}

static enum answer_result result_of(uint64_t answer)
{
    return (enum answer_result)(answer & 3);
}

/* The answer's age; the largest number if the clock was set back. */
static uint64_t age_of(uint64_t answer, uint64_t now)
{
    uint64_t got = answer >> 2;

    if (got <= now)
        return now - got;
    return got - now <= CLOCK_SLACK_MS ? 0 : UINT64_MAX;
}

static uint64_t life_of(const struct cache_source *s, uint64_t answer)
{
    return result_of(answer) == ANSWER_YES ? s->good_ms : s->bad_ms;
}

static struct source_since *since_of(const struct cache *c, const struct cache_source *s)
{
    return &c->body->forgotten[s->id % SOURCES];
}

static bool is_forgotten(const struct cache *c, const struct cache_source *s, uint64_t answer,
                         uint64_t now)
{
    const struct source_since *f = since_of(c, s);
    uint64_t got = answer >> 2;

    return (result_of(answer) == ANSWER_NO &&
            is_before(got, atomic_load(&c->body->no_since), now)) ||
           (atomic_load(&f->id) == s->id && is_before(got, atomic_load(&f->since), now));
}

enum cache_age cache_find(const struct cache *c, const struct cache_source *s, struct span key,
                          uint64_t now, enum answer_result *result)
{
    uint64_t hash = key_of(c, s, key), answer;

    if (!find(set_of(c, hash), hash, &answer) || is_forgotten(c, s, answer, now))
        return CACHE_NONE;
    *result = result_of(answer);
    uint64_t age = age_of(answer, now), life = life_of(s, answer);
    if (age >= life)
        return CACHE_OLD;
    return age >= life - life / CACHE_DUE_PART ? CACHE_DUE : CACHE_FRESH;
}

bool cache_claim(struct cache *c, const struct cache_source *s, struct span key, uint64_t now)
{
    uint64_t hash = key_of(c, s, key), answer;
    struct place *p = find(set_of(c, hash), hash, &answer);

    if (!p)
        return false;
    uint64_t claimed = atomic_load(&p->claimed);
    if (claimed > now && claimed <= now + CACHE_CLAIM_MS)
        return false;
    return atomic_compare_exchange_strong(&p->claimed, &claimed, now + CACHE_CLAIM_MS);
}

/* The place with the highest value is evicted first. The lifetimes of other sources are not known
 * here, so the age of each answer is judged by the lifetimes of the source that is writing. */
static uint64_t uselessness(const struct cache_source *s, uint64_t answer, uint64_t now)
{
    const uint64_t empty = UINT64_MAX, class = UINT64_C(1) << 60;
    uint64_t age = age_of(answer, now);

    if (!answer)
        return empty;
    if (age >= class)
        age = class - 1;
    if (result_of(answer) == ANSWER_NO)
        return age + (age >= s->bad_ms ? 3 * class : class);
    return age + (age >= s->good_ms ? 2 * class : 0);
}

void cache_put(struct cache *c, const struct cache_source *s, struct span key, uint64_t now,
               enum answer_result result)
{
    uint64_t hash = key_of(c, s, key), answer, most = 0;
    struct set *set = set_of(c, hash);
    struct place *to = find(set, hash, &answer);

    if (result != ANSWER_YES && result != ANSWER_NO)
        return;
    for (struct place *p = set->place; !to && p < set->place + WAYS; p++)
        if (!atomic_load(&p->answer))
            to = p;
    if (!to) {
        to = set->place;
        for (struct place *p = set->place; p < set->place + WAYS; p++) {
            uint64_t useless = uselessness(s, atomic_load(&p->answer), now);
            if (useless > most) {
                most = useless;
                to = p;
            }
        }
    }
    answer = now << 2 | (uint64_t)result;
    atomic_store(&to->answer, answer);
    atomic_store(&to->mixed, hash ^ answer);
    atomic_store(&to->claimed, 0);
}

/* ---- forgetting ---- */

void cache_forget(struct cache *c, const struct cache_source *s, struct span key)
{
    uint64_t hash = key_of(c, s, key), answer;
    struct place *p = find(set_of(c, hash), hash, &answer);

    if (p)
        atomic_compare_exchange_strong(&p->answer, &answer, 0);
}

/* There are few sources. If two share a place, only the one that was forgotten last stays
 * forgotten; the answers of the other count again, with their age. */
void cache_forget_source(struct cache *c, const struct cache_source *s, uint64_t now)
{
    struct source_since *f = since_of(c, s);

    atomic_store(&f->since, now);
    atomic_store(&f->id, s->id);
    (void)cache_source_was(c, s, false, now);
}

void cache_forget_unknown(struct cache *c, uint64_t now)
{
    atomic_store(&c->body->no_since, now);
}

/* ---- sources that are down ---- */

/* The state of the source, or NULL. With `take` one is made for it, in the place of another if
 * necessary. */
static struct source_state *state_of(const struct cache *c, const struct cache_source *s, bool take)
{
    struct source_state *table = c->body->source;

    for (int i = 0; i < SOURCES; i++) {
        struct source_state *state = &table[(s->id + (uint64_t)i) % SOURCES];
        uint64_t id = atomic_load(&state->id);
        if (id == 0 && take && atomic_compare_exchange_strong(&state->id, &id, s->id))
            return state;
        if (id == s->id)
            return state;
        if (id == 0 && !take)
            return NULL;
    }
    if (!take)
        return NULL;
    atomic_store(&table[s->id % SOURCES].until, 0);
    atomic_store(&table[s->id % SOURCES].id, s->id);
    return &table[s->id % SOURCES];
}

bool cache_is_down(const struct cache *c, const struct cache_source *s)
{
    const struct source_state *state = state_of(c, s, false);
    return state && atomic_load(&state->until);
}

bool cache_may_try(struct cache *c, const struct cache_source *s, uint64_t now)
{
    struct source_state *state = state_of(c, s, false);
    uint64_t until = state ? atomic_load(&state->until) : 0;

    if (!until || (until > now && until <= now + CACHE_PROBE_MS))
        return false;
    return atomic_compare_exchange_strong(&state->until, &until, now + CACHE_PROBE_MS);
}

bool cache_source_was(struct cache *c, const struct cache_source *s, bool down, uint64_t now)
{
    struct source_state *state = state_of(c, s, down);

    if (!state)
        return false;
    return !atomic_exchange(&state->until, down ? now + CACHE_DOWN_MS : 0) == down;
}
