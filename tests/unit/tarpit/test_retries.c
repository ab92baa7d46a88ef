/* R26: the table of deferred messages, and what a retry of one gets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/config.h"
#include "tarpit/policy.h"
#include "tarpit/retries.h"
#include "tarpit/tarpit.h"

#include "ledger_fixture.h"

enum { FLOOD = 4 * 8192 }; /* 91 a second are 11,650 for a table of RETRIES_SIZE */

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, AFTER = 4 * MINUTE };
#define T0 UINT64_C(1800000000000)

/* ---- the table ---- */

static struct retries *table(size_t size)
{
    struct retries *r;
    assert_int_equal(retries_open(&r, NULL, size), 0);
    retries_restart(r, 7);
    return r;
}

static void test_a_message_is_due_a_while_after_it_was_deferred(void **state)
{
    struct retries *r = table(4096);
    uint64_t m = retries_message(r, 1, 2);

    assert_false(retries_is_due(r, m, AFTER, T0));
    retries_deferred(r, m, AFTER, T0);
    assert_false(retries_is_due(r, m, AFTER, T0));
    assert_false(retries_is_due(r, m, AFTER, T0 + 3 * MINUTE));
    assert_true(retries_is_due(r, m, AFTER, T0 + AFTER + RETRIES_STEP_MS));
    assert_true(retries_is_due(r, m, AFTER, T0 + 35 * HOUR));
    assert_false(retries_is_due(r, m, AFTER, T0 + 37 * HOUR));
    assert_false(retries_is_due(r, retries_message(r, 1, 3), AFTER, T0 + HOUR));
    assert_false(retries_is_due(r, retries_message(r, 2, 2), AFTER, T0 + HOUR));
    retries_close(r);
}

/* Trying sooner gains nothing, and puts nothing off either. */
static void test_trying_too_soon_changes_nothing(void **state)
{
    struct retries *r = table(4096);
    uint64_t m = retries_message(r, 1, 2);

    for (uint64_t now = T0; now < T0 + AFTER; now += 5 * SECOND)
        retries_deferred(r, m, AFTER, now);
    assert_true(retries_is_due(r, m, AFTER, T0 + AFTER + RETRIES_STEP_MS));
    retries_deferred(r, m, AFTER, T0 + HOUR); /* a retry: the next one is due as late again */
    assert_false(retries_is_due(r, m, AFTER, T0 + HOUR + MINUTE));
    assert_true(retries_is_due(r, m, AFTER, T0 + HOUR + AFTER + RETRIES_STEP_MS));
    retries_close(r);
}

/* Of 1,000 messages, how many are still known after a flood of so many others. */
static int known_after(struct retries *r, uint32_t flood, uint64_t ms, bool returned)
{
    enum { MESSAGES = 1000 };
    int known = 0;

    for (uint32_t i = 0; i < MESSAGES; i++) {
        retries_deferred(r, retries_message(r, 1, i), AFTER, T0);
        if (returned)
            retries_deferred(r, retries_message(r, 1, i), AFTER, T0 + 10 * MINUTE);
    }
    uint64_t begin = T0 + (returned ? 10 * MINUTE : 0);
    for (uint32_t i = 0; i < flood; i++)
        retries_deferred(r, retries_message(r, 2, i), AFTER, begin + ms * i / flood);
    for (uint32_t i = 0; i < MESSAGES; i++)
        known += retries_is_due(r, retries_message(r, 1, i), AFTER, begin + ms);
    return known;
}

/* A harvester with 1,000 connections defers 40,000 names an hour. */
static void test_a_harvester_with_1000_connections_makes_no_message_forgotten(void **state)
{
    struct retries *r = table(RETRIES_SIZE);

    assert_true(known_after(r, 11 * 40000, 11 * HOUR, false) >= 999);
    retries_close(r);
}

/* 100,000 connections, three times what the table holds. */
static void test_messages_that_came_again_outlast_a_flood(void **state)
{
    struct retries *r = table(RETRIES_SIZE);

    assert_true(known_after(r, 6 << 20, 90 * MINUTE, true) >= 990);
    retries_close(r);
}

/* A million connections, for the time of a first retry: a part of the messages is recorded, and
 * stays. */
static void test_in_the_greatest_flood_some_are_recorded(void **state)
{
    struct retries *r = table(RETRIES_SIZE / 128);
    int known = 0;

    for (uint32_t i = 0; i < FLOOD; i++) { /* six minutes */
        uint64_t now = T0 + i * (uint64_t)(6 * MINUTE) / (FLOOD);
        retries_deferred(r, retries_message(r, 3, i), AFTER, now);
    }
    for (uint32_t i = 0; i < 8192; i++)
        known += retries_is_due(r, retries_message(r, 3, i), AFTER, T0 + 6 * MINUTE);
    assert_in_range(known, 2000, 8192);
    retries_close(r);
}

static void test_a_new_name_is_hardly_ever_taken_for_a_retry(void **state)
{
    struct retries *r = table(1 << 16);
    int taken = 0;

    for (uint32_t i = 0; i < 16384; i++) /* full */
        retries_deferred(r, retries_message(r, 1, i), AFTER, T0);
    for (uint32_t i = 0; i < 1000000; i++)
        taken += retries_is_due(r, retries_message(r, 2, i), AFTER, T0 + HOUR);
    assert_in_range(taken, 1, 40); /* 1,000,000 / 32,768 is 31 */
    retries_close(r);
}

/* State outlives processes: kill -9 between any two calls loses nothing, a restart neither. */
static void test_a_restart_forgets_no_message(void **state)
{
    char path[64];
    struct retries *r;

    snprintf(path, sizeof path, "/tmp/mired-retries.%ld", (long)getpid());
    assert_int_equal(retries_open(&r, path, 4096), 0);
    uint64_t m = retries_message(r, 1, 2);
    retries_deferred(r, m, AFTER, T0);
    retries_close(r);
    assert_int_equal(retries_open(&r, path, 4096), 0);
    assert_int_equal(retries_message(r, 1, 2), m);
    assert_true(retries_is_due(r, m, AFTER, T0 + HOUR));
    retries_close(r);
    unlink(path);
}

/* ---- the rule ---- */

struct place {
    struct tarpit t;
    struct tarpit_who who;
    uint64_t now;
    uint32_t names;
};

/* A client at that many offences; the queue of its turns is as full as new names can make it. */
static struct place beside_a_harvester(double offences)
{
    struct place p = {.t = {.rules = config_default_rules()}, .now = T0};
    struct addr a = addr("192.0.2.7");

    p.t.ledger = open_memory(1 << 18);
    p.t.retries = table(1 << 16);
    p.who = tarpit_who(&p.t, &a, false);
    tarpit_sender(&p.t, &p.who, SPAN("one.example"));
    tarpit_listed(&p.t, &p.who, offences, p.now);
    return p;
}

static void close_place(struct place *p)
{
    ledger_close(p->t.ledger);
    retries_close(p->t.retries);
}

static uint64_t mailbox(const struct place *p, const char *name)
{
    return tarpit_mailbox(&p->t, span_of(name));
}

/* Asks for new names until one is put off, as a harvester with many connections does. Returns how
 * many were not. */
static int harvest(struct place *p)
{
    char name[32];
    int told = 0;

    for (;; told++) {
        snprintf(name, sizeof name, "n%u@example.org", p->names++);
        struct tarpit_permit permit =
            tarpit_ask_recipient(&p->t, &p->who, mailbox(p, name), p->now);
        if (permit.masked)
            return told;
        tarpit_verdict(&p->t, &p->who, (struct span){0}, &permit, OFFENCE_RECIPIENT, p->now);
    }
}

static struct tarpit_permit ask(struct place *p, const char *name)
{
    return tarpit_ask_recipient(&p->t, &p->who, mailbox(p, name), p->now);
}

/* Lets a harvester ask all the time until then. */
static int harvest_until(struct place *p, uint64_t until)
{
    int told = 0;

    for (; p->now < until; p->now += SECOND)
        told += harvest(p);
    return told + harvest(p);
}

static void test_a_retry_finds_a_turn_however_many_new_names_are_asked_for(void **state)
{
    static const double offences[] = {3, 5, 20, 45};

    for (size_t i = 0; i < 4; i++) {
        struct place p = beside_a_harvester(offences[i]);
        harvest(&p);
        assert_true(ask(&p, "bob@example.org").masked);
        harvest_until(&p, T0 + 6 * MINUTE);
        assert_true(ask(&p, "alice@example.org").masked); /* a new one still finds none */
        struct tarpit_permit permit = ask(&p, "bob@example.org");
        assert_false(permit.masked);
        struct tarpit_hold hold =
            tarpit_verdict(&p.t, &p.who, (struct span){0}, &permit, OFFENCE_NONE, p.now);
        assert_true(!hold.masked && hold.ms <= POLICY_HOLD_MAX);
        close_place(&p);
    }
}

static void test_a_retry_that_comes_too_soon_is_like_a_new_name(void **state)
{
    struct place p = beside_a_harvester(20);

    harvest(&p);
    assert_true(ask(&p, "bob@example.org").masked);
    harvest_until(&p, T0 + 2 * MINUTE);
    assert_true(ask(&p, "bob@example.org").masked);
    close_place(&p);
}

static void test_the_retry_of_another_sender_or_network_is_none(void **state)
{
    struct place p = beside_a_harvester(20);
    struct addr other = addr("198.51.100.7");

    harvest(&p);
    assert_true(ask(&p, "bob@example.org").masked);
    harvest_until(&p, T0 + 6 * MINUTE);
    tarpit_sender(&p.t, &p.who, SPAN("two.example"));
    assert_true(ask(&p, "bob@example.org").masked);
    p.who = tarpit_who(&p.t, &other, false);
    tarpit_sender(&p.t, &p.who, SPAN("one.example"));
    tarpit_listed(&p.t, &p.who, 20, p.now);
    harvest(&p);
    assert_true(ask(&p, "bob@example.org").masked);
    close_place(&p);
}

static void test_bounces_are_retried_too(void **state)
{
    struct place p = beside_a_harvester(20);

    tarpit_sender(&p.t, &p.who, (struct span){0});
    harvest(&p);
    assert_true(ask(&p, "bob@example.org").masked);
    harvest_until(&p, T0 + 6 * MINUTE);
    assert_false(ask(&p, "bob@example.org").masked);
    close_place(&p);
}

static void test_with_retry_after_0_a_retry_is_like_a_new_name(void **state)
{
    struct place p = beside_a_harvester(20);

    p.t.rules.retry_after = 0;
    harvest(&p);
    assert_true(ask(&p, "bob@example.org").masked);
    harvest_until(&p, T0 + HOUR);
    assert_true(ask(&p, "bob@example.org").masked);
    close_place(&p);
}

/* On the shield nothing else is told. Also by a trap, because a harvester behind the same address
 * may have written to it. */
static void test_on_the_shield_only_retries_are_told_at_half_the_pace(void **state)
{
    struct place p = beside_a_harvester(50);
    char name[32];
    int told = 0;

    tarpit_trapped(&p.t, &p.who, p.now);
    assert_true(ask(&p, "bob@example.org").masked && ask(&p, "bob@example.org").shielded);
    for (uint32_t i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "r%u@example.org", i);
        assert_true(ask(&p, name).masked);
    }
    p.now += 10 * MINUTE;
    for (uint64_t until = p.now + 45 * MINUTE; p.now < until; p.now += SECOND) {
        snprintf(name, sizeof name, "new%u@example.org", p.names++);
        assert_true(ask(&p, name).masked);
        for (uint32_t i = (uint32_t)(p.now / SECOND % 250); i < 1000; i += 250) {
            snprintf(name, sizeof name, "r%u@example.org", i);
            told += !ask(&p, name).masked;
        }
    }
    assert_in_range(told, 14, 17); /* 45 minutes are 15 times 180 s */
    close_place(&p);
}

/* The turns are those of the client's one queue: a harvester that imitates retries is told no more
 * than one that does not. */
static void test_imitated_retries_are_told_at_the_pace(void **state)
{
    struct place p = beside_a_harvester(20);
    char name[32];
    int told = 0;

    harvest(&p);
    for (uint32_t i = 0; i < 4000; i++) {
        snprintf(name, sizeof name, "r%u@example.org", i);
        assert_true(ask(&p, name).masked);
    }
    p.now += 10 * MINUTE;
    for (uint64_t until = p.now + HOUR; p.now < until; p.now += SECOND) {
        told += harvest(&p);
        for (uint32_t i = (uint32_t)(p.now / SECOND % 250); i < 4000; i += 250) {
            snprintf(name, sizeof name, "r%u@example.org", i);
            struct tarpit_permit permit = ask(&p, name);
            if (!permit.masked)
                tarpit_verdict(&p.t, &p.who, (struct span){0}, &permit, OFFENCE_NONE, p.now);
            told += !permit.masked;
        }
    }
    assert_in_range(told, 39, 44);
    close_place(&p);
}

/* The guarantee is for `max` up to half of the longest hold. */
static void test_new_names_leave_room_for_a_retry(void **state)
{
    struct tarpit_rules r = config_default_rules();

    for (r.max = 1000; r.max <= POLICY_HOLD_MAX / 2; r.max += 500)
        for (uint64_t new = 1000; new <= r.max; new += 1500)
            assert_true(policy_reach(&r, new) + new <= policy_reach_retry(r.max));
    assert_int_equal(policy_reach_retry(POLICY_HOLD_MAX), 0);
    assert_int_equal(policy_reach(&r, UINT64_MAX), 0); /* a sum that does not fit */
    assert_int_equal(policy_reach_retry(UINT64_MAX), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_message_is_due_a_while_after_it_was_deferred),
        cmocka_unit_test(test_trying_too_soon_changes_nothing),
        cmocka_unit_test(test_a_harvester_with_1000_connections_makes_no_message_forgotten),
        cmocka_unit_test(test_messages_that_came_again_outlast_a_flood),
        cmocka_unit_test(test_in_the_greatest_flood_some_are_recorded),
        cmocka_unit_test(test_a_new_name_is_hardly_ever_taken_for_a_retry),
        cmocka_unit_test(test_a_restart_forgets_no_message),
        cmocka_unit_test(test_a_retry_finds_a_turn_however_many_new_names_are_asked_for),
        cmocka_unit_test(test_a_retry_that_comes_too_soon_is_like_a_new_name),
        cmocka_unit_test(test_the_retry_of_another_sender_or_network_is_none),
        cmocka_unit_test(test_bounces_are_retried_too),
        cmocka_unit_test(test_with_retry_after_0_a_retry_is_like_a_new_name),
        cmocka_unit_test(test_on_the_shield_only_retries_are_told_at_half_the_pace),
        cmocka_unit_test(test_imitated_retries_are_told_at_the_pace),
        cmocka_unit_test(test_new_names_leave_room_for_a_retry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
