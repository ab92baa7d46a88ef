/* An adversary that knows every rule, every constant and the whole ledger, but not its key, and
 * tries to learn verdicts about names that it does not know.
 *
 * It plays a *plan*: moves that are made once, then moves that are repeated, against the serving
 * tarpit code, in virtual time, with a ledger of a few KB. It is stronger than a real adversary:
 * any number of its connections are ready after MAIL at every moment, and it learns at once how
 * long a reply waits. Each query is about a new name; names that were put off can be asked for
 * again with the same sender (R26).
 *
 * A name's verdict is *learnt* as soon as the adversary sees anything that would be different if
 * the verdict were the opposite: the reply's text, half a second of silence, or how long a
 * greeting, MAIL or a known recipient waits on another connection. To find out, each query is
 * played both ways.
 *
 * Verdicts that good mail buys are not gain: a verdict is bought if the rules take credit for it,
 * as long as the adversary's messages have reached `good_ratio` mailboxes for each. The gain is the
 * rest, in the best hour of the game, for each address that made queries. */
#ifndef MIRED_SIM_ADVERSARY_H
#define MIRED_SIM_ADVERSARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/offence.h"
#include "tarpit/tarpit.h"

enum {
    ADVERSARY_ADDRESSES = 12,
    ADVERSARY_NEAR = 8,        /* so many in one network, enough to make it bad (R10); the others in
                                  another (IPv4), or in a /48 each of one /40 */
    ADVERSARY_MAILBOXES = 256, /* real ones, which it knows */
    ADVERSARY_DOMAINS = 6,     /* made-up ones, which it uses again */
    ADVERSARY_MOVES = 32,      /* of a plan */
};

/* M(identifier, what a person reads, what the number or word in the text is) */
#define ADVERSARY_MOVES_TABLE(M)                                                                   \
    M(ASK, "ask for %u unknown names at once", many)                                               \
    M(ASK_SLOW, "ask for %u unknown names at once; the directory takes 2 s", many)                 \
    M(OPEN, "ask for %u unknown names at once; the directory does not answer yet", many)           \
    M(RETRY, "ask again for %u of the names that were put off, the oldest first", many)            \
    M(ANSWER, "now the directory answers all that is open", none)                                  \
    M(GUESS, "try %u passwords of one account at once", many)                                      \
    M(GUESS_MANY, "try a password of each of %u accounts at once", many)                           \
    M(KNOWN, "ask for %u known mailboxes and send nothing", many)                                  \
    M(DELIVER, "deliver one message to the same %u known mailboxes", many)                         \
    M(DELIVER_NEXT, "deliver one message to the next %u known mailboxes", many)                    \
    M(REPEAT, "deliver one message with %u times the same recipient", many)                        \
    M(OFFEND, "offend %u times (%s)", many)                                                        \
    M(GREET, "connect, and wait for the greeting", none)                                           \
    M(GIVE_UP, "hang up after %s", time)                                                           \
    M(SLEEP, "wait %s", time)                                                                      \
    M(TURN, "wait until the client's queue of turns is empty", none)                               \
    M(REPLIES, "wait until all that is held has been answered", none)                              \
    M(SENDER, "MAIL FROM made-up domain %u", few)                                                  \
    M(NEW_SENDER, "MAIL FROM a domain never used before", none)                                    \
    M(NO_SENDER, "MAIL FROM:<>", none)                                                             \
    M(ADDRESS, "go on from address %u", few)

enum adversary_kind {
#define ADVERSARY_ID(id, text, unit) MOVE_##id,
    ADVERSARY_MOVES_TABLE(ADVERSARY_ID)
#undef ADVERSARY_ID
        MOVE_KINDS
};

/* `a` is an index into the numbers or times that a plan may use (adversary_many, adversary_time),
 * or a domain's or address's number; `b` the offence of MOVE_OFFEND. */
struct adversary_move {
    uint8_t kind, a, b;
};

enum { ADVERSARY_MANY = 10, ADVERSARY_TIMES = 14 };
extern const uint16_t adversary_many[ADVERSARY_MANY];
extern const uint32_t adversary_time[ADVERSARY_TIMES]; /* ms */

uint32_t adversary_count(const struct adversary_move *m); /* how many, where the text has it */
enum offence adversary_offence(const struct adversary_move *m); /* of MOVE_OFFEND */

struct adversary_plan {
    const char *name, *about;
    struct adversary_move move[ADVERSARY_MOVES];
    uint8_t once, again; /* how many are made once, and how many repeated after them */
    bool ip6;
};

struct adversary_result {
    double gain;       /* verdicts beyond what was bought, of the best hour, each address */
    double gain_pairs; /* the same when a mailbox buys for each pair that reaches it as well */
    uint64_t learnt;   /* verdicts, all told */
    double bought;     /* what good mail could buy */
    uint64_t leaked;   /* learnt from something else than the reply itself */
    uint64_t moves;    /* made */
    double hours;
    uint32_t addresses; /* that asked */
    bool evicted;       /* the ledger was too small: the result says nothing */
};

struct adversary; /* the board */

/* NULL without memory. */
struct adversary *adversary_open(const struct tarpit_rules *rules);
void adversary_close(struct adversary *a);

/* Plays until `moves` have been made (a question each) or `hours` have passed. */
void adversary_play(struct adversary *a, const struct adversary_plan *plan, double hours,
                    uint64_t moves, struct adversary_result *out);

/* A move as a person reads it; returns `text`. The plan, a move a line. */
enum { ADVERSARY_TEXT = 100 };
const char *adversary_text(const struct adversary_move *m, char text[ADVERSARY_TEXT]);
void adversary_print(FILE *out, const struct adversary_plan *plan);

/* Plans that people have designed. */
extern const struct adversary_plan adversary_plans[];
extern const size_t adversary_plans_count;

/* Looks for a better plan by climbing from random ones and from those above, until `moves` have
 * been made. `pairs`: for gain_pairs. False without memory. */
bool adversary_search(const struct tarpit_rules *rules, uint64_t moves, uint64_t seed, bool pairs,
                      struct adversary_plan *best, struct adversary_result *result);

#endif
