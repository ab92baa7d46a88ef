/* The tarpit's arithmetic (docs/tarpit.md). Pure: each function is a rule or a part of one, and
 * nothing is kept from call to call, so that workers, tests, fuzzers and the simulator compute the
 * same. */
#include "tarpit/policy.h"

#include <math.h>

#include "tarpit/tarpit.h"

static const struct {
    double weight;
    bool verdict;
} offence_table[OFFENCE_COUNT] = {
#define OFFENCE_ROW(id, name, offence_weight, is_verdict)                                          \
    [OFFENCE_##id] = {.weight = (offence_weight), .verdict = (is_verdict)},
    OFFENCES(OFFENCE_ROW)
#undef OFFENCE_ROW
};

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

double policy_weight(enum offence offence)
{
    return (unsigned)offence < OFFENCE_COUNT ? offence_table[offence].weight : 0;
}

bool policy_is_verdict(enum offence offence)
{
    return (unsigned)offence < OFFENCE_COUNT && offence_table[offence].verdict;
}

static double uncovered(const struct tarpit_rules *r, double offences, double good)
{
    double debt = r->good_ratio > 0 ? offences - good / r->good_ratio : offences;
    return debt > 0 ? debt : 0;
}

double policy_debt(const struct tarpit_rules *r, double offences, double good,
                   double network_offences, double network_good)
{
    double inherited = 0;
    if (r->network_share > 0)
        inherited = uncovered(r, network_offences, network_good) / r->network_share;
    return uncovered(r, offences > inherited ? offences : inherited, good);
}

uint64_t policy_time(const struct tarpit_rules *r, double n)
{
    uint64_t max = least(r->max, POLICY_TIME_MAX);
    if (r->time >= max || n <= 1 || r->growth == 1)
        return least(r->time, max);
    double ms = (double)r->time * pow(r->growth, n - 1);
    return ms < (double)max ? (uint64_t)(ms + 0.5) : max;
}

bool policy_paced(const struct tarpit_rules *r, double debt)
{
    return r->pace && debt > 0 && debt >= r->pace_after;
}

bool policy_shielded(const struct tarpit_rules *r, double debt)
{
    return r->shield > 0 && debt >= r->shield;
}

uint64_t policy_cap(const struct tarpit_rules *r, double debt, uint32_t patience_ms,
                    bool null_sender)
{
    uint64_t cap = POLICY_NEVER;
    if (debt >= r->patience_offences)
        return cap;
    if (patience_ms > 0)
        cap = (uint64_t)patience_ms * 4 / 5;
    if (null_sender)
        cap = least(cap, r->null_sender_max);
    return cap;
}

uint64_t policy_reach(const struct tarpit_rules *r, uint64_t length)
{
    return length < POLICY_HOLD_MAX ? least(r->max, POLICY_HOLD_MAX - length) : 0;
}

uint64_t policy_masked_time(const struct tarpit_rules *r)
{
    return least(r->max, POLICY_HOLD_MAX);
}

bool policy_freezes(const struct tarpit_rules *r, double debt, uint64_t hold_ms)
{
    return r->freeze != FREEZE_OFF && debt > 0 && debt >= r->patience_offences &&
           hold_ms > r->freeze_after;
}

uint64_t policy_drip_at(const struct tarpit_rules *r, uint64_t hold_ms, int64_t turn_in_ms)
{
    if (r->drip == 0)
        return 0;
    int64_t at = turn_in_ms + (int64_t)r->drip;
    if (at < 1)
        at = 1;
    return (uint64_t)at < hold_ms ? (uint64_t)at : 0;
}

uint64_t drip_next(const struct tarpit_rules *r, uint64_t held_since,
                   const struct tarpit_hold *hold, uint32_t sent_lines, uint64_t now)
{
    if (hold->drip_at_ms == 0 || sent_lines >= POLICY_DRIP_LINES)
        return 0;
    uint64_t every = (hold->ms - hold->drip_at_ms + POLICY_DRIP_LINES - 1) / POLICY_DRIP_LINES;
    if (every < r->drip)
        every = r->drip;
    uint64_t due = hold->drip_at_ms + sent_lines * every;
    uint64_t waited = now > held_since ? now - held_since : 0;
    if (due < waited)
        due = waited;
    return due < hold->ms ? held_since + due : 0;
}
