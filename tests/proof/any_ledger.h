/* A ledger of two sets, in memory that other processes change at any moment, and any key and rates. */
#ifndef MIRED_PROOF_ANY_LEDGER_H
#define MIRED_PROOF_ANY_LEDGER_H

#include "any_rules.h"

#include "tarpit/ledger_table.h"

enum { ANY_SETS = 2 };

#define LATEST_MS (UINT64_C(1) << 50)

static struct ledger_head any_head;
static struct ledger_slot any_slot[ANY_SETS * LEDGER_WAYS];

static struct ledger any_ledger(void)
{
    return (struct ledger){.file = {.key = {any_number, any_number}, .fresh = any_choice & 1},
                           .head = &any_head,
                           .slot = any_slot,
                           .sets = ANY_SETS};
}

static struct ledger_key any_key(void)
{
    return (struct ledger_key){any_number, any_number, any_number, (uint8_t)any_number};
}

static struct ledger_decay any_decay(void)
{
    return (struct ledger_decay){up_to(UINT64_C(31536000000)), up_to(UINT64_C(31536000000))};
}

#endif
