/* The fleet process: one for each mired with a `fleet` section (R25). It copies what this ledger
 * knows to Redis, where the other members read it, and what the others know to the table beside the
 * ledger (tarpit/ledger_others.h). No other process waits for it. While it or Redis is away, mired
 * goes on alone; afterwards it catches up. docs/fleet.md has the design. */
#ifndef MIRED_FLEET_FLEET_H
#define MIRED_FLEET_FLEET_H

#include <stdint.h>

#include "config/config.h"
#include "tarpit/ledger_others.h"

struct metrics;

struct fleet_params {
    const struct config *config;
    int control; /* channel to the master */
    uint32_t generation;
    uint64_t mired; /* a random number of this mired's, the same after an upgrade */
    struct ledger *ledger;
    struct ledger_others *others;
    const struct metrics *metrics; /* of all processes of this mired; NULL: none are told */
    struct orderbook *orderbook;   /* orders of people, for members that come later */
    struct partial_delivery *partial;
};

/* The main function of the process. Returns its exit status after NOTE_STOP, or when the master has
 * gone. */
int fleet_run(const struct fleet_params *params);

#endif
