/* R20: the shadow of an observed connection waits in its place, within bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "config/config.h"
#include "tarpit/shadow.h"

#define T0 UINT64_C(1800000000000)
enum { SECOND = 1000, T1 = 20 * SECOND };

struct fixture {
    struct tarpit tarpit;
    struct shadows *shadows;
    uint64_t now;
    int held, mails, late, put_off;
    uint64_t late_ms;
};
static struct fixture f;

static int setup(void **state)
{
    f = (struct fixture){.now = T0};
    f.tarpit.rules = config_default_rules();
    assert_int_equal(ledger_open(&f.tarpit.ledger, NULL, 1 << 20), 0);
    assert_int_equal(shadows_open(&f.shadows, &f.tarpit), 0);
    return 0;
}

static int teardown(void **state)
{
    shadows_close(f.shadows);
    ledger_close(f.tarpit.ledger);
    return 0;
}

static struct tarpit_who who(const char *address)
{
    struct addr a;

    assert_true(addr_parse(span_of(address), &a));
    struct tarpit_who w = tarpit_who(&f.tarpit, &a, false);
    tarpit_sender(&f.tarpit, &w, SPAN("a.example"));
    return w;
}

static void take(const struct shadow_note *n)
{
    f.held += n->hold.ms > 0;
    f.mails += n->mail;
    f.late += n->mail && n->late_ms > SECOND;
    f.put_off += n->put_off;
    if (n->mail)
        f.late_ms = n->late_ms;
}

static void step(uint32_t *handle, uint64_t owner, const char *address, enum shadow_kind kind,
                 enum offence offence)
{
    uint64_t box[2] = {tarpit_mailbox(&f.tarpit, SPAN("x@example.org")),
                       tarpit_mailbox(&f.tarpit, SPAN("y@example.org"))};
    struct shadow_step s = {.kind = kind,
                            .offence = offence,
                            .who = who(address),
                            .domain = SPAN("a.example"),
                            .mailbox = kind == SHADOW_GOOD ? box : NULL,
                            .mailboxes = kind == SHADOW_GOOD ? 2 : 0};
    struct shadow_note n;

    if (shadow_step(f.shadows, handle, owner, &s, f.now, &n))
        take(&n);
}

static void pass(uint64_t ms)
{
    struct shadow_note n;

    f.now += ms;
    while (shadows_due(f.shadows, f.now, &n))
        take(&n);
}

static double offences(const char *address)
{
    struct tarpit_who w = who(address);
    struct ledger_key k = {w.client, w.client_label, LEDGER_CLIENT};
    struct ledger_decay d = {f.tarpit.rules.half_life, f.tarpit.rules.good_half_life};
    struct ledger_entry e;

    ledger_get(f.tarpit.ledger, &k, &d, f.now, &e);
    return e.offences;
}

static double good(const char *address)
{
    struct tarpit_who w = who(address);
    struct ledger_key k = {w.client, w.client_label, LEDGER_CLIENT};
    struct ledger_decay d = {f.tarpit.rules.half_life, f.tarpit.rules.good_half_life};
    struct ledger_entry e;

    ledger_get(f.tarpit.ledger, &k, &d, f.now, &e);
    return e.good;
}

#define ONE "192.0.2.1"

static void message(uint32_t *handle, uint64_t owner, const char *address)
{
    step(handle, owner, address, SHADOW_WAIT, OFFENCE_NONE);
    step(handle, owner, address, SHADOW_VERDICT, OFFENCE_NONE);
    step(handle, owner, address, SHADOW_GOOD, OFFENCE_NONE);
    step(handle, owner, address, SHADOW_DELIVERED, OFFENCE_NONE);
}

static void test_a_message_behind_a_typo_is_late_by_its_hold(void **state)
{
    uint32_t h = 0;

    step(&h, 1, ONE, SHADOW_VERDICT, OFFENCE_RECIPIENT);
    message(&h, 1, ONE);
    shadow_leave(f.shadows, h, 1);
    assert_int_equal(f.mails, 0);
    assert_float_equal(good(ONE), 0, 0.01); /* it would not have come yet */
    pass(T1 - 1);
    assert_int_equal(f.mails, 0);
    pass(1);
    assert_int_equal(f.mails, 1);
    assert_int_equal(f.late_ms, T1);
    assert_true(good(ONE) > 0.9); /* two, unless they share a bit of the sketch (R8) */
    assert_int_equal(shadows_next(f.shadows), UINT64_MAX);
}

static void test_each_offence_is_booked_when_the_client_would_have_come_to_it(void **state)
{
    uint32_t h = 0;

    for (int i = 0; i < 3; i++)
        step(&h, 1, ONE, SHADOW_VERDICT, OFFENCE_RECIPIENT);
    assert_float_equal(offences(ONE), 1, 0.01);
    pass(T1 + 1);
    assert_float_equal(offences(ONE), 2, 0.02);
    pass(30 * SECOND);
    assert_float_equal(offences(ONE), 3, 0.05);
    assert_int_equal(f.held, 3);
}

static void test_a_pause_of_its_own_makes_up_for_waiting(void **state)
{
    uint32_t h = 0;

    step(&h, 1, ONE, SHADOW_VERDICT, OFFENCE_RECIPIENT);
    pass(15 * SECOND);
    message(&h, 1, ONE); /* which came to be 15 s later, and waits the 5 s that are left */
    pass(10 * SECOND);
    assert_int_equal(f.mails, 1);
    assert_in_range(f.late_ms, 5 * SECOND, 6 * SECOND);
}

static void test_good_mail_of_a_shielded_client_is_put_off_and_earns_when_it_comes(void **state)
{
    struct tarpit_who w = who(ONE);
    uint32_t h = 0;

    tarpit_listed(&f.tarpit, &w, 60, f.now);
    message(&h, 1, ONE);
    pass(300 * SECOND);
    assert_int_equal(f.put_off, 1);
    assert_float_equal(good(ONE), 0, 0.01);
    pass(3600 * SECOND); /* the shield is gone, and its sender has come through */
    assert_true(good(ONE) > 0.9);
}

/* An attacker that is not slowed: a connection for each guess, a hundred a second. */
static void test_connections_that_bring_nothing_do_not_pile_up(void **state)
{
    for (uint64_t i = 1; i <= 5000; i++) {
        uint32_t h = 0;
        step(&h, i, ONE, SHADOW_WAIT, OFFENCE_NONE);
        step(&h, i, ONE, SHADOW_VERDICT, OFFENCE_RECIPIENT);
        shadow_leave(f.shadows, h, i);
        pass(10);
    }
    assert_in_range((int)offences(ONE), 3, 8);
    pass(3600 * SECOND);
    assert_in_range((int)offences(ONE), 1, 40); /* no more than the pace lets it have */
    assert_int_equal(shadows_next(f.shadows), UINT64_MAX);
}

static void test_one_connection_that_says_much_is_bounded(void **state)
{
    uint32_t h = 0;

    for (int i = 0; i < 100000; i++)
        step(&h, 1, ONE, SHADOW_VERDICT, OFFENCE_RECIPIENT);
    message(&h, 1, ONE); /* no room for it: late by what is known, and what it earns is kept */
    assert_int_equal(f.mails, 1);
    assert_true(good(ONE) > 0.9);
    pass(24 * 3600 * SECOND);
    assert_int_equal(shadows_next(f.shadows), UINT64_MAX);
}

static void test_strangers_leave_room_for_good_mail(void **state)
{
    uint32_t sender = 0, h;
    char name[32];

    message(&sender, 1, ONE);
    for (uint64_t i = 0; i < 3 * (uint64_t)SHADOWS_MOST; i++) {
        snprintf(name, sizeof name, "10.%d.%d.1", (int)(i / 250 % 250), (int)(i % 250));
        h = 0;
        step(&h, i + 2, name, SHADOW_OFFENCE, OFFENCE_RELAY);
    }
    step(&sender, 1, ONE, SHADOW_VERDICT, OFFENCE_RECIPIENT);
    f.held = 0;
    message(&sender, 1, ONE);
    pass(T1);
    assert_int_equal(f.mails, 1);
    assert_int_equal(f.late_ms, T1);
}

static void test_when_the_process_ends_nothing_earned_is_lost(void **state)
{
    struct shadow_note n;
    uint32_t h = 0;

    step(&h, 1, ONE, SHADOW_VERDICT, OFFENCE_RECIPIENT);
    message(&h, 1, ONE);
    message(&h, 1, ONE);
    while (shadows_end(f.shadows, &n))
        take(&n);
    assert_int_equal(f.mails, 2);
    assert_int_equal(f.late, 2);
    assert_true(good(ONE) > 0.9);
}

static void test_an_address_that_is_used_again_is_another_connection(void **state)
{
    uint32_t h = 0, other = 0;

    step(&h, 7, ONE, SHADOW_VERDICT, OFFENCE_RECIPIENT);
    shadow_leave(f.shadows, h, 7);
    other = h; /* what is left in memory */
    step(&other, 7, "192.0.2.9", SHADOW_VERDICT, OFFENCE_RECIPIENT);
    assert_float_equal(offences("192.0.2.9"), 1, 0.01);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_message_behind_a_typo_is_late_by_its_hold),
        TEST(test_each_offence_is_booked_when_the_client_would_have_come_to_it),
        TEST(test_a_pause_of_its_own_makes_up_for_waiting),
        TEST(test_good_mail_of_a_shielded_client_is_put_off_and_earns_when_it_comes),
        TEST(test_connections_that_bring_nothing_do_not_pile_up),
        TEST(test_one_connection_that_says_much_is_bounded),
        TEST(test_strangers_leave_room_for_good_mail),
        TEST(test_when_the_process_ends_nothing_earned_is_lost),
        TEST(test_an_address_that_is_used_again_is_another_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
