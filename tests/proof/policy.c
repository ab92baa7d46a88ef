/* policy.c and the arithmetic of drips, with all rules that a configuration may have (config/keys.c)
 * and amounts of any size. */
#include "any.h"

#include "tarpit/policy.h"
#include "tarpit/tarpit.h"

enum { YEAR_MS = 365 * 86400 };

static uint64_t up_to(uint64_t most)
{
    return Frama_C_unsigned_long_interval(0, most);
}

static struct tarpit_rules any_rules(void)
{
    return (struct tarpit_rules){.time = up_to(285000),
                                 .max = up_to(285000),
                                 .growth = Frama_C_double_interval(1, 10),
                                 .pace = any_choice & 1,
                                 .pace_after = Frama_C_double_interval(0, 1e6),
                                 .shield = Frama_C_double_interval(0, 1e6),
                                 .good_ratio = Frama_C_double_interval(0, 1e6),
                                 .half_life = up_to(UINT64_C(1000) * YEAR_MS),
                                 .good_half_life = up_to(UINT64_C(1000) * YEAR_MS),
                                 .network_share = Frama_C_double_interval(0, 1e6),
                                 .drip = up_to(285000),
                                 .patience_offences = Frama_C_double_interval(0, 1e6),
                                 .null_sender_max = up_to(285000),
                                 .freeze = any_choice & 1 ? FREEZE_AUTO : FREEZE_OFF,
                                 .freeze_after = up_to(285000)};
}

int main(void)
{
    struct tarpit_rules r = any_rules();
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
