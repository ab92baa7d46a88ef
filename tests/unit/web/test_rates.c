/* rates.c: rates and p99 from counters that only rise. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "web/rates.h"

static void test_nothing_is_said_before_there_are_two_marks(void **state)
{
    struct rates p = {0};

    assert_true(isnan(rates_per_second(&p)) && isnan(rates_p99_ms(&p)));
    rates_mark(&p, &(struct rates_mark){.at_ms = 1000, .passed = 500, .bucket = {500}});
    assert_true(isnan(rates_per_second(&p)) && isnan(rates_p99_ms(&p)));
}

static void test_the_rate_is_of_the_time_between_marks(void **state)
{
    struct rates p = {0};

    rates_mark(&p, &(struct rates_mark){.at_ms = 1000, .passed = 500});
    rates_mark(&p, &(struct rates_mark){.at_ms = 1000, .passed = 500}); /* no time has gone */
    assert_true(isnan(rates_per_second(&p)));
    rates_mark(&p, &(struct rates_mark){.at_ms = 3000, .passed = 570});
    assert_float_equal(rates_per_second(&p), 35, 1e-3);
}

static void test_it_looks_ten_marks_back_and_forgets_what_was_before(void **state)
{
    struct rates_mark m = {0};
    struct rates p = {0};

    for (int i = 0; i < 30; i++) { /* ten seconds each of 100, 10 and 1 a second, each slower */
        int third = i / 10;
        m.at_ms += 1000;
        m.passed += (uint64_t)(third == 0 ? 100 : third == 1 ? 10 : 1);
        m.bucket[third * 3] += (uint64_t)(third == 0 ? 100 : third == 1 ? 10 : 1);
        rates_mark(&p, &m);
    }
    assert_float_equal(rates_per_second(&p), 1, 1e-3);
    assert_float_equal(rates_p99_ms(&p),
                       metric_bucket_ms[5] + 0.99 * (metric_bucket_ms[6] - metric_bucket_ms[5]),
                       1e-3);
}

static void test_while_nothing_passes_the_rate_is_0_and_the_p99_unknown(void **state)
{
    struct rates p = {0};

    for (uint64_t i = 0; i < 20; i++)
        rates_mark(&p, &(struct rates_mark){.at_ms = i * 1000, .passed = 7, .bucket = {7}});
    assert_float_equal(rates_per_second(&p), 0, 1e-3);
    assert_true(isnan(rates_p99_ms(&p)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_said_before_there_are_two_marks),
        cmocka_unit_test(test_the_rate_is_of_the_time_between_marks),
        cmocka_unit_test(test_it_looks_ten_marks_back_and_forgets_what_was_before),
        cmocka_unit_test(test_while_nothing_passes_the_rate_is_0_and_the_p99_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
