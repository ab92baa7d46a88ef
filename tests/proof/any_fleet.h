/* A ledger that has a fleet's table and ring, both of any content, which other processes change at any
 * moment. */
#ifndef MIRED_PROOF_ANY_FLEET_H
#define MIRED_PROOF_ANY_FLEET_H

#include "any_ledger.h"

#include "tarpit/ledger_others_part.h"

enum { ANY_PLACES = 2 * LEDGER_WAYS };

static char any_mapping[sizeof(struct ledger_others) + ANY_PLACES * sizeof(struct place)];
static struct others_told any_told;

static struct ledger any_member(void)
{
    struct ledger l = any_ledger();

    Frama_C_make_unknown(any_mapping, sizeof any_mapping);
    Frama_C_make_unknown((char *)&any_told, sizeof any_told);
    l.others = others_open(any_mapping, others_size(ANY_PLACES));
    l.told = &any_told;
    return l;
}

static struct ledger_name any_name(void)
{
    return (struct ledger_name){any_number, (uint8_t)any_number};
}

#endif
