/* What a member says of itself is hostile input: it is shown on the page and added to sums. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "fleet/members.h"

static struct hello of(const char *text)
{
    return hello_read(span_of(text));
}

static void test_a_hello_survives_the_wire(void **state)
{
    struct hello h = {.version = 1,
                      .mired = 9,
                      .instance = 2,
                      .half_life = 3,
                      .good_half_life = 4,
                      .keys = 5,
                      .skew_ms = -6,
                      .held = 7,
                      .frozen = 8,
                      .passed = 9,
                      .passed_milli = 10,
                      .program = "0.1.0"};
    char text[HELLO_TEXT];

    hello_write(&h, text);
    struct hello read = of(text);
    assert_memory_equal(&read, &h, sizeof h);
}

static void test_the_longest_hello_fits(void **state)
{
    struct hello h;
    char text[HELLO_TEXT];

    memset(&h, 0xff, sizeof h);
    h.skew_ms = INT64_MIN;
    strcpy(h.program, "12345678901234567890123");
    hello_write(&h, text);
    assert_string_equal(strrchr(text, '='), "=12345678901234567890123");
}

static void test_absurd_figures_are_cut(void **state)
{
    struct hello h = of(
        "held=18446744073709551615 frozen=1000000000001 keys=7 passed_milli=99999999999999999999");

    assert_int_equal(h.held, HELLO_MOST);
    assert_int_equal(h.frozen, HELLO_MOST);
    assert_int_equal(h.keys, 7);
    assert_true(h.passed_milli <= HELLO_MOST);
}

static void test_a_version_is_a_plain_word(void **state)
{
    const char *const lies[] = {"program=<b>", "program=0.1\n", "program=123456789012345678901234",
                                "program=", "program=\x1b[2J"};

    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++)
        assert_string_equal(of(lies[i]).program, "");
    assert_string_equal(of("held=1 program=1.2.3-rc1").program, "1.2.3-rc1");
}

static void test_a_name_is_a_plain_word_of_64_octets_at_most(void **state)
{
    const char *const lies[] = {"", "<b>", "a b", "a\n", "a/b", "\xc3\xa4"};
    char long_name[MEMBERS_NAME + 2];
    struct members m;

    assert_int_equal(members_open(&m, "mx1"), 0);
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++)
        assert_null(members_of(&m, span_of(lies[i]), 1));
    memset(long_name, 'a', sizeof long_name);
    assert_null(members_of(&m, (struct span){long_name, MEMBERS_NAME + 1}, 1));
    assert_non_null(members_of(&m, (struct span){long_name, MEMBERS_NAME}, 1));
    for (int i = 0; i < 2 * MEMBERS_MOST; i++) {
        char name[16];
        snprintf(name, sizeof name, "liar%d", i);
        members_of(&m, span_of(name), 1);
    }
    assert_int_equal(m.count, MEMBERS_MOST);
    members_close(&m);
}

/* Containers have another name after each start, and a fleet must not end with the 1,024th one. */
static void test_a_new_member_takes_the_place_of_one_that_is_long_gone(void **state)
{
    const uint64_t day = 86400000, start = 100 * day;
    struct members m;
    char name[16];

    assert_int_equal(members_open(&m, "mx1"), 0);
    for (unsigned i = 1; i < MEMBERS_MOST; i++) {
        snprintf(name, sizeof name, "pod%u", i);
        struct member *one = members_of(&m, span_of(name), start + i);
        assert_non_null(one);
        one->heard_ms = start + (i == 3 ? 0 : 10 * i);
    }
    assert_null(members_of(&m, SPAN("new"), start + day));
    struct member *new = members_of(&m, SPAN("new"), start + day + 100);
    assert_true(new &&members_number(&m, new) ==
                3); /* of which only shares were met, before others */
    assert_true(strcmp(new->name, "new") == 0 && new->heard_ms == 0 && new->number == 0);
    assert_ptr_equal(members_of(&m, SPAN("new"), start + day + 100), new);
    struct member *second = members_of(&m, SPAN("new2"), start + day + 100);
    assert_true(second && members_number(&m, second) == 1);
    assert_string_equal(m.at[0].name, "mx1");
    assert_null(members_of(&m, SPAN("b d"), start + 50 * day));
    for (unsigned i = 0; i < 3 * MEMBERS_MOST; i++) { /* nobody takes the place of a fresh one */
        snprintf(name, sizeof name, "liar%u", i);
        members_of(&m, span_of(name), start + 50 * day);
    }
    assert_non_null(members_of(&m, SPAN("liar0"), start + 50 * day));
    assert_null(members_of(&m, SPAN("late"), start + 51 * day));
    assert_string_equal(m.at[0].name, "mx1");
    members_close(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_hello_survives_the_wire),
        cmocka_unit_test(test_the_longest_hello_fits),
        cmocka_unit_test(test_absurd_figures_are_cut),
        cmocka_unit_test(test_a_version_is_a_plain_word),
        cmocka_unit_test(test_a_new_member_takes_the_place_of_one_that_is_long_gone),
        cmocka_unit_test(test_a_name_is_a_plain_word_of_64_octets_at_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
