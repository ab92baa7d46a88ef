/* R22, the greeting pause, in virtual time: which clients it applies to, for how long, what makes a
 * client known, and what an attacker and an enemy gain. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "config/config.h"
#include "tarpit/tarpit.h"

enum { SECOND = 1000, HOUR = 3600 * SECOND, GREET = 7 * SECOND };
#define T0  UINT64_C(1800000000000)
#define DAY (24 * (uint64_t)HOUR)

static struct tarpit t;

static int setup(void **state)
{
    t = (struct tarpit){.rules = config_default_rules()};
    t.rules.greet = GREET;
    return ledger_open(&t.ledger, NULL, 1 << 20);
}

static int teardown(void **state)
{
    ledger_close(t.ledger);
    return 0;
}

static struct tarpit_who who(const char *address)
{
    struct addr a;

    assert_true(addr_parse(span_of(address), &a));
    return tarpit_who(&t, &a, false);
}

/* How long the greeting of that address waits. */
static uint64_t pause_of(const char *address, uint64_t now)
{
    struct tarpit_who w = who(address);
    struct tarpit_hold hold = tarpit_greet(&t, &w, now);

    assert_int_equal(hold.rule, hold.ms ? RULE_GREET : RULE_NONE);
    return hold.ms;
}

static void passes(const char *address, uint64_t now)
{
    struct tarpit_who w = who(address);

    tarpit_greeted(&t, &w, now);
}

static void talks_early(const char *address, uint64_t now)
{
    struct tarpit_who w = who(address);

    (void)tarpit_offence(&t, &w, OFFENCE_EARLY, now);
}

static void delivers(const char *address, uint32_t mailboxes, uint64_t now)
{
    struct tarpit_who w = who(address);

    tarpit_sender(&t, &w, SPAN("sender.example"));
    for (uint64_t i = 0; i < mailboxes; i++) {
        uint64_t mailbox = i * UINT64_C(0x9e3779b97f4a7c15);
        tarpit_good(&t, &w, &mailbox, 1, now);
    }
}

static void test_it_is_off_by_default(void **state)
{
    assert_int_equal(config_default_rules().greet, 0);
    assert_int_equal(config_default_rules().greet_pass, 30 * DAY);
    t.rules.greet = 0;
    assert_int_equal(pause_of("192.0.2.7", T0), 0);
}

static void test_an_unknown_client_waits_until_it_has_passed_and_30_days_later_again(void **state)
{
    static const char *const clients[] = {"192.0.2.7", "2001:db8:1:2::3"};

    for (int i = 0; i < 2; i++) {
        assert_int_equal(pause_of(clients[i], T0), GREET);
        assert_int_equal(pause_of(clients[i], T0 + 3 * SECOND), GREET); /* it hung up before */
        passes(clients[i], T0 + GREET);
        for (uint64_t day = 0; day < 30; day++)
            assert_int_equal(pause_of(clients[i], T0 + GREET + day * DAY), 0);
        assert_int_equal(pause_of(clients[i], T0 + 31 * DAY), GREET);
    }
}

static void test_who_is_free_or_has_delivered_does_not_wait(void **state)
{
    struct tarpit_who exempt = who("192.0.2.7"), user = who("192.0.2.8");

    exempt.exempt = user.authenticated = true;
    assert_int_equal(tarpit_greet(&t, &exempt, T0).ms, 0);
    assert_int_equal(tarpit_greet(&t, &user, T0).ms, 0);
    tarpit_greeted(&t, &exempt, T0); /* which leaves no trace */
    assert_int_equal(pause_of("192.0.2.7", T0), GREET);
    delivers("198.51.100.4", 1, T0);
    for (uint64_t day = 0; day < 45; day++)
        assert_int_equal(pause_of("198.51.100.4", T0 + day * DAY), 0);
}

/* PEERS: Gmail comes back from seven addresses of several networks, Outlook from a pool. */
static void test_the_next_address_of_a_pool_that_has_delivered_does_not_wait(void **state)
{
    assert_int_equal(pause_of("40.92.17.3", T0), GREET);
    passes("40.92.17.3", T0 + GREET);
    delivers("40.92.17.3", 1, T0 + GREET + SECOND);
    assert_int_equal(pause_of("40.92.17.77", T0 + 10 * SECOND), 0);
    assert_int_equal(pause_of("40.92.17.78", T0 + 29 * DAY), 0);
    assert_int_equal(pause_of("40.92.17.79", T0 + 31 * DAY), GREET);
    assert_int_equal(pause_of("40.92.18.3", T0 + 10 * SECOND), GREET);
    delivers("2a01:111:f400:7e1a::12", 1, T0);
    assert_int_equal(pause_of("2a01:111:f400:1::9", T0 + DAY), 0); /* the /48 */
    assert_int_equal(pause_of("2a01:111:f401:1::9", T0 + DAY), GREET);
}

/* A pool has spammers among its customers: their offences do not make its other addresses wait, as
 * long as its good mail covers them. */
static void test_a_pool_with_spammers_vouches_as_long_as_its_good_mail_covers_them(void **state)
{
    char address[32];

    delivers("40.92.17.3", 200, T0);
    for (int i = 10; i < 14; i++) {
        snprintf(address, sizeof address, "40.92.17.%d", i);
        talks_early(address, T0 + SECOND);
    }
    assert_int_equal(pause_of("40.92.17.77", T0 + 10 * SECOND), 0);
}

/* The attacker waits once from one address of its network. That is worth nothing to the others. */
static void test_waiting_once_does_not_spare_the_attackers_other_addresses(void **state)
{
    char address[32];

    passes("203.0.113.1", T0);
    assert_int_equal(pause_of("203.0.113.1", T0 + SECOND), 0);
    for (int i = 2; i < 255; i++) {
        snprintf(address, sizeof address, "203.0.113.%d", i);
        assert_int_equal(pause_of(address, T0 + SECOND), GREET);
    }
}

/* It buys its network's good name with one message. With the first offence that is gone, for as
 * long as the offence lives. */
static void test_one_message_spares_an_attackers_network_until_its_first_offence(void **state)
{
    delivers("203.0.113.1", 1, T0);
    assert_int_equal(pause_of("203.0.113.9", T0 + SECOND), 0);
    talks_early("203.0.113.5", T0 + 2 * SECOND);
    assert_int_equal(pause_of("203.0.113.9", T0 + 3 * SECOND), GREET);
    assert_int_equal(pause_of("203.0.113.1", T0 + 3 * SECOND), 0);
    assert_int_equal(pause_of("203.0.113.9", T0 + 2 * HOUR), 0);
}

/* The enemy misbehaves from every other address of the innocent's network. */
static void test_an_enemy_next_door_costs_the_innocent_one_pause_at_most(void **state)
{
    char address[32];
    uint64_t now = T0;

    delivers("198.51.100.4", 3, T0);
    passes("198.51.100.5", T0);
    for (int round = 0; round < 20; round++)
        for (int i = 10; i < 250; i++) {
            snprintf(address, sizeof address, "198.51.100.%d", i);
            talks_early(address, now += SECOND);
        }
    struct tarpit_who newcomer = who("198.51.100.6");
    assert_int_equal(pause_of("198.51.100.4", now), 0);
    assert_int_equal(pause_of("198.51.100.5", now), 0);
    assert_int_equal(tarpit_greet(&t, &newcomer, now).ms, GREET);
    passes("198.51.100.6", now + GREET);
    assert_int_equal(pause_of("198.51.100.6", now + GREET), 0);
}

static void test_an_early_talker_pays_for_an_offence_and_waits_for_that(void **state)
{
    struct tarpit_who w = who("192.0.2.7");
    uint64_t now = T0;

    for (int i = 1; i <= 4; i++) {
        assert_true(tarpit_greet(&t, &w, now).ms >= GREET);
        uint64_t held = tarpit_offence(&t, &w, OFFENCE_EARLY, now + SECOND).ms;
        assert_true(held >= 20 * SECOND);
        struct tarpit_hold hold = tarpit_greet(&t, &w, now + 2 * SECOND);
        assert_int_equal(hold.rule, RULE_DEBT);
        assert_int_equal(hold.ms, held - SECOND);
        now += SECOND + held;
    }
    assert_true(tarpit_debt(&t, &w, now) > 3);
}

static void test_the_longer_of_debt_and_pause_counts_and_time_0_turns_both_off(void **state)
{
    struct tarpit_who w = who("192.0.2.7");

    (void)tarpit_offence(&t, &w, OFFENCE_SYNTAX, T0);
    assert_int_equal(tarpit_greet(&t, &w, T0 + SECOND).ms, 19 * SECOND);
    assert_int_equal(tarpit_greet(&t, &w, T0 + 17 * SECOND).ms, GREET);
    t.rules.time = 0;
    assert_int_equal(tarpit_greet(&t, &w, T0 + 17 * SECOND).ms, 0);
}

/* A checker that gives up after 5 s is answered within 4 s the next time, and then is known. */
static void test_who_hung_up_before_is_greeted_sooner(void **state)
{
    struct tarpit_who w = who("192.0.2.7");

    t.rules.greet = 10 * SECOND;
    tarpit_gave_up(&t, &w, 5 * SECOND, T0);
    assert_int_equal(pause_of("192.0.2.7", T0 + SECOND), 4 * SECOND);
    tarpit_gave_up(&t, &w, 300, T0 + 2 * SECOND); /* which says nothing */
    assert_int_equal(pause_of("192.0.2.7", T0 + 3 * SECOND), 4 * SECOND);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_it_is_off_by_default),
        TEST(test_an_unknown_client_waits_until_it_has_passed_and_30_days_later_again),
        TEST(test_who_is_free_or_has_delivered_does_not_wait),
        TEST(test_the_next_address_of_a_pool_that_has_delivered_does_not_wait),
        TEST(test_a_pool_with_spammers_vouches_as_long_as_its_good_mail_covers_them),
        TEST(test_waiting_once_does_not_spare_the_attackers_other_addresses),
        TEST(test_one_message_spares_an_attackers_network_until_its_first_offence),
        TEST(test_an_enemy_next_door_costs_the_innocent_one_pause_at_most),
        TEST(test_an_early_talker_pays_for_an_offence_and_waits_for_that),
        TEST(test_the_longer_of_debt_and_pause_counts_and_time_0_turns_both_off),
        TEST(test_who_hung_up_before_is_greeted_sooner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
