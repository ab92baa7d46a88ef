/* Private to the simulator's engine: the world and its agents. world.c makes and runs it,
 * converse.c is what an agent does in one step. */
#ifndef MIRED_SIM_WORLD_PART_H
#define MIRED_SIM_WORLD_PART_H

#include "before_mail.h"
#include "heap.h"
#include "tarpit/shadow.h"
#include "tarpit/tarpit.h"
#include "world.h"

#define SIM_BEGIN UINT64_C(1800000000000)

enum { SIM_SECOND = 1000, SIM_HOUR = 3600 * SIM_SECOND, SIM_RTT_MS = 50, SIM_RECIPIENTS_MAX = 64 };
enum { SIM_SERVERS_MAX = 64 };

/* The account that SIM_GUESS and SIM_LOGIN are about. */
#define SIM_ACCOUNT SPAN("bob")

enum sim_stage { STAGE_GREETING, STAGE_EHLO, STAGE_MAIL, STAGE_ASK, STAGE_DATA };

struct agent {
    struct tarpit_who who;
    const struct sim_group *group;
    uint64_t random;
    uint64_t began, own_ms; /* its message's begin; the time that it would have taken anyway */
    uint64_t connected;     /* this conversation's begin */
    uint64_t todo, exists;  /* the message's recipients, a bit each */
    uint64_t asked, taken;  /* in this conversation */
    uint64_t letter;        /* the message's number: its recipients' mailboxes follow from it */
    uint32_t domain;        /* of its MAIL FROM */
    uint32_t tries;
    uint32_t shadow;                     /* its handle, with `observed` */
    uint32_t name[SIM_NAMES], next_name; /* of a harvester that imitates retries */
    uint8_t stage, server;
    bool talks_first, pauses; /* R22: its kind; its greeting waits as one of a stranger's */
};

/* The domains that a group sends for: the chance of each of the first `i` or less, and what each
 * has sent before. */
struct domains {
    double *up_to;
    uint32_t *sent;
};

struct world {
    const struct sim_population *population;
    struct tarpit tarpit[SIM_SERVERS_MAX];
    uint32_t servers;
    struct domains domains[SIM_GROUPS];
    uint64_t letters; /* messages that were begun */
    uint32_t names;   /* that harvesters have thought of */
    struct heap heap;
    struct agent *agent;
    uint64_t end; /* of the attack */
    uint64_t guesses_left;
    struct sim_result *result;
    struct shadows *shadows; /* NULL: the tarpit is asked, and what it says is done */
    struct sim_fate *fate;   /* NULL: nobody asks */
};

/* 0..1, the agent's own. */
double agent_chance(struct agent *a);

/* Gives a new message its sender's domain and its recipients. */
void agent_begin_message(struct world *w, struct agent *a, uint64_t now);

/* Says MAIL FROM with the message's domain. */
void agent_says_sender(const struct world *w, struct agent *a);

/* The mailbox of a recipient of its message; and of a harvester's name. */
uint64_t agent_mailbox(const struct world *w, const struct agent *a, uint32_t recipient);
uint64_t name_mailbox(const struct world *w, const struct agent *a, uint32_t name);

/* A message to those of its recipients was taken. */
void agent_delivers(struct world *w, struct agent *a, uint64_t which, uint64_t now);

/* What its address has sent in the days before. */
void agent_has_history(struct world *w, struct agent *a);

/* Whether the message's domain had sent enough before to be a correspondent. */
bool agent_is_correspondent(const struct world *w, const struct agent *a);

/* What the tarpit says to the agent; with `observed` its shadow gets it, and nothing waits. */
struct tarpit_hold ask_wait(struct world *w, struct agent *a, uint64_t now);
struct tarpit_hold ask_greet(struct world *w, struct agent *a, uint64_t now);
struct tarpit_hold ask_verdict(struct world *w, struct agent *a, struct span user, uint64_t mailbox,
                               enum offence offence, uint64_t now);
void ask_offence(struct world *w, struct agent *a, enum offence offence, uint64_t now);
void ask_earn(struct world *w, struct agent *a, const uint64_t *mailbox, uint32_t count,
              uint64_t now);
void ask_delivered(struct world *w, struct agent *a, uint64_t now);
void ask_left(struct world *w, struct agent *a);

/* Lets the shadows go on to `now`. */
void ask_pass(struct world *w, uint64_t now);

/* The group's address of that number. */
struct addr agent_address(const struct sim_group *g, uint32_t index);

/* One command and its reply. Returns when the next one comes; 0: never. */
uint64_t agent_step(struct world *w, struct agent *a, uint64_t now);

#endif
