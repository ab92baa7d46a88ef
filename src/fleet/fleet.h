/* The fleet process: one for each mired with a `fleet` section (R25). It mirrors what the ledger
 * knows in Redis, where the other members read it, and what they know in the table beside the
 * ledger (tarpit/ledger_others.h). Nobody waits for it: while it or Redis is away, mired goes on
 * alone, and it catches up by itself. docs/fleet.md has the design. */
#ifndef MIRED_FLEET_FLEET_H
#define MIRED_FLEET_FLEET_H

#include <stdint.h>

#include "config/config.h"
#include "tarpit/ledger_others.h"

struct fleet_params {
    const struct config *config;
    int control; /* channel to the master */
    uint32_t generation;
    struct ledger *ledger;
    struct ledger_others *others;
};

/* The body of the process: returns its exit status after NOTE_STOP, or when the master is gone. */
int fleet_run(const struct fleet_params *params);

#endif
