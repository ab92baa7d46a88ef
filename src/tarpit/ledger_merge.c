/* Merges what two ledgers know of one key (ledger_merge() of ledger.h). It uses only functions of
 * the ledger that raise a value, so a booking in between is not lost. Any process that mapped the
 * ledger may run it; `mirectl ledger load` has the web process do so. */
#include <math.h>

#include "tarpit/ledger.h"

static double faded(double amount, uint64_t half_life, uint64_t age)
{
    return half_life ? amount * exp2(-(double)age / (double)half_life) : amount;
}

static void merge_exemption(struct ledger *l, const struct ledger_key *k, uint64_t now,
                            const struct ledger_entry *here, const struct ledger_entry *other)
{
    uint64_t until = other->exempt_until_ms, was = here->exempt_until_ms;
    bool over = until != 0 && until <= now;
    bool longer = !(here->flags & LEDGER_EXEMPT) || (was != 0 && (until == 0 || until > was));

    if (other->flags & LEDGER_EXEMPT && !over && longer)
        ledger_exempt(l, k, now, until);
}

void ledger_merge(struct ledger *l, const struct ledger_key *k, const struct ledger_decay *d,
                  uint64_t now, const struct ledger_entry *other, uint64_t at)
{
    uint64_t age = at < now ? now - at : 0;
    double offences = faded(other->offences, d->half_life, age);
    double good = faded(other->good, d->good_half_life, age);
    uint32_t flags = other->flags & (LEDGER_TRAPPED | LEDGER_KNOWN);
    struct ledger_entry here;

    ledger_get(l, k, d, now, &here);
    if (offences > here.offences)
        ledger_raise_offences(l, k, d, now, offences);
    if (good > here.good)
        ledger_raise_good(l, k, d, now, good);
    if (other->turn_ms > now)
        ledger_raise_turn(l, k, now, other->turn_ms, other->paced);
    if (other->debt_ms > now)
        ledger_set_debt(l, k, now, other->debt_ms);
    if (other->patience_ms && (!here.patience_ms || other->patience_ms < here.patience_ms))
        ledger_set_patience(l, k, now, other->patience_ms);
    if (other->pass_ms > here.pass_ms)
        ledger_pass(l, k, now, other->pass_ms < now ? other->pass_ms : now);
    if (flags)
        ledger_set_flags(l, k, now, flags, 0);
    if (other->flags & LEDGER_SUSPECT)
        ledger_mark(l, k, now, LEDGER_SUSPECT, 0);
    merge_exemption(l, k, now, &here, other);
}
