/* When senders come back after a 4xx: real ones, and bots. The times are from their documentation,
 * or measured (docs/tarpit.md, "Real retry schedules"). */
#ifndef MIRED_SIM_SCHEDULES_H
#define MIRED_SIM_SCHEDULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "world.h"

enum { SCHEDULE_WAITS = 24 };

struct sim_schedule {
    const char *name, *about;
    bool real;                       /* a mail server, not a bot */
    bool moves;                      /* each try comes from any of its addresses */
    double gives_up_s;               /* after the first try; the message is lost */
    uint32_t wait_s[SCHEDULE_WAITS]; /* before the 2nd try, the 3rd...; 0 repeats the one before */
};

extern const struct sim_schedule sim_schedules[];
extern const size_t sim_schedules_count;

/* How long the sender waits after `tries` tries (1 or more), in seconds; 0 if it gives up. `age_s`
 * is the time since the first try. */
uint32_t sim_schedule_wait(const struct sim_schedule *s, uint32_t tries, double age_s);

/* Situations in which a sender's mail is delayed. */
struct sim_situation {
    const char *name, *about;
    struct sim_population population; /* group 0 is the sender; the caller sets its schedule */
    bool pool;                        /* of several networks; only for schedules that move */
    bool imitator; /* somebody imitates its retries behind its address: it may lose messages */
};

extern const struct sim_situation sim_situations[];
extern const size_t sim_situations_count;

/* Messages of a sender with that schedule in that situation. */
struct sim_population sim_returning(const struct sim_schedule *s, const struct sim_situation *in);

#endif
