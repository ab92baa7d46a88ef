/* The table of deferred messages (retries.h). Runs in workers and in the simulator.
 *
 * A word is: returned 1 | stamp 12 | tag 19; 0: free. The stamp is in steps of RETRIES_STEP_MS and
 * repeats itself after 72 h; only the last half of that counts. */
#include "tarpit/retries.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/mapfile.h"

static const char MAGIC[8] = {'M', 'I', 'R', 'E', 'T', 'R', 'Y', 'S'};
enum { VERSION = 1, WAYS = 16, TAG_BITS = 19, STAMP_BITS = 12 };
enum { TAG_MASK = (1 << TAG_BITS) - 1, STAMP_MASK = (1 << STAMP_BITS) - 1 };
enum { KEPT_STEPS = RETRIES_KEPT_MS / RETRIES_STEP_MS };

#define RETURNED (UINT32_C(1) << 31)

/* A message that is younger than this is replaced with a probability of its age / this. */
enum { SAFE_STEPS = 30 * 60 * 1000 / RETRIES_STEP_MS };

/* A message that has come again counts as so many times younger. */
enum { RETURNED_WORTH = 16 };

struct retries {
    struct mapfile file;
    _Atomic uint32_t *word;
    uint64_t sets;
};

int retries_open(struct retries **out, const char *path, size_t size)
{
    struct retries *r = calloc(1, sizeof *r);
    uint64_t sets = size / (WAYS * sizeof *r->word);

    if (r == NULL)
        return -ENOMEM;
    r->sets = sets > 0 ? sets : 1;
    int error = mapfile_open(&r->file, path, MAGIC, VERSION, r->sets * WAYS * sizeof *r->word);
    if (error < 0) {
        free(r);
        return error;
    }
    r->word = r->file.body;
    *out = r;
    return 0;
}

void retries_close(struct retries *r)
{
    if (r == NULL)
        return;
    mapfile_close(&r->file);
    free(r);
}

void retries_restart(struct retries *r, uint64_t number)
{
    r->file.key = (struct sipkey){number, 0};
    memset(r->file.body, 0, r->file.body_size);
}

uint64_t retries_message(const struct retries *r, uint64_t network, uint64_t recipient)
{
    uint64_t message[] = {network, recipient};

    return siphash(&r->file.key, message, sizeof message);
}

static uint32_t tag_of(uint64_t message)
{
    uint32_t tag = (uint32_t)message & TAG_MASK;

    return tag != 0 ? tag : 1;
}

static uint32_t word_of(uint64_t message, uint64_t now)
{
    return (uint32_t)(now / RETRIES_STEP_MS & STAMP_MASK) << TAG_BITS | tag_of(message);
}

static uint32_t age_of(uint32_t word, uint64_t now)
{
    return (uint32_t)(now / RETRIES_STEP_MS - (word >> TAG_BITS)) & STAMP_MASK;
}

static _Atomic uint32_t *set_of(const struct retries *r, uint64_t message)
{
    return r->word + ((message >> 32) * r->sets >> 32) * WAYS;
}

static _Atomic uint32_t *find(const struct retries *r, uint64_t message, uint64_t now)
{
    _Atomic uint32_t *set = set_of(r, message);

    for (int i = 0; i < WAYS; i++) {
        uint32_t word = set[i];
        if ((word & TAG_MASK) == tag_of(message) && age_of(word, now) <= KEPT_STEPS)
            return &set[i];
    }
    return NULL;
}

static bool is_old(uint32_t word, uint64_t after, uint64_t now)
{
    return age_of(word, now) >= (after + RETRIES_STEP_MS - 1) / RETRIES_STEP_MS;
}

bool retries_is_due(const struct retries *r, uint64_t message, uint64_t after, uint64_t now)
{
    const _Atomic uint32_t *at = find(r, message, now);

    return at != NULL && is_old(*at, after, now);
}

/* How readily a word makes room, in steps. */
static uint32_t weakness(uint32_t word, uint64_t now)
{
    uint32_t age = age_of(word, now);

    if (word == 0 || age > KEPT_STEPS)
        return UINT32_MAX;
    return word & RETURNED ? age / RETURNED_WORTH : age;
}

static void record(struct retries *r, uint64_t message, uint64_t now)
{
    _Atomic uint32_t *set = set_of(r, message), *weakest = set;

    for (int i = 1; i < WAYS; i++)
        if (weakness(set[i], now) > weakness(*weakest, now))
            weakest = &set[i];
    uint64_t dice[] = {message, now};
    uint32_t age = weakness(*weakest, now);
    if (age < SAFE_STEPS && siphash(&r->file.key, dice, sizeof dice) % SAFE_STEPS > age)
        return;
    *weakest = word_of(message, now);
}

void retries_deferred(struct retries *r, uint64_t message, uint64_t after, uint64_t now)
{
    _Atomic uint32_t *at = find(r, message, now);

    if (at == NULL)
        record(r, message, now);
    else if (is_old(*at, after, now))
        *at = word_of(message, now) | RETURNED;
}
