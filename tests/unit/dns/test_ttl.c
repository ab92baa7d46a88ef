/* For how long an answer holds, from the octets of whole answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dns/ttl.h"

enum { OTHERWISE = 300 };

#define HEAD(answers, authorities) "\0\1\x81\x80\0\1\0" answers "\0" authorities "\0\0"
#define QUESTION                   "\1a\4test\0\0\1\0\1"
#define A(ttl)                     "\xc0\x0c\0\1\0\1" ttl "\0\4\x7f\0\0\2"
#define SOA(ttl, minimum)                                                                          \
    "\xc0\x0e\0\6\0\1" ttl "\0\x16"                                                                \
    "\0\0"                                                                                         \
    "\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4" minimum
#define HOUR "\0\0\x0e\x10"
#define DAY  "\0\1\x51\x80"
#define TEN  "\0\0\0\x0a"

#define TTL(message) dns_ttl((const uint8_t *)(message), sizeof(message) - 1, OTHERWISE)

static void test_the_least_of_an_answers_records_decides(void **state)
{
    assert_int_equal(TTL(HEAD("\1", "\0") QUESTION A(HOUR)), 3600);
    assert_int_equal(TTL(HEAD("\3", "\0") QUESTION A(HOUR) A(TEN) A(DAY)), 10);
}

static void test_a_no_holds_as_long_as_the_zone_says(void **state)
{
    assert_int_equal(TTL(HEAD("\0", "\1") QUESTION SOA(DAY, HOUR)), 3600);
    assert_int_equal(TTL(HEAD("\0", "\1") QUESTION SOA(TEN, HOUR)), 10);
}

static void test_who_says_nothing_of_it_gets_the_usual_time(void **state)
{
    assert_int_equal(TTL(HEAD("\0", "\0") QUESTION), OTHERWISE);
    assert_int_equal(dns_ttl(NULL, 0, OTHERWISE), OTHERWISE);
}

static void test_a_negative_ttl_is_none(void **state)
{
    assert_int_equal(TTL(HEAD("\1", "\0") QUESTION A("\x80\0\0\1")), 0);
}

static void test_a_message_that_is_cut_off_anywhere_is_survived(void **state)
{
    static const char whole[] = HEAD("\1", "\1") QUESTION A(HOUR) SOA(DAY, DAY);

    for (size_t len = 0; len < sizeof whole - 1; len++)
        assert_int_equal(dns_ttl((const uint8_t *)whole, len, OTHERWISE), OTHERWISE);
    assert_int_equal(dns_ttl((const uint8_t *)whole, sizeof whole - 1, OTHERWISE), 3600);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_least_of_an_answers_records_decides),
        cmocka_unit_test(test_a_no_holds_as_long_as_the_zone_says),
        cmocka_unit_test(test_who_says_nothing_of_it_gets_the_usual_time),
        cmocka_unit_test(test_a_negative_ttl_is_none),
        cmocka_unit_test(test_a_message_that_is_cut_off_anywhere_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
