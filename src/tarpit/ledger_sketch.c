/* Sketches of the mailboxes that a client or a pair has delivered to today (ledger_earn() of
 * ledger.h): a bit a mailbox, chosen by its hash, in the words that other entries have for
 * offences, turns and flags (ledger_table.h). Linear counting: some mailboxes share a bit and are
 * not counted; in return, each new bit of a fuller sketch counts a little more. So the sum is about
 * the number of mailboxes, whatever their names are.
 *
 * Runs in every process that mapped the file. Each word is changed by compare-and-swap; a process
 * that is killed while a day changes leaves bits of the day before, which cost some credit and
 * nothing more. */
#include "tarpit/ledger_proposer.h"
#include "tarpit/ledger_table.h"

enum { DAY_MS = 24 * 3600 * 1000, DAY_MASK = 0xffff, WORD_BITS = 56, EARN_MOST = 4 };

static const enum ledger_word sketch_word[] = {WORD_OFFENCES, WORD_TURN, WORD_DEBT, WORD_FLAGS};
enum { SKETCH_WORDS = sizeof sketch_word / sizeof sketch_word[0] };

#define FIRST_BITS ((UINT64_C(1) << LEDGER_SKETCH_DAY_SHIFT) - 1)

/* The number of the day for this entry; the day of each entry begins at a different time. */
static uint64_t day_of(uint64_t hash, uint64_t now)
{
    return (now + hash % DAY_MS) / DAY_MS & DAY_MASK;
}

static uint64_t read_word(const struct ledger_slot *slot, int i, uint64_t hash)
{
    uint64_t word = atomic_load(&slot->word[sketch_word[i]]);
    return ledger_tag(word) == ledger_tag(hash) ? word & LEDGER_PAYLOAD : 0;
}

/* Sets the word's payload to `new` if it is `old`. */
static bool swap_word(struct ledger_slot *slot, int i, uint64_t hash, uint64_t old, uint64_t new)
{
    uint64_t was = ledger_tag(hash) | old;
    return atomic_compare_exchange_strong(&slot->word[sketch_word[i]], &was,
                                          ledger_tag(hash) | new);
}

/* The process that sets the first word to the new day clears the others. */
static void begin_day(struct ledger_slot *slot, uint64_t hash, uint64_t today)
{
    uint64_t first = read_word(slot, 0, hash);

    if (first >> LEDGER_SKETCH_DAY_SHIFT == today ||
        !swap_word(slot, 0, hash, first, today << LEDGER_SKETCH_DAY_SHIFT))
        return;
    for (int i = 1; i < SKETCH_WORDS; i++)
        swap_word(slot, i, hash, read_word(slot, i, hash), 0);
}

static unsigned bits_set(const struct ledger_slot *slot, uint64_t hash)
{
    unsigned n = (unsigned)__builtin_popcountll(read_word(slot, 0, hash) & FIRST_BITS);
    for (int i = 1; i < SKETCH_WORDS; i++)
        n += (unsigned)__builtin_popcountll(read_word(slot, i, hash));
    return n;
}

/* The bit of a mailbox: in which of the words, and as a mask. */
static int bit_of(uint64_t mailbox, uint64_t *mask)
{
    unsigned bit = (unsigned)((mailbox >> 16) % LEDGER_SKETCH_BITS);

    if (bit < LEDGER_SKETCH_DAY_SHIFT) {
        *mask = UINT64_C(1) << bit;
        return 0;
    }
    bit -= LEDGER_SKETCH_DAY_SHIFT;
    *mask = UINT64_C(1) << bit % WORD_BITS;
    return 1 + (int)bit / WORD_BITS;
}

/* True when the bit was not set before. */
static bool set_bit(struct ledger_slot *slot, uint64_t hash, int i, uint64_t mask)
{
    for (;;) {
        uint64_t old = read_word(slot, i, hash);
        if (old & mask || atomic_load(&slot->word[WORD_KEY]) != hash)
            return false;
        if (swap_word(slot, i, hash, old, old | mask))
            return true;
    }
}

/* Whether the mailbox has earned today already, and the entry's last change is not a minute old. */
static bool has_earned(const struct ledger *l, const struct ledger_key *k, uint64_t now, int i,
                       uint64_t mask)
{
    const struct ledger_slot *slot = ledger_find(l, k->hash);

    return slot != NULL && ledger_is_recent(slot, k->hash, now) &&
           read_word(slot, 0, k->hash) >> LEDGER_SKETCH_DAY_SHIFT == day_of(k->hash, now) &&
           read_word(slot, i, k->hash) & mask && atomic_load(&slot->word[WORD_KEY]) == k->hash;
}

double ledger_earn(struct ledger *l, const struct ledger_key *k, uint64_t now, uint64_t mailbox)
{
    uint64_t mask;
    int i = bit_of(mailbox, &mask);

    if (has_earned(l, k, now, i, mask))
        return 0;
    struct ledger_slot *slot = ledger_claim(l, k, now);
    if (slot == NULL)
        return 0;
    begin_day(slot, k->hash, day_of(k->hash, now));
    ledger_seen(slot, k->hash, now);
    double left = LEDGER_SKETCH_BITS - bits_set(slot, k->hash);
    ledger_propose(l, k, now, (struct proposal){.op = PROPOSE_EARN, .a = mailbox});
    if (!set_bit(slot, k->hash, i, mask) || left <= 0)
        return 0;
    return left > (double)LEDGER_SKETCH_BITS / EARN_MOST ? LEDGER_SKETCH_BITS / left : EARN_MOST;
}
