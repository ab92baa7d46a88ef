/* Names on disk: nothing that a client can write leads out of its folder or into another's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/folder.h"

static void name_is(struct span part, const char *expected)
{
    char name[FOLDER_NAME];
    assert_int_equal(folder_name(part, name), strlen(expected));
    assert_string_equal(name, expected);
}

static void test_an_ordinary_name_stays_as_it_is(void **state)
{
    name_is(SPAN("alice"), "alice");
    name_is(SPAN("carol.o'neil-smith_2"), "carol.o'neil-smith_2");
    name_is(SPAN("example.test"), "example.test");
    name_is(SPAN("j\xc3\xbcrgen"), "j\xc3\xbcrgen");
}

static void test_dots_and_slashes_lead_nowhere(void **state)
{
    name_is(SPAN("."), "%2E");
    name_is(SPAN(".."), "%2E.");
    name_is(SPAN(".hidden"), "%2Ehidden");
    name_is(SPAN("../../etc/passwd"), "%2E.%2F..%2Fetc%2Fpasswd");
    name_is(SPAN("a/b"), "a%2Fb");
    name_is(SPAN("\"a b\""), "%22a%20b%22");
    name_is(SPAN("a\0b"), "a%00b");
}

static void test_no_part_is_without_a_name(void **state)
{
    name_is(SPAN(""), "%");
}

static void test_an_escape_cannot_be_forged(void **state)
{
    name_is(SPAN("a%2Fb"), "a%252Fb");
    name_is(SPAN("%"), "%25");
}

static void test_an_over_long_name_is_cut_and_stays_its_own(void **state)
{
    char part[300], one[FOLDER_NAME], other[FOLDER_NAME];
    memset(part, 'x', sizeof part);
    size_t len = folder_name((struct span){part, sizeof part}, one);
    assert_in_range(len, 100, 200);
    part[sizeof part - 1] = 'y';
    folder_name((struct span){part, sizeof part}, other);
    assert_string_not_equal(one, other);
}

static void test_a_name_is_one_safe_component_whatever_the_octets(void **state)
{
    srand(4711);
    for (int round = 0; round < 20000; round++) {
        char part[256], name[FOLDER_NAME];
        size_t len = (size_t)rand() % sizeof part;
        for (size_t i = 0; i < len; i++)
            part[i] = (char)(rand() % 4 ? "./%\0@ \n\\"[rand() % 8] : rand());
        size_t n = folder_name((struct span){part, len}, name);
        assert_int_equal(strlen(name), n);
        assert_in_range(n, 1, 200);
        assert_null(strchr(name, '/'));
        assert_int_not_equal(name[0], '.');
    }
}

static void test_a_message_name_has_the_form_that_maildir_asks_for(void **state)
{
    char name[MESSAGE_NAME];
    message_name(1700000000000042, 77, 5, "mx1.example.org", name);
    assert_string_equal(name, "1700000000.M000042P77Q5.mx1.example.org");
}

static void test_a_host_cannot_break_a_message_name(void **state)
{
    char name[MESSAGE_NAME], host[1000];
    message_name(1000000, 1, 0, "a/b:c", name);
    assert_string_equal(name, "1.M000000P1Q0.a\\057b\\072c");
    memset(host, ':', sizeof host - 1);
    host[sizeof host - 1] = 0;
    message_name(1000000, 1, 0, host, name);
    assert_in_range(strlen(name), 100, 204);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_ordinary_name_stays_as_it_is),
        cmocka_unit_test(test_dots_and_slashes_lead_nowhere),
        cmocka_unit_test(test_no_part_is_without_a_name),
        cmocka_unit_test(test_an_escape_cannot_be_forged),
        cmocka_unit_test(test_an_over_long_name_is_cut_and_stays_its_own),
        cmocka_unit_test(test_a_name_is_one_safe_component_whatever_the_octets),
        cmocka_unit_test(test_a_message_name_has_the_form_that_maildir_asks_for),
        cmocka_unit_test(test_a_host_cannot_break_a_message_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
