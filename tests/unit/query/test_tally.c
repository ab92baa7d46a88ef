/* tally.c: held connections counted by client, as a query, in a process, and as its answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "query/notes.h"
#include "query/tally.h"

static struct addr address(const char *text)
{
    struct addr a;

    assert_true(addr_parse(span_of(text), &a));
    return a;
}

static void add(struct tally *t, const char *text)
{
    struct addr a = address(text), client = addr_client(&a);

    assert_true(tally_add(t, &client));
}

static void count(struct tally *t, const char *text)
{
    struct addr a = address(text);

    tally_count(t, &a);
}

static void test_each_connection_counts_for_its_client_and_for_nobody_else(void **state)
{
    struct tally t = {0};
    char text[NOTE_TEXT];

    add(&t, "192.0.2.7");
    add(&t, "2001:db8:0:1::");
    add(&t, "198.51.100.1");
    count(&t, "192.0.2.7");
    count(&t, "192.0.2.7");
    count(&t, "192.0.2.8");
    count(&t, "::ffff:192.0.2.7");
    count(&t, "2001:db8:0:1:aaaa::5"); /* the same /64 */
    count(&t, "2001:db8:0:2::5");
    tally_format_counts(&t, text, sizeof text);
    assert_string_equal(text, "3 1 0");
}

static void test_the_question_is_read_as_it_was_written_however_many_are_asked_about(void **state)
{
    struct tally asked = {0}, read;
    char text[NOTE_TEXT], one[64];

    for (int i = 0; i < TALLY_CLIENTS; i++) {
        snprintf(one, sizeof one, "2001:db8:ffff:%x::", 0xff00 + i);
        add(&asked, one);
    }
    struct addr more = address("192.0.2.1");
    assert_false(tally_add(&asked, &more));
    tally_format(&asked, text, sizeof text);
    assert_true(strlen(text) < sizeof text - 1);
    assert_true(tally_parse(&read, span_of(text)));
    assert_int_equal(read.count, TALLY_CLIENTS);
    for (uint32_t i = 0; i < read.count; i++)
        assert_true(addr_equal(&read.client[i], &asked.client[i]));
}

static void test_a_client_that_is_asked_about_twice_has_its_number_once(void **state)
{
    struct tally t = {0};

    add(&t, "192.0.2.7");
    add(&t, "192.0.2.7");
    count(&t, "192.0.2.7");
    assert_int_equal(t.held[0] + t.held[1], 1);
}

static void test_what_is_no_question_is_refused(void **state)
{
    static const char *const wrong[] = {
        "", " ", "192.0.2.7,192.0.2.8", "192.0.2.7  192.0.2.8", "192.0.2.0/24", "nonsense"};
    struct tally t;

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(tally_parse(&t, span_of(wrong[i])));
}

static void test_answers_are_added_and_those_of_another_length_are_not(void **state)
{
    static const char *const wrong[] = {"", "1", "1 2 3", "1,2", "x y", "-1 2", "1 99999999999"};
    struct tally t = {0};

    add(&t, "192.0.2.7");
    add(&t, "192.0.2.8");
    assert_true(tally_add_counts(&t, "1 20"));
    assert_true(tally_add_counts(&t, "0 5"));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(tally_add_counts(&t, wrong[i]));
    assert_int_equal(t.held[0], 1);
    assert_int_equal(t.held[1], 25);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_connection_counts_for_its_client_and_for_nobody_else),
        cmocka_unit_test(test_the_question_is_read_as_it_was_written_however_many_are_asked_about),
        cmocka_unit_test(test_a_client_that_is_asked_about_twice_has_its_number_once),
        cmocka_unit_test(test_what_is_no_question_is_refused),
        cmocka_unit_test(test_answers_are_added_and_those_of_another_length_are_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
