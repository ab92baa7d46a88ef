/* Spammers with an old list, for 90 days. A *washer* drops an address when it is told that the
 * address does not exist, a *keeper* never does. Both give up on a reply that takes too long, and
 * have then learnt nothing. What is compared is what they cost us: connections, held time, verdicts.
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
    double bears_s; /* gives up on a reply after so long */
};

struct washing_result {
    uint64_t connections[WASHING_DAYS]; /* of all bots, each day */
    double held_s[WASHING_DAYS];        /* that their connections waited */
    uint64_t told;                      /* verdicts about names that do not exist, in all days */
    uint64_t spam;                      /* messages taken in all days */
    uint64_t left;                      /* dead addresses on the lists at the end */
};

/* WASHING_BOTS bots in as many networks, each with a list of WASHING_LIST addresses, to each of
 * which it sends a message each day, one behind the other. False without memory. */
bool washing_run(const struct washing *of, const struct tarpit_rules *rules, uint64_t seed,
                 struct washing_result *out);

#endif
