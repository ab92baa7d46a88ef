/* A set-associative table with a random key, so that no attacker can aim at a set; see known.h. */
#include "dns/known.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/siphash.h"

enum { WAYS = 4 };

struct place {
    uint8_t octets[16];
    uint32_t ends_s; /* 0: empty */
    uint32_t listed;
    uint8_t family, trust, by, unused[5];
};
_Static_assert(sizeof(struct place) == 32, "as known.h says");

struct known {
    struct sipkey key;
    uint32_t sets;
    struct place place[];
};

struct known *known_open(uint32_t places)
{
    uint32_t sets = 1;

    while (sets * WAYS < places)
        sets *= 2;
    struct known *k = calloc(1, sizeof *k + (size_t)sets * WAYS * sizeof k->place[0]);
    if (!k)
        return NULL;
    k->sets = sets;
    if (getrandom(&k->key, sizeof k->key, 0) != sizeof k->key) {
        free(k);
        return NULL;
    }
    return k;
}

void known_close(struct known *k)
{
    free(k);
}

static const struct place *set_of(const struct known *k, const struct addr *a)
{
    return &k->place[(siphash(&k->key, a->octets, sizeof a->octets) & (k->sets - 1)) * WAYS];
}

static bool is(const struct place *p, const struct addr *a)
{
    return p->ends_s && p->family == a->family &&
           memcmp(p->octets, a->octets, sizeof p->octets) == 0;
}

void known_put(struct known *k, const struct addr *a, uint64_t now_s, uint32_t ttl_s,
               const struct dns_finding *f)
{
    struct place *set = (struct place *)set_of(k, a), *to = set;

    for (int i = 0; i < WAYS; i++) {
        if (is(&set[i], a)) {
            to = &set[i];
            break;
        }
        if (set[i].ends_s < to->ends_s)
            to = &set[i];
    }
    if (ttl_s < KNOWN_TTL_LEAST_S)
        ttl_s = KNOWN_TTL_LEAST_S;
    if (ttl_s > KNOWN_TTL_MOST_S)
        ttl_s = KNOWN_TTL_MOST_S;
    *to = (struct place){.ends_s = (uint32_t)now_s + ttl_s,
                         .listed = f->listed,
                         .family = a->family,
                         .trust = f->trust,
                         .by = f->by};
    memcpy(to->octets, a->octets, sizeof to->octets);
}

bool known_find(const struct known *k, const struct addr *a, uint64_t now_s, struct dns_finding *f,
                bool *fresh)
{
    const struct place *set = set_of(k, a);

    for (int i = 0; i < WAYS; i++) {
        if (!is(&set[i], a))
            continue;
        *f = (struct dns_finding){set[i].listed, set[i].trust, set[i].by};
        *fresh = now_s < set[i].ends_s;
        return now_s < (uint64_t)set[i].ends_s + KNOWN_STALE_S;
    }
    return false;
}
