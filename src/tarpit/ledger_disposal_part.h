/* What the parts of ledger_disposal share: the rates of one worker. `now` is the keeper's time, in ms;
 * a worker cannot choose it. For one process and thread. */
#ifndef MIRED_TARPIT_LEDGER_DISPOSAL_PART_H
#define MIRED_TARPIT_LEDGER_DISPOSAL_PART_H

#include "tarpit/ledger_disposal.h"

/* How much of a rate is left. */
double disposal_room(struct disposal *d, enum disposal_rate rate, uint64_t now);

/* Takes an amount of a rate. False if it is not left: then it takes nothing and counts one refusal. */
bool disposal_may_have(struct disposal *d, enum disposal_rate rate, double amount, uint64_t now);

#endif
