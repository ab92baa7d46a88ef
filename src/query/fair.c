/* The order of what waits; see fair.h.
 *
 * There are two levels of the same kind of node: a network has clients as members, a client has
 * items. A node is in its parent's ring while something of it waits, and exists as long as
 * something of it waits or is in flight. Slots and ranks are separate: a client with queries of two
 * ranks, or in two slots, has two nodes. Only a count of what a network has in flight, the network's
 * `all`, is common to all slots. */
#include "query/fair.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/container.h"
#include "base/siphash.h"

enum { BUCKETS_LEAST = 16, ALL_SLOTS = UINT16_MAX };

struct fair_node {
    struct fair_node *next;   /* in its bucket */
    struct fair_node *parent; /* a client's network; NULL: it is a network */
    struct fair_node *all;    /* a network's node for all slots, which is in no ring */
    struct ring link;         /* in the parent's members, or the rank's, while `waiting` */
    struct ring members;      /* networks: clients; clients: items; only those that wait */
    uint64_t hash;
    uint64_t turn; /* rings are in the order of these */
    struct addr addr;
    uint32_t waiting, asked;
    uint32_t slot;
    uint8_t rank;
};

struct level {
    struct ring networks; /* that have something waiting */
    uint32_t waiting;
};

struct slot {
    uint32_t waiting, asked;
    uint32_t asked_in_debt; /* of `asked`, those of clients in debt */
    struct level rank[RANKS];
};

struct fair {
    uint32_t asked_most, waiting_most;
    uint32_t waiting, asked, asked_in_debt;
    uint32_t slots, active;  /* active: slots that wait or have items in flight */
    uint32_t next;           /* the slot whose turn it is among equals */
    struct sipkey key;       /* clients choose their addresses, but not their buckets */
    uint32_t nodes, buckets; /* a power of two */
    struct fair_node **bucket;
    uint64_t turns; /* counts what enters rings */
    struct slot slot[];
};

static struct fair_node *node_of(struct ring *link)
{
    return container_of(link, struct fair_node, link);
}

static struct fair_item *item_of(struct ring *link)
{
    return container_of(link, struct fair_item, link);
}

struct fair *fair_open(uint32_t asked, uint32_t waiting, uint32_t slots)
{
    struct fair *f = calloc(1, sizeof *f + slots * sizeof f->slot[0]);

    if (!f)
        return NULL;
    f->bucket = calloc(BUCKETS_LEAST, sizeof *f->bucket);
    if (!f->bucket || getrandom(&f->key, sizeof f->key, 0) != sizeof f->key) {
        free(f->bucket);
        free(f);
        return NULL;
    }
    f->buckets = BUCKETS_LEAST;
    f->asked_most = asked;
    f->waiting_most = waiting;
    f->slots = slots;
    for (uint32_t s = 0; s < slots; s++)
        for (int i = 0; i < RANKS; i++)
            ring_init(&f->slot[s].rank[i].networks);
    return f;
}

void fair_close(struct fair *f)
{
    if (!f)
        return;
    for (uint32_t i = 0; i < f->buckets; i++)
        for (struct fair_node *n = f->bucket[i], *next; n; n = next) {
            next = n->next;
            free(n);
        }
    free(f->bucket);
    free(f);
}

uint32_t fair_waiting(const struct fair *f)
{
    return f->waiting;
}

uint32_t fair_asked(const struct fair *f)
{
    return f->asked;
}

/* ---- nodes ---- */

static uint64_t hash_of(const struct fair *f, const struct addr *addr, bool network, uint32_t slot,
                        enum query_rank rank)
{
    uint32_t kind[] = {addr->family, network, slot, rank};
    struct siphash h;

    siphash_start(&h, &f->key);
    siphash_add(&h, addr->octets, sizeof addr->octets);
    siphash_add(&h, kind, sizeof kind);
    return siphash_end(&h);
}

static void node_file(struct fair_node **bucket, uint32_t buckets, struct fair_node *n)
{
    struct fair_node **at = &bucket[n->hash & (buckets - 1)];

    n->next = *at;
    *at = n;
}

/* Without memory for more buckets those that there are become longer. */
static void more_buckets(struct fair *f)
{
    uint32_t buckets = f->buckets * 2;
    struct fair_node **bucket = calloc(buckets, sizeof *bucket);

    if (!bucket)
        return;
    for (uint32_t i = 0; i < f->buckets; i++)
        for (struct fair_node *n = f->bucket[i], *next; n; n = next) {
            next = n->next;
            node_file(bucket, buckets, n);
        }
    free(f->bucket);
    f->bucket = bucket;
    f->buckets = buckets;
}

static struct fair_node *node_get(struct fair *f, const struct addr *addr, struct fair_node *parent,
                                  uint32_t slot, enum query_rank rank)
{
    uint64_t hash = hash_of(f, addr, !parent, slot, rank);

    for (struct fair_node *n = f->bucket[hash & (f->buckets - 1)]; n; n = n->next)
        if (n->hash == hash && n->parent == parent && n->slot == slot && n->rank == rank &&
            addr_equal(&n->addr, addr))
            return n;
    struct fair_node *n = calloc(1, sizeof *n);
    if (!n)
        return NULL;
    n->parent = parent;
    n->hash = hash;
    n->addr = *addr;
    n->slot = slot;
    n->rank = (uint8_t)rank;
    ring_init(&n->members);
    if (f->nodes++ == f->buckets)
        more_buckets(f);
    node_file(f->bucket, f->buckets, n);
    return n;
}

/* Frees a node without any items. */
static void node_let_go(struct fair *f, struct fair_node *n)
{
    struct fair_node **at = &f->bucket[n->hash & (f->buckets - 1)];

    if (n->waiting || n->asked)
        return;
    while (*at != n)
        at = &(*at)->next;
    *at = n->next;
    f->nodes--;
    free(n);
}

static struct fair_node *network_get(struct fair *f, const struct addr *addr, uint32_t slot,
                                     enum query_rank rank)
{
    struct fair_node *all = node_get(f, addr, NULL, ALL_SLOTS, rank);
    struct fair_node *network = all ? node_get(f, addr, NULL, slot, rank) : NULL;

    if (network)
        network->all = all;
    else if (all)
        node_let_go(f, all);
    return network;
}

static void network_let_go(struct fair *f, struct fair_node *network)
{
    struct fair_node *all = network->all;

    node_let_go(f, network);
    node_let_go(f, all);
}

static void client_let_go(struct fair *f, struct fair_node *client)
{
    struct fair_node *network = client->parent;

    node_let_go(f, client);
    network_let_go(f, network);
}

/* ---- in and out ---- */

/* The node enters its ring at the end. */
static void enter(struct fair *f, struct fair_node *n, struct ring *ring)
{
    n->turn = ++f->turns;
    ring_add(ring, &n->link);
}

/* Counts one more waiting item; with the first, the node enters its ring. */
static void add_waiting(struct fair *f, struct fair_node *n, struct ring *ring)
{
    if (n->waiting++ == 0)
        enter(f, n, ring);
}

/* Counts one waiting item less. If that was its turn and others wait, the node goes to the end of its
 * ring, so that the others have their turn first. */
static void drop_waiting(struct fair *f, struct fair_node *n, struct ring *ring, bool turn)
{
    n->waiting--;
    if (n->waiting && !turn)
        return;
    ring_remove(&n->link);
    if (n->waiting)
        enter(f, n, ring);
}

static bool is_active(const struct slot *s)
{
    return s->waiting || s->asked;
}

/* The item waits no more. `turn`: it has had its turn, and did not only give up. */
static void item_out(struct fair *f, struct fair_item *item, bool turn)
{
    struct fair_node *client = item->client, *network = client->parent;
    struct slot *slot = &f->slot[client->slot];
    struct level *level = &slot->rank[client->rank];

    ring_remove(&item->link);
    drop_waiting(f, client, &network->members, turn);
    drop_waiting(f, network, &level->networks, turn);
    network->all->waiting--;
    level->waiting--;
    slot->waiting--;
    f->waiting--;
}

/* The item neither waits nor is in flight any more. */
static void item_gone(struct fair *f, struct fair_item *item)
{
    struct fair_node *client = item->client;

    f->active -= !is_active(&f->slot[client->slot]);
    item->client = NULL;
    client_let_go(f, client);
}

static struct fair_item *item_lost(struct fair *f, struct fair_item *item)
{
    item_out(f, item, false);
    item_gone(f, item);
    return item;
}

/* The member of a ring with the most waiting items. */
static struct fair_node *longest(struct ring *ring)
{
    struct fair_node *most = node_of(ring->next);

    for (struct ring *link = most->link.next; link != ring; link = link->next)
        if (node_of(link)->waiting > most->waiting)
            most = node_of(link);
    return most;
}

/* Of the slots with more than their share of the places, the one with the most items of a rank; NULL:
 * none of them has any. */
static struct slot *fullest(struct fair *f, int rank)
{
    struct slot *most = NULL;

    for (struct slot *s = f->slot; s < f->slot + f->slots; s++)
        if (s->rank[rank].waiting && (uint64_t)s->waiting * f->active > f->waiting_most &&
            (!most || s->rank[rank].waiting > most->rank[rank].waiting))
            most = s;
    return most;
}

/* One slot at least has more than its share, because more items wait than there are places. */
static struct fair_item *lose_one(struct fair *f)
{
    int rank = RANKS - 1;
    struct slot *slot;

    while (!(slot = fullest(f, rank)))
        rank--;
    struct fair_node *client = longest(&longest(&slot->rank[rank].networks)->members);
    return item_lost(f, item_of(client->members.prev));
}

struct fair_item *fair_put(struct fair *f, struct fair_item *item, uint32_t slot,
                           const struct addr *client, enum query_rank rank)
{
    struct addr own = addr_client(client), whole = addr_network(client);

    if (slot >= f->slots)
        slot = f->slots - 1;
    item->client = NULL;
    struct fair_node *network = network_get(f, &whole, slot, rank);
    if (!network)
        return item;
    struct fair_node *node = node_get(f, &own, network, slot, rank);
    if (!node) {
        network_let_go(f, network);
        return item;
    }
    struct slot *s = &f->slot[slot];
    f->active += !is_active(s);
    item->client = node;
    item->number = ++f->turns;
    ring_add(&node->members, &item->link);
    add_waiting(f, node, &network->members);
    add_waiting(f, network, &s->rank[rank].networks);
    network->all->waiting++;
    s->rank[rank].waiting++;
    s->waiting++;
    return ++f->waiting > f->waiting_most ? lose_one(f) : NULL;
}

/* ---- whose turn it is ---- */

static uint32_t part(const struct fair *f, uint32_t quarters)
{
    uint32_t n = f->asked_most * quarters / 4;

    return n ? n : 1;
}

/* One slot's share of so many. */
static uint32_t share(const struct fair *f, uint32_t of)
{
    return f->active && of > f->active ? of / f->active : 1;
}

/* How many of the queries in flight one client or one network of a slot may have. */
static uint32_t client_most(const struct fair *f, int rank)
{
    return rank == RANK_FIRST ? UINT32_MAX : share(f, part(f, rank == RANK_USUAL ? 2 : 1));
}

/* Whether a network may have one more in flight, in its slot and in all slots together. Each slot may
 * have one of it, so without the second limit a network with queries in as many slots could have all
 * places. Two at least: a slot that claims queries of a network leaves it one. */
static bool network_may(const struct fair *f, const struct fair_node *network)
{
    uint32_t most = part(f, network->rank == RANK_USUAL ? 3 : 2);

    return network->rank == RANK_FIRST ||
           (network->asked < share(f, most) && network->all->asked < (most > 2 ? most : 2));
}

static bool is_debt(int rank)
{
    return rank >= RANK_SLIP;
}

/* All clients in debt together have half of it. */
static bool rank_is_full(const struct fair *f, int rank)
{
    return is_debt(rank) && f->asked_in_debt >= part(f, 2);
}

/* Whether a slot has its part of what all clients in debt together may have. */
static bool has_its_debts(const struct fair *f, const struct slot *s, int rank)
{
    return is_debt(rank) && s->asked_in_debt >= share(f, part(f, 2));
}

/* What the owner of the items allows. */
struct choice {
    fair_may *may;
    const void *arg;
};

static struct fair_item *item_of_client(struct fair_node *client, const struct choice *c)
{
    for (struct ring *link = client->members.next; link != &client->members; link = link->next)
        if (!c->may || c->may(c->arg, item_of(link)))
            return item_of(link);
    return NULL;
}

/* The first item of a network that may be asked; NULL: none may. */
static struct fair_item *item_of_network(const struct fair *f, struct fair_node *network,
                                         const struct choice *c)
{
    struct fair_item *item = NULL;
    struct ring *link = network->members.next;

    for (; link != &network->members && !item; link = link->next)
        if (node_of(link)->asked < client_most(f, network->rank))
            item = item_of_client(node_of(link), c);
    return item;
}

static struct fair_item *first_of(const struct fair *f, const struct slot *s, int rank,
                                  const struct choice *c)
{
    const struct level *level = &s->rank[rank];

    for (struct ring *link = level->networks.next; link != &level->networks; link = link->next) {
        struct fair_node *network = node_of(link);
        struct fair_item *item = network_may(f, network) ? item_of_network(f, network, c) : NULL;
        if (item)
            return item;
    }
    return NULL;
}

/* The first item of a slot, by rank: of those that have not their part of the debts, or only of the
 * others. */
static struct fair_item *first_of_slot(const struct fair *f, const struct slot *s, bool beyond,
                                       const struct choice *c)
{
    struct fair_item *item = NULL;

    for (int rank = 0; rank < RANKS && !item; rank++)
        if (s->rank[rank].waiting && !rank_is_full(f, rank) && has_its_debts(f, s, rank) == beyond)
            item = first_of(f, s, rank, c);
    return item;
}

/* The slot with the fewest items in flight goes first. Equals take turns, whatever their ranks are:
 * with room for one item only, all slots are always equal. */
static struct fair_item *fewest_first(const struct fair *f, bool beyond, const struct choice *c)
{
    for (uint32_t asked = 0, more; asked != UINT32_MAX; asked = more) {
        more = UINT32_MAX;
        for (uint32_t i = 0; i < f->slots; i++) {
            const struct slot *s = &f->slot[(f->next + i) % f->slots];
            if (s->waiting && s->asked > asked && s->asked < more)
                more = s->asked;
            struct fair_item *item =
                s->waiting && s->asked == asked ? first_of_slot(f, s, beyond, c) : NULL;
            if (item)
                return item;
        }
    }
    return NULL;
}

static struct fair_item *next_item(const struct fair *f, const struct choice *c)
{
    if (f->asked >= f->asked_most || f->waiting == 0)
        return NULL;
    struct fair_item *item = fewest_first(f, false, c);
    return item ? item : fewest_first(f, true, c);
}

struct fair_item *fair_next(const struct fair *f)
{
    return next_item(f, &(struct choice){0});
}

bool fair_allows(const struct fair *f, const struct fair_item *item)
{
    const struct fair_node *client = item->client;

    return f->asked < f->asked_most && !rank_is_full(f, client->rank) &&
           network_may(f, client->parent) && client->asked < client_most(f, client->rank);
}

/* In the order of next_item(): the slot, then its rings. */
bool fair_is_before(const struct fair *f, const struct fair_item *a, const struct fair_item *b)
{
    const struct fair_node *of[] = {a->client, b->client};
    uint64_t key[2][7];

    for (int i = 0; i < 2; i++) {
        const struct slot *s = &f->slot[of[i]->slot];
        uint64_t its[] = {has_its_debts(f, s, of[i]->rank),
                          s->asked,
                          (of[i]->slot + f->slots - f->next) % f->slots,
                          of[i]->rank,
                          of[i]->parent->turn,
                          of[i]->turn,
                          i ? b->number : a->number};
        memcpy(key[i], its, sizeof its);
    }
    for (int k = 0; k < 7; k++)
        if (key[0][k] != key[1][k])
            return key[0][k] < key[1][k];
    return false;
}

struct fair_item *fair_take(struct fair *f, fair_may *may, const void *arg)
{
    struct fair_item *item = next_item(f, &(struct choice){may, arg});

    if (item)
        fair_take_this(f, item);
    return item;
}

void fair_take_this(struct fair *f, struct fair_item *item)
{
    struct fair_node *client = item->client;
    struct slot *s = &f->slot[client->slot];
    f->next = (client->slot + 1) % f->slots;
    item_out(f, item, true);
    client->asked++;
    client->parent->asked++;
    client->parent->all->asked++;
    s->asked++;
    s->asked_in_debt += is_debt(client->rank);
    f->asked++;
    f->asked_in_debt += is_debt(client->rank);
}

void fair_done(struct fair *f, struct fair_item *item)
{
    struct fair_node *client = item->client;
    struct slot *s = &f->slot[client->slot];

    client->asked--;
    client->parent->asked--;
    client->parent->all->asked--;
    s->asked--;
    s->asked_in_debt -= is_debt(client->rank);
    f->asked--;
    f->asked_in_debt -= is_debt(client->rank);
    item_gone(f, item);
}

void fair_drop(struct fair *f, struct fair_item *item)
{
    (void)item_lost(f, item);
}

struct fair_item *fair_any(struct fair *f)
{
    for (struct slot *s = f->slot; s < f->slot + f->slots; s++)
        for (int rank = 0; rank < RANKS; rank++)
            if (s->rank[rank].waiting) {
                struct fair_node *network = node_of(s->rank[rank].networks.next);
                return item_lost(f, item_of(node_of(network->members.next)->members.next));
            }
    return NULL;
}
