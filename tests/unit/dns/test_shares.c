/* Fair shares of places among networks (field notes G6). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dns/shares.h"

enum { PLACES = 256 };

/* Client `n` of a network. */
static struct addr client(uint32_t network, uint8_t n)
{
    return (struct addr){.octets = {10, (uint8_t)(network >> 8), (uint8_t)network, n},
                         .family = ADDR_IP4};
}

static bool take(struct shares *s, uint32_t network, uint8_t n, uint64_t now)
{
    struct addr a = client(network, n);
    return shares_take(s, &a, now);
}

static void give(struct shares *s, uint32_t network, uint8_t n, uint64_t now, bool silent)
{
    struct addr a = client(network, n);
    shares_give(s, &a, now, silent);
}

static int setup(void **state)
{
    *state = shares_open(PLACES);
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    shares_close(*state);
    return 0;
}

static int greed(struct shares *s, uint32_t network)
{
    int n = 0;
    while (take(s, network, (uint8_t)n, 0))
        n++;
    return n;
}

static void test_one_network_gets_a_fifth_and_another_finds_room(void **state)
{
    struct shares *s = *state;
    assert_in_range(greed(s, 1), PLACES / 5, PLACES / 5 + 2);
    assert_true(take(s, 2, 1, 0));
}

/* However many take all they can, one that has nothing finds a place. */
static void test_many_greedy_networks_leave_room_for_one_that_comes_later(void **state)
{
    struct shares *s = *state;
    for (int round = 0; round < 4; round++)
        for (uint32_t network = 0; network < 60; network++)
            (void)greed(s, network);
    for (uint32_t late = 100; late < 104; late++)
        assert_true(take(s, late, 1, 0));
}

static void test_each_network_has_a_place_up_to_a_bound(void **state)
{
    struct shares *s = *state;
    for (uint32_t network = 0; network < PLACES * SHARES_BEYOND; network++)
        assert_true(take(s, network, 1, 0));
    assert_false(take(s, 5000, 1, 0));
    give(s, 7, 1, 0, false);
    assert_true(take(s, 5000, 1, 0));
}

static void test_a_silent_network_has_one_place_until_a_minute_after(void **state)
{
    struct shares *s = *state;
    for (uint8_t n = 0; n < SHARES_SILENT; n++)
        assert_true(take(s, 1, n, 10));
    for (uint8_t n = 0; n < SHARES_SILENT; n++)
        give(s, 1, n, 14, true);
    assert_true(take(s, 1, 1, 15));
    assert_false(take(s, 1, 2, 15)); /* the next of it waits for that one */
    assert_true(take(s, 2, 1, 15));  /* and nobody else does */
    give(s, 1, 1, 20, true);
    assert_true(take(s, 1, 1, 21));
    assert_false(take(s, 1, 2, 79));
    assert_true(take(s, 1, 2, 80));
    give(s, 1, 1, 81, false); /* it answers again */
    assert_true(take(s, 1, 3, 82) && take(s, 1, 4, 82));
}

static void test_a_network_is_a_24_or_a_48(void **state)
{
    struct shares *s = *state;
    struct addr a = {.octets = {0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 1}, .family = ADDR_IP6}, b = a,
                c = a;
    int n = 0;
    b.octets[7] = 9; /* another /64 of that /48 */
    c.octets[5] = 2;
    while (shares_take(s, &a, 0))
        n++;
    assert_in_range(n, PLACES / 5, PLACES / 5 + 2);
    assert_false(shares_take(s, &b, 0));
    assert_true(shares_take(s, &c, 0));
}

static void test_a_flood_of_networks_keeps_those_with_places(void **state)
{
    struct shares *s = *state;
    assert_true(take(s, 1, 1, 0));
    for (uint32_t network = 100; network < 60000; network++)
        if (take(s, network, 1, network))
            give(s, network, 1, network, false);
    give(s, 1, 1, 60000, false); /* asserts that it is there */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_network_gets_a_fifth_and_another_finds_room, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            test_many_greedy_networks_leave_room_for_one_that_comes_later, setup, teardown),
        cmocka_unit_test_setup_teardown(test_each_network_has_a_place_up_to_a_bound, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_silent_network_has_one_place_until_a_minute_after,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_network_is_a_24_or_a_48, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_flood_of_networks_keeps_those_with_places, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
