/* The table of accounts that workers share; see ledger_accounts.h. */
#include "tarpit/ledger_accounts.h"

#include <sched.h>

/* HELD_MS: as long as a busy machine may keep a worker from the processor between its change of a place
 * and its proposal. */
enum { AGAIN_MS = 100, TRIES = 64, HELD_MS = 250 };

static unsigned set_of(uint64_t hash)
{
    return (unsigned)(hash >> 24) % ACCOUNT_SETS;
}

/* A round that has not begun yet is no round: the place is being filled, or a worker that was taken
 * over wants to keep it. */
static bool in_use(const struct accounts *a, uint64_t used)
{
    return used >= atomic_load(&a->done) && used <= atomic_load(&a->round);
}

/* Nobody was released since it was filled. */
static bool is_fresh(const struct ledger *l, const struct account_place *p)
{
    return atomic_load(&p->forgotten) == atomic_load(&l->head->forgotten);
}

/* A worker may be about to propose what it has changed there, or to change it. */
static bool is_held(const struct account_place *p, uint64_t now)
{
    uint64_t claimed = atomic_load(&p->claimed_ms);

    return claimed <= now + LEDGER_SKEW_MS && now < claimed + HELD_MS;
}

static struct account_place *place_of(struct accounts *a, uint64_t hash)
{
    struct account_place *set = a->place[set_of(hash)];

    for (int i = 0; i < ACCOUNT_WAYS; i++)
        if (atomic_load(&set[i].slot.word[WORD_KEY]) == hash)
            return &set[i];
    return NULL;
}

struct ledger_slot *accounts_find(struct accounts *a, const struct ledger *l, uint64_t hash)
{
    struct account_place *p = place_of(a, hash);

    return p && is_fresh(l, p) && in_use(a, atomic_load(&p->used)) ? &p->slot : NULL;
}

/* Marks the place as used in this round, unless it is being filled. */
static void use(struct accounts *a, struct account_place *p)
{
    uint64_t used = atomic_load(&p->used), round = atomic_load(&a->round);

    while (used < round && !atomic_compare_exchange_weak(&p->used, &used, round))
        continue;
}

static bool is_usable(const struct accounts *a, const struct ledger *l,
                      const struct account_place *p, uint64_t now)
{
    uint64_t used = atomic_load(&p->used);

    return is_fresh(l, p) &&
           (in_use(a, used) || (used <= atomic_load(&a->round) && is_held(p, now)));
}

static void claim_at(struct account_place *p, uint64_t now)
{
    uint64_t claimed = atomic_load(&p->claimed_ms);

    while ((claimed < now || !is_held(p, now)) &&
           !atomic_compare_exchange_weak(&p->claimed_ms, &claimed, now))
        continue;
}

/* Claims the place, if it is usable: for HELD_MS nobody fills it anew. */
static bool hold(struct accounts *a, const struct ledger *l, struct account_place *p, uint64_t hash,
                 uint64_t now)
{
    if (!is_usable(a, l, p, now))
        return false;
    claim_at(p, now);
    /* The order matters, see mark(): the claim must be visible before this is read. */
    if (!is_usable(a, l, p, now) || atomic_load(&p->slot.word[WORD_KEY]) != hash)
        return false;
    use(a, p);
    return true;
}

void accounts_changed(struct accounts *a, uint64_t hash)
{
    struct account_place *p = place_of(a, hash);

    /* The order matters: the proposal must be visible before the round is read. */
    atomic_thread_fence(memory_order_seq_cst);
    if (p)
        use(a, p);
}

static uint64_t kept_word(const struct ledger_slot *kept, enum ledger_word w, uint64_t hash)
{
    return ledger_tag(hash) | (kept ? ledger_payload(kept, w, hash) : 0);
}

/* Copies the ledger's words into the account's place while nobody uses that, one by one. A word that
 * another worker changes meanwhile stays as that one has made it. So no worker has to wait for one
 * that the system has stopped while it does this. */
static void refresh(struct accounts *a, const struct ledger *l, struct account_place *p,
                    uint64_t hash, uint64_t now)
{
    uint64_t old[WORD_COUNT], used = atomic_load(&p->used);

    for (int w = WORD_OFFENCES; w < WORD_COUNT; w++)
        old[w] = atomic_load(&p->slot.word[w]);
    /* The order matters: who has claimed it since then changes the words later than they were read. */
    if (used > atomic_load(&a->round) || !is_fresh(l, p) || is_usable(a, l, p, now) ||
        atomic_load(&p->slot.word[WORD_KEY]) != hash)
        return;
    const struct ledger_slot *kept = ledger_find_kept(l, hash);
    for (int w = WORD_OFFENCES; w < WORD_COUNT; w++)
        atomic_compare_exchange_strong(&p->slot.word[w], &old[w],
                                       kept_word(kept, (enum ledger_word)w, hash));
    if (!is_fresh(l, p))
        return;
    atomic_store(&p->made_ms, now);
    claim_at(p, now);
    atomic_compare_exchange_strong(&p->used, &used, atomic_load(&a->round));
}

/* The place to fill: that of the key, else one that is not in use. NULL: there is none. */
static struct account_place *vacant(struct accounts *a, uint64_t hash, uint64_t now)
{
    struct account_place *set = a->place[set_of(hash)], *p = place_of(a, hash);

    for (int i = 0; !p && i < ACCOUNT_WAYS; i++)
        if (atomic_load(&set[i].slot.word[WORD_KEY]) == 0 ||
            (!in_use(a, atomic_load(&set[i].used)) && !is_held(&set[i], now)))
            p = &set[i];
    return p;
}

/* Marks it as being filled, unless another process uses it at this moment. */
static bool mark(struct accounts *a, const struct ledger *l, struct account_place *p, uint64_t now)
{
    bool has_key = atomic_load(&p->slot.word[WORD_KEY]) != 0;
    uint64_t used = atomic_load(&p->used);

    if (has_key && is_usable(a, l, p, now))
        return false;
    if (!atomic_compare_exchange_strong(&p->used, &used, UINT64_MAX))
        return false;
    if (!has_key || !is_fresh(l, p) || !is_held(p, now))
        return true;
    atomic_store(&p->used, used);
    return false;
}

static void fill(struct accounts *a, const struct ledger *l, struct account_place *p,
                 const struct ledger_key *k, uint64_t now)
{
    uint64_t forgotten = atomic_load(&l->head->forgotten);
    const struct ledger_slot *kept = ledger_find_kept(l, k->hash);

    atomic_store(&p->slot.word[WORD_KEY], 0);
    atomic_store(&p->slot.word[WORD_LABEL], k->label);
    for (int w = WORD_OFFENCES; w < WORD_COUNT; w++)
        atomic_store(&p->slot.word[w], kept_word(kept, (enum ledger_word)w, k->hash));
    atomic_store(&p->forgotten, forgotten);
    atomic_store(&p->made_ms, now);
    atomic_store(&p->claimed_ms, now);
    atomic_store(&p->used, atomic_load(&a->round));
    atomic_store(&p->slot.word[WORD_KEY], k->hash);
}

struct ledger_slot *accounts_claim(struct accounts *a, const struct ledger *l,
                                   const struct ledger_key *k, uint64_t now)
{
    _Atomic uint64_t *filling = &a->filling[set_of(k->hash)];

    for (int i = 0; i < TRIES; i++) {
        struct account_place *p = place_of(a, k->hash);
        if (p && !is_usable(a, l, p, now))
            refresh(a, l, p, k->hash, now);
        if (p && hold(a, l, p, k->hash, now))
            return &p->slot;
        uint64_t since = atomic_load(filling);
        bool killed = since && (since + LEDGER_CLAIM_MS < now || since > now + LEDGER_SKEW_MS);
        if ((since && !killed) || !atomic_compare_exchange_strong(filling, &since, now)) {
            sched_yield();
            continue;
        }
        p = vacant(a, k->hash, now);
        if (p && mark(a, l, p, now)) {
            fill(a, l, p, k, now);
            atomic_store(filling, 0);
            return &p->slot;
        }
        atomic_store(filling, 0);
        if (!p)
            return NULL; /* the set is full */
    }
    return NULL;
}

static bool is_recent(uint64_t looked, uint64_t now)
{
    return looked <= now && now - looked < AGAIN_MS;
}

const struct ledger_slot *accounts_compare(struct accounts *a, const struct ledger *l,
                                           const struct ledger_slot *slot, enum ledger_word w,
                                           uint64_t hash, uint64_t now)
{
    struct account_place *p = place_of(a, hash);

    if (!p || &p->slot != slot)
        return NULL;
    uint64_t looked = atomic_load(&p->looked_ms[w]);
    if (is_recent(looked, now) || is_recent(atomic_load(&p->made_ms), now))
        return NULL;
    return atomic_compare_exchange_strong(&p->looked_ms[w], &looked, now)
               ? ledger_find_kept(l, hash)
               : NULL;
}
