/* A file of what directories said, of any content: it is set aside or used. Used, an answer is YES or
 * NO and nothing else, and it takes and forgets new ones. */
#include "directory/cache.h"

#include "../state_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PLACES = 256, HOUR_MS = 3600000 };
#define T0 UINT64_C(1800000000000)

static const struct span known[] = {
    {"a@example.org", 13}, {"b@example.org", 13}, {"c@example.org", 13}, {"d@example.org", 13}};

static struct cache_source source_of(const struct cache *c)
{
    return (struct cache_source){cache_source_id(c, SPAN("ldap")), HOUR_MS, HOUR_MS / 60};
}

static void write_good(void)
{
    struct cache *c;

    if (cache_open(&c, state_path, PLACES) < 0)
        abort();
    struct cache_source s = source_of(c);
    for (int i = 0; i < 4; i++)
        cache_put(c, &s, known[i], T0, i % 2 ? ANSWER_NO : ANSWER_YES);
    (void)cache_source_was(c, &s, true, T0);
    cache_close(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cache *c;
    enum answer_result r;

    if (size < 1)
        return 0;
    state_damage(data, size, write_good);
    if (cache_open(&c, state_path, PLACES) < 0)
        abort();
    struct cache_source s = source_of(c);
    for (int i = 0; i < 4; i++) {
        r = 0;
        if (cache_find(c, &s, known[i], T0 + 1000, &r) != CACHE_NONE)
            assert(r == ANSWER_YES || r == ANSWER_NO);
        (void)cache_claim(c, &s, known[i], T0 + 1000);
    }
    (void)cache_is_down(c, &s);
    (void)cache_may_try(c, &s, T0 + 1000);
    cache_put(c, &s, SPAN("e@example.org"), T0 + 1000, ANSWER_NO);
    cache_forget(c, &s, SPAN("e@example.org"));
    assert(cache_find(c, &s, SPAN("e@example.org"), T0 + 1000, &r) == CACHE_NONE);
    cache_forget_unknown(c, T0 + 2000);
    cache_close(c);
    return 0;
}
