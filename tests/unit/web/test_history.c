/* history.c: what is kept, for how long, and across processes. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "web/history.h"

static const uint64_t NOON = 1800000000000; /* a multiple of five seconds */

static struct history_sample sample(uint64_t held)
{
    return (struct history_sample){.held = held, .per_second = NAN, .p99_ms = NAN};
}

static unsigned count(const struct history *h, uint64_t now, struct history_sample *last)
{
    uint64_t at = 0, before = 0;
    unsigned n = 0;

    for (struct history_sample s; history_next(h, now, &at, &s); n++) {
        assert_true(s.at_ms > before);
        before = s.at_ms;
        *last = s;
    }
    return n;
}

static void test_samples_come_back_oldest_first(void **state)
{
    struct history_sample s = {0};
    struct history h;

    assert_int_equal(history_open(&h, NULL), 0);
    assert_int_equal(count(&h, NOON, &s), 0);
    history_put(&h, NOON + 5000, sample(2));
    history_put(&h, NOON + 1234, sample(1));
    assert_int_equal(count(&h, NOON + 5000, &s), 2);
    assert_int_equal(s.held, 2);
    assert_int_equal(s.at_ms, NOON + 5000);
    assert_true(isnan(s.p99_ms));
    history_close(&h);
}

static void test_one_sample_is_due_every_five_seconds(void **state)
{
    struct history h;

    assert_int_equal(history_open(&h, NULL), 0);
    assert_true(history_is_due(&h, NOON + 1));
    history_put(&h, NOON + 1, sample(1));
    assert_false(history_is_due(&h, NOON + 4999));
    assert_true(history_is_due(&h, NOON + 5000));
    assert_true(history_is_due(&h, NOON + 3600000)); /* its place holds one of an hour ago */
    history_close(&h);
}

static void test_an_hour_is_kept_and_no_more(void **state)
{
    struct history_sample s = {0};
    struct history h;

    assert_int_equal(history_open(&h, NULL), 0);
    for (uint64_t i = 0; i < 2 * HISTORY_SAMPLES; i++)
        history_put(&h, NOON + i * HISTORY_EVERY_MS, sample(i));
    uint64_t last = NOON + (2 * HISTORY_SAMPLES - 1) * (uint64_t)HISTORY_EVERY_MS;
    assert_int_equal(count(&h, last, &s), HISTORY_SAMPLES);
    assert_int_equal(s.held, 2 * HISTORY_SAMPLES - 1);
    /* Half an hour later without a sample, half of them are left; an hour later none. */
    assert_int_equal(count(&h, last + 1800000, &s), HISTORY_SAMPLES / 2);
    assert_int_equal(count(&h, last + 3600000, &s), 0);
    history_close(&h);
}

static void test_what_lies_in_the_future_is_not_shown(void **state)
{
    struct history_sample s = {0};
    struct history h;

    assert_int_equal(history_open(&h, NULL), 0);
    history_put(&h, NOON + 60000, sample(9));
    history_put(&h, NOON, sample(1)); /* the clock was set back */
    assert_int_equal(count(&h, NOON, &s), 1);
    assert_int_equal(s.held, 1);
    history_close(&h);
}

static void test_the_file_outlives_its_process_and_may_be_open_twice(void **state)
{
    char folder[] = "/tmp/mired-history-XXXXXX", path[64];
    struct history_sample s = {0};
    struct history before, after;

    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/history", folder);
    assert_int_equal(history_open(&before, path), 0);
    history_put(&before, NOON, sample(1));
    assert_int_equal(history_open(&after, path), 0);
    history_put(&after, NOON + 5000, sample(2));
    assert_false(history_is_due(&before, NOON + 5000));
    history_close(&before);
    assert_int_equal(count(&after, NOON + 5000, &s), 2);
    history_close(&after);
    unlink(path);
    rmdir(folder);
}

static void test_without_a_folder_it_is_kept_in_memory(void **state)
{
    struct history_sample s = {0};
    struct history h;

    log_open(LOG_TEXT, LOG_ERROR, "test");
    assert_int_equal(history_open(&h, "/proc/nonexistent/history"), 0);
    history_put(&h, NOON, sample(1));
    assert_int_equal(count(&h, NOON, &s), 1);
    history_close(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_samples_come_back_oldest_first),
        cmocka_unit_test(test_one_sample_is_due_every_five_seconds),
        cmocka_unit_test(test_an_hour_is_kept_and_no_more),
        cmocka_unit_test(test_what_lies_in_the_future_is_not_shown),
        cmocka_unit_test(test_the_file_outlives_its_process_and_may_be_open_twice),
        cmocka_unit_test(test_without_a_folder_it_is_kept_in_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
