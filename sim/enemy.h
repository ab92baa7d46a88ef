/* An enemy of one innocent: everything that others can do to a client that sends good mail only,
 * from its own network and from elsewhere, with whatever names they forge.
 *
 * The innocent is in a /24 or /48 full of the enemy's addresses. Its messages go to people who
 * exist. The enemy makes queries, guesses, commits offences, writes to traps, delivers mail in the
 * innocent's name, and sends the innocent's server mail with forged senders, so that the server
 * bounces to names that do not exist. The game shows whether any good message was deferred,
 * refused, or late by more than one T(1).
 *
 * A plan is random, made from a seed. If it does harm, it is reduced to the fewest moves that still
 * do, and printed. Virtual time, with the serving tarpit code. */
#ifndef MIRED_SIM_ENEMY_H
#define MIRED_SIM_ENEMY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "tarpit/rules.h"

enum { ENEMY_MOVES = 600 };

#define ENEMY_MOVES_TABLE(M)                                                                       \
    M(MAIL, "the innocent sends a message to somebody who exists")                                 \
    M(BOUNCE, "the innocent bounces to nobody, from <>")                                           \
    M(BOUNCE_TRAP, "the innocent bounces to a trap, from <>")                                      \
    M(BOUNCE_GOOD, "the innocent bounces to somebody who exists, from <>")                         \
    M(ASK, "asks for unknown names")                                                               \
    M(GUESS, "tries passwords")                                                                    \
    M(KNOWN, "asks for somebody who exists")                                                       \
    M(DELIVER, "delivers messages")                                                                \
    M(OFFEND, "offends")                                                                           \
    M(TRAP, "writes to a trap")                                                                    \
    M(GIVE_UP, "hangs up while it is held")                                                        \
    M(LISTED, "is found on a list")                                                                \
    M(FLOOD, "sends a hundred strangers from elsewhere, with an offence each")

enum enemy_kind {
#define ENEMY_ID(id, text) ENEMY_##id,
    ENEMY_MOVES_TABLE(ENEMY_ID)
#undef ENEMY_ID
        ENEMY_KINDS
};

enum enemy_sender { SENDER_INNOCENT, SENDER_OTHER, SENDER_NONE, SENDERS };

struct enemy_move {
    uint32_t gap; /* ms since the one before */
    uint16_t many;
    uint8_t kind, sender, offence;
    uint8_t address; /* of the enemy: 1 to 254; those from ENEMY_FAR on are in other networks */
};

enum { ENEMY_FAR = 200 };

struct enemy_plan {
    uint64_t seed;
    bool ip6;
    bool credit; /* the innocent has sent mail to 30 mailboxes the day before */
    uint32_t count;
    struct enemy_move move[ENEMY_MOVES];
};

struct enemy_result {
    uint32_t messages, masked; /* masked: put off by 450, which the shield does as well */
    uint32_t late, waits;      /* late messages; and at how many different times */
    uint64_t worst_ms;         /* of one message, all its replies together */
    double debt;               /* the deepest that the innocent's got to, when it sent */
};

struct enemy; /* the place */

/* NULL without memory. */
struct enemy *enemy_open(const struct tarpit_rules *rules);
void enemy_close(struct enemy *e);

void enemy_random(uint64_t seed, struct enemy_plan *out);
void enemy_play(struct enemy *e, const struct enemy_plan *plan, struct enemy_result *out);

/* The harm that was done, in a few words; NULL: none. */
const char *enemy_harm(const struct enemy *e, const struct enemy_plan *plan,
                       const struct enemy_result *r);

/* Removes moves without which the plan still does harm. */
void enemy_shrink(struct enemy *e, struct enemy_plan *plan);
void enemy_print(FILE *out, const struct enemy_plan *plan);

#endif
