/* What each member has said of each key (book.h): nodes of 64 octets, chained in a table of
 * buckets. The shares of all members of one key are in one chain. */
#include "fleet/book.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "base/siphash.h"

enum { NONE = 0, TEND_PLACES = 512, EVICT_LOOKS = 16, FREE = 0xffff };

struct node {
    uint32_t next;
    uint16_t member; /* FREE: in the list of free nodes */
    uint8_t kind, flags;
    uint64_t id, stamp_ms,
        at_ms; /* of BOOK_SELF: at_ms is the ledger's hash, nothing else counts */
    float offences, good, spent;
    uint32_t turn, debt; /* ms from at_ms; the highest bit of `turn` is `paced` */
    uint32_t delivered_s, pass_s, unused;
};
static_assert(sizeof(struct node) == 64, "docs/fleet.md counts with it");

#define PACED (UINT32_C(1) << 31)

struct book {
    struct sipkey key;
    uint32_t places, buckets, used, free, fresh, hand; /* node 0 is none */
    uint32_t *bucket;
    struct node *node;
};

static void *map(size_t octets)
{
    void *at = mmap(NULL, octets, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED)
        return NULL;
    madvise(at, octets, MADV_HUGEPAGE); /* look-ups are spread over all of it */
    return at;
}

int book_open(struct book **out, uint32_t places)
{
    struct book *b = calloc(1, sizeof *b);

    if (!b)
        return -ENOMEM;
    if (getrandom(&b->key, sizeof b->key, 0) != sizeof b->key) {
        free(b);
        return -EIO;
    }
    b->places = places < 64 ? 64 : places;
    b->buckets = 64;
    while (b->buckets < b->places && b->buckets < UINT32_C(1) << 31)
        b->buckets *= 2;
    b->fresh = 1;
    b->hand = 1;
    b->bucket = map((size_t)b->buckets * sizeof *b->bucket);
    b->node = map(((size_t)b->places + 1) * sizeof *b->node);
    *out = b;
    if (b->bucket && b->node)
        return 0;
    book_close(b);
    *out = NULL;
    return -ENOMEM;
}

void book_close(struct book *b)
{
    if (!b)
        return;
    if (b->bucket)
        munmap(b->bucket, (size_t)b->buckets * sizeof *b->bucket);
    if (b->node)
        munmap(b->node, ((size_t)b->places + 1) * sizeof *b->node);
    free(b);
}

uint32_t book_count(const struct book *b)
{
    return b->used;
}

static uint32_t *chain_of(const struct book *b, uint64_t id, uint8_t kind)
{
    uint64_t what[2] = {id, kind};
    return &b->bucket[siphash(&b->key, what, sizeof what) & (b->buckets - 1)];
}

void book_prefetch(const struct book *b, const struct ledger_name *n)
{
    __builtin_prefetch(chain_of(b, n->id, n->kind));
}

static bool is_of(const struct node *n, const struct ledger_name *name)
{
    return n->id == name->id && n->kind == name->kind;
}

static struct node *find(const struct book *b, uint16_t member, const struct ledger_name *name)
{
    for (uint32_t i = *chain_of(b, name->id, name->kind); i != NONE; i = b->node[i].next)
        if (b->node[i].member == member && is_of(&b->node[i], name))
            return &b->node[i];
    return NULL;
}

static void remove_node(struct book *b, uint32_t i)
{
    uint32_t *link = chain_of(b, b->node[i].id, b->node[i].kind);

    while (*link != i)
        link = &b->node[*link].next;
    *link = b->node[i].next;
    b->node[i] = (struct node){.next = b->free, .member = FREE};
    b->free = i;
    b->used--;
}

/* ---- one share ---- */

static double faded(double amount, uint64_t half_life, uint64_t age)
{
    return half_life && amount > 0 ? amount * exp2(-(double)age / (double)half_life) : amount;
}

static struct ledger_share live(const struct node *n, const struct tarpit_rules *r, uint64_t now)
{
    uint64_t age = now > n->at_ms ? now - n->at_ms : 0, turn = n->turn & ~PACED;

    return (struct ledger_share){
        .offences = faded(n->offences, r->half_life, age),
        .good = faded(n->good, r->good_half_life, age),
        .spent = faded(n->spent, r->good_half_life, age),
        .turn_ms = turn > age ? n->at_ms + turn : 0,
        .paced = turn > age && n->turn & PACED,
        .debt_ms = n->debt > age ? n->at_ms + n->debt : 0,
        .delivered_ms = (uint64_t)n->delivered_s * 1000,
        .pass_ms = n->pass_s ? (uint64_t)n->pass_s * 1000 : 0,
        .flags = n->flags,
    };
}

/* ---- room ---- */

/* A share that says "nothing" is kept for this long, because an older one may still arrive. */
enum { LATEST_MS = 10 * 60 * 1000 };

static uint64_t lasts(const struct node *n, const struct tarpit_rules *r, uint64_t now)
{
    const uint64_t day = 86400 * 1000;

    if (n->member == BOOK_SELF)
        return day;
    struct share s = {.name = {n->id, n->kind}, .at_ms = now, .is = live(n, r, now)};
    if (s.is.delivered_ms + 30 * day < now)
        s.is.delivered_ms = 0;
    if (s.is.pass_ms + r->greet_pass < now)
        s.is.pass_ms = 0;
    if (n->at_ms + 30 * day < now)
        s.is.flags = 0;
    uint64_t counts = share_lasts(&s, r);
    return counts == 0 && n->at_ms + LATEST_MS > now ? 1 : counts;
}

static void evict(struct book *b, const struct tarpit_rules *r, uint64_t now)
{
    uint32_t least = NONE;
    uint64_t least_lasts = UINT64_MAX;

    for (unsigned looks = 0; looks < EVICT_LOOKS || least == NONE; looks++) {
        b->hand = b->hand % b->places + 1;
        if (b->node[b->hand].member == FREE)
            continue;
        uint64_t l = lasts(&b->node[b->hand], r, now);
        if (l <= least_lasts) {
            least = b->hand;
            least_lasts = l;
        }
    }
    remove_node(b, least);
}

static struct node *add(struct book *b, uint16_t member, const struct ledger_name *name,
                        const struct tarpit_rules *r, uint64_t now)
{
    uint32_t *chain = chain_of(b, name->id, name->kind), i;

    if (b->free == NONE && b->fresh > b->places)
        evict(b, r, now);
    if (b->free != NONE) {
        i = b->free;
        b->free = b->node[i].next;
    } else {
        i = b->fresh++;
    }
    b->node[i] =
        (struct node){.next = *chain, .member = member, .id = name->id, .kind = name->kind};
    *chain = i;
    b->used++;
    return &b->node[i];
}

void book_tend(struct book *b, const struct tarpit_rules *r, uint64_t now)
{
    for (unsigned i = 0; i < TEND_PLACES && b->fresh > 1; i++) {
        b->hand = b->hand % (b->fresh - 1) + 1;
        const struct node *n = &b->node[b->hand];
        if (n->member != FREE && lasts(n, r, now) == 0)
            remove_node(b, b->hand);
    }
}

/* ---- what the fleet process asks ---- */

static bool is_larger(const struct ledger_share *a, const struct node *n)
{
    const float x[] = {(float)a->offences, (float)a->good, (float)a->spent};
    const float y[] = {n->offences, n->good, n->spent};

    for (int i = 0; i < 3; i++)
        if (x[i] < y[i] || x[i] > y[i])
            return x[i] > y[i];
    return a->turn_ms > n->at_ms + (n->turn & ~PACED) || a->debt_ms > n->at_ms + n->debt;
}

static bool is_from_future(const struct node *n, uint64_t fleet_now)
{
    return n->stamp_ms > fleet_now + SHARE_AHEAD_MS;
}

/* The share has the same moment in both times. */
static uint64_t fleet_time(const struct share *s, uint64_t now)
{
    return now + s->stamp_ms - s->at_ms;
}

bool book_take(struct book *b, uint16_t member, const struct share *s, const struct tarpit_rules *r,
               uint64_t now)
{
    struct node *n = find(b, member, &s->name);

    bool older =
        n && (s->stamp_ms < n->stamp_ms || (s->stamp_ms == n->stamp_ms && !is_larger(&s->is, n)));

    if (older && !is_from_future(n, fleet_time(s, now)))
        return false;
    if (!n)
        n = add(b, member, &s->name, r, now);
    uint64_t turn = s->is.turn_ms > s->at_ms ? s->is.turn_ms - s->at_ms : 0;
    uint64_t debt = s->is.debt_ms > s->at_ms ? s->is.debt_ms - s->at_ms : 0;
    n->stamp_ms = s->stamp_ms;
    n->at_ms = s->at_ms;
    n->offences = (float)s->is.offences;
    n->good = (float)s->is.good;
    n->spent = (float)s->is.spent;
    n->turn = (uint32_t)(turn < PACED ? turn : 0) | (s->is.paced ? PACED : 0);
    n->debt = (uint32_t)(debt < PACED ? debt : 0);
    n->delivered_s = (uint32_t)(s->is.delivered_ms / 1000);
    n->pass_s = (uint32_t)((s->is.pass_ms + 999) / 1000);
    n->flags = (uint8_t)s->is.flags;
    return true;
}

static double less(double a, double b)
{
    return a < b ? a : b;
}

/* The last pass of a client, and the first login of an account from a network. */
static void take_pass(struct ledger_share *sum, const struct ledger_share *s, uint8_t kind)
{
    bool earlier = (kind & ~LEDGER_NAME_IP6) == LEDGER_ACCOUNT_NETWORK;

    if (s->pass_ms && (!sum->pass_ms || (s->pass_ms < sum->pass_ms) == earlier))
        sum->pass_ms = s->pass_ms;
}

void book_sum(const struct book *b, const struct ledger_name *name, const struct ledger_share *own,
              const struct tarpit_rules *r, uint64_t now, struct ledger_share *sum)
{
    double start = own->flags & LEDGER_SUSPECT ? less(own->offences, r->suspect_offences) : 0;
    double starts = start;

    *sum = (struct ledger_share){0};
    for (uint32_t i = *chain_of(b, name->id, name->kind); i != NONE; i = b->node[i].next) {
        const struct node *n = &b->node[i];
        if (n->member == BOOK_SELF || !is_of(n, name))
            continue;
        struct ledger_share s = live(n, r, now);
        if (s.flags & LEDGER_SUSPECT) {
            double first = less(s.offences, r->suspect_offences);
            s.offences -= first;
            starts = first > starts ? first : starts;
        }
        sum->offences += s.offences;
        sum->good += s.good;
        sum->spent += s.spent;
        if (s.turn_ms > sum->turn_ms)
            sum->turn_ms = s.turn_ms;
        if (s.debt_ms > sum->debt_ms)
            sum->debt_ms = s.debt_ms;
        if (s.delivered_ms > sum->delivered_ms)
            sum->delivered_ms = s.delivered_ms;
        take_pass(sum, &s, name->kind);
        if (s.turn_ms > now && sum->queues < UINT8_MAX)
            sum->queues++;
        sum->paced |= s.paced;
        sum->flags |= s.flags;
    }
    sum->offences += starts - start;
}

unsigned book_sharers(const struct book *b, const struct ledger_name *name)
{
    unsigned count = 0;

    for (uint32_t i = *chain_of(b, name->id, name->kind); i != NONE; i = b->node[i].next)
        count += b->node[i].member != BOOK_SELF && is_of(&b->node[i], name);
    return count;
}

/* The register stays, so that a share that was sent before and arrives late still counts as
 * older. */
bool book_forget(struct book *b, const struct ledger_name *name, uint64_t stamp_ms,
                 uint64_t fleet_now)
{
    bool any = false;

    for (uint32_t i = *chain_of(b, name->id, name->kind); i != NONE; i = b->node[i].next) {
        struct node *n = &b->node[i];
        if (n->member == BOOK_SELF || !is_of(n, name) ||
            (n->stamp_ms > stamp_ms && !is_from_future(n, fleet_now)))
            continue;
        n->stamp_ms = stamp_ms;
        n->offences = 0;
        n->turn = n->debt = 0;
        n->flags &= (uint8_t) ~(LEDGER_TRAPPED | LEDGER_SUSPECT);
        any = true;
    }
    return any;
}

void book_clock_was_set(struct book *b, int64_t by_ms)
{
    for (uint32_t i = 1; i < b->fresh; i++) {
        struct node *n = &b->node[i];
        if (n->member == FREE || n->member == BOOK_SELF)
            continue;
        n->at_ms += (uint64_t)by_ms;
        if (n->delivered_s)
            n->delivered_s += (uint32_t)(by_ms / 1000);
        if (n->pass_s)
            n->pass_s += (uint32_t)(by_ms / 1000);
    }
}

void book_note(struct book *b, const struct ledger_name *name, uint64_t hash, uint64_t now)
{
    static const struct tarpit_rules none;
    struct node *n = find(b, BOOK_SELF, name);

    if (!n)
        n = add(b, BOOK_SELF, name, &none, now);
    n->at_ms = hash;
}

static bool next(const struct book *b, uint32_t *at, bool self, struct ledger_name *name,
                 uint64_t *hash)
{
    while (*at + 1 < b->fresh) {
        const struct node *n = &b->node[++*at];
        if (n->member == FREE || (n->member == BOOK_SELF) != self)
            continue;
        *name = (struct ledger_name){n->id, n->kind};
        *hash = n->at_ms;
        return true;
    }
    return false;
}

bool book_next_noted(const struct book *b, uint32_t *at, struct ledger_name *name, uint64_t *hash)
{
    return next(b, at, true, name, hash);
}

bool book_next(const struct book *b, uint32_t *at, struct ledger_name *name)
{
    uint64_t unused;
    return next(b, at, false, name, &unused);
}
