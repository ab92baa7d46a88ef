/* The table of what is known of clients. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dns/known.h"

static struct addr number(uint32_t n)
{
    return (struct addr){
        .octets = {(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n},
        .family = ADDR_IP4};
}

static void test_what_was_put_is_found_until_it_ends_and_a_while_longer_as_old(void **state)
{
    struct known *k = known_open(64);
    struct addr a = number(0xc0000201), other = a;
    struct dns_finding f = {.listed = 5, .trust = DNS_TRUST_NAME, .by = 7}, got;
    bool fresh;

    other.family = ADDR_IP6;
    assert_false(known_find(k, &a, 1000, &got, &fresh));
    known_put(k, &a, 1000, 600, &f);
    assert_true(known_find(k, &a, 1599, &got, &fresh) && fresh);
    assert_int_equal(got.listed, 5);
    assert_int_equal(got.trust, DNS_TRUST_NAME);
    assert_int_equal(got.by, 7);
    assert_true(known_find(k, &a, 1600, &got, &fresh));
    assert_false(fresh);
    assert_false(known_find(k, &a, 1600 + KNOWN_STALE_S, &got, &fresh));
    assert_false(known_find(k, &other, 1000, &got, &fresh));
    known_close(k);
}

static void test_times_are_kept_within_bounds(void **state)
{
    struct known *k = known_open(64);
    struct addr a = number(1);
    struct dns_finding f = {0}, got;
    bool fresh;

    known_put(k, &a, 0, 0, &f);
    assert_true(known_find(k, &a, KNOWN_TTL_LEAST_S - 1, &got, &fresh) && fresh);
    known_put(k, &a, 0, UINT32_MAX, &f);
    assert_true(known_find(k, &a, KNOWN_TTL_MOST_S, &got, &fresh));
    assert_false(fresh);
    known_close(k);
}

static void test_a_flood_pushes_out_what_ends_first_and_needs_no_more_room(void **state)
{
    struct known *k = known_open(1024);
    struct dns_finding f = {0}, got;
    struct addr lasting = number(0xffffffff);
    uint32_t found = 0;
    bool fresh;

    known_put(k, &lasting, 0, KNOWN_TTL_MOST_S, &(struct dns_finding){.listed = 1});
    for (uint32_t n = 0; n < 100000; n++) {
        struct addr a = number(n);
        known_put(k, &a, n / 1000, 300, &f);
    }
    assert_true(known_find(k, &lasting, 100, &got, &fresh) && fresh && got.listed == 1);
    for (uint32_t n = 0; n < 100000; n++) {
        struct addr a = number(n);
        found += known_find(k, &a, 100, &got, &fresh);
    }
    assert_in_range(found, 900, 1024);
    known_close(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_put_is_found_until_it_ends_and_a_while_longer_as_old),
        cmocka_unit_test(test_times_are_kept_within_bounds),
        cmocka_unit_test(test_a_flood_pushes_out_what_ends_first_and_needs_no_more_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
