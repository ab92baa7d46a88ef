/* Names that are asked for, and names that are trusted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <string.h>

#include <cmocka.h>

#include "dns/name.h"

static struct addr address(const char *text)
{
    struct addr a;
    assert_true(addr_parse(span_of(text), &a));
    return a;
}

static void test_an_address_is_written_backwards_before_the_zone(void **state)
{
    struct addr four = address("192.0.2.99"), six = address("2001:db8:1:2:3:4:567:89ab");
    char name[DNS_NAME_ROOM];

    /* The examples of RFC 5782, 2.1 and 2.4. */
    assert_true(dns_name_reverse(&four, "bad.example.com", name));
    assert_string_equal(name, "99.2.0.192.bad.example.com");
    assert_true(dns_name_reverse(&six, "ugly.example.com", name));
    assert_string_equal(name, "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2."
                              "ugly.example.com");
    assert_true(dns_name_of_pointer(&four, name));
    assert_string_equal(name, "99.2.0.192.in-addr.arpa");
    assert_true(dns_name_of_pointer(&six, name));
    assert_non_null(strstr(name, ".2.ip6.arpa"));
}

static void test_what_does_not_fit_or_is_no_address_gets_no_name(void **state)
{
    struct addr six = address("2001:db8::1"), path = {.family = ADDR_UNIX};
    char name[DNS_NAME_ROOM], zone[DNS_ZONE_MAX + 2];

    memset(zone, 'z', sizeof zone);
    zone[DNS_ZONE_MAX] = '\0';
    assert_true(dns_name_reverse(&six, zone, name));
    assert_int_equal(strlen(name), DNS_NAME_MAX);
    zone[DNS_ZONE_MAX] = 'z';
    zone[DNS_ZONE_MAX + 1] = '\0';
    assert_false(dns_name_reverse(&six, zone, name));
    assert_false(dns_name_reverse(&path, "bad.example.com", name));
}

static bool valid(const char *text)
{
    return dns_name_is_valid(span_of(text));
}

static void test_a_name_is_made_of_labels(void **state)
{
    char label[65];

    memset(label, 'a', 64);
    label[64] = '\0';
    assert_false(valid(label));
    assert_true(valid(label + 1));
    assert_true(valid("a") && valid("mx-1.example.org") && valid("_spf.example.org"));
    assert_false(valid("") || valid(".") || valid("a.") || valid(".a") || valid("a..b"));
    assert_false(valid("a b") || valid("a\\.b") || valid("a/b") || valid("\xc3\xa4.test"));
}

static void test_an_entry_matches_itself_or_with_a_dot_all_below(void **state)
{
    assert_true(dns_name_matches("mail.example.org", SPAN("Mail.Example.ORG.")));
    assert_false(dns_name_matches("mail.example.org", SPAN("a.mail.example.org")));
    assert_false(dns_name_matches("mail.example.org", SPAN("example.org")));
    assert_true(dns_name_matches(".example.org", SPAN("example.org")));
    assert_true(dns_name_matches(".example.org", SPAN("a.b.EXAMPLE.org")));
    assert_false(dns_name_matches(".example.org", SPAN("badexample.org")));
    assert_false(dns_name_matches(".example.org", SPAN("example.org.evil.test")));
    assert_false(dns_name_matches(".example.org", SPAN("")));
    assert_false(dns_name_matches(".example.org", SPAN(".")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_address_is_written_backwards_before_the_zone),
        cmocka_unit_test(test_what_does_not_fit_or_is_no_address_gets_no_name),
        cmocka_unit_test(test_a_name_is_made_of_labels),
        cmocka_unit_test(test_an_entry_matches_itself_or_with_a_dot_all_below),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
