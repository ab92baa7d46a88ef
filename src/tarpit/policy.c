/* The tarpit's arithmetic (docs/tarpit.md). Pure: each function is a rule or a part of one, and
 * keeps nothing between calls, so that workers, tests, fuzzers and the simulator compute the
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

/* Without a shield, more offences than this change nothing. */
#define MOST_UNSHIELDED 60.0

/* Enough for the longest hold and for the pace; fades within hours. */
#define MOST_BACKEND 5.0

/* Below `pace_after`, so that failed handshakes alone never slow a client's verdicts. */
#define MOST_TLS 2.0

double policy_debt(const struct tarpit_rules *r, double offences, double good)
{
    double debt = r->good_ratio > 0 ? offences - good / r->good_ratio : offences;
    return debt > 0 ? debt : 0;
}

double policy_credit(double of_client, double of_pair)
{
    return (1 - POLICY_PAIR_SHARE) * of_client + POLICY_PAIR_SHARE * of_pair;
}

double policy_most(const struct tarpit_rules *r, enum offence offence)
{
    double most = r->shield > 0 ? 1.2 * r->shield : MOST_UNSHIELDED;
    switch (offence) {
    case OFFENCE_BACKEND: return fmin(MOST_BACKEND, policy_most_bounces(r));
    case OFFENCE_TLS: return fmin(MOST_TLS, policy_most_bounces(r));
    default: return most;
    }
}

double policy_most_bounces(const struct tarpit_rules *r)
{
    return r->shield > 0 ? 0.8 * r->shield : MOST_UNSHIELDED;
}

double policy_most_trap(const struct tarpit_rules *r)
{
    return 2 * r->shield;
}

double policy_part(const struct tarpit_rules *r, double offences)
{
    return fmin(offences, fmax(r->pace_after, 1));
}

bool policy_network_bad(const struct tarpit_rules *r, double network_offences)
{
    return r->pace && r->network_share > 0 && network_offences >= r->network_share;
}

uint64_t policy_time(const struct tarpit_rules *r, double n)
{
    uint64_t max = least(r->max, POLICY_TIME_MAX);
    if (r->time >= max || n <= 1 || r->growth == 1)
        return least(r->time, max);
    double ms = (double)r->time * pow(r->growth, n - 1);
    return ms < (double)max ? least((uint64_t)(ms + 0.5), max) : max;
}

/* The ledger keeps amounts in single precision; three offences at one moment must still count as
 * three. */
#define ROUNDING 1e-5

bool policy_paced(const struct tarpit_rules *r, double debt)
{
    return r->pace && debt > 0 && debt + ROUNDING >= r->pace_after;
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
    uint64_t max = least(r->max, POLICY_TIME_MAX);
    uint64_t both = max + least(length > max ? length : max, POLICY_HOLD_MAX);
    return both < POLICY_HOLD_MAX ? least(max, POLICY_HOLD_MAX - both) : 0;
}

uint64_t policy_reach_retry(uint64_t length)
{
    return length < POLICY_HOLD_MAX ? POLICY_HOLD_MAX - length : 0;
}

/* Half the pace. */
uint64_t policy_shield_turn(uint64_t length)
{
    return 2 * length;
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
