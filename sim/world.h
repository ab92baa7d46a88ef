/* A world of attackers and legitimate senders in virtual time, with the serving tarpit code:
 * tarpit.c, policy.c and ledger.c of the workers, in memory.
 *
 * An *agent* is one connection of an attacker, or one message (call-out, login) of a legitimate
 * sender with all its tries. Agents come in groups, groups make up a population (populations.h).
 * All random numbers come from the seed: the same call gives the same result. */
#ifndef MIRED_SIM_WORLD_H
#define MIRED_SIM_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "tarpit/rules.h"

enum sim_role {
    SIM_HARVEST,  /* asks RCPT after RCPT and sends nothing */
    SIM_GUESS,    /* asks AUTH after AUTH for one account */
    SIM_EARLY,    /* talks before the greeting, once, and is gone */
    SIM_SPAM,     /* sends messages to a list of old addresses */
    SIM_MAIL,     /* a mail server with a message */
    SIM_BOUNCE,   /* a mail server with a bounce, from <>: forged mail elsewhere caused it */
    SIM_CALL_OUT, /* asks for a sender's address from <> and hangs up */
    SIM_LOGIN,    /* the account's owner, from where it has logged in before */
    SIM_ROLES
};

struct sim_schedule; /* schedules.h */

enum { SIM_GROUPS = 6, SIM_HISTORY_A_DAY = 100, SIM_NAMES = 8 };

struct sim_group {
    enum sim_role role;
    uint32_t agents;
    uint32_t addresses;   /* the agents' own, dealt out in turn */
    uint32_t per_network; /* addresses in each /24 or /48 */
    uint32_t base;        /* the first network's number: groups with the same one share addresses */
    bool roams;           /* each conversation comes from any of its addresses */
    bool ip6;             /* an address is a /64 */
    uint32_t skip;        /* its addresses begin so many behind the first */
    uint32_t domains;     /* of MAIL FROM, in Zipf's proportions; 0: another for each message */
    uint32_t domain_base; /* the most frequent one's number: groups share or forge domains by it */
    uint32_t mailboxes;   /* the real ones that it writes to; 0: another for each message */
    double missing;       /* share of the recipients that do not exist */
    uint32_t recipients;  /* of a message; 64 at most */
    double bears_s;       /* gives up on a reply after so long; 0: never */
    double reads_s;       /* gives up on so long a silence; 0: never */
    double talks_first;   /* share of the agents that talk before they are greeted */
    bool hasty;           /* hangs up when the first line has told it the verdict */
    bool leaves;          /* a harvester that makes a connection for each guess */
    double within_s;      /* its attackers come within so many seconds; 0: a second */
    uint32_t names;       /* a harvester imitates retries: each connection asks for so many names by
                             turns, until it has learnt each (R26); 0: always for a new name */
    bool traps;           /* its recipients that do not exist are traps */
    uint32_t history;     /* mailboxes that each of its addresses has reached in the days before */
    const struct sim_schedule *schedule; /* when it tries again; NULL: as Postfix, without end */
    uint32_t a_day;                      /* so many of them a day; 0: SIM_HISTORY_A_DAY */
};

struct sim_population {
    const char *name, *about;
    double hours;        /* of attack, or over which the messages are spread */
    uint64_t dictionary; /* names to be guessed, all harvesters together */
    uint32_t servers;    /* with mired; 0 is 1 */
    bool fleet;          /* they share one ledger */
    struct sim_group group[SIM_GROUPS];
};

struct sim_result {
    /* attackers */
    uint64_t verdicts;  /* recipients or passwords about which they learnt the truth */
    uint64_t found;     /* of which exist */
    double exhausted_s; /* when the dictionary was through; 0: not */
    double hours_spent; /* their connections' time */
    uint64_t early;     /* conversations that they began before the greeting (R22) */
    uint64_t spam;      /* recipients that took a spammer's message */
    /* legitimate senders */
    uint64_t mails; /* good recipients, call-outs, logins */
    uint64_t delivered;
    uint64_t late; /* more than a second later than without mired */
    double delay_sum_s, delay_worst_s;
    uint64_t of_correspondents, correspondents_late; /* mails of domains that have sent before */
    uint64_t typos, typos_told;
    uint64_t lost;       /* good recipients whose message was given up */
    double attack_hours; /* that they had */
};

/* What became of an agent's message (SIM_MAIL): what the report of `observe` says of it, or what
 * happened. */
struct sim_fate {
    bool put_off; /* masked for one of its good recipients */
    uint64_t late_ms;
};

/* With `observed` nothing waits, and the shadows of R20 say what would have; `fate` has then what
 * they say, else what happened: one for each agent, in the order of the groups, zero at first. */
bool sim_run_and_tell(const struct sim_population *p, const struct tarpit_rules *rules,
                      uint64_t seed, bool observed, struct sim_fate *fate, struct sim_result *out);

/* False without memory. */
bool sim_run(const struct sim_population *p, const struct tarpit_rules *rules, uint64_t seed,
             struct sim_result *out);

#endif
