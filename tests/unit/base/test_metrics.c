/* metrics.c: rows, sums, and the table that names them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/metrics.h"

static void test_a_sum_is_over_all_rows(void **state)
{
    struct metrics m;

    assert_int_equal(metrics_open(&m, 3), 0);
    for (uint32_t i = 0; i < 3; i++) {
        metrics_use(&m.row[i]);
        metric_add(METRIC_CONNECTIONS_TOTAL, i + 1);
    }
    assert_int_equal(metrics_sum(&m, METRIC_CONNECTIONS_TOTAL), 6);
    assert_int_equal(metrics_sum(&m, METRIC_CONNECTIONS_OPEN), 0);
    metrics_close(&m);
}

static void test_gauges_go_up_and_down(void **state)
{
    struct metrics m;

    assert_int_equal(metrics_open(&m, 2), 0);
    metrics_use(&m.row[0]);
    metric_add(METRIC_HELD, 5);
    metrics_use(&m.row[1]);
    metric_add(METRIC_HELD, -2); /* alone it would be below zero */
    assert_int_equal(metrics_sum(&m, METRIC_HELD), 3);
    metrics_close(&m);
}

static void test_of_a_dead_process_the_counters_stay_and_the_gauges_go(void **state)
{
    struct metrics m;

    assert_int_equal(metrics_open(&m, 1), 0);
    metrics_use(&m.row[0]);
    metric_add(METRIC_HELD, 5);
    metric_add(METRIC_FROZEN, 6);
    metric_add(METRIC_CONNECTIONS_OPEN, 7);
    metric_add(METRIC_HOLD_MS, 8);
    metric_add(METRIC_CONNECTIONS_TOTAL, 9);
    metrics_reset_gauges(&m.row[0]);
    assert_int_equal(metrics_sum(&m, METRIC_HELD), 0);
    assert_int_equal(metrics_sum(&m, METRIC_FROZEN), 0);
    assert_int_equal(metrics_sum(&m, METRIC_CONNECTIONS_OPEN), 0);
    assert_int_equal(metrics_sum(&m, METRIC_HOLD_MS), 8);
    assert_int_equal(metrics_sum(&m, METRIC_CONNECTIONS_TOTAL), 9);
    metrics_close(&m);
}

static void test_a_message_falls_into_the_bucket_of_its_time(void **state)
{
    struct metrics m;
    uint64_t bucket[METRIC_BUCKETS + 1], us;

    assert_int_equal(metrics_open(&m, 1), 0);
    metrics_use(&m.row[0]);
    metric_took(METRIC_TIME_MESSAGE, 0);
    metric_took(METRIC_TIME_MESSAGE, 1000); /* exactly 1 ms: "le" */
    metric_took(METRIC_TIME_MESSAGE, 1001);
    metric_took(METRIC_TIME_MESSAGE, 30000000);
    metric_took(METRIC_TIME_MESSAGE, 30000001);
    assert_int_equal(m.row[0].time[METRIC_TIME_MESSAGE].bucket[0], 2);
    assert_int_equal(m.row[0].time[METRIC_TIME_MESSAGE].bucket[1], 1);
    assert_int_equal(m.row[0].time[METRIC_TIME_MESSAGE].bucket[METRIC_BUCKETS - 1], 1);
    assert_int_equal(m.row[0].time[METRIC_TIME_MESSAGE].bucket[METRIC_BUCKETS], 1);
    assert_int_equal(m.row[0].time[METRIC_TIME_MESSAGE].us, 60002002);
    metric_took(METRIC_TIME_DIRECTORY_LDAP, 500);
    metrics_sum_time(&m, METRIC_TIME_DIRECTORY_LDAP, bucket, &us);
    assert_int_equal(bucket[0], 1);
    assert_int_equal(bucket[1], 0);
    assert_int_equal(us, 500);
    metrics_close(&m);
}

/* The expected values are those of PromQL's histogram_quantile() for these buckets. */
static void test_a_quantile_is_interpolated_as_prometheus_does(void **state)
{
    uint64_t bucket[METRIC_BUCKETS + 1] = {0};

    assert_true(isnan(metric_quantile_ms(bucket, 0.99)));
    bucket[0] = 4; /* <= 1 ms: from 0 on */
    assert_float_equal(metric_quantile_ms(bucket, 0.5), 0.5, 1e-3);
    bucket[3] = 4; /* 5 to 10 ms */
    assert_float_equal(metric_quantile_ms(bucket, 0.5), 1, 1e-3);
    assert_float_equal(metric_quantile_ms(bucket, 0.75), 7.5, 1e-3);
    assert_float_equal(metric_quantile_ms(bucket, 1), 10, 1e-3);
    bucket[METRIC_BUCKETS] = 2; /* no bound above: the last one there is */
    assert_float_equal(metric_quantile_ms(bucket, 0.99), 30000, 1e-3);
}

static void test_without_a_row_nothing_is_harmed(void **state)
{
    struct metrics m;

    assert_int_equal(metrics_open(&m, 1), 0);
    metrics_use(NULL);
    metric_add(METRIC_HELD, 1);
    assert_int_equal(metrics_sum(&m, METRIC_HELD), 0);
    metrics_use(&m.row[0]);
    metrics_close(&m);
    metric_add(METRIC_HELD, 1); /* its row is gone */
}

static void test_rows_of_a_family_stand_together_and_the_first_has_the_help(void **state)
{
    const char *help = "";

    for (int id = 0; id < METRIC_COUNT; id++) {
        const struct metric_about *about = &metric_table[id];
        bool first = id == 0 || strcmp(about->family, metric_table[id - 1].family) != 0;
        assert_non_null(strstr(about->family, "mired_"));
        for (int other = 0; first && other < id; other++)
            assert_string_not_equal(about->family, metric_table[other].family);
        if (first) {
            assert_int_not_equal(about->help[0], '\0');
            help = about->help;
        } else {
            assert_int_equal(about->kind, metric_table[id - 1].kind);
            assert_true(about->help[0] == '\0' || strcmp(about->help, help) == 0);
        }
    }
}

static void test_histograms_of_a_family_stand_together_and_the_first_has_the_help(void **state)
{
    for (int id = 0; id < METRIC_TIME_COUNT; id++) {
        const struct metric_time_about *about = &metric_time_table[id];
        bool first = id == 0 || strcmp(about->family, metric_time_table[id - 1].family) != 0;
        assert_int_equal(first, about->help[0] != '\0');
        for (int other = 0; first && other < id; other++)
            assert_string_not_equal(about->family, metric_time_table[other].family);
    }
}

static void test_buckets_ascend(void **state)
{
    for (int i = 1; i < METRIC_BUCKETS; i++)
        assert_true(metric_bucket_ms[i] > metric_bucket_ms[i - 1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_sum_is_over_all_rows),
        cmocka_unit_test(test_gauges_go_up_and_down),
        cmocka_unit_test(test_of_a_dead_process_the_counters_stay_and_the_gauges_go),
        cmocka_unit_test(test_a_message_falls_into_the_bucket_of_its_time),
        cmocka_unit_test(test_a_quantile_is_interpolated_as_prometheus_does),
        cmocka_unit_test(test_without_a_row_nothing_is_harmed),
        cmocka_unit_test(test_rows_of_a_family_stand_together_and_the_first_has_the_help),
        cmocka_unit_test(test_histograms_of_a_family_stand_together_and_the_first_has_the_help),
        cmocka_unit_test(test_buckets_ascend),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
