/* How the times in the words of an entry move when the clock was set (ledger_clock.c): each function
 * is beside those that read and write the word. Private to the ledger. Pure. */
#ifndef MIRED_TARPIT_LEDGER_MOVE_H
#define MIRED_TARPIT_LEDGER_MOVE_H

#include <stdint.h>

struct ledger_move {
    int64_t by_ms;
    uint64_t now; /* wall ms, after it */
};

/* The payload after the move. */
typedef uint64_t ledger_move_fn(uint64_t payload, const struct ledger_move *m);

ledger_move_fn ledger_amount_moved, ledger_turn_moved, ledger_debt_moved, ledger_login_moved,
    ledger_flags_moved, ledger_seen_moved, ledger_seen_alone_moved;          /* ledger's words */
ledger_move_fn ledger_bucket_moved, ledger_signs_moved, ledger_stolen_moved; /* of an allowance */

/* The whole number of steps that is nearest. */
static inline int64_t ledger_steps(int64_t by_ms, int64_t step_ms)
{
    return (by_ms + (by_ms < 0 ? -step_ms / 2 : step_ms / 2)) / step_ms;
}

/* A stamp in a word, of so many bits, that repeats itself: so many steps later. */
static inline uint64_t ledger_stamp_moved(uint64_t word, unsigned shift, unsigned bits,
                                          int64_t steps)
{
    uint64_t mask = ((UINT64_C(1) << bits) - 1) << shift;

    return (word & ~mask) | ((word + ((uint64_t)steps << shift)) & mask);
}

/* The same if 0 says that there is none. */
static inline uint64_t ledger_stamp_moved_if_any(uint64_t word, unsigned shift, unsigned bits,
                                                 int64_t steps)
{
    uint64_t mask = ((UINT64_C(1) << bits) - 1) << shift;
    uint64_t to = ledger_stamp_moved(word, shift, bits, steps);

    if (!(word & mask))
        return word;
    return to & mask ? to : to | UINT64_C(1) << shift;
}

#endif
