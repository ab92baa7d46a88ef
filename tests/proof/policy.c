/* policy.c and the arithmetic of drips, with all rules that a configuration may have (config/keys.c)
 * and amounts of any size. */
#include "any.h"
#include "any_rules.h"

#include "tarpit/policy.h"
#include "tarpit/tarpit.h"

/* R1, R3 for some maxima: EVA does not relate two numbers that may both be any. */
static void with_max(struct tarpit_rules r, uint64_t max)
{
    r.max = max;
    uint64_t time = policy_time(&r, any_amount), masked = policy_masked_time(&r);
    //@ assert time_within_max: time <= max;
    //@ assert masked_within_max: masked <= max;
}

int main(void)
{
    static const uint64_t max[] = {0, 1, 999, 30000, 60000, 120000, 250000, 285000};
    struct tarpit_rules r = any_rules();

    for (int i = 0; i < 8; i++)
        if (any_choice) {
            with_max(r, max[i]);
            return 0;
        }
    struct tarpit_hold hold = {.ms = up_to(POLICY_HOLD_MAX)};
    double debt = policy_debt(&r, any_amount, any_amount);
    uint64_t time = policy_time(&r, any_amount);
    uint64_t reach = policy_reach(&r, any_number), masked = policy_masked_time(&r);
    //@ assert time <= POLICY_TIME_MAX;
    //@ assert masked <= POLICY_HOLD_MAX;
    //@ assert reach <= POLICY_HOLD_MAX;
    (void)policy_weight((enum offence)any_choice);
    (void)policy_is_verdict((enum offence)any_choice);
    (void)policy_credit(any_amount, any_amount);
    (void)policy_most(&r, (enum offence)any_choice);
    (void)policy_most_trap(&r);
    (void)policy_network_bad(&r, policy_part(&r, any_amount));
    (void)policy_paced(&r, debt);
    (void)policy_shielded(&r, debt);
    (void)policy_cap(&r, debt, (uint32_t)any_number, any_choice & 1);
    (void)policy_freezes(&r, debt, any_number);
    hold.drip_at_ms = policy_drip_at(&r, hold.ms, Frama_C_long_interval(-285000, 285000));
    //@ assert hold.drip_at_ms <= POLICY_HOLD_MAX;
    (void)drip_next(&r, up_to(INT64_MAX), &hold, (uint32_t)any_number, up_to(INT64_MAX));
    return 0;
}
