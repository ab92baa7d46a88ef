/* The simulator's tables and curves. All fill `t`, which prints them (table.h); false without
 * memory or when a file cannot be written. */
#ifndef MIRED_SIM_REPORT_H
#define MIRED_SIM_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "recorded.h"
#include "table.h"
#include "tarpit/rules.h"

bool report_attacks(struct table *t, const struct tarpit_rules *rules, uint64_t seed);
bool report_senders(struct table *t, const struct tarpit_rules *rules, uint64_t seed);

/* Verdicts an hour over connections of one client, and over bots; as SVG too when there is a
 * folder. */
bool report_scaling(struct table *t, const struct tarpit_rules *rules, uint64_t seed,
                    uint32_t bots_most, const char *folder);

/* The comparison of "Distributed Tarpitting" (Hunter, Terry, Judge; LISA 2003): spammers that go
 * round several servers. */
bool report_round(struct table *t, const struct tarpit_rules *rules, uint64_t seed);

/* What adversaries that know the rules gain with the plans that people have designed; and, with
 * `moves`, with the best plan that a search of so many moves finds. */
bool report_adversary(struct table *t, const struct tarpit_rules *rules, uint64_t seed,
                      uint64_t moves);

/* What `count` random enemies can do to one innocent. */
bool report_enemies(struct table *t, const struct tarpit_rules *rules, uint64_t seed,
                    uint32_t enemies);

/* Senders that come back as real ones do, and bots, in situations that delay them. */
bool report_returns(struct table *t, const struct tarpit_rules *rules, uint64_t seed);

/* Spammers that drop dead addresses when they are told of them, and those that keep them. */
bool report_washing(struct table *t, const struct tarpit_rules *rules, uint64_t seed);

/* R22: what the greeting pause does to bots, and to good mail, by its length. */
bool report_greeting(struct table *t, const struct tarpit_rules *rules, uint64_t seed);

bool report_recorded(struct table *t, const struct recorded *r, const struct tarpit_rules *rules);

#endif
