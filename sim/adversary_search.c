/* Searches for the best plan by hill climbing (adversary.h): changes a plan a little, keeps the
 * change if the plan does not gain less, and starts again from another plan when nothing has been
 * better for a while. */
#include <string.h>

#include "adversary.h"

enum {
    PATIENCE = 400, /* plans without a better one, then it starts again */
    A_GAME = 600,   /* moves of one at first; the best are played on */
    A_LONG_GAME = 6000,
    A_GAMES_HOURS = 150,
};

struct climb {
    struct adversary *board;
    uint64_t random, moves, most;
    bool pairs;
};

static uint32_t draw(struct climb *c, uint32_t below)
{
    c->random = c->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((c->random >> 33) % below);
}

static struct adversary_move random_move(struct climb *c)
{
    /* Questions, messages and sleeps come more often than the rest. */
    static const uint8_t more[] = {MOVE_ASK,     MOVE_ASK,       MOVE_DELIVER, MOVE_DELIVER_NEXT,
                                   MOVE_SLEEP,   MOVE_SLEEP,     MOVE_TURN,    MOVE_SENDER,
                                   MOVE_ADDRESS, MOVE_NO_SENDER, MOVE_RETRY};
    uint32_t k = draw(c, MOVE_KINDS + sizeof more);
    uint8_t kind = k < MOVE_KINDS ? (uint8_t)k : more[k - MOVE_KINDS];
    return (struct adversary_move){.kind = kind,
                                   .a = (uint8_t)draw(c, draw(c, 2) ? 6 : 14),
                                   .b = (uint8_t)draw(c, OFFENCE_COUNT)};
}

static void insert(struct adversary_plan *p, uint32_t at, struct adversary_move m)
{
    uint32_t count = p->once + p->again;
    if (count == ADVERSARY_MOVES)
        return;
    memmove(&p->move[at + 1], &p->move[at], (count - at) * sizeof p->move[0]);
    p->move[at] = m;
    if (at < p->once)
        p->once++;
    else
        p->again++;
}

static void take_out(struct adversary_plan *p, uint32_t at)
{
    uint32_t count = p->once + p->again;
    if (count < 2)
        return;
    memmove(&p->move[at], &p->move[at + 1], (count - at - 1) * sizeof p->move[0]);
    if (at < p->once)
        p->once--;
    else
        p->again--;
}

static void change(struct climb *c, struct adversary_plan *p)
{
    uint32_t count = p->once + p->again, at = draw(c, count), other = draw(c, count);
    struct adversary_move m = p->move[at];

    switch (draw(c, 8)) {
    case 0:
    case 1: insert(p, draw(c, count + 1), random_move(c)); break;
    case 2: take_out(p, at); break;
    case 3: p->move[at] = random_move(c); break;
    case 4: p->move[at].a = (uint8_t)draw(c, 14); break;
    case 5:
        p->move[at] = p->move[other];
        p->move[other] = m;
        break;
    case 6:
        if (p->again > 1 && draw(c, 2)) {
            p->again--;
            p->once++;
        } else if (p->once > 0) {
            p->once--;
            p->again++;
        }
        break;
    default: insert(p, draw(c, count + 1), m); break;
    }
}

static struct adversary_plan begin(struct climb *c)
{
    struct adversary_plan p = {.again = 4, .once = 4};

    if (draw(c, 2)) {
        p = adversary_plans[draw(c, (uint32_t)adversary_plans_count)];
    } else {
        p.ip6 = draw(c, 4) == 0;
        for (int i = 0; i < 8; i++)
            p.move[i] = random_move(c);
    }
    p.name = p.about = NULL;
    return p;
}

static double play(struct climb *c, const struct adversary_plan *p, uint64_t moves,
                   struct adversary_result *r)
{
    adversary_play(c->board, p, A_GAMES_HOURS, moves, r);
    c->moves += r->moves;
    return r->evicted ? 0 : c->pairs ? r->gain_pairs : r->gain;
}

/* To the top of one hill. */
static double climb(struct climb *c, struct adversary_plan *p, struct adversary_result *r)
{
    double best = play(c, p, A_GAME, r);

    for (uint32_t worse = 0; worse < PATIENCE && c->moves < c->most; worse++) {
        struct adversary_plan next = *p;
        struct adversary_result result;
        uint32_t changes = 1 + draw(c, 3);
        for (uint32_t i = 0; i < changes; i++)
            change(c, &next);
        double gain = play(c, &next, A_GAME, &result);
        if (gain < best)
            continue;
        worse = gain > best ? 0 : worse;
        best = gain;
        *p = next;
        *r = result;
    }
    return best;
}

/* Removes moves that the plan does not need, as long as there are any. */
static void shorten(struct climb *c, struct adversary_plan *p, double gain)
{
    struct adversary_result r;
    uint32_t before;

    do {
        before = p->once + p->again;
        for (uint32_t at = before; at-- > 0;) {
            struct adversary_plan less = *p;
            take_out(&less, at);
            if (play(c, &less, A_LONG_GAME, &r) >= gain)
                *p = less;
        }
    } while ((uint32_t)p->once + p->again < before);
}

bool adversary_search(const struct tarpit_rules *rules, uint64_t moves, uint64_t seed, bool pairs,
                      struct adversary_plan *best, struct adversary_result *result)
{
    struct climb c = {.board = adversary_open(rules),
                      .random = seed * UINT64_C(0x9e3779b97f4a7c15),
                      .most = moves,
                      .pairs = pairs};
    double top = -1;

    if (c.board == NULL)
        return false;
    while (c.moves < moves) {
        struct adversary_plan p = begin(&c);
        struct adversary_result r;
        climb(&c, &p, &r);
        double gain = play(&c, &p, A_LONG_GAME, &r);
        if (gain <= top)
            continue;
        top = gain;
        *best = p;
        *result = r;
    }
    shorten(&c, best, top);
    play(&c, best, A_LONG_GAME, result);
    result->moves = c.moves;
    adversary_close(c.board);
    return true;
}
