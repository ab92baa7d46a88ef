/* bytes.c: spans and bufs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "base/bytes.h"

static void test_spans_are_compared_by_octets(void **state)
{
    assert_true(span_equal(SPAN("a\0b"), SPAN("a\0b")));
    assert_false(span_equal(SPAN("a\0b"), SPAN("a\0c")));
    assert_false(span_equal(SPAN("ab"), SPAN("abc")));
    assert_true(span_equal(span_of(NULL), SPAN("")));
    assert_true(span_equal((struct span){NULL, 0}, SPAN("")));
}

static void test_only_ascii_letters_are_folded(void **state)
{
    assert_true(span_equal_fold(SPAN("MaIl"), SPAN("mAiL")));
    assert_false(span_equal_fold(SPAN("mail"), SPAN("mails")));
    assert_false(span_equal_fold(SPAN("[]"), SPAN("{}")));
    assert_false(span_equal_fold(SPAN("@"), SPAN("`")));
    assert_false(span_equal_fold(SPAN("\xc4"), SPAN("\xe4")));
    assert_true(span_starts_fold(SPAN("MAIL FROM:<>"), SPAN("mail from:")));
    assert_false(span_starts_fold(SPAN("MAIL"), SPAN("MAIL ")));
    assert_true(span_starts_fold(SPAN("x"), SPAN("")));
}

static void test_cutting_past_the_end_gives_what_is_there(void **state)
{
    assert_true(span_equal(span_after(SPAN("abc"), 1), SPAN("bc")));
    assert_true(span_equal(span_after(SPAN("abc"), 9), SPAN("")));
    assert_true(span_equal(span_first(SPAN("abc"), 2), SPAN("ab")));
    assert_true(span_equal(span_first(SPAN("abc"), 9), SPAN("abc")));
    assert_int_equal(span_after((struct span){NULL, 0}, 3).len, 0);
}

static void test_blanks_are_trimmed_at_both_ends_only(void **state)
{
    assert_true(span_equal(span_trim(SPAN(" \t a b\t ")), SPAN("a b")));
    assert_true(span_equal(span_trim(SPAN(" \t ")), SPAN("")));
    assert_true(span_equal(span_trim(SPAN("a\n")), SPAN("a\n")));
}

static void test_find_tells_the_first_place_or_the_length(void **state)
{
    assert_int_equal(span_find(SPAN("a:b:c"), ':'), 1);
    assert_int_equal(span_find(SPAN("abc"), ':'), 3);
    assert_int_equal(span_find((struct span){NULL, 0}, ':'), 0);
    assert_int_equal(span_find(SPAN("a\0b"), '\0'), 1);
}

static void test_numbers_are_digits_only_and_must_fit(void **state)
{
    uint64_t n = 7;

    assert_true(span_number(SPAN("0"), &n));
    assert_int_equal(n, 0);
    assert_true(span_number(SPAN("18446744073709551615"), &n));
    assert_true(n == UINT64_MAX);
    n = 7;
    assert_false(span_number(SPAN("18446744073709551616"), &n));
    assert_false(span_number(SPAN("99999999999999999999999"), &n));
    assert_false(span_number(SPAN(""), &n));
    assert_false(span_number(SPAN("-1"), &n));
    assert_false(span_number(SPAN("+1"), &n));
    assert_false(span_number(SPAN(" 1"), &n));
    assert_false(span_number(SPAN("1x"), &n));
    assert_int_equal(n, 7);
}

static void test_a_buf_grows_and_keeps_its_octets(void **state)
{
    struct buf b = {0};

    for (int i = 0; i < 1000; i++) {
        char octets[7];
        memset(octets, i, sizeof octets);
        assert_int_equal(buf_add(&b, octets, sizeof octets), 0);
    }
    assert_int_equal(b.len, 7000);
    for (int i = 0; i < 7000; i++)
        assert_int_equal((unsigned char)b.at[i], i / 7 & 0xff);
    buf_free(&b);
    assert_null(b.at);
    assert_int_equal(b.len + b.cap, 0);
}

static void test_an_empty_buf_owns_no_memory(void **state)
{
    struct buf b = {0};

    assert_int_equal(buf_add(&b, "", 0), 0);
    assert_int_equal(buf_add_span(&b, (struct span){NULL, 0}), 0);
    assert_null(b.at);
    assert_int_equal(buf_add(&b, "abc", 3), 0);
    buf_drop(&b, 3);
    assert_null(b.at);
    assert_int_equal(buf_add(&b, "abc", 3), 0);
    b.len = 0;
    buf_fit(&b);
    assert_null(b.at);
}

static void test_dropping_keeps_the_rest(void **state)
{
    struct buf b = {0};

    assert_int_equal(buf_add_span(&b, SPAN("hello, world")), 0);
    buf_drop(&b, 0);
    assert_true(span_equal(buf_span(&b), SPAN("hello, world")));
    buf_drop(&b, 7);
    assert_true(span_equal(buf_span(&b), SPAN("world")));
    buf_drop(&b, 100);
    assert_null(b.at);
}

static void test_a_fitted_buf_has_no_slack_and_can_grow_again(void **state)
{
    struct buf b = {0};

    assert_int_equal(buf_add_span(&b, SPAN("abcde")), 0);
    assert_true(b.cap > 5);
    buf_fit(&b);
    assert_int_equal(b.cap, 5);
    assert_int_equal(buf_add_span(&b, SPAN("fgh")), 0);
    assert_true(span_equal(buf_span(&b), SPAN("abcdefgh")));
    buf_free(&b);
}

static void test_formatted_text_is_added_without_its_nul(void **state)
{
    struct buf b = {0};

    assert_int_equal(buf_addf(&b, "%s-%d", "a", 1), 0);
    assert_int_equal(buf_addf(&b, "%0200d", 7), 0);
    assert_int_equal(b.len, 203);
    assert_memory_equal(b.at, "a-1000", 6);
    assert_int_equal(b.at[202], '7');
    buf_free(&b);
}

/* Text that fits into the block is formatted once, other text twice; at each length around that. */
static void test_formatted_text_of_any_length_is_whole_and_ends_with_a_nul(void **state)
{
    char text[500];

    for (int before = 0; before < 130; before++)
        for (int len = 0; len < 300; len += before % 3 ? 7 : 1) {
            struct buf b = {0};
            memset(text, 'x', sizeof text);
            assert_int_equal(buf_add(&b, text, (size_t)before), 0);
            assert_int_equal(buf_addf(&b, "%.*s|", len, text), 0);
            assert_int_equal(b.len, before + len + 1);
            assert_int_equal(b.at[b.len - 1], '|');
            assert_memory_equal(b.at, text, b.len - 1);
            assert_int_equal(strlen(b.at), b.len);
            buf_free(&b);
        }
}

static void test_numbers_are_written_in_decimal_with_leading_zeros(void **state)
{
    static const uint64_t numbers[] = {0, 7, 10, 99, 100, 12345, UINT32_MAX, UINT64_MAX};
    char ours[24], theirs[24];

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        for (unsigned places = 0; places <= 20; places++) {
            struct buf b = {0};
            snprintf(theirs, sizeof theirs, "%0*llu", (int)places, (unsigned long long)numbers[i]);
            *write_decimal(numbers[i], places, ours) = '\0';
            assert_string_equal(ours, theirs);
            assert_int_equal(buf_add_number(&b, numbers[i], places), 0);
            assert_true(span_equal(buf_span(&b), span_of(theirs)));
            buf_free(&b);
        }
}

static void test_more_than_2_31_octets_are_refused(void **state)
{
    struct buf b = {0};

    assert_int_equal(buf_add_span(&b, SPAN("abc")), 0);
    assert_null(buf_room(&b, (size_t)1 << 31));
    assert_int_equal(buf_add(&b, "", SIZE_MAX), -ENOMEM);
    assert_true(span_equal(buf_span(&b), SPAN("abc")));
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spans_are_compared_by_octets),
        cmocka_unit_test(test_only_ascii_letters_are_folded),
        cmocka_unit_test(test_cutting_past_the_end_gives_what_is_there),
        cmocka_unit_test(test_blanks_are_trimmed_at_both_ends_only),
        cmocka_unit_test(test_find_tells_the_first_place_or_the_length),
        cmocka_unit_test(test_numbers_are_digits_only_and_must_fit),
        cmocka_unit_test(test_a_buf_grows_and_keeps_its_octets),
        cmocka_unit_test(test_an_empty_buf_owns_no_memory),
        cmocka_unit_test(test_dropping_keeps_the_rest),
        cmocka_unit_test(test_a_fitted_buf_has_no_slack_and_can_grow_again),
        cmocka_unit_test(test_formatted_text_is_added_without_its_nul),
        cmocka_unit_test(test_formatted_text_of_any_length_is_whole_and_ends_with_a_nul),
        cmocka_unit_test(test_numbers_are_written_in_decimal_with_leading_zeros),
        cmocka_unit_test(test_more_than_2_31_octets_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
