/* Files of earlier editions. Up to version 0.1 a client's offences had no bound, and a network's
 * offences were the sum of its clients' offences. Today a network counts how many of its clients
 * misbehave. So a network starts with no offences, and a client or account keeps its offences up to
 * a bound; good mail, exemptions, known networks and patience stay as they are.
 *
 * Version 0.1 knows of no edition and leaves it as it is. So if somebody has gone back to that version
 * for a while, the file still has this edition, and the caller must say that it is to be converted
 * again. */
#include "tarpit/ledger_amount.h"
#include "tarpit/ledger_table.h"

enum { EDITION = 2 };

/* The offences at which they stop adding up with the default shield. */
#define OFFENCES_KEPT 60

static void convert(struct ledger_slot *slot, uint64_t key_word)
{
    uint64_t word = atomic_load(&slot->word[WORD_OFFENCES]);
    uint64_t kind = key_word & LEDGER_KIND_BITS, changed = word;

    if (kind == LEDGER_NETWORK)
        changed = ledger_tag(word);
    else if (ledger_amount_raw(word) > OFFENCES_KEPT)
        changed = ledger_amount_with(word, OFFENCES_KEPT);
    if (changed != word) /* if a program that still serves books in between, its booking stays */
        atomic_compare_exchange_strong(&slot->word[WORD_OFFENCES], &word, changed);
}

void ledger_convert_again(struct ledger *l)
{
    for (uint64_t i = 0; i < l->sets * LEDGER_WAYS && !l->file.fresh; i++) {
        uint64_t key_word = atomic_load(&l->slot[i].word[WORD_KEY]);
        if (ledger_in_use(key_word) && ledger_is_common(key_word))
            convert(&l->slot[i], key_word);
    }
    atomic_store(&l->head->edition, EDITION);
}

void ledger_convert(struct ledger *l)
{
    if (atomic_load(&l->head->edition) != EDITION)
        ledger_convert_again(l);
}
