/* The ledger's side of credit (R8, R21): what mailboxes earn, what is spent, what a flood of
 * strangers cannot push out, networks of IPv6, and files of version 0.1. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tarpit/ledger_table.h"

#include "ledger_fixture.h"

enum { SECOND = 1000, HOUR = 3600 * SECOND };
#define T0  UINT64_C(1800000000000)
#define DAY (24 * (uint64_t)HOUR)

static const struct ledger_decay hourly = {HOUR, 7 * DAY};

static struct addr numbered(uint32_t n)
{
    struct addr a = {.family = ADDR_IP4};
    memcpy(a.octets, &n, 4);
    return a;
}

static uint64_t mailbox(struct ledger *l, unsigned n)
{
    char text[40];
    snprintf(text, sizeof text, "user%u@example.org", n);
    return ledger_mailbox(l, span_of(text));
}

static double earn_all(struct ledger *l, const struct ledger_key *k, unsigned count, uint64_t now)
{
    double earned = 0;
    for (unsigned i = 0; i < count; i++)
        earned += ledger_earn(l, k, now, mailbox(l, i));
    return earned;
}

static void test_a_mailbox_is_its_address_without_a_tag(void **state)
{
    struct ledger *l = open_memory(1 << 16);
    static const char *const same[] = {"joe@example.org", "joe+a@example.org", "joe+@example.org",
                                       "joe+a+b@example.org"};
    static const char *const others[] = {
        "joey@example.org", "joe@example.com", "+joe@example.org", "joe", "",
        "@example.org",     "joe@+example.org"};
    uint64_t joe = ledger_mailbox(l, span_of(same[0]));
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        assert_true(ledger_mailbox(l, span_of(same[i])) == joe);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_true(ledger_mailbox(l, span_of(others[i])) != joe);
    ledger_close(l);
}

static void test_r8_a_sketch_counts_different_mailboxes_of_a_day(void **state)
{
    struct ledger *l = open_memory(1 << 16);
    struct addr a = addr("192.0.2.7");
    struct ledger_key k = ledger_key_mailboxes(l, &a);
    uint64_t begin = T0 + (DAY - (T0 + k.hash % DAY) % DAY); /* the entry's day begins */
    assert_in_range(earn_all(l, &k, 100, begin), 85, 115);
    assert_true(earn_all(l, &k, 100, begin + DAY - 1) == 0);
    assert_in_range(earn_all(l, &k, 100, begin + DAY), 85, 115);
    assert_true(earn_all(l, &k, 1000000, begin + DAY) <= LEDGER_EARN_MOST);
    assert_true(earn_all(l, &k, 1000000, begin + DAY + HOUR) == 0);
    ledger_close(l);
}

static void test_r8_days_of_different_clients_begin_at_different_times(void **state)
{
    struct ledger *l = open_memory(1 << 16);
    uint64_t at[20];
    for (uint32_t i = 0; i < 20; i++) {
        struct addr a = numbered(i);
        struct ledger_key k = ledger_key_mailboxes(l, &a);
        at[i] = k.hash % DAY;
        for (uint32_t j = 0; j < i; j++)
            assert_true(at[j] != at[i]);
    }
    ledger_close(l);
}

static void test_r8_what_is_spent_is_gone_and_nothing_is_spent_twice(void **state)
{
    struct ledger *l = open_memory(1 << 16);
    struct addr a = addr("192.0.2.7");
    struct ledger_key k = ledger_key_client(l, &a);
    struct ledger_entry e;
    assert_true(ledger_spend_good(l, &k, &hourly, T0, 0, 10) == 0);
    ledger_add_good(l, &k, &hourly, T0, 25);
    assert_true(fabs(ledger_spend_good(l, &k, &hourly, T0, 10, 10) - 10) < 1e-3);
    assert_true(fabs(ledger_spend_good(l, &k, &hourly, T0, 10, 10) - 10) < 1e-3);
    assert_true(ledger_spend_good(l, &k, &hourly, T0, 10, 10) == 0);
    assert_true(fabs(ledger_spend_good(l, &k, &hourly, T0, 0, 10) - 5) < 1e-3);
    ledger_get(l, &k, &hourly, T0, &e);
    assert_true(e.good < 1e-3);
    ledger_close(l);
}

static void test_r9_an_amount_does_not_grow_beyond_its_limit_and_is_not_lowered_to_it(void **state)
{
    struct ledger *l = open_memory(1 << 16);
    struct addr a = addr("192.0.2.7");
    struct ledger_key k = ledger_key_client(l, &a);
    for (int i = 0; i < 1000; i++)
        assert_true(ledger_add_offences_to(l, &k, &hourly, T0 + (uint64_t)i, 1, 5) < 5.001);
    ledger_raise_offences(l, &k, &hourly, T0 + SECOND, 100);
    assert_true(ledger_add_offences_to(l, &k, &hourly, T0 + SECOND, 1, 5) > 99.9);
    assert_true(ledger_add_offences_to(l, &k, &hourly, T0 + HOUR, 1, 5) > 49);
    ledger_close(l);
}

/* Field notes G7: fresh addresses with turns and debts ahead, which nothing was known of before. */
static void test_strangers_never_push_out_good_mail(void **state)
{
    struct ledger *l = open_memory(256 * LEDGER_WAYS * 64);
    enum { GOOD = 100 };
    unsigned clients = 0, pairs = 0;
    struct ledger_entry e;
    for (uint32_t i = 0; i < GOOD; i++) {
        struct addr a = numbered(i);
        struct ledger_key k = ledger_key_client(l, &a), p = ledger_key_pair(l, &a, SPAN("a.test"));
        ledger_add_good(l, &k, &hourly, T0, 2);
        ledger_add_good(l, &p, &hourly, T0, 2);
    }
    for (uint32_t i = 0; i < 100000; i++) {
        struct addr a = numbered(1000000 + i);
        struct ledger_key k = ledger_key_client(l, &a);
        ledger_add_offences(l, &k, &hourly, T0 + SECOND, 50);
        ledger_take_turn(l, &k, T0 + SECOND, 90 * SECOND, T0 + SECOND);
        ledger_set_debt(l, &k, T0 + SECOND, T0 + HOUR / 4);
    }
    for (uint32_t i = 0; i < GOOD; i++) {
        struct addr a = numbered(i);
        struct ledger_key k = ledger_key_client(l, &a), p = ledger_key_pair(l, &a, SPAN("a.test"));
        clients += ledger_get(l, &k, &hourly, T0, &e);
        pairs += ledger_get(l, &p, &hourly, T0, &e);
    }
    assert_true(clients + pairs > 2 * GOOD * 95 / 100); /* a set has room for four of them */
    ledger_close(l);
}

static void test_good_mail_takes_no_more_than_half_of_a_set(void **state)
{
    struct ledger *l = open_memory(LEDGER_WAYS * 64);
    unsigned kept = 0;
    struct ledger_entry e;
    for (uint32_t i = 0; i < LEDGER_WAYS; i++) {
        struct addr a = numbered(i);
        struct ledger_key k = ledger_key_client(l, &a);
        ledger_add_good(l, &k, &hourly, T0, 1 + i);
    }
    for (uint32_t i = 0; i < 100; i++) {
        struct addr a = numbered(1000 + i);
        struct ledger_key k = ledger_key_client(l, &a);
        ledger_add_offences(l, &k, &hourly, T0, 50);
    }
    for (uint32_t i = 0; i < LEDGER_WAYS; i++) {
        struct addr a = numbered(i);
        struct ledger_key k = ledger_key_client(l, &a);
        bool there = ledger_get(l, &k, &hourly, T0, &e);
        kept += there;
        assert_true(there || i < LEDGER_WAYS - LEDGER_KEPT); /* the best stay */
    }
    assert_int_equal(kept, LEDGER_KEPT);
    ledger_close(l);
}

static void test_r10_networks_of_ipv6_are_apart_from_one_another(void **state)
{
    struct ledger *l = open_memory(1 << 16);
    struct addr a = addr("2001:db8::1");
    struct ledger_key key[3] = {ledger_key_network(l, &a), ledger_key_level(l, &a, 40),
                                ledger_key_level(l, &a, 32)};
    static const unsigned bits[3] = {48, 40, 32};
    struct ledger_key same = ledger_key_level(l, &a, 48);
    assert_true(same.hash == key[0].hash);
    for (int i = 0; i < 3; i++) {
        struct addr who = ledger_key_addr(&key[i]), base = addr("2001:db8::");
        assert_true(addr_equal(&who, &base));
        assert_int_equal(ledger_key_bits(&key[i]), bits[i]);
        for (int j = 0; j < i; j++)
            assert_true(key[i].hash != key[j].hash);
    }
    ledger_close(l);
}

/* A tunnel's address counts as the IPv4 client behind it: its prefix is shared by strangers. */
static void test_r10_a_tunnelled_client_has_no_wide_ipv6_networks(void **state)
{
    static const struct {
        const char *address;
        bool inner; /* IPv4 */
    } table[] = {
        {"2001:0:53aa:64c:0:0:f7f7:f7f7", true}, /* Teredo of 8.8.8.8 */
        {"2001:0:1234:5678:8000:0:fefe:fefe", true},
        {"2002:808:808::1", true}, /* 6to4 of 8.8.8.8 */
        {"2002:101:101:1:2:3:4:5", true},
        {"64:ff9b::808:808", true}, /* NAT64 */
        {"::ffff:8.8.8.8", true},   /* mapped */
        {"8.8.8.8", true},
        {"2001:db8::1", false},
        {"2002:a00:1::1", false}, /* 6to4 of 10.0.0.1: not public */
        {"2a00:1450::25", false},
    };
    struct ledger *l = open_memory(1 << 16);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct addr a = addr(table[i].address), inner = addr_inner(&a);
        struct ledger_key network = ledger_key_network(l, &a), same = ledger_key_level(l, &a, 48);
        struct ledger_key wide = ledger_key_level(l, &a, 40), wider = ledger_key_level(l, &a, 32);
        assert_int_equal(inner.family == ADDR_IP4, table[i].inner);
        assert_true(same.hash == network.hash);
        assert_int_equal(wide.hash == 0, table[i].inner);
        assert_int_equal(wider.hash == 0, table[i].inner);
    }
    ledger_close(l);
}

static void test_sketches_read_as_credit_only(void **state)
{
    struct ledger *l = open_memory(1 << 16);
    struct addr a = addr("192.0.2.7");
    struct ledger_key k = ledger_key_pair(l, &a, SPAN("Example.ORG"));
    struct ledger_key lower = ledger_key_pair(l, &a, SPAN("example.org"));
    struct ledger_entry e;
    assert_true(k.hash == lower.hash);
    earn_all(l, &k, 200, T0);
    ledger_add_good(l, &k, &hourly, T0, 7);
    assert_true(ledger_get(l, &k, &hourly, T0, &e));
    assert_true(fabs(e.good - 7) < 1e-3);
    assert_true(e.offences == 0 && e.turn_ms == 0 && e.debt_ms == 0 && e.flags == 0 &&
                e.patience_ms == 0 && e.exempt_until_ms == 0);
    ledger_close(l);
}

static void test_the_last_delivery_is_known_for_48_days_and_leaves_the_debt_alone(void **state)
{
    struct ledger *l = open_memory(1 << 16);
    struct addr a = addr("192.0.2.7");
    struct ledger_key k = ledger_key_client(l, &a);
    struct ledger_entry e;
    ledger_set_debt(l, &k, T0, T0 + 90 * SECOND);
    ledger_get(l, &k, &hourly, T0, &e);
    assert_true(e.delivered_ms == 0);
    ledger_delivered(l, &k, T0);
    ledger_get(l, &k, &hourly, T0, &e);
    assert_true(e.delivered_ms > T0 - 600 * SECOND && e.delivered_ms <= T0);
    assert_true(e.debt_ms == T0 + 90 * SECOND);
    ledger_set_debt(l, &k, T0, T0 + 91 * SECOND);
    for (uint64_t days = 0; days < 400; days++) {
        ledger_get(l, &k, &hourly, T0 + days * DAY, &e);
        assert_true((e.delivered_ms != 0) == (days < 48) || days == 48);
    }
    ledger_close(l);
}

static void test_r22_a_pass_is_known_for_170_days_and_leaves_the_turn_alone(void **state)
{
    struct ledger *l = open_memory(1 << 16);
    struct addr a = addr("192.0.2.7");
    struct ledger_key k = ledger_key_client(l, &a);
    struct ledger_entry e;
    assert_true(ledger_take_turn_from(l, &k, T0, T0, 45 * SECOND, T0, true) == T0);
    ledger_get(l, &k, &hourly, T0, &e);
    assert_true(e.pass_ms == 0);
    ledger_pass(l, &k, T0, T0);
    ledger_get(l, &k, &hourly, T0, &e);
    assert_true(e.pass_ms > T0 - HOUR && e.pass_ms <= T0);
    assert_true(e.turn_ms == T0 + 45 * SECOND && e.paced);
    assert_true(ledger_take_turn(l, &k, T0, 20 * SECOND, T0 + 50 * SECOND) == T0 + 45 * SECOND);
    ledger_raise_turn(l, &k, T0, T0 + 80 * SECOND, false);
    ledger_pass(l, &k, T0, T0 - 40 * DAY); /* an earlier one changes nothing */
    ledger_get(l, &k, &hourly, T0, &e);
    assert_true(e.turn_ms == T0 + 80 * SECOND && e.paced && e.pass_ms > T0 - HOUR);
    for (uint64_t days = 0; days < 700; days++) {
        ledger_get(l, &k, &hourly, T0 + days * DAY, &e);
        assert_true((e.pass_ms != 0) == (days <= 170));
        assert_true(!e.pass_ms || (e.pass_ms + HOUR > T0 && e.pass_ms < T0 + HOUR));
    }
    ledger_pass(l, &k, T0 + 20 * DAY, T0 + 20 * DAY);
    ledger_get(l, &k, &hourly, T0 + 21 * DAY, &e);
    assert_true(e.pass_ms > T0 + 19 * DAY && e.pass_ms <= T0 + 20 * DAY + HOUR);
    ledger_close(l);
}

/* The client with good mail is as version 0.1 left it. */
static void assert_stays(struct ledger *l, const struct ledger_key *good)
{
    struct ledger_entry e;

    assert_true(ledger_get(l, good, &hourly, T0, &e));
    assert_true(fabs(e.good - 5000) < 1 && fabs(e.offences - 2) < 0.01);
    assert_true(e.flags & LEDGER_EXEMPT);
}

/* What version 0.1 wrote: an edition of 0, the network's account the sum of its clients'. */
static void test_a_ledger_of_version_0_1_is_taken_over(void **state)
{
    char path[] = "/tmp/mired-ledger-XXXXXX";
    int fd = mkstemp(path);
    struct ledger *l;
    struct ledger_entry e;
    struct addr a = addr("192.0.2.7"), b = addr("192.0.2.8");
    assert_true(fd >= 0);
    close(fd);
    unlink(path);
    assert_int_equal(ledger_open(&l, path, 1 << 16), 0);
    struct ledger_key loud = ledger_key_client(l, &a), good = ledger_key_client(l, &b),
                      network = ledger_key_network(l, &a);
    ledger_add_offences(l, &loud, &hourly, T0, 131420);
    ledger_add_offences(l, &network, &hourly, T0, 131420);
    ledger_add_offences(l, &good, &hourly, T0, 2);
    ledger_add_good(l, &good, &hourly, T0, 5000);
    ledger_exempt(l, &good, T0, 0);
    atomic_store(&l->head->edition, 0);
    ledger_close(l);

    for (int opened = 0; opened < 2; opened++) {
        assert_int_equal(ledger_open(&l, path, 1 << 16), 0);
        assert_true(ledger_get(l, &loud, &hourly, T0, &e));
        assert_in_range(e.offences, 55, 60);
        ledger_get(l, &network, &hourly, T0, &e);
        assert_true(e.offences == 0);
        assert_stays(l, &good);
        ledger_close(l);
    }

    /* Somebody goes back to 0.1 for a while, which leaves the edition as it is. */
    assert_int_equal(ledger_open(&l, path, 1 << 16), 0);
    ledger_add_offences(l, &network, &hourly, T0, 3);
    ledger_close(l);
    assert_int_equal(ledger_open(&l, path, 1 << 16), 0);
    ledger_get(l, &network, &hourly, T0, &e);
    assert_true(fabs(e.offences - 3) < 0.01);
    ledger_convert_again(l);
    ledger_get(l, &network, &hourly, T0, &e);
    assert_true(e.offences == 0);
    assert_stays(l, &good);
    ledger_close(l);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_mailbox_is_its_address_without_a_tag),
        cmocka_unit_test(test_r8_a_sketch_counts_different_mailboxes_of_a_day),
        cmocka_unit_test(test_r8_days_of_different_clients_begin_at_different_times),
        cmocka_unit_test(test_r8_what_is_spent_is_gone_and_nothing_is_spent_twice),
        cmocka_unit_test(test_r9_an_amount_does_not_grow_beyond_its_limit_and_is_not_lowered_to_it),
        cmocka_unit_test(test_strangers_never_push_out_good_mail),
        cmocka_unit_test(test_good_mail_takes_no_more_than_half_of_a_set),
        cmocka_unit_test(test_r10_networks_of_ipv6_are_apart_from_one_another),
        cmocka_unit_test(test_r10_a_tunnelled_client_has_no_wide_ipv6_networks),
        cmocka_unit_test(test_sketches_read_as_credit_only),
        cmocka_unit_test(test_the_last_delivery_is_known_for_48_days_and_leaves_the_debt_alone),
        cmocka_unit_test(test_r22_a_pass_is_known_for_170_days_and_leaves_the_turn_alone),
        cmocka_unit_test(test_a_ledger_of_version_0_1_is_taken_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
