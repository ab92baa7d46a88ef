/* Names of sessions and messages. Field notes 15. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "worker/ident.h"

static void test_the_same_connection_has_the_same_name_and_another_has_not(void **state)
{
    struct addr a, b;
    char one[IDENT_MAX], other[IDENT_MAX];

    assert_true(addr_parse_port(SPAN("192.0.2.7:40000"), &a));
    b = a;
    ident_session(&a, 1795485784, one);
    assert_string_equal(ident_session(&b, 1795485784, other), one);
    assert_string_not_equal(ident_session(&b, 1795485785, other), one);
    b.port++;
    assert_string_not_equal(ident_session(&b, 1795485784, other), one);
    assert_int_equal(strlen(one), IDENT_SESSION);
    assert_int_equal(strspn(one, "0123456789bcdfghjkmnpqrstvwxyz"), IDENT_SESSION);
}

static void test_a_message_s_name_begins_with_its_session_s(void **state)
{
    struct addr a;
    char session[IDENT_MAX], one[IDENT_MAX], other[IDENT_MAX];

    assert_true(addr_parse_port(SPAN("[2001:db8::1]:25"), &a));
    ident_session(&a, 7, session);
    ident_message(&a, 7, UINT64_MAX, one);
    assert_int_equal(strncmp(one, session, IDENT_SESSION), 0);
    assert_int_equal(one[IDENT_SESSION], '-');
    assert_true(strlen(one) < IDENT_MAX);
    assert_string_not_equal(ident_message(&a, 7, UINT64_MAX - 1, other), one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_same_connection_has_the_same_name_and_another_has_not),
        cmocka_unit_test(test_a_message_s_name_begins_with_its_session_s),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
