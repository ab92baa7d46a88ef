/* What an adversary gains that knows the rules, R1 to R10 and R21: plans that people have thought
 * of, and what a search finds in some seconds (`mired-sim --search` takes longer). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "adversary.h"
#include "config/config.h"
#include "effort.h"

/* Verdicts an hour and address: a quarter more than what a plain harvest is told. */
#define BOUND (1.25 * 42)

enum { PLAN_HOURS = 200, PLAN_MOVES = 300000, SEARCH_MOVES = 2000000 };

static struct adversary_result play(const struct tarpit_rules *rules,
                                    const struct adversary_plan *plan)
{
    struct adversary *board = adversary_open(rules);
    struct adversary_result r;

    assert_non_null(board);
    adversary_play(board, plan, PLAN_HOURS, PLAN_MOVES, &r);
    adversary_close(board);
    return r;
}

static const struct adversary_plan *named(const char *name)
{
    for (size_t i = 0; i < adversary_plans_count; i++)
        if (strcmp(adversary_plans[i].name, name) == 0)
            return &adversary_plans[i];
    fail_msg("no plan is named %s", name);
    return NULL;
}

static void test_no_plan_gains_more_than_a_quarter_over_a_plain_harvest(void **state)
{
    struct tarpit_rules rules = config_default_rules();

    for (size_t i = 0; i < adversary_plans_count; i++) {
        struct adversary_result r = play(&rules, &adversary_plans[i]);
        if (r.evicted || r.addresses == 0 || r.gain > BOUND)
            fail_msg("%s: %.1f", adversary_plans[i].name, r.gain);
    }
}

static void test_a_plain_harvest_is_told_what_the_table_says(void **state)
{
    struct tarpit_rules rules = config_default_rules();
    struct adversary_result r = play(&rules, named("patient"));

    assert_in_range((int)r.gain, 40, 43);
}

/* Member by member: what is between them has no value. */
static void assert_same(const struct adversary_result *a, const struct adversary_result *b)
{
    assert_true(a->gain == b->gain && a->gain_pairs == b->gain_pairs);
    assert_int_equal(a->learnt, b->learnt);
    assert_true(a->bought == b->bought && a->hours == b->hours);
    assert_int_equal(a->leaked, b->leaked);
    assert_int_equal(a->moves, b->moves);
    assert_int_equal(a->addresses, b->addresses);
    assert_int_equal(a->evicted, b->evicted);
}

static void test_a_game_is_played_the_same_way_each_time(void **state)
{
    struct tarpit_rules rules = config_default_rules();
    struct adversary *board = adversary_open(&rules);
    struct adversary_result first, again;

    assert_non_null(board);
    for (size_t i = 0; i < adversary_plans_count; i++) {
        adversary_play(board, &adversary_plans[i], PLAN_HOURS, 2000, &first);
        adversary_play(board, named("pipeline"), PLAN_HOURS, 2000, &again);
        adversary_play(board, &adversary_plans[i], PLAN_HOURS, 2000, &again);
        assert_same(&first, &again);
    }
    adversary_close(board);
}

/* Field notes G1 on a simulated clock: messages with a thousand times the same recipient, then
 * guesses as fast as can be, or one as each turn ends. */
static void test_one_mailbox_named_a_thousand_times_buys_nothing(void **state)
{
    struct tarpit_rules rules = config_default_rules();
    struct adversary *board = adversary_open(&rules);
    struct adversary_plan plan = {.once = 20, .again = 2};
    struct adversary_result r;

    assert_non_null(board);
    for (int i = 0; i < 20; i++)
        plan.move[i] = (struct adversary_move){.kind = MOVE_REPEAT, .a = 9};
    for (int fast = 0; fast < 2; fast++) {
        plan.move[20] = (struct adversary_move){.kind = MOVE_ASK, .a = fast ? 8 : 0};
        plan.move[21] = (struct adversary_move){.kind = fast ? MOVE_SLEEP : MOVE_TURN, .a = 1};
        adversary_play(board, &plan, 1, 1000000, &r);
        assert_true(r.hours >= 1);
        assert_in_range(r.learnt, 30, 60);
    }
    adversary_close(board);
}

/* Without delays each question is a verdict; that is how the board counts. */
static void test_without_the_tarpit_every_question_is_a_verdict(void **state)
{
    struct tarpit_rules rules = config_default_rules();
    struct adversary_result r;

    rules.time = 0;
    r = play(&rules, named("patient"));
    assert_int_equal(r.learnt * 2, r.moves);
}

static void test_the_search_finds_nothing_better(void **state)
{
    struct tarpit_rules rules = config_default_rules();
    struct adversary_plan best;
    struct adversary_result r;

    assert_true(adversary_search(&rules, effort_of(SEARCH_MOVES), 1, false, &best, &r));
    if (r.gain > BOUND)
        adversary_print(stderr, &best);
    assert_true(r.gain >= 35); /* it does find the plain harvest */
    assert_true(r.gain <= BOUND);
}

/* Holes that are there on purpose: each must be found. */
static void test_the_search_finds_a_hole(void **state)
{
    struct tarpit_rules hole[2];

    hole[0] = hole[1] = config_default_rules();
    hole[0].pace = false;          /* turns of one connection say nothing about another */
    hole[1].half_life = 60 * 1000; /* debts are forgotten in a minute */
    for (int i = 0; i < 2; i++) {
        struct adversary_plan best;
        struct adversary_result r;
        assert_true(adversary_search(&hole[i], SEARCH_MOVES / 4, 1, false, &best, &r));
        if (r.gain <= BOUND)
            fail_msg("hole %d: only %.1f", i, r.gain);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_plan_gains_more_than_a_quarter_over_a_plain_harvest),
        cmocka_unit_test(test_a_plain_harvest_is_told_what_the_table_says),
        cmocka_unit_test(test_a_game_is_played_the_same_way_each_time),
        cmocka_unit_test(test_one_mailbox_named_a_thousand_times_buys_nothing),
        cmocka_unit_test(test_without_the_tarpit_every_question_is_a_verdict),
        cmocka_unit_test(test_the_search_finds_nothing_better),
        cmocka_unit_test(test_the_search_finds_a_hole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
