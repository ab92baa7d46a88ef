/* Enemies at random, their shrinking and their printing (enemy.h). */
#include <string.h>

#include "base/offence.h"
#include "enemy.h"

static uint32_t draw(uint64_t *s, uint32_t below)
{
    *s = *s * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((*s >> 33) % below);
}

static struct enemy_move random_move(uint64_t *s, uint32_t addresses, uint32_t pace)
{
    static const uint16_t many[] = {1, 1, 1, 2, 3, 5, 10, 50};
    static const uint32_t gaps[] = {0, 10, 1000, 10000, 60000, 600000};
    struct enemy_move m = {.kind = (uint8_t)draw(s, ENEMY_KINDS), .many = many[draw(s, 8)]};

    m.gap = draw(s, 1 + gaps[draw(s, 1 + pace)]);
    if (draw(s, 3) == 0)
        m.kind = draw(s, 3) ? ENEMY_ASK : ENEMY_MAIL;
    if (m.kind == ENEMY_FLOOD && draw(s, 50) != 0) /* it takes the simulator long */
        m.kind = ENEMY_OFFEND;
    m.sender = (uint8_t)draw(s, SENDERS);
    m.offence = (uint8_t)(OFFENCE_NONE + 1 + draw(s, OFFENCE_COUNT - 1));
    m.address = (uint8_t)(1 + draw(s, addresses));
    return m;
}

void enemy_random(uint64_t seed, struct enemy_plan *out)
{
    static const uint32_t addresses[] = {1, 2, 4, 15, 16, 17, 40, 199, 254};
    uint64_t s = seed * UINT64_C(0x9e3779b97f4a7c15);

    draw(&s, 2);
    *out = (struct enemy_plan){.seed = seed, .ip6 = draw(&s, 2), .credit = draw(&s, 2)};
    uint32_t from = addresses[draw(&s, 9)], pace = draw(&s, 6);
    uint32_t most = draw(&s, 2) ? 100 : ENEMY_MOVES;
    out->count = 10 + draw(&s, most - 9);
    for (uint32_t i = 0; i < out->count; i++)
        out->move[i] = random_move(&s, from, pace);
}

/* ---- shrinking ---- */

static bool harms(struct enemy *e, const struct enemy_plan *plan)
{
    struct enemy_result r;
    enemy_play(e, plan, &r);
    return enemy_harm(e, plan, &r) != NULL;
}

static bool without(struct enemy *e, struct enemy_plan *plan, uint32_t from, uint32_t n)
{
    struct enemy_plan less = *plan;

    if (from + n < less.count) /* the time stays what it was */
        for (uint32_t i = 0; i < n; i++)
            less.move[from + n].gap += less.move[from + i].gap;
    memmove(&less.move[from], &less.move[from + n], (less.count - from - n) * sizeof less.move[0]);
    less.count -= n;
    if (!harms(e, &less))
        return false;
    *plan = less;
    return true;
}

static bool simpler(struct enemy *e, struct enemy_plan *plan, uint32_t i)
{
    const struct enemy_move was = plan->move[i];
    struct enemy_move less[4] = {was, was, was, was};

    less[0].gap = 0;
    less[1].gap /= 2;
    less[2].many = 1;
    less[3].many = (uint16_t)(was.many / 2 + was.many % 2);
    for (int k = 0; k < 4; k++) {
        plan->move[i] = less[k];
        bool less_of_it = less[k].gap != was.gap || less[k].many != was.many;
        if (less_of_it && harms(e, plan))
            return true;
    }
    plan->move[i] = was;
    return false;
}

void enemy_shrink(struct enemy *e, struct enemy_plan *plan)
{
    for (uint32_t n = plan->count / 2; n > 0; n /= 2)
        for (uint32_t from = 0; from + n <= plan->count;)
            if (!without(e, plan, from, n))
                from++;
    for (uint32_t i = 0; i < plan->count;)
        if (!simpler(e, plan, i))
            i++;
}

/* ---- printing ---- */

void enemy_print(FILE *out, const struct enemy_plan *plan)
{
    static const char *const words[ENEMY_KINDS] = {
#define ENEMY_WORDS(id, text) [ENEMY_##id] = (text),
        ENEMY_MOVES_TABLE(ENEMY_WORDS)
#undef ENEMY_WORDS
    };
    static const char *const offence[OFFENCE_COUNT] = {
#define ENEMY_OFFENCE(id, name, weight, verdict) [OFFENCE_##id] = (name),
        OFFENCES(ENEMY_OFFENCE)
#undef ENEMY_OFFENCE
    };
    static const char *const sender[SENDERS] = {"in the innocent's name", "in another name",
                                                "from <>"};
    uint64_t at = 0;

    fprintf(out, "seed %llu, IPv%d, %s credit\n", (unsigned long long)plan->seed, plan->ip6 ? 6 : 4,
            plan->credit ? "with" : "without");
    for (uint32_t i = 0; i < plan->count; i++) {
        const struct enemy_move *m = &plan->move[i];
        at += m->gap;
        fprintf(out, "%10.3fs  ", (double)at / 1e3);
        if (m->kind <= ENEMY_BOUNCE_GOOD)
            fprintf(out, "%s\n", words[m->kind]);
        else
            fprintf(out, "enemy %u%s %s, %u times%s%s, %s\n", m->address,
                    m->address < ENEMY_FAR ? "" : " (another network)", words[m->kind], m->many,
                    m->kind == ENEMY_OFFEND ? ": " : "",
                    m->kind == ENEMY_OFFEND ? offence[m->offence] : "", sender[m->sender]);
    }
}
