/* The ledger's table: finds a key's slot in its set, or claims one for it (ledger_table.h has the
 * layout and why a race or a kill does no harm). Runs in every process that mapped the file, at the
 * same time; the only synchronisation is the compare-and-swap of single words. What the words mean only
 * ledger_reserve.c knows, which says how much a slot is worth beside the others of its set. */
#include "tarpit/ledger_table.h"

#include "tarpit/ledger_proposer.h"
#include "tarpit/ledger_reserve.h"

enum { KEY_NIBBLE = 15, KEY_CLAIMING = 15 };

/* How often a claim is tried, and how often a claimer checks whether another one has finished
 * before it goes on anyway: microseconds in all. At worst one key gets a second slot. */
enum { CLAIM_TRIES = 32, CLAIM_SPINS = 256 };

static void pause_a_moment(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

static bool is_claiming(uint64_t key_word)
{
    return (key_word & KEY_NIBBLE) == KEY_CLAIMING;
}

/* A mark from the future dates from before the clock was set back. */
static bool is_stale(uint64_t key_word, uint64_t now)
{
    uint64_t since = key_word >> 4;
    return since + LEDGER_CLAIM_MS < now || since > now + LEDGER_SKEW_MS;
}

bool ledger_in_use(uint64_t key_word)
{
    return key_word != 0 && !is_claiming(key_word);
}

static struct ledger_slot *set_of(const struct ledger *l, uint64_t hash)
{
    return l->slot + ledger_set_index(hash, l->sets) * LEDGER_WAYS;
}

/* The slot of a set at which a key's search begins. In a table that is not full most entries are in
 * this slot, so a look-up touches one cache line. */
static unsigned first_way(uint64_t hash)
{
    return ledger_first_way(hash);
}

/* In a filled table half of the entries are in the second slot of the search or further on. So both
 * lines are prefetched together. */
void ledger_prefetch_lines(const struct ledger *l, uint64_t hash)
{
    const struct ledger_slot *set = set_of(l, hash);
    unsigned first = first_way(hash);

    __builtin_prefetch(&set[first]);
    __builtin_prefetch(&set[(first + 1) % LEDGER_WAYS]);
}

struct ledger_slot *ledger_find(const struct ledger *l, uint64_t hash)
{
    struct ledger_slot *proposed = l->proposer ? proposer_find(l, hash) : NULL;
    return proposed ? proposed : ledger_find_kept(l, hash);
}

struct ledger_slot *ledger_find_kept(const struct ledger *l, uint64_t hash)
{
    struct ledger_slot *set = set_of(l, hash);
    unsigned first = first_way(hash);

    ledger_prefetch_lines(l, hash);
    for (unsigned i = 0; i < LEDGER_WAYS; i++) {
        struct ledger_slot *slot = &set[(first + i) % LEDGER_WAYS];
        if (atomic_load(&slot->word[WORD_KEY]) == hash)
            return slot;
    }
    return NULL;
}

bool ledger_change(struct ledger_slot *slot, enum ledger_word w, uint64_t hash,
                   ledger_change_fn *fn, void *arg)
{
    uint64_t word = atomic_load(&slot->word[w]), new;

    for (;;) {
        bool ours = ledger_tag(word) == ledger_tag(hash);
        if (!ours && atomic_load(&slot->word[WORD_KEY]) != hash)
            return false;
        if (!fn(ours ? word & LEDGER_PAYLOAD : 0, &new, arg))
            return false;
        if (atomic_compare_exchange_weak(&slot->word[w], &word,
                                         ledger_tag(hash) | (new &LEDGER_PAYLOAD)))
            return true;
    }
}

/* Chooses a slot for a new entry: an empty one or one with a stale mark, else the weakest entry.
 * LEDGER_KEPT slots of each set are reserved for good mail, pairs, logins and exemptions. So
 * strangers, however many, push out only each other and such entries beyond that number. */
static struct ledger_slot *choose(struct ledger_slot *set, uint64_t hash, uint64_t now,
                                  uint64_t *key_word)
{
    struct ledger_slot *weakest[2] = {NULL, NULL}; /* of the other entries; of the kept entries */
    uint64_t least[2] = {UINT64_MAX, UINT64_MAX}, word_of[2] = {0, 0};
    unsigned first = first_way(hash), kept = 0;

    for (unsigned i = 0; i < LEDGER_WAYS; i++) {
        struct ledger_slot *slot = &set[(first + i) % LEDGER_WAYS];
        uint64_t word = atomic_load(&slot->word[WORD_KEY]);
        if (word == 0 || (is_claiming(word) && is_stale(word, now))) {
            *key_word = word;
            return slot;
        }
        if (is_claiming(word))
            continue;
        bool keep = ledger_is_kept(slot, now);
        uint64_t strength = keep ? ledger_kept_strength(slot, now) : ledger_strength(slot, now);
        kept += keep;
        if (weakest[keep] == NULL || strength < least[keep]) {
            weakest[keep] = slot;
            least[keep] = strength;
            word_of[keep] = word;
        }
    }
    bool beyond = kept > LEDGER_KEPT && weakest[1] != NULL;
    bool of_kept = weakest[0] == NULL || (beyond && ledger_strength(weakest[1], now) < least[0]);
    *key_word = word_of[of_kept];
    return weakest[of_kept];
}

/* Our mark is in `mine`. Checks whether another process is inserting the same key into the set; two
 * claimers cannot both miss each other's marks. If so, the one with the later slot gives way, and
 * the other waits a moment for that. */
static bool alone(struct ledger_slot *set, const struct ledger_slot *mine, uint64_t hash,
                  uint64_t now)
{
    for (struct ledger_slot *slot = set; slot < set + LEDGER_WAYS; slot++) {
        if (slot == mine)
            continue;
        uint64_t word = atomic_load(&slot->word[WORD_KEY]);
        for (int spin = 0; is_claiming(word) && !is_stale(word, now) && spin < CLAIM_SPINS;
             spin++) {
            if (slot < mine)
                return false;
            pause_a_moment();
            word = atomic_load(&slot->word[WORD_KEY]);
        }
        if (word == hash)
            return false;
    }
    return true;
}

static void clear(struct ledger_slot *slot, const struct ledger_key *k)
{
    atomic_store(&slot->word[WORD_LABEL], k->label);
    for (int w = WORD_OFFENCES; w < WORD_COUNT; w++)
        atomic_store_explicit(&slot->word[w], ledger_tag(k->hash), memory_order_relaxed);
}

/* Tries once; NULL if another claimer was first. */
static struct ledger_slot *claim_once(struct ledger *l, struct ledger_slot *set,
                                      const struct ledger_key *k, uint64_t now)
{
    uint64_t old;
    uint64_t mark = now << 4 | KEY_CLAIMING;
    struct ledger_slot *slot = choose(set, k->hash, now, &old);

    if (slot == NULL || !atomic_compare_exchange_strong(&slot->word[WORD_KEY], &old, mark))
        return NULL;
    if (!alone(set, slot, k->hash, now)) {
        atomic_compare_exchange_strong(&slot->word[WORD_KEY], &mark, ledger_in_use(old) ? old : 0);
        return NULL;
    }
    clear(slot, k);
    if (!atomic_compare_exchange_strong(&slot->word[WORD_KEY], &mark, k->hash))
        return NULL; /* we slept for a second and lost it */
    atomic_fetch_add_explicit(ledger_in_use(old) ? &l->head->evictions : &l->head->entries, 1,
                              memory_order_relaxed);
    return slot;
}

struct ledger_slot *ledger_claim(struct ledger *l, const struct ledger_key *k, uint64_t now)
{
    struct ledger_slot *set = set_of(l, k->hash);
    uint64_t present = now > l->present ? now : l->present;

    if (l->proposer)
        return proposer_claim(l, k, now);
    for (int i = 0; i < CLAIM_TRIES; i++) {
        struct ledger_slot *slot = ledger_find_kept(l, k->hash);
        if (slot == NULL)
            slot = claim_once(l, set, k, present);
        if (slot != NULL)
            return slot;
        pause_a_moment();
    }
    return NULL;
}
