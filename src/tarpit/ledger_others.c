/* The table of what others know (ledger_others.h). Runs in every process that has mapped it.
 *
 * The table is built like the ledger's (ledger_table.h): sets of eight cache lines, and each word
 * has a tag of the key. One process writes it. During a reload two do for a moment; then a key may
 * be in two places, and the first one counts. The writer clears a place's key word, fills the other
 * words and then sets the key word. So a reader sees a whole entry, or none, or amounts with
 * another tag, which it ignores. */
#include "tarpit/ledger_others.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tarpit/ledger_allowance.h"
#include "tarpit/ledger_amount.h"
#include "tarpit/ledger_others_part.h"
#include "tarpit/ledger_table.h"

enum { LAYOUT = 0x6d6f7431 };

/* ---- the mapping ---- */

size_t others_size(uint64_t places)
{
    uint64_t sets = places / LEDGER_WAYS ? places / LEDGER_WAYS : 1;
    return sizeof(struct ledger_others) + sets * LEDGER_WAYS * sizeof(struct place);
}

struct ledger_others *others_open(void *mapping, size_t size)
{
    struct ledger_others *o = mapping;

    if (!o)
        return NULL;
    uint64_t sets = (size - sizeof *o) / (LEDGER_WAYS * sizeof(struct place));
    if (o->layout != LAYOUT || o->sets != sets) {
        if (o->layout)
            memset(o, 0, size);
        o->sets = sets;
        o->layout = LAYOUT;
    }
    return o;
}

void ledger_share(struct ledger *l, struct ledger_others *o)
{
    free(l->told);
    l->told = o ? calloc(1, sizeof *l->told) : NULL;
    l->others = l->told ? o : NULL;
}

static void empty(struct ledger_others *o)
{
    for (uint64_t i = 0; i < o->sets * LEDGER_WAYS; i++)
        if (atomic_load_explicit(&o->place[i].word[PLACE_KEY], memory_order_relaxed))
            atomic_store(&o->place[i].word[PLACE_KEY], 0);
}

void others_activate(struct ledger_others *o, const struct sipkey *key, uint64_t owner)
{
    bool same = atomic_load(&o->k0) == key->k0 && atomic_load(&o->k1) == key->k1;

    if (!same) {
        atomic_store(&o->owner, 0);
        empty(o);
        atomic_store(&o->k0, key->k0);
        atomic_store(&o->k1, key->k1);
    }
    atomic_store(&o->read, atomic_load(&o->next));
    atomic_store(&o->owner, owner);
}

void others_take_over(struct ledger_others *o, uint64_t owner)
{
    uint64_t before = atomic_load(&o->owner);

    /* What the other process has not read yet, this one may have read: it is told again. */
    atomic_store(&o->read, atomic_load(&o->next));
    while (before && !atomic_compare_exchange_weak(&o->owner, &before, owner))
        continue;
}

void others_rest(struct ledger_others *o, uint64_t owner)
{
    atomic_compare_exchange_strong(&o->owner, &owner, 0);
}

bool others_is_active(const struct ledger_others *o)
{
    return atomic_load(&o->owner) != 0;
}

uint64_t others_moves(const struct ledger_others *o)
{
    return atomic_load(&o->moves);
}

bool ledger_is_shared(const struct ledger *l)
{
    return l->others && atomic_load_explicit(&l->others->owner, memory_order_relaxed);
}

uint64_t ledger_naming(const struct ledger *l)
{
    return ledger_is_shared(l) ? atomic_load_explicit(&l->others->k0, memory_order_relaxed) | 1 : 0;
}

/* ---- names ---- */

bool ledger_name_is_shared(uint8_t kind)
{
    if (kind == LEDGER_ALLOWANCE)
        return false;
    kind &= LEDGER_KIND_BITS;
    return kind >= LEDGER_CLIENT && kind <= LEDGER_BOUNCES;
}

bool ledger_name_is_label(uint8_t kind)
{
    kind &= LEDGER_KIND_BITS;
    return kind == LEDGER_CLIENT || kind == LEDGER_NETWORK || kind == LEDGER_BOUNCES;
}

static void start_hash(const struct ledger_others *o, struct siphash *h, uint8_t kind)
{
    struct sipkey key = {atomic_load_explicit(&o->k0, memory_order_relaxed),
                         atomic_load_explicit(&o->k1, memory_order_relaxed)};
    siphash_start(h, &key);
    siphash_add(h, &kind, 1);
}

/* The hash of a name in the table: of its label, or the name itself, which is a hash. */
static uint64_t hash_of(const struct ledger_others *o, const struct ledger_name *n)
{
    struct siphash h;

    if (!ledger_name_is_label(n->kind))
        return n->id;
    start_hash(o, &h, n->kind);
    siphash_add(&h, &n->id, sizeof n->id);
    return (siphash_end(&h) & ~UINT64_C(15)) | n->kind;
}

uint64_t ledger_common(const struct ledger *l, uint8_t kind, const struct addr *a,
                       struct span folded_user)
{
    struct siphash h;

    start_hash(l->others, &h, kind);
    if (a)
        siphash_add(&h, a->octets, 8);
    for (size_t i = 0; i < folded_user.len; i++) {
        char c = folded_user.at[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        siphash_add(&h, &c, 1);
    }
    return (siphash_end(&h) & ~UINT64_C(15)) | kind;
}

bool ledger_name_of(const struct ledger_key *k, struct ledger_name *n)
{
    uint8_t kind = k->hash & (LEDGER_KIND_BITS | LEDGER_KIND_IP6);

    *n = (struct ledger_name){ledger_name_is_label(kind) ? k->label : k->common, kind};
    return k->hash && ledger_name_is_shared(kind) && (n->id || ledger_name_is_label(kind));
}

/* ---- the table ---- */

static struct place *find(const struct ledger_others *o, uint64_t hash)
{
    const struct place *set = o->place + ledger_set_index(hash, o->sets) * LEDGER_WAYS;
    unsigned first = ledger_first_way(hash);

    for (unsigned i = 0; i < LEDGER_WAYS; i++) {
        const struct place *p = &set[(first + i) % LEDGER_WAYS];
        if (atomic_load(&p->word[PLACE_KEY]) == hash)
            return (struct place *)p;
    }
    return NULL;
}

static uint64_t word_of(const struct place *p, enum place_word w, uint64_t hash)
{
    uint64_t word = atomic_load(&p->word[w]);
    return ledger_tag(word) == ledger_tag(hash) ? word & LEDGER_PAYLOAD : 0;
}

enum { FLAGS_SHIFT = 48, QUEUES_SHIFT = 40 };

static bool is_network_of_account(uint64_t hash)
{
    return (hash & LEDGER_KIND_BITS) == LEDGER_ACCOUNT_NETWORK;
}

bool ledger_others_get(const struct ledger *l, const struct ledger_key *k,
                       const struct ledger_decay *d, uint64_t now, struct ledger_share *theirs,
                       double *spent_here)
{
    struct ledger_name n;
    const struct place *p = NULL;

    *theirs = (struct ledger_share){0};
    *spent_here = 0;
    if (!ledger_is_shared(l) || !ledger_name_of(k, &n))
        return false;
    uint64_t hash = hash_of(l->others, &n);
    p = find(l->others, hash);
    if (!p)
        return false;
    uint64_t turn = word_of(p, PLACE_TURN, hash), debt = word_of(p, PLACE_DEBT, hash);
    uint64_t flags = word_of(p, PLACE_FLAGS, hash), changed_ms = (flags & UINT32_MAX) * 1000;
    bool is_login = is_network_of_account(hash);
    *theirs = (struct ledger_share){
        .offences = ledger_amount_now(word_of(p, PLACE_OFFENCES, hash), d->half_life, now),
        .good = ledger_amount_now(word_of(p, PLACE_GOOD, hash), d->good_half_life, now),
        .spent = ledger_amount_now(word_of(p, PLACE_SPENT, hash), d->good_half_life, now),
        .turn_ms = is_login ? 0 : ledger_believable(turn & LEDGER_END, now),
        .paced = !is_login && turn & LEDGER_TURN_PACED,
        .pass_ms = is_login ? turn & LEDGER_END : ledger_pass_at(turn, changed_ms, now),
        .debt_ms = ledger_believable(debt & LEDGER_END, now),
        .delivered_ms = ledger_delivered_at(debt, changed_ms, now),
        .flags = flags >> FLAGS_SHIFT & 0xff,
        .queues = flags >> QUEUES_SHIFT & 0xff,
    };
    *spent_here = ledger_amount_now(word_of(p, PLACE_SPENT_HERE, hash), d->good_half_life, now);
    return atomic_load(&p->word[PLACE_KEY]) == hash;
}

unsigned others_queues(const struct ledger_others *o, const struct ledger_name *n, uint64_t now)
{
    uint64_t hash = hash_of(o, n);
    const struct place *p = find(o, hash);

    if (!p || (word_of(p, PLACE_TURN, hash) & LEDGER_END) <= now)
        return 0;
    return word_of(p, PLACE_FLAGS, hash) >> QUEUES_SHIFT & 0xff;
}

void others_prefetch(const struct ledger *l, const struct ledger_name *n)
{
    const struct ledger_others *o = l->others;
    struct ledger_key k = ledger_key_named(l, n);
    const struct place *set = o->place + ledger_set_index(hash_of(o, n), o->sets) * LEDGER_WAYS;

    for (unsigned i = 0; i < LEDGER_WAYS; i++)
        __builtin_prefetch(&set[i]);
    if (!k.hash)
        return;
    const struct ledger_slot *own = l->slot + ledger_set_index(k.hash, l->sets) * LEDGER_WAYS;
    for (unsigned i = 0; i < LEDGER_WAYS; i++)
        __builtin_prefetch(&own[i]);
}

/* How much a place is worth keeping, roughly like ledger_strength(). */
static uint64_t strength(const struct place *p, uint64_t now)
{
    enum { HOUR_S = 3600, WEEK_S = 7 * 24 * HOUR_S };
    uint64_t changed_s = atomic_load(&p->word[PLACE_FLAGS]) & UINT32_MAX;
    uint64_t flags = atomic_load(&p->word[PLACE_FLAGS]) >> FLAGS_SHIFT & 0xff;
    uint64_t age = now / 1000 > changed_s ? now / 1000 - changed_s : 0;
    uint64_t hours = ledger_halvings(age, HOUR_S), weeks = ledger_halvings(age, WEEK_S);
    double offences = ledger_amount_raw(atomic_load(&p->word[PLACE_OFFENCES]));
    double good = ledger_amount_raw(atomic_load(&p->word[PLACE_GOOD]));

    uint64_t s = (uint64_t)(64 * (1 + fmin(offences, 1e6))) >> hours;
    s += (uint64_t)(16 * fmin(good, 1e6)) >> weeks;
    return s + (flags & LEDGER_KNOWN ? UINT64_C(1) << 20 >> weeks : 0);
}

static struct place *claim(struct ledger_others *o, uint64_t hash, uint64_t now)
{
    struct place *set = o->place + ledger_set_index(hash, o->sets) * LEDGER_WAYS, *best = NULL;
    unsigned first = ledger_first_way(hash);
    uint64_t least = UINT64_MAX;

    for (unsigned i = 0; i < LEDGER_WAYS; i++) {
        struct place *p = &set[(first + i) % LEDGER_WAYS];
        uint64_t key = atomic_load(&p->word[PLACE_KEY]);
        uint64_t s = key ? strength(p, now) : 0;
        if (!best || s < least) {
            best = p;
            least = s;
        }
        if (!key)
            break;
    }
    atomic_store(&best->word[PLACE_KEY], 0);
    for (int w = PLACE_OFFENCES; w <= PLACE_FLAGS; w++)
        atomic_store(&best->word[w], ledger_tag(hash));
    return best;
}

static bool is_nothing(const struct ledger_share *s)
{
    return s->offences <= 0 && s->good <= 0 && s->spent <= 0 && !s->turn_ms && !s->debt_ms &&
           !s->delivered_ms && !s->pass_ms && !s->flags;
}

static uint64_t turn_word(const struct ledger_share *sum, uint64_t hash)
{
    if (is_network_of_account(hash))
        return sum->pass_ms & LEDGER_END;
    return (sum->turn_ms & LEDGER_END) | (sum->paced ? LEDGER_TURN_PACED : 0) |
           ledger_pass_bits(sum->pass_ms);
}

void others_set(struct ledger_others *o, const struct ledger_name *n, const struct ledger_decay *d,
                uint64_t now, const struct ledger_share *sum)
{
    uint64_t hash = hash_of(o, n), tag = ledger_tag(hash);
    struct place *p = find(o, hash);

    if (!p && is_nothing(sum))
        return;
    if (!p)
        p = claim(o, hash, now);
    const uint64_t word[] = {
        [PLACE_OFFENCES] = ledger_amount_of(d->half_life, now, sum->offences),
        [PLACE_GOOD] = ledger_amount_of(d->good_half_life, now, sum->good),
        [PLACE_SPENT] = ledger_amount_of(d->good_half_life, now, sum->spent),
        [PLACE_TURN] = turn_word(sum, hash),
        [PLACE_DEBT] = (sum->debt_ms & LEDGER_END) | ledger_delivered_bits(sum->delivered_ms),
        [PLACE_FLAGS] = (uint64_t)(sum->flags & 0xff) << FLAGS_SHIFT |
                        (uint64_t)sum->queues << QUEUES_SHIFT | (now / 1000 & UINT32_MAX),
    };
    for (int w = PLACE_OFFENCES; w <= PLACE_FLAGS; w++)
        if (w != PLACE_SPENT_HERE)
            atomic_store(&p->word[w], tag | word[w]);
    atomic_store(&p->word[PLACE_KEY], hash);
}

void ledger_others_spend(struct ledger *l, const struct ledger_key *k, const struct ledger_decay *d,
                         uint64_t now, double amount)
{
    struct ledger_name n;
    struct place *p = NULL;

    if (l->proposer || !ledger_is_shared(l) || !ledger_name_of(k, &n))
        return; /* for a worker the keeper does it */
    uint64_t hash = hash_of(l->others, &n);
    p = find(l->others, hash);
    if (!p)
        return;
    uint64_t word = atomic_load(&p->word[PLACE_SPENT_HERE]), new;
    do {
        if (ledger_tag(word) != ledger_tag(hash))
            return;
        new = ledger_tag(hash) |
              ledger_amount_plus(word & LEDGER_PAYLOAD, d->good_half_life, now, amount);
    } while (!atomic_compare_exchange_weak(&p->word[PLACE_SPENT_HERE], &word, new));
    ledger_tell(l, k, OTHERS_CHANGED);
}

void ledger_others_forget(struct ledger *l, const struct ledger_key *k)
{
    struct ledger_name n;

    if (!ledger_is_shared(l) || !ledger_name_of(k, &n))
        return;
    struct place *p = find(l->others, hash_of(l->others, &n));
    if (p)
        atomic_store(&p->word[PLACE_KEY], 0);
    ledger_tell(l, k, OTHERS_FORGOTTEN);
}

void ledger_others_prefetch(const struct ledger *l, const struct ledger_key *k)
{
    struct ledger_name n;

    if (!ledger_is_shared(l) || !ledger_name_of(k, &n))
        return;
    uint64_t hash = hash_of(l->others, &n);
    const struct place *set =
        l->others->place + ledger_set_index(hash, l->others->sets) * LEDGER_WAYS;
    __builtin_prefetch(&set[ledger_first_way(hash)]);
}

bool ledger_is_elsewhere(const struct ledger *l, const struct ledger_key *k)
{
    const struct place *p = ledger_is_shared(l) && k->common ? find(l->others, k->common) : NULL;

    return p && word_of(p, PLACE_FLAGS, k->common) >> FLAGS_SHIFT & LEDGER_KNOWN;
}

/* ---- what this member has booked ---- */

bool ledger_own(const struct ledger *l, const struct ledger_key *k, const struct ledger_name *n,
                const struct ledger_decay *d, uint64_t now, struct ledger_share *own,
                uint64_t *seen_ms)
{
    enum { SHARED = LEDGER_TRAPPED | LEDGER_KNOWN | LEDGER_SUSPECT };
    struct ledger_entry e;
    uint64_t hash = hash_of(l->others, n);
    const struct place *p = find(l->others, hash);
    bool any = ledger_get_alone(l, k, d, now, &e);

    *seen_ms = e.seen_ms;
    *own = (struct ledger_share){
        .offences = e.offences,
        .good = e.good,
        .turn_ms = e.turn_ms > now ? e.turn_ms : 0,
        .paced = e.paced && e.turn_ms > now,
        .debt_ms = e.debt_ms > now ? e.debt_ms : 0,
        .delivered_ms = e.delivered_ms,
        .pass_ms = e.pass_ms,
        .flags = e.flags & SHARED,
    };
    if (k->kind == LEDGER_ACCOUNT_NETWORK)
        *own = (struct ledger_share){.flags = own->flags, .pass_ms = ledger_login_since_own(l, k)};
    if (p)
        own->spent = ledger_amount_now(word_of(p, PLACE_SPENT_HERE, hash), d->good_half_life, now);
    return any || own->spent > 0;
}

static void own_spent_again(struct ledger *l, const struct ledger_name *n,
                            const struct ledger_decay *d, uint64_t now, double spent)
{
    uint64_t hash = hash_of(l->others, n);
    struct place *p = find(l->others, hash);

    if (!p || spent <= 0)
        return;
    uint64_t word = atomic_load(&p->word[PLACE_SPENT_HERE]);
    if (ledger_tag(word) != ledger_tag(hash) ||
        ledger_amount_now(word & LEDGER_PAYLOAD, d->good_half_life, now) >= spent)
        return;
    uint64_t raised = ledger_tag(hash) | ledger_amount_of(d->good_half_life, now, spent);
    atomic_compare_exchange_strong(&p->word[PLACE_SPENT_HERE], &word, raised);
}

void ledger_own_again(struct ledger *l, const struct ledger_key *k, const struct ledger_name *n,
                      const struct ledger_decay *d, uint64_t now, const struct ledger_share *was)
{
    struct ledger alone = *l; /* what others know is not part of it */

    alone.others = NULL;
    if (was->offences > 0)
        ledger_raise_offences(&alone, k, d, now, was->offences);
    if (was->good > 0)
        ledger_raise_good(&alone, k, d, now, was->good);
    if (was->turn_ms > now)
        ledger_raise_turn(&alone, k, now, was->turn_ms, was->paced);
    if (was->debt_ms > now)
        ledger_set_debt(&alone, k, now, was->debt_ms);
    if (k->kind == LEDGER_ACCOUNT_NETWORK) {
        if (was->flags & LEDGER_KNOWN)
            ledger_login(&alone, k, now, was->pass_ms ? was->pass_ms : now);
        return;
    }
    if (was->pass_ms)
        ledger_pass(&alone, k, now, was->pass_ms < now ? was->pass_ms : now);
    if (was->flags & (LEDGER_TRAPPED | LEDGER_KNOWN))
        ledger_set_flags(&alone, k, now, was->flags & (LEDGER_TRAPPED | LEDGER_KNOWN), 0);
    own_spent_again(l, n, d, now, was->spent);
}

bool ledger_next_own(const struct ledger *l, uint64_t *at, struct ledger_key *key,
                     struct ledger_name *name, uint64_t *seen_ms)
{
    while (*at < l->sets * LEDGER_WAYS) {
        const struct ledger_slot *slot = &l->slot[(*at)++];
        uint64_t hash = atomic_load(&slot->word[WORD_KEY]);
        if (!ledger_in_use(hash) || !ledger_name_is_label((uint8_t)(hash & LEDGER_KIND_BITS)))
            continue;
        *key = (struct ledger_key){.hash = hash,
                                   .label = atomic_load(&slot->word[WORD_LABEL]),
                                   .kind = hash & LEDGER_KIND_BITS};
        *seen_ms = (atomic_load(&slot->word[WORD_SEEN]) & UINT32_MAX) * 1000;
        if (atomic_load(&slot->word[WORD_KEY]) == hash)
            return ledger_name_of(key, name);
    }
    return false;
}
