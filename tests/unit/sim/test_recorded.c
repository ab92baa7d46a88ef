/* Recorded attacks: the file, and its replay. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "config/config.h"
#include "recorded.h"

static int read_text(const char *text, struct recorded *r)
{
    FILE *f = fmemopen((void *)text, strlen(text), "r");
    assert_non_null(f);
    int wrong = recorded_read(f, r);
    fclose(f);
    return wrong;
}

static void test_events_are_read_from_the_first_ones_time_on(void **state)
{
    struct recorded r;

    assert_int_equal(read_text("# from a log\n\n100.5 192.0.2.7 unknown 3 # thrice\n"
                               "102 2001:db8::1 message 20\n",
                               &r),
                     0);
    assert_int_equal(r.count, 2);
    assert_int_equal(r.event[0].ms, 0);
    assert_int_equal(r.event[0].count, 3);
    assert_int_equal(r.event[1].ms, 1500);
    assert_int_equal(r.event[1].kind, RECORDED_MESSAGE);
    recorded_free(&r);
}

static void test_a_wrong_line_is_named(void **state)
{
    static const char *const wrong[] = {"1 192.0.2.7\n",
                                        "1 nowhere unknown\n",
                                        "x 192.0.2.7 known\n",
                                        "1 192.0.2.7 unknown 0\n",
                                        "1 192.0.2.7 shouting\n",
                                        "1 192.0.2.7 known 1 more\n",
                                        "2 192.0.2.7 known\n1 192.0.2.7 known\n",
                                        "nan 192.0.2.7 known\n"};

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct recorded r;
        assert_int_equal(read_text(wrong[i], &r), i == 6 ? 2 : 1);
    }
}

static void test_a_harvest_is_put_off_where_mired_stands(void **state)
{
    struct tarpit_rules off = config_default_rules(), mired = off;
    struct recorded_result without, with;
    struct recorded r;

    off.time = 0;
    off.pace = false;
    off.shield = 0;
    assert_int_equal(read_text("0 192.0.2.7 unknown 40\n1 192.0.2.7 known 5\n", &r), 0);
    assert_true(recorded_run(&r, &off, &without) && recorded_run(&r, &mired, &with));
    assert_int_equal(without.verdicts, 45);
    assert_int_equal(without.told, 45);
    assert_true(without.held_s == 0);
    assert_int_equal(with.verdicts, 45);
    assert_true(with.masked > 35 && with.held_s > 1000);
    recorded_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events_are_read_from_the_first_ones_time_on),
        cmocka_unit_test(test_a_wrong_line_is_named),
        cmocka_unit_test(test_a_harvest_is_put_off_where_mired_stands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
