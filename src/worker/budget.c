/* Counters of what each client uses; see budget.h. */
#include "worker/budget.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* A message counts its client several times, so the places of the last few clients are kept. The
 * address alone selects the slot. */
enum { SLOTS = 128 };
struct places {
    struct addr client; /* ADDR_NONE: an empty slot */
    uint32_t own, all;
};

struct budget {
    struct sipkey key;
    struct places *kept; /* SLOTS; what they say depends on nothing but the client and the key */
    uint64_t whole[BUDGET_KINDS], least[BUDGET_KINDS], taken[BUDGET_KINDS];
    /* A table for each kind: pages without a used counter take no memory, and a client that only
     * waits touches none of the tables for messages. */
    uint64_t client[BUDGET_KINDS][BUDGET_PLACES];
    uint64_t network[BUDGET_KINDS][BUDGET_PLACES];
};

struct budget *budget_open(const struct sipkey *key)
{
    struct budget *b = calloc(1, sizeof *b);

    if (!b)
        return NULL;
    b->key = *key;
    b->kept = calloc(SLOTS, sizeof *b->kept);
    if (b->kept)
        return b;
    free(b);
    return NULL;
}

void budget_close(struct budget *b)
{
    if (b)
        free(b->kept);
    free(b);
}

void budget_limit(struct budget *b, enum budget_kind kind, uint64_t whole, uint64_t least)
{
    b->whole[kind] = whole;
    b->least[kind] = least;
}

static size_t place_of(const struct budget *b, const struct addr *a)
{
    uint8_t octets[sizeof a->octets + 1];

    memcpy(octets, a->octets, sizeof a->octets);
    octets[sizeof a->octets] = a->family;
    return siphash(&b->key, octets, sizeof octets) % BUDGET_PLACES;
}

static const struct places *places_of(const struct budget *b, const struct addr *client)
{
    uint64_t low, high;

    memcpy(&high, client->octets, sizeof high);
    memcpy(&low, client->octets + sizeof high, sizeof low);
    uint64_t mixed = (high ^ (low << 32 | low >> 32)) * UINT64_C(0x9e3779b97f4a7c15);
    struct places *p = &b->kept[mixed >> 32 & (SLOTS - 1)];

    if (p->client.family == ADDR_NONE || !addr_equal(&p->client, client)) {
        struct addr own = addr_client(client), network = addr_network(client);
        *p = (struct places){
            .client = *client,
            .own = (uint32_t)place_of(b, &own),
            .all = (uint32_t)place_of(b, &network),
        };
    }
    return p;
}

bool budget_allows(const struct budget *b, enum budget_kind kind, const struct addr *client,
                   uint64_t amount, uint64_t taken)
{
    uint64_t whole = b->whole[kind], least = b->least[kind];
    uint64_t own = whole / BUDGET_CLIENT_PART, all = whole / BUDGET_NETWORK_PART;

    if (taken + amount <= whole / 2)
        return true;
    if (own < least)
        own = least;
    if (all < 2 * least)
        all = 2 * least;
    const struct places *p = places_of(b, client);
    return b->client[kind][p->own] + amount <= own && b->network[kind][p->all] + amount <= all;
}

void budget_count(struct budget *b, enum budget_kind kind, const struct addr *client,
                  int64_t amount)
{
    const struct places *p = places_of(b, client);
    uint64_t *own = &b->client[kind][p->own], *all = &b->network[kind][p->all];

    assert(amount >= 0 || *own >= (uint64_t)-amount);
    *own += (uint64_t)amount;
    *all += (uint64_t)amount;
    b->taken[kind] += (uint64_t)amount;
}

uint32_t budget_place(const struct budget *b, const struct addr *client)
{
    return places_of(b, client)->own;
}

uint64_t budget_of(const struct budget *b, enum budget_kind kind, const struct addr *client)
{
    return b->client[kind][places_of(b, client)->own];
}

uint64_t budget_share(const struct budget *b, enum budget_kind kind, const struct addr *client)
{
    static_assert(BUDGET_CLIENT_PART == 2 * BUDGET_NETWORK_PART, "half of the network's");
    const struct places *p = places_of(b, client);
    uint64_t own = b->client[kind][p->own], half = b->network[kind][p->all] / 2;

    return own > half ? own : half;
}

uint64_t budget_taken(const struct budget *b, enum budget_kind kind)
{
    return b->taken[kind];
}
