/* What enemies of one innocent can do to it (R10, R13, R15): nothing but one wait of T(1) for a
 * client that is new to us, and nothing at all to one with credit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/offence.h"
#include "config/config.h"
#include "effort.h"
#include "enemy.h"

enum { ENEMIES = 10000 };

static struct enemy *place_of(const struct tarpit_rules *rules)
{
    struct enemy *place = enemy_open(rules);
    assert_non_null(place);
    return place;
}

static void test_ten_thousand_enemies_do_an_innocent_no_harm(void **state)
{
    struct tarpit_rules rules = config_default_rules();
    struct enemy *place = place_of(&rules);
    uint64_t messages = 0;

    for (uint32_t seed = 1; seed <= effort_of(ENEMIES); seed++) {
        struct enemy_plan plan;
        struct enemy_result r;
        enemy_random(seed, &plan);
        enemy_play(place, &plan, &r);
        messages += r.messages;
        const char *harm = enemy_harm(place, &plan, &r);
        if (harm == NULL)
            continue;
        enemy_shrink(place, &plan);
        enemy_print(stderr, &plan);
        fail_msg("%s", harm);
    }
    enemy_close(place);
    assert_true(messages > 10 * effort_of(ENEMIES));
}

static struct enemy_move by(enum enemy_kind kind, uint32_t gap, uint8_t address, uint16_t many)
{
    return (struct enemy_move){.kind = (uint8_t)kind,
                               .gap = gap,
                               .address = address,
                               .many = many,
                               .offence = OFFENCE_EARLY,
                               .sender = SENDER_OTHER};
}

static struct enemy_result play(const struct enemy_plan *plan)
{
    struct tarpit_rules rules = config_default_rules();
    struct enemy *place = place_of(&rules);
    struct enemy_result r;

    enemy_play(place, plan, &r);
    assert_null(enemy_harm(place, plan, &r));
    enemy_close(place);
    return r;
}

/* Field notes G2: one loud neighbour. */
static void test_one_neighbour_however_loud_makes_nobody_wait(void **state)
{
    for (int ip6 = 0; ip6 < 2; ip6++) {
        struct enemy_plan plan = {.ip6 = ip6,
                                  .count = 3,
                                  .move = {by(ENEMY_OFFEND, 0, 1, 60000),
                                           by(ENEMY_MAIL, 1000, 0, 1), by(ENEMY_MAIL, 1000, 0, 1)}};
        struct enemy_result r = play(&plan);
        assert_int_equal(r.messages, 2);
        assert_int_equal(r.late, 0);
    }
}

/* Many bad neighbours: a newcomer waits once, and then no more. */
static void test_in_a_bad_network_a_newcomer_waits_once(void **state)
{
    struct enemy_plan plan = {.count = 40};
    struct enemy_result r;

    for (uint8_t i = 0; i < 38; i++)
        plan.move[i] = by(ENEMY_OFFEND, 100, (uint8_t)(i + 1), 50);
    plan.move[38] = by(ENEMY_MAIL, 1000, 0, 1);
    plan.move[39] = by(ENEMY_MAIL, 60000, 0, 1);
    r = play(&plan);
    assert_int_equal(r.messages, 2);
    assert_int_equal(r.late, 1);
    assert_int_equal(r.worst_ms, 20000);
    plan.credit = true;
    r = play(&plan);
    assert_int_equal(r.late, 0);
}

/* Field notes G7: twenty times what the ledger holds. */
static void test_a_flood_of_strangers_does_not_push_out_good_mail(void **state)
{
    for (int ip6 = 0; ip6 < 2; ip6++) {
        struct enemy_plan plan = {.ip6 = ip6, .credit = true, .count = 41};
        plan.move[0] = by(ENEMY_FLOOD, 0, 1, 400);
        for (uint8_t i = 1; i < 39; i++)
            plan.move[i] = by(ENEMY_OFFEND, 100, i, 50);
        plan.move[39] = by(ENEMY_MAIL, 1000, 0, 1);
        plan.move[40] = by(ENEMY_MAIL, 60000, 0, 1);
        struct enemy_result r = play(&plan);
        assert_int_equal(r.messages, 2);
        assert_int_equal(r.late, 0);
    }
}

/* Field notes G3: forged senders make the innocent's server bounce to nobody and to traps. */
static void test_bounces_do_not_slow_the_mail_beside_them(void **state)
{
    for (int credit = 0; credit < 2; credit++) {
        struct enemy_plan plan = {.credit = credit, .count = 202};
        for (int i = 0; i < 200; i++)
            plan.move[i] = by(i % 2 ? ENEMY_BOUNCE : ENEMY_BOUNCE_TRAP, 500, 0, 1);
        plan.move[200] = by(ENEMY_MAIL, 0, 0, 1);
        plan.move[201] = by(ENEMY_MAIL, 100, 0, 1);
        struct enemy_result r = play(&plan);
        assert_int_equal(r.messages, 2);
        assert_int_equal(r.late, 0);
    }
}

static void test_harm_is_called_harm(void **state)
{
    struct tarpit_rules rules = config_default_rules();
    struct enemy *place = place_of(&rules);
    struct enemy_plan plan = {.credit = true};
    struct enemy_result late = {.messages = 1, .late = 1, .waits = 1, .worst_ms = 5000},
                        masked = {.messages = 1, .masked = 1},
                        long_wait = {.messages = 1, .late = 1, .waits = 1, .worst_ms = 20001},
                        twice = {.messages = 2, .late = 2, .waits = 2, .worst_ms = 5000};

    assert_non_null(enemy_harm(place, &plan, &late));
    assert_non_null(enemy_harm(place, &plan, &masked));
    plan.credit = false;
    assert_null(enemy_harm(place, &plan, &late));
    assert_non_null(enemy_harm(place, &plan, &long_wait));
    assert_non_null(enemy_harm(place, &plan, &twice));
    enemy_close(place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ten_thousand_enemies_do_an_innocent_no_harm),
        cmocka_unit_test(test_one_neighbour_however_loud_makes_nobody_wait),
        cmocka_unit_test(test_in_a_bad_network_a_newcomer_waits_once),
        cmocka_unit_test(test_a_flood_of_strangers_does_not_push_out_good_mail),
        cmocka_unit_test(test_bounces_do_not_slow_the_mail_beside_them),
        cmocka_unit_test(test_harm_is_called_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
