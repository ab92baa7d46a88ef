/* The tables of the game: what an adversary that knows the rules gains, and what an innocent loses
 * by its enemies (report.h). */
#include "adversary.h"
#include "enemy.h"
#include "progress.h"
#include "report.h"

/* A plan of the table is played for so long. */
enum { PLAN_HOURS = 200, PLAN_MOVES = 300000 };

static const struct column plan_columns[] = {{"strategy", "strategy", false},
                                             {"verdicts, best hour", "gain", true},
                                             {"all verdicts", "verdicts", true},
                                             {"bought by mail", "bought", true},
                                             {"hours", "hours", true}};

static void plan_row(struct table *t, const char *name, const struct adversary_result *r)
{
    table_text(t, name);
    table_number(t, r->gain, 1, "");
    table_count(t, (double)r->learnt);
    table_number(t, r->bought, 1, "");
    table_number(t, r->hours, 1, "");
}

static void tell_plan(struct table *t, const struct adversary_plan *plan)
{
    static const struct column columns[] = {{"the best found", "when", false},
                                            {"move", "move", false}};
    char text[ADVERSARY_TEXT];

    table_begin(t, "best", columns, 2);
    if (plan->ip6) {
        table_text(t, "once");
        table_text(t, "come over IPv6");
    }
    for (uint32_t i = 0; i < (uint32_t)plan->once + plan->again; i++) {
        table_text(t, i < plan->once ? "once" : "again and again");
        table_text(t, adversary_text(&plan->move[i], text));
    }
    table_end(t);
}

bool report_adversary(struct table *t, const struct tarpit_rules *rules, uint64_t seed,
                      uint64_t moves)
{
    struct adversary *board = adversary_open(rules);
    struct adversary_plan best;
    struct adversary_result r;

    if (board == NULL)
        return false;
    table_begin(t, "strategies", plan_columns, 5);
    for (size_t i = 0; i < adversary_plans_count; i++) {
        progress_step("adversary", adversary_plans[i].name);
        adversary_play(board, &adversary_plans[i], PLAN_HOURS, PLAN_MOVES, &r);
        plan_row(t, adversary_plans[i].name, &r);
    }
    adversary_close(board);
    if (moves > 0)
        progress_step("adversary", "search");
    if (moves > 0 && !adversary_search(rules, moves, seed, false, &best, &r))
        return false;
    if (moves > 0)
        plan_row(t, "the best found", &r);
    progress_clear();
    table_end(t);
    if (moves > 0)
        tell_plan(t, &best);
    for (size_t i = 0; i < adversary_plans_count; i++)
        table_about(t, adversary_plans[i].name, adversary_plans[i].about);
    table_gap(t);
    return true;
}

bool report_enemies(struct table *t, const struct tarpit_rules *rules, uint64_t seed,
                    uint32_t enemies)
{
    static const struct column columns[] = {
        {"the innocent", "innocent", false},   {"messages", "messages", true},
        {"put off", "put_off", true},          {"late", "late", true},
        {"a second time", "late_again", true}, {"worst", "worst_delay_seconds", true}};
    struct enemy *place = enemy_open(rules);
    struct {
        uint64_t messages, masked, late, again, worst_ms;
    } sum[2] = {0};

    if (place == NULL)
        return false;
    progress_step("one innocent", "random enemies");
    for (uint32_t i = 0; i < enemies; i++) {
        struct enemy_plan plan;
        struct enemy_result r;
        enemy_random(seed * enemies + i, &plan);
        enemy_play(place, &plan, &r);
        sum[plan.credit].messages += r.messages;
        sum[plan.credit].masked += r.masked;
        sum[plan.credit].late += r.late;
        sum[plan.credit].again += r.waits > 1;
        if (r.worst_ms > sum[plan.credit].worst_ms)
            sum[plan.credit].worst_ms = r.worst_ms;
    }
    enemy_close(place);
    progress_clear();
    table_begin(t, "enemies", columns, 6);
    for (int credit = 0; credit < 2; credit++) {
        table_text(t, credit ? "has sent good mail before" : "is new to us");
        table_count(t, (double)sum[credit].messages);
        table_count(t, (double)sum[credit].masked);
        table_count(t, (double)sum[credit].late);
        table_count(t, (double)sum[credit].again);
        table_number(t, (double)sum[credit].worst_ms / 1e3, 0, " s");
    }
    table_end(t);
    return true;
}
