/* Counters of what each client uses; see budget.h. */
#include "worker/budget.h"

#include <assert.h>
#include <stdlib.h>

struct budget {
    struct sipkey key;
    uint64_t whole[BUDGET_KINDS], least[BUDGET_KINDS], taken[BUDGET_KINDS];
    /* A table for each kind: pages without a used counter take no memory, and a client that only
     * waits touches none of the tables for messages. */
    uint64_t client[BUDGET_KINDS][BUDGET_PLACES];
    uint64_t network[BUDGET_KINDS][BUDGET_PLACES];
};

struct budget *budget_open(const struct sipkey *key)
{
    struct budget *b = calloc(1, sizeof *b);

    if (b)
        b->key = *key;
    return b;
}

void budget_close(struct budget *b)
{
    free(b);
}

void budget_limit(struct budget *b, enum budget_kind kind, uint64_t whole, uint64_t least)
{
    b->whole[kind] = whole;
    b->least[kind] = least;
}

static size_t place_of(const struct budget *b, const struct addr *a)
{
    struct siphash h;

    siphash_start(&h, &b->key);
    siphash_add(&h, a->octets, sizeof a->octets);
    siphash_add(&h, &a->family, sizeof a->family);
    return siphash_end(&h) % BUDGET_PLACES;
}

static size_t client_place(const struct budget *b, const struct addr *client)
{
    struct addr own = addr_client(client);
    return place_of(b, &own);
}

static size_t network_place(const struct budget *b, const struct addr *client)
{
    struct addr network = addr_network(client);
    return place_of(b, &network);
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
    return b->client[kind][client_place(b, client)] + amount <= own &&
           b->network[kind][network_place(b, client)] + amount <= all;
}

void budget_count(struct budget *b, enum budget_kind kind, const struct addr *client,
                  int64_t amount)
{
    uint64_t *own = &b->client[kind][client_place(b, client)];
    uint64_t *all = &b->network[kind][network_place(b, client)];

    assert(amount >= 0 || *own >= (uint64_t)-amount);
    *own += (uint64_t)amount;
    *all += (uint64_t)amount;
    b->taken[kind] += (uint64_t)amount;
}

uint64_t budget_of(const struct budget *b, enum budget_kind kind, const struct addr *client)
{
    return b->client[kind][client_place(b, client)];
}

uint64_t budget_taken(const struct budget *b, enum budget_kind kind)
{
    return b->taken[kind];
}
