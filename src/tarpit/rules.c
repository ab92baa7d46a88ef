/* The defaults of tarpit { }, in one place; why each is what it is stands in docs/tarpit.md. Pure.
 */
#include "tarpit/rules.h"

enum { SECOND = 1000, HOUR = 3600 * SECOND, DAY = 24 * HOUR };

struct tarpit_rules tarpit_rules_default(void)
{
    return (struct tarpit_rules){
        .time = 20 * SECOND,
        .max = 90 * SECOND,
        .growth = 1.5,
        .pace = true,
        .pace_after = 3,
        .shield = 50,
        .good_ratio = 10,
        .correspondents = true,
        .half_life = HOUR,
        .good_half_life = 7 * (uint64_t)DAY,
        .network_share = 16,
        .drip = 20 * SECOND,
        .patience_offences = 5,
        .null_sender_max = 5 * SECOND,
        .suspect_offences = 3,
        .held_max = 0,
        .held_per_client = 1000,
        .reserve = 0.1,
        .freeze = FREEZE_AUTO,
        .freeze_after = SECOND,
    };
}
