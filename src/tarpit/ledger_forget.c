/* What people have forgotten (ledger.h, ledger_allowance.h). An entry of which something stays is
 * changed in place, word by word: to others it is there all the time, and a process that is killed in
 * the middle leaves what was to stay. In the web process. */
#include "tarpit/ledger_allowance.h"
#include "tarpit/ledger_table.h"

enum { FLAGS_SHIFT = 48, SEEN_BITS = 32 };

static void tell(struct ledger *l, const struct ledger_key *k)
{
    atomic_fetch_add(&l->head->forgotten, 1);
    ledger_others_forget(l, k);
}

void ledger_forget(struct ledger *l, const struct ledger_key *k)
{
    struct ledger_slot *slot = ledger_find(l, k->hash);
    uint64_t hash = k->hash;
    if (slot != NULL && atomic_compare_exchange_strong(&slot->word[WORD_KEY], &hash, 0))
        atomic_fetch_sub_explicit(&l->head->entries, 1, memory_order_relaxed);
    tell(l, k);
}

static bool change_kept(uint64_t old, uint64_t *new, void *arg)
{
    const uint64_t *bits = arg;

    *new = old &*bits;
    return *new != old;
}

/* Keeps these bits of each word's payload. */
static void keep_only(struct ledger *l, const struct ledger_key *k, uint64_t bits[WORD_COUNT])
{
    struct ledger_slot *slot = ledger_find(l, k->hash);

    for (unsigned w = WORD_OFFENCES; slot != NULL && w < WORD_COUNT; w++)
        ledger_change(slot, (enum ledger_word)w, k->hash, change_kept, &bits[w]);
    tell(l, k);
}

void ledger_forgive(struct ledger *l, const struct ledger_key *k)
{
    keep_only(l, k,
              (uint64_t[WORD_COUNT]){[WORD_GOOD] = LEDGER_PAYLOAD,
                                     [WORD_TURN] = ~(LEDGER_END | LEDGER_TURN_PACED),
                                     [WORD_DEBT] = ~LEDGER_END,
                                     [WORD_FLAGS] = (uint64_t)LEDGER_EXEMPT << FLAGS_SHIFT,
                                     [WORD_SEEN] = LEDGER_PAYLOAD});
}

/* Of the flags the marks of ledger_reserve.c stay too. */
void ledger_forget_use(struct ledger *l, const struct ledger_key *k)
{
    keep_only(l, k,
              (uint64_t[WORD_COUNT]){[WORD_FLAGS] = UINT64_C(0xff) << FLAGS_SHIFT,
                                     [WORD_SEEN] = (UINT64_C(1) << SEEN_BITS) - 1});
}
