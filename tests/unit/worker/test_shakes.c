/* The pace of handshakes (field notes 8): what comes to nothing is slowed down when it is a flood,
 * and in no other case. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "worker/shakes.h"

enum { MOST = 285000, HOUR = 3600000, CLIENT = 7, OTHER = 8 };

static struct shakes s;

static int setup(void **state)
{
    memset(&s, 0, sizeof s);
    return 0;
}

static uint64_t wait_of(uint64_t client, uint64_t now)
{
    return shakes_wait(&s, client, false, 0, MOST, now);
}

static const struct rhythm {
    const char *who;
    uint64_t every_ms;
    bool slowed;
} rhythms[] = {
    {"a certificate monitor", 60000, false},
    {"a monitor that looks at the certificate each second", 1000, false},
    {"a sender that is too old, twenty messages a minute", 3000, false},
    {"ten monitors behind one address, each every ten seconds", 1000, false},
    {"a scanner", 500, true},
    {"a flood", 1, true},
};

static void test_only_a_flood_of_fruitless_handshakes_is_slowed_down(void **state)
{
    for (size_t i = 0; i < sizeof rhythms / sizeof rhythms[0]; i++) {
        uint64_t longest = 0;
        setup(state);
        for (uint64_t now = 1000; now < HOUR && now < 100000 * rhythms[i].every_ms;
             now += rhythms[i].every_ms) {
            uint64_t wait = wait_of(CLIENT, now);
            longest = wait > longest ? wait : longest;
            shakes_fruitless(&s, CLIENT, now);
        }
        print_message("%s: %lu ms\n", rhythms[i].who, (unsigned long)longest);
        if (rhythms[i].every_ms < SHAKES_APART_MS)
            assert_true(longest > 0);
        if (!rhythms[i].slowed)
            assert_int_equal(longest, 0);
    }
}

static void test_a_flood_gets_ten_a_second_and_others_none_of_it(void **state)
{
    for (int i = 0; i < 1000; i++)
        shakes_fruitless(&s, CLIENT, 5000);
    for (uint64_t i = 0; i < 50; i++)
        assert_int_equal(wait_of(CLIENT, 5000), i * SHAKES_APART_MS);
    assert_int_equal(wait_of(OTHER, 5000), 0);
}

static void test_a_flood_is_forgotten(void **state)
{
    for (int i = 0; i < 1000; i++)
        shakes_fruitless(&s, CLIENT, 5000);
    assert_int_equal(wait_of(CLIENT, 5000 + 4 * SHAKES_HALF_LIFE_MS), 0);
}

static void test_a_client_in_debt_is_spaced_from_the_first_on(void **state)
{
    assert_int_equal(shakes_wait(&s, CLIENT, true, 300, MOST, 1000), 300);
    assert_int_equal(shakes_wait(&s, CLIENT, true, 0, MOST, 1000), 400);
    assert_int_equal(shakes_wait(&s, CLIENT, false, 0, MOST, 1000), 0);
}

static void test_turns_that_are_too_far_away_are_not_taken(void **state)
{
    assert_int_equal(shakes_wait(&s, CLIENT, true, MOST, MOST, 1000), MOST);
    assert_int_equal(shakes_wait(&s, CLIENT, true, 0, MOST, 1000), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_only_a_flood_of_fruitless_handshakes_is_slowed_down, setup),
        cmocka_unit_test_setup(test_a_flood_gets_ten_a_second_and_others_none_of_it, setup),
        cmocka_unit_test_setup(test_a_flood_is_forgotten, setup),
        cmocka_unit_test_setup(test_a_client_in_debt_is_spaced_from_the_first_on, setup),
        cmocka_unit_test_setup(test_turns_that_are_too_far_away_are_not_taken, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
