/* The pace of reloads in virtual time: a few at once, then one a second, however they are asked
 * for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "master/reload_pace.h"

enum { START = 7 };

/* Asks for reloads without pause, each as soon as it may begin. Returns when the last one began. */
static uint64_t storm(struct reload_pace *p, uint64_t now, int reloads, uint64_t each_ms)
{
    uint64_t begun = now;

    for (int i = 0; i < reloads; i++) {
        now += reload_pace_wait(p, now);
        assert_int_equal(reload_pace_wait(p, now), 0);
        reload_pace_take(p, now);
        begun = now;
        now += each_ms;
    }
    return begun;
}

static void test_the_first_reloads_do_not_wait(void **state)
{
    struct reload_pace p = {0};

    assert_int_equal(storm(&p, START, RELOAD_AT_ONCE, 0), START);
    assert_int_equal(reload_pace_wait(&p, START), RELOAD_EVERY_MS);
}

static void test_a_storm_gets_one_reload_a_second(void **state)
{
    struct reload_pace p = {0};

    assert_int_equal(storm(&p, START, 25, 60) - START,
                     (25 - RELOAD_AT_ONCE) * (uint64_t)RELOAD_EVERY_MS);
}

static void test_reloads_that_take_longer_than_that_do_not_wait(void **state)
{
    struct reload_pace p = {0};

    assert_int_equal(storm(&p, START, 30, 1100) - START, 29 * 1100);
}

static void test_a_calm_time_gives_the_first_ones_back(void **state)
{
    struct reload_pace p = {0};
    uint64_t end = storm(&p, START, 25, 0);

    assert_int_equal(reload_pace_wait(&p, end + RELOAD_EVERY_MS), 0);
    uint64_t calm = end + (uint64_t)RELOAD_AT_ONCE * RELOAD_EVERY_MS;
    assert_int_equal(storm(&p, calm, RELOAD_AT_ONCE, 0), calm);
    assert_int_equal(reload_pace_wait(&p, calm), RELOAD_EVERY_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_reloads_do_not_wait),
        cmocka_unit_test(test_a_storm_gets_one_reload_a_second),
        cmocka_unit_test(test_reloads_that_take_longer_than_that_do_not_wait),
        cmocka_unit_test(test_a_calm_time_gives_the_first_ones_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
