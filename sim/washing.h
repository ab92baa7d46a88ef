/* Spammers with an old list, for 90 days. A *washer* drops an address when it hears that the
 * address does not exist; a *keeper* never does. Both give up when a reply takes too long, and then
 * learn nothing. The result is what they cost us: connections, held time, verdicts.
 *
 * Virtual time, the tarpit as it serves. */
#ifndef MIRED_SIM_WASHING_H
#define MIRED_SIM_WASHING_H

#include <stdbool.h>
#include <stdint.h>

#include "tarpit/rules.h"

enum { WASHING_DAYS = 90, WASHING_BOTS = 20, WASHING_LIST = 100 };

struct washing {
    bool drops;     /* a washer */
    double dead;    /* share of the list */
    double bears_s; /* gives up after waiting this long for a reply */
};

struct washing_result {
    uint64_t connections[WASHING_DAYS]; /* of all bots, each day */
    double held_s[WASHING_DAYS];        /* that their connections waited */
    uint64_t told;                      /* verdicts about names that do not exist, in all days */
    uint64_t spam;                      /* messages taken in all days */
    uint64_t left;                      /* dead addresses on the lists at the end */
};

/* Plays WASHING_BOTS bots in as many networks. Each has a list of WASHING_LIST addresses, and each
 * day sends a message to each of them, one after another. False without memory. */
bool washing_run(const struct washing *of, const struct tarpit_rules *rules, uint64_t seed,
                 struct washing_result *out);

#endif
