/* Small worlds: what the simulator's tables rest on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "config/config.h"
#include "populations.h"

static struct sim_result run(struct sim_population p, enum sim_setting s, uint64_t seed)
{
    struct tarpit_rules mired = config_default_rules(), r = sim_rules(s, &mired);
    struct sim_result out;

    assert_true(sim_run(&p, &r, seed, &out));
    return out;
}

static void test_the_same_seed_gives_the_same_world(void **state)
{
    struct sim_result a = run(sim_harvest(10), SIM_MIRED, 7),
                      b = run(sim_harvest(10), SIM_MIRED, 7);

    assert_memory_equal(&a, &b, sizeof a);
}

static void test_without_delay_a_harvester_learns_a_verdict_each_round_trip(void **state)
{
    struct sim_result r = run(sim_harvest(1), SIM_OFF, 1);

    assert_in_range(r.verdicts, 3600 * 20 - 100, 3600 * 20);
}

static void test_the_classic_delay_is_per_connection(void **state)
{
    struct sim_result one = run(sim_harvest(1), SIM_CLASSIC, 1);
    struct sim_result hundred = run(sim_harvest(100), SIM_CLASSIC, 1);

    assert_in_range(one.verdicts, 175, 190);
    assert_in_range(hundred.verdicts, one.verdicts * 95, one.verdicts * 105);
}

static void test_mired_tells_a_hundred_connections_no_more_than_one(void **state)
{
    struct sim_result one = run(sim_harvest(1), SIM_MIRED, 1);
    struct sim_result hundred = run(sim_harvest(100), SIM_MIRED, 1);

    assert_in_range(hundred.verdicts, one.verdicts - one.verdicts / 10,
                    one.verdicts + one.verdicts / 10);
    assert_true(hundred.hours_spent > 95);
}

static void test_a_list_with_two_percent_dead_is_not_late(void **state)
{
    struct sim_result r = run(sim_list(0.02), SIM_MIRED, 1);

    assert_int_equal(r.delivered, r.mails);
    assert_int_equal(r.late, 0);
    assert_int_equal(r.typos_told, r.typos);
    assert_true(r.typos > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_same_seed_gives_the_same_world),
        cmocka_unit_test(test_without_delay_a_harvester_learns_a_verdict_each_round_trip),
        cmocka_unit_test(test_the_classic_delay_is_per_connection),
        cmocka_unit_test(test_mired_tells_a_hundred_connections_no_more_than_one),
        cmocka_unit_test(test_a_list_with_two_percent_dead_is_not_late),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
