/* A set-associative table with a random key; see names.h. */
#include "dns/names.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/siphash.h"

enum { WAYS = 4, TTL_LEAST_S = 60, TTL_MOST_S = 86400 };

struct place {
    struct addr client; /* ADDR_NONE: empty */
    uint64_t ends_s;
    struct client_names names;
};

struct names {
    struct sipkey key;
    uint32_t sets;
    struct place place[];
};

struct names *names_open(uint32_t places)
{
    uint32_t sets = 1;

    while (sets * WAYS < places)
        sets *= 2;
    struct names *n = calloc(1, sizeof *n + (size_t)sets * WAYS * sizeof n->place[0]);
    if (!n)
        return NULL;
    n->sets = sets;
    if (getrandom(&n->key, sizeof n->key, 0) != sizeof n->key) {
        free(n);
        return NULL;
    }
    return n;
}

void names_close(struct names *n)
{
    free(n);
}

static const struct place *set_of(const struct names *n, const struct addr *a)
{
    return &n->place[(siphash(&n->key, a->octets, sizeof a->octets) & (n->sets - 1)) * WAYS];
}

void names_put(struct names *n, const struct addr *a, uint64_t now_s, uint32_t ttl_s,
               const struct client_names *c)
{
    struct place *set = (struct place *)set_of(n, a), *to = set;

    for (int i = 0; i < WAYS; i++) {
        if (addr_equal(&set[i].client, a)) {
            to = &set[i];
            break;
        }
        if (set[i].ends_s < to->ends_s)
            to = &set[i];
    }
    ttl_s = ttl_s < TTL_LEAST_S ? TTL_LEAST_S : ttl_s > TTL_MOST_S ? TTL_MOST_S : ttl_s;
    *to = (struct place){.client = *a, .ends_s = now_s + ttl_s, .names = *c};
}

bool names_find(const struct names *n, const struct addr *a, uint64_t now_s,
                struct client_names *out)
{
    const struct place *set = set_of(n, a);

    for (int i = 0; i < WAYS; i++)
        if (set[i].client.family != ADDR_NONE && addr_equal(&set[i].client, a) &&
            now_s < set[i].ends_s) {
            *out = set[i].names;
            return true;
        }
    return false;
}

bool names_may_tell(struct span name)
{
    bool digits = true;

    if (!dns_name_is_valid(name))
        return false;
    for (size_t i = 0; i < name.len; i++) {
        bool starts = i == 0 || name.at[i - 1] == '.';
        bool ends = i + 1 == name.len || name.at[i + 1] == '.';
        if (name.at[i] == '-' && (starts || ends))
            return false;
        digits = digits && ((name.at[i] >= '0' && name.at[i] <= '9') || name.at[i] == '.');
    }
    return !digits;
}
