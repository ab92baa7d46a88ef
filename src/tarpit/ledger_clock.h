/* Keeps the times of the ledger right when the wall clock is set.
 *
 * All times in the ledger are wall times, because they outlive the machine. If the clock is set, what
 * was booked before would be too young or too old by as much: what was booked while it was a year
 * ahead would not fade for a year. So the keeper compares the wall clock with one that nobody sets,
 * and moves the times of all entries by as much as the clock was set: an entry keeps its age.
 *
 * While a machine runs, that is exact, also over a restart of mired. After a start of the machine only
 * the wall clock is known. If it is earlier than the last booking, the entries are moved back with
 * it. A clock that is too far ahead cannot be told from a machine that was off for long: entries then
 * look older, until the clock is set back.
 *
 * A time that is in the future all the same is never believed: it is made the present. */
#ifndef MIRED_TARPIT_LEDGER_CLOCK_H
#define MIRED_TARPIT_LEDGER_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "tarpit/ledger.h"

/* A clock that was set by less is not worth going through the ledger; such steps add up. */
enum { LEDGER_STEP_MS = 1000 };

struct clock_reading {
    uint64_t wall_ms;
    uint64_t boot_ms; /* since the machine was started; goes on while it is suspended */
    uint32_t boot;    /* names that start of the machine; not 0 */
};

struct clock_step {
    int64_t by_ms; /* how far the clock was set; 0: not known, only that there may be later times */
    uint64_t now_ms; /* wall time afterwards */
};

/* For the keeper, before it books anything at `r`. If the clock was set since the last call of any
 * process (*out says how far), moves the ledger's times, and those that others know (R25), and returns
 * true; of several keepers that call it only one gets true. Costs two loads if nothing has happened,
 * else a walk through the table. */
bool ledger_follow_clock(struct ledger *l, const struct clock_reading *r, struct clock_step *out);

/* For the keeper, after it has booked something at `now`: the time that a later start of the machine
 * is compared with. */
void ledger_note_time(struct ledger *l, uint64_t now);

#endif
