/* Amounts of the ledger; see ledger_amount.h.
 *
 * A word holds tag 8 | stamp 25 | value 31: a positive IEEE single, as it was at its stamp
 * (units of 8 s of wall time, modulo 8.5 years). A booking does not decay the amount and add to it:
 * with frequent bookings, rounding would lose the decay. It adds the booking *as it would have been
 * at the stamp*, and moves the stamp only once a half-life. So a hundred bookings a second for an
 * hour are as exact as one. */
#include "tarpit/ledger_amount.h"

#include <math.h>
#include <string.h>

#include "tarpit/ledger_move.h"
#include "tarpit/ledger_table.h"

enum { STAMP_MS = 8000, STAMP_BITS = 25, VALUE_BITS = 31 };
enum { STAMP_MASK = (1 << STAMP_BITS) - 1, HALF_LIFE_LEAST_MS = 1000 };

/* After so many half-lives a booking moves the stamp. It is small, so that a reload with another
 * half_life changes no amount by much. */
#define RESTAMP_AFTER 1.0

static float clamp(double value)
{
    return value > 0
               ? (float)(value < LEDGER_AMOUNT_MAX * 0x1p20 ? value : LEDGER_AMOUNT_MAX * 0x1p20)
               : 0;
}

double ledger_amount_raw(uint64_t word)
{
    uint32_t bits = word & ((UINT64_C(1) << VALUE_BITS) - 1);
    float value;
    memcpy(&value, &bits, sizeof value);
    return isfinite(value) ? clamp(value) : 0; /* a damaged file may hold any octets */
}

static uint64_t amount_word(uint64_t stamp, double value)
{
    float single = clamp(value);
    uint32_t bits;
    memcpy(&bits, &single, sizeof bits);
    return (stamp & STAMP_MASK) << VALUE_BITS | bits;
}

uint64_t ledger_amount_with(uint64_t word, double value)
{
    return ledger_tag(word) | amount_word((word & LEDGER_PAYLOAD) >> VALUE_BITS, value);
}

/* Half-lives from the word's stamp to now; 0 if the stamp is in the future (the clock went back a
 * little). */
static double halvings(uint64_t word, uint64_t half_life, uint64_t now)
{
    if (half_life == 0)
        return 0;
    if (half_life < HALF_LIFE_LEAST_MS)
        half_life = HALF_LIFE_LEAST_MS;
    uint64_t steps = (now / STAMP_MS - (word >> VALUE_BITS)) & STAMP_MASK;
    if (steps > STAMP_MASK / 2)
        return 0;
    return (double)(steps * STAMP_MS + now % STAMP_MS) / (double)half_life;
}

/* Whether the stamp is in the future by more than a clock's steps of a few seconds. */
static bool is_ahead(uint64_t word, uint64_t now)
{
    uint64_t ahead = ((word >> VALUE_BITS) - now / STAMP_MS) & STAMP_MASK;

    return ahead <= STAMP_MASK / 2 && ahead > LEDGER_SKEW_MS / STAMP_MS + 1;
}

double ledger_amount_now(uint64_t payload, uint64_t half_life, uint64_t now)
{
    double value = ledger_amount_raw(payload);
    return value == 0 ? 0 : value * exp2(-halvings(payload, half_life, now));
}

uint64_t ledger_amount_change(uint64_t payload, uint64_t half_life, uint64_t now, double by,
                              double limit, bool raise)
{
    double value = ledger_amount_raw(payload), age = halvings(payload, half_life, now);

    if (value == 0 || age > RESTAMP_AFTER || is_ahead(payload, now)) {
        value *= exp2(-age);
        payload = amount_word(now / STAMP_MS, 0);
        age = halvings(payload, half_life, now);
        value *= exp2(age);
    }
    double scale = exp2(age);
    by *= scale;
    double after = raise ? fmax(value, by) : value + by;
    if (!raise && by > 0)
        after = fmax(value, fmin(after, limit * scale));
    double most = LEDGER_AMOUNT_MAX * scale;
    return amount_word(payload >> VALUE_BITS, after < most ? after : most);
}

uint64_t ledger_amount_of(uint64_t half_life, uint64_t now, double value)
{
    return ledger_amount_change(0, half_life, now, value, 0, true);
}

uint64_t ledger_amount_plus(uint64_t payload, uint64_t half_life, uint64_t now, double by)
{
    return ledger_amount_change(payload, half_life, now, by, LEDGER_AMOUNT_MAX, false);
}

/* A stamp in the future, which would keep the amount from fading until then, is made the present. */
uint64_t ledger_amount_moved(uint64_t payload, const struct ledger_move *m)
{
    if (ledger_amount_raw(payload) == 0)
        return payload;
    payload = ledger_stamp_moved(payload, VALUE_BITS, STAMP_BITS, ledger_steps(m->by_ms, STAMP_MS));
    return is_ahead(payload, m->now) ? amount_word(m->now / STAMP_MS, ledger_amount_raw(payload))
                                     : payload;
}
