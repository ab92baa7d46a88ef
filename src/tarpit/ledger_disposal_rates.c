/* The limits of what a worker may propose, and how much of each is left; see ledger_disposal.h. */
#include <math.h>

#include "tarpit/ledger_disposal.h"
#include "tarpit/ledger_disposal_part.h"

static const struct {
    double a_second, at_once;
    const char *about;
    bool outside;
} limits[DISPOSAL_RATE_COUNT] = {
#define DISPOSAL_RATE_ROW(id, a_second, at_once, outside, about)                                   \
    [DISPOSAL_##id] = {a_second, at_once, about, outside},
    DISPOSAL_RATES(DISPOSAL_RATE_ROW)
#undef DISPOSAL_RATE_ROW
};

const char *disposal_about(enum disposal_rate rate, bool *outside)
{
    *outside = limits[rate].outside;
    return limits[rate].about;
}

double disposal_room(struct disposal *d, enum disposal_rate rate, uint64_t now)
{
    double leaked = now > d->rate[rate].at
                        ? (double)(now - d->rate[rate].at) / 1000 * limits[rate].a_second
                        : 0;

    d->rate[rate].level = fmax(0, d->rate[rate].level - leaked);
    d->rate[rate].at = now;
    return limits[rate].at_once - d->rate[rate].level;
}

bool disposal_may_have(struct disposal *d, enum disposal_rate rate, double amount, uint64_t now)
{
    if (amount > disposal_room(d, rate, now)) {
        d->rate[rate].refused++;
        return false;
    }
    d->rate[rate].level += amount;
    return true;
}
