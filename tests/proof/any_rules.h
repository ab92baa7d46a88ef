/* All rules that a configuration may have (config/keys.c). */
#ifndef MIRED_PROOF_ANY_RULES_H
#define MIRED_PROOF_ANY_RULES_H

#include "any.h"

#include "tarpit/rules.h"

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
                                 .correspondents = any_choice & 1,
                                 .half_life = up_to(UINT64_C(31536000000)),
                                 .good_half_life = up_to(UINT64_C(31536000000)),
                                 .network_share = Frama_C_double_interval(0, 1e6),
                                 .drip = up_to(285000),
                                 .patience_offences = Frama_C_double_interval(0, 1e6),
                                 .null_sender_max = up_to(285000),
                                 .login_tries = (uint32_t)up_to(1000),
                                 .greet = up_to(60000),
                                 .greet_pass = up_to(UINT64_C(31536000000)),
                                 .retry_after = up_to(21600000),
                                 .freeze = any_choice & 1 ? FREEZE_AUTO : FREEZE_OFF,
                                 .freeze_after = up_to(285000)};
}

#endif
