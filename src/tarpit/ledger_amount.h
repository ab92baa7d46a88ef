/* Amounts (offences, good mail) as words of the ledger. An amount halves with each half-life (ms; 0:
 * never) from its stamp on. Private to the ledger. Pure. */
#ifndef MIRED_TARPIT_LEDGER_AMOUNT_H
#define MIRED_TARPIT_LEDGER_AMOUNT_H

#include <stdbool.h>
#include <stdint.h>

/* Far above what any client can reach, and still small enough that an IEEE single counts in steps
 * of one. */
#define LEDGER_AMOUNT_MAX 8e6

/* The amount in a word at the time of its stamp, not decayed; and the word with another amount at
 * the same stamp. For ledger_strength() and for files of earlier editions. */
double ledger_amount_raw(uint64_t word);
uint64_t ledger_amount_with(uint64_t word, double value);

/* Of an amount's payload: what is left of it now; and the payload of an amount that is `value` now.
 */
double ledger_amount_now(uint64_t payload, uint64_t half_life, uint64_t now);
uint64_t ledger_amount_of(uint64_t half_life, uint64_t now, double value);

/* The payload after adding `by`, which may be negative. */
uint64_t ledger_amount_plus(uint64_t payload, uint64_t half_life, uint64_t now, double by);

/* The payload after adding `by` (which may be negative), but not beyond `limit` unless it is there
 * already; or, with `raise`, after raising it to `by`. */
uint64_t ledger_amount_change(uint64_t payload, uint64_t half_life, uint64_t now, double by,
                              double limit, bool raise);

#endif
