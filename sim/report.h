/* The simulator's tables and curves. All print Markdown to standard output; false without memory or
 * when a file cannot be written. */
#ifndef MIRED_SIM_REPORT_H
#define MIRED_SIM_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "recorded.h"
#include "tarpit/rules.h"

bool report_attacks(const struct tarpit_rules *rules, uint64_t seed);
bool report_senders(const struct tarpit_rules *rules, uint64_t seed);

/* Verdicts an hour over connections of one client, and over bots; as SVG too when there is a
 * folder. */
bool report_scaling(const struct tarpit_rules *rules, uint64_t seed, uint32_t bots_most,
                    const char *folder);

/* The comparison of "Distributed Tarpitting" (Hunter, Terry, Judge; LISA 2003): spammers that go
 * round several servers. */
bool report_round(const struct tarpit_rules *rules, uint64_t seed);

bool report_recorded(const struct recorded *r, const struct tarpit_rules *rules);

#endif
