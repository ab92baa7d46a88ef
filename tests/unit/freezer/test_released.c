/* Which clients count as released a moment ago, in the freezer and in workers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "freezer/released.h"

enum { T0 = 1000000 };

static void note(struct released *r, const char *network, uint64_t now)
{
    struct network n;

    assert_true(network_parse(span_of(network), &n));
    released_note(r, &n, now);
}

static bool was(const struct released *r, const char *client, uint64_t since, uint64_t now)
{
    struct addr a;

    assert_true(addr_parse(span_of(client), &a));
    return released_lately(r, &a, since, now);
}

static void test_a_client_counts_as_released_for_two_seconds(void **state)
{
    struct released r = {0};

    assert_false(was(&r, "192.0.2.7", 0, T0));
    note(&r, "192.0.2.7", T0);
    assert_true(was(&r, "192.0.2.7", 0, T0));
    assert_true(was(&r, "192.0.2.7", 0, T0 + RELEASED_MS - 1));
    assert_false(was(&r, "192.0.2.7", 0, T0 + RELEASED_MS));
    assert_false(was(&r, "192.0.2.8", 0, T0));
}

static void test_which_clients_a_release_of_a_network_or_of_everybody_concerns(void **state)
{
    static const struct {
        const char *network, *client;
        bool counts;
    } cases[] = {
        {"192.0.2.0/24", "192.0.2.7", true},    {"192.0.2.0/24", "192.0.3.7", false},
        {"0.0.0.0/0", "198.51.100.7", true},    {"0.0.0.0/0", "2001:db8::7", false},
        {"::/0", "2001:db8::7", true},          {"::/0", "198.51.100.7", false},
        {"2001:db8::/48", "2001:db8::7", true}, {"192.0.2.7", "64:ff9b::c000:207", true},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct released r = {0};
        note(&r, cases[i].network, T0);
        if (was(&r, cases[i].client, 0, T0) != cases[i].counts)
            fail_msg("%s of %s", cases[i].client, cases[i].network);
    }
}

static void test_a_hold_that_began_after_the_release_is_none_of_it(void **state)
{
    struct released r = {0};

    note(&r, "192.0.2.7", T0);
    assert_true(was(&r, "192.0.2.7", T0, T0 + 10));
    assert_false(was(&r, "192.0.2.7", T0 + 1, T0 + 10));
    note(&r, "192.0.2.7", T0 + 5);
    assert_true(was(&r, "192.0.2.7", T0 + 1, T0 + 10));
}

static void test_more_releases_than_there_is_room_for_lose_none(void **state)
{
    struct released r = {0};
    char network[32];

    for (int i = 0; i < RELEASED_PLACES; i++) {
        snprintf(network, sizeof network, "192.0.2.%d", i);
        note(&r, network, T0 + (uint64_t)i);
    }
    note(&r, "192.0.2.0", T0); /* has its place already */
    assert_false(was(&r, "198.51.100.7", 0, T0 + 300));
    note(&r, "203.0.113.7", T0 + 300); /* 192.0.2.0 has to go: until its end everybody counts */
    assert_true(was(&r, "192.0.2.0", 0, T0 + RELEASED_MS - 1));
    assert_true(was(&r, "198.51.100.7", 0, T0 + RELEASED_MS - 1));
    assert_false(was(&r, "198.51.100.7", 0, T0 + RELEASED_MS));
    assert_true(was(&r, "192.0.2.1", 0, T0 + RELEASED_MS));
    assert_true(was(&r, "203.0.113.7", 0, T0 + RELEASED_MS + 299));
}

static void test_places_of_releases_that_are_over_are_used_again(void **state)
{
    struct released r = {0};
    char network[32];

    for (int i = 0; i < 2 * RELEASED_PLACES; i++) {
        snprintf(network, sizeof network, "192.0.2.%d", i % RELEASED_PLACES);
        note(&r, network, T0 + (uint64_t)i / RELEASED_PLACES * RELEASED_MS);
    }
    assert_false(was(&r, "198.51.100.7", 0, T0 + RELEASED_MS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_client_counts_as_released_for_two_seconds),
        cmocka_unit_test(test_which_clients_a_release_of_a_network_or_of_everybody_concerns),
        cmocka_unit_test(test_a_hold_that_began_after_the_release_is_none_of_it),
        cmocka_unit_test(test_more_releases_than_there_is_room_for_lose_none),
        cmocka_unit_test(test_places_of_releases_that_are_over_are_used_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
