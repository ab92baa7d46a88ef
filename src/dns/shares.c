/* A set-associative table of networks with a random key; see shares.h. An entry that uses a place
 * is never evicted. If all entries of a set use places, a new network gets none. */
#include "dns/shares.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/siphash.h"

enum { WAYS = 16, PARTS = 4, SPARE = 4 /* entries for each place */ };

struct entry {
    uint8_t octets[8];
    uint32_t silent_s, seen_s; /* when its last query was not answered; when its last client came */
    uint16_t open;
    uint8_t family; /* ADDR_NONE: free */
    uint8_t silent; /* unanswered queries in a row, up to SHARES_SILENT */
};

struct shares {
    struct sipkey key;
    uint32_t places, open, sets;
    struct entry entry[];
};

struct shares *shares_open(uint32_t places)
{
    uint32_t sets = 1;

    while (sets * WAYS < places * SHARES_BEYOND * SPARE)
        sets *= 2;
    struct shares *s = calloc(1, sizeof *s + (size_t)sets * WAYS * sizeof s->entry[0]);
    if (!s)
        return NULL;
    s->places = places;
    s->sets = sets;
    if (getrandom(&s->key, sizeof s->key, 0) != sizeof s->key) {
        free(s);
        return NULL;
    }
    return s;
}

void shares_close(struct shares *s)
{
    free(s);
}

static struct entry *set_of(struct shares *s, const struct addr *network)
{
    uint64_t h = siphash(&s->key, network->octets, sizeof network->octets);
    return &s->entry[(h & (s->sets - 1)) * WAYS];
}

static struct addr network_of(const struct addr *client)
{
    struct addr n = addr_network(client);
    n.port = 0;
    return n;
}

static struct entry *find(struct shares *s, const struct addr *network)
{
    struct entry *set = set_of(s, network);

    for (int i = 0; i < WAYS; i++)
        if (set[i].family == network->family &&
            memcmp(set[i].octets, network->octets, sizeof set[i].octets) == 0)
            return &set[i];
    return NULL;
}

/* The entry of the network; a new one replaces that of the network without places that was seen
 * longest ago. */
static struct entry *make(struct shares *s, const struct addr *network)
{
    struct entry *e = find(s, network), *set = set_of(s, network);

    if (e)
        return e;
    for (int i = 0; i < WAYS; i++)
        if (set[i].open == 0 && (!e || set[i].seen_s < e->seen_s))
            e = &set[i];
    if (e) {
        *e = (struct entry){.family = network->family};
        memcpy(e->octets, network->octets, sizeof e->octets);
    }
    return e;
}

bool shares_take(struct shares *s, const struct addr *client, uint64_t now_s)
{
    struct addr network = network_of(client);
    uint32_t most = s->open < s->places ? (s->places - s->open) / PARTS : 0;
    bool room = s->open < s->places * SHARES_BEYOND;
    struct entry *e = room ? make(s, &network) : NULL;

    if (!e)
        return false;
    if (e->silent >= SHARES_SILENT && now_s < (uint64_t)e->silent_s + SHARES_SILENT_S)
        most = 1;
    if (e->open >= (most ? most : 1))
        return false;
    e->seen_s = (uint32_t)now_s;
    e->open++;
    s->open++;
    return true;
}

void shares_give(struct shares *s, const struct addr *client, uint64_t now_s, bool silent)
{
    struct addr network = network_of(client);
    struct entry *e = find(s, &network);

    assert(e && e->open && s->open);
    e->open--;
    s->open--;
    if (!silent)
        e->silent = 0;
    else if (e->silent < SHARES_SILENT)
        e->silent++;
    if (silent)
        e->silent_s = (uint32_t)now_s;
}
