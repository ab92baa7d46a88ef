/* Which replies of a list count. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>

#include <cmocka.h>

#include "dns/listing.h"

static enum listing judge(const char *pattern, uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
    struct listing_pattern p;
    struct listing_patterns patterns = {&p, 0};
    uint8_t ip[4] = {a, b, c, d};

    if (pattern) {
        assert_true(listing_pattern_read(span_of(pattern), &p));
        patterns.count = 1;
    }
    return listing_judge(&patterns, ip);
}

static void test_without_a_pattern_all_of_127_counts_and_nothing_else(void **state)
{
    assert_int_equal(judge(NULL, 127, 0, 0, 2), LISTING_YES);
    assert_int_equal(judge(NULL, 127, 255, 254, 255), LISTING_YES);
    assert_int_equal(judge(NULL, 192, 0, 2, 1), LISTING_NO);
    assert_int_equal(judge(NULL, 128, 0, 0, 2), LISTING_NO);
}

static void test_a_pattern_is_four_octets_of_numbers_and_ranges(void **state)
{
    assert_int_equal(judge("127.0.0.4", 127, 0, 0, 4), LISTING_YES);
    assert_int_equal(judge("127.0.0.4", 127, 0, 0, 5), LISTING_NO);
    for (unsigned v = 0; v < 256; v++) {
        assert_int_equal(judge("127.0.0.[2..11]", 127, 0, 0, (uint8_t)v),
                         v >= 2 && v <= 11 ? LISTING_YES : LISTING_NO);
        assert_int_equal(judge("127.0.[1;63..64;255].[0..255]", 127, 0, (uint8_t)v, 9),
                         v == 1 || v == 63 || v == 64 || v == 255 ? LISTING_YES : LISTING_NO);
    }
}

static void test_a_list_that_refuses_us_lists_nobody_whatever_is_asked_for(void **state)
{
    assert_int_equal(judge(NULL, 127, 255, 255, 254), LISTING_BLOCKED);
    assert_int_equal(judge("127.255.255.[0..255]", 127, 255, 255, 252), LISTING_BLOCKED);
}

static void test_one_of_several_patterns_is_enough(void **state)
{
    struct listing_pattern p[2];
    struct listing_patterns patterns = {p, 2};

    assert_true(listing_pattern_read(SPAN("127.0.0.2"), &p[0]));
    assert_true(listing_pattern_read(SPAN("127.0.1.[5..6]"), &p[1]));
    assert_int_equal(listing_judge(&patterns, (const uint8_t[]){127, 0, 0, 2}), LISTING_YES);
    assert_int_equal(listing_judge(&patterns, (const uint8_t[]){127, 0, 1, 6}), LISTING_YES);
    assert_int_equal(listing_judge(&patterns, (const uint8_t[]){127, 0, 0, 5}), LISTING_NO);
}

static void test_what_is_no_pattern_is_refused(void **state)
{
    static const char *const wrong[] = {"",
                                        "127",
                                        "127.0.0",
                                        "127.0.0.",
                                        "127.0.0.256",
                                        "127.0.0.0002",
                                        "127.0.0.2.3",
                                        "127.0.0.2 ",
                                        "127.0.0.-1",
                                        "127.0.0.[]",
                                        "127.0.0.[2",
                                        "127.0.0.2]",
                                        "127.0.0.[2..]",
                                        "127.0.0.[..2]",
                                        "127.0.0.[9..2]",
                                        "127.0.0.[2,3]",
                                        "127.0.0.[2;]",
                                        "127.0.0.[2...3]",
                                        "127.0.0.2..11",
                                        "127.0.0.[2..300]",
                                        "zen"};
    struct listing_pattern p;

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        if (listing_pattern_read(span_of(wrong[i]), &p))
            fail_msg("\"%s\" was taken", wrong[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_a_pattern_all_of_127_counts_and_nothing_else),
        cmocka_unit_test(test_a_pattern_is_four_octets_of_numbers_and_ranges),
        cmocka_unit_test(test_a_list_that_refuses_us_lists_nobody_whatever_is_asked_for),
        cmocka_unit_test(test_one_of_several_patterns_is_enough),
        cmocka_unit_test(test_what_is_no_pattern_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
