/* The synthetic populations, and the settings that they are run against. One table each. */
#ifndef MIRED_SIM_POPULATIONS_H
#define MIRED_SIM_POPULATIONS_H

#include <stddef.h>

#include "world.h"

extern const struct sim_population sim_attacks[], sim_senders[];
extern const size_t sim_attacks_count, sim_senders_count;

/* A harvest from one address over so many connections, and by so many bots with one connection
 * each. */
struct sim_population sim_harvest(uint32_t connections);
struct sim_population sim_botnet(uint32_t bots);

/* A botnet as above, of which that share talks before it is greeted (R22). */
struct sim_population sim_talkers(double talk_first);

/* A sender's list, of which the share `dead` does not exist. */
struct sim_population sim_list(double dead);

/* Spammers that go round so many servers, which share what they know, or do not. */
struct sim_population sim_round(uint32_t servers, bool fleet);

enum sim_setting { SIM_OFF, SIM_CLASSIC, SIM_MIRED, SIM_SETTINGS };

extern const char *const sim_setting_name[SIM_SETTINGS];

/* The rules of a setting: `mired` uses the given rules unchanged; the others have no delay at all,
 * or 20 s for each 5xx as in Windows. */
struct tarpit_rules sim_rules(enum sim_setting s, const struct tarpit_rules *mired);

#endif
