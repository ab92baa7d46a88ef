/* Passwords out of turn: buckets of any content, which other processes change at any moment. */
#include "any.h"
#include "any_rules.h"

#include "tarpit/tries.h"

static _Alignas(64) uint64_t table[1 << 13];

int main(void)
{
    struct ledger_rate rate = {(uint32_t)up_to(10000), 1 + up_to(24 * 3600000 - 1)};
    uint64_t now = up_to(UINT64_C(1) << 41), key = any_number;
    struct tries *t = (struct tries *)table;

    Frama_C_make_unknown((char *)table, tries_size());
    switch (any_choice) {
    case 0: (void)tries_take(t, key, rate, now); break;
    case 1: tries_give(t, key, rate, now); break;
    default: (void)tries_left(t, key, rate, now);
    }
    return 0;
}
