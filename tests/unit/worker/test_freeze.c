/* R18: which holds go to the freezer, and when; what it does not take is held on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake.h"
#include "worker/freeze.h"
#include "worker/hold.h"

enum { SECOND = 1000, AFTER = 10 * SECOND };
#define WHO "192.0.2.7"

static struct fake f;

static int setup(void **state)
{
    fake_open(&f);
    f.w->tarpit.rules.freeze = FREEZE_AUTO;
    f.w->tarpit.rules.freeze_after = AFTER;
    f.w->tarpit.rules.patience_offences = 0;
    return 0;
}

static int teardown(void **state)
{
    fake_close(&f);
    return 0;
}

/* Held for an offence, as a client behind a balancer: then its address goes with it. */
static struct fake_client held(void)
{
    struct fake_client client = fake_connect(&f, WHO);

    client.c->flags |= CONN_PROXIED;
    fake_say(&f, &client, "NONSENSE\r\n");
    assert_int_equal(client.c->phase, CONN_HELD);
    fake_heard(&client);
    return client;
}

/* How many connections the freezer has been given; they are closed. */
static unsigned frozen(void)
{
    static struct handoff batch;
    unsigned n = 0;

    while (f.freezer >= 0 && handoff_read(f.freezer, &batch) == 1)
        for (uint32_t i = 0; i < batch.count; i++) {
            n += batch.item[i].kind == HANDOFF_HOLD;
            close(batch.item[i].fd);
        }
    return n;
}

static void test_a_long_hold_goes_after_freeze_after_and_not_before(void **state)
{
    fake_freezer(&f);
    struct fake_client client = held();

    assert_int_equal(client.c->flags & CONN_FREEZE, CONN_FREEZE);
    fake_pass(&f, AFTER - 1);
    assert_int_equal(frozen(), 0);
    fake_pass(&f, 100);
    assert_int_equal(frozen(), 1);
    assert_int_equal(f.w->open, 0);
    assert_int_equal(f.w->guard.held, 0);
}

/* What a hold must be to go: each row changes one thing. */
static void test_what_is_frozen_and_what_is_held_here(void **state)
{
    static const struct {
        const char *name;
        unsigned goes;
        uint64_t time, after; /* 0: as in setup() */
        bool no_freezer, does_not_work, off, said_more, stops, patient, waits_to_write;
    } cases[] = {
        {"a long hold", 1},
        {"there is no freezer", 0, .no_freezer = true},
        {"the freezer does not work", 0, .does_not_work = true},
        {"freeze is off", 0, .off = true},
        {"the client has said more meanwhile", 0, .said_more = true},
        {"octets of ours are in flight", 0, .waits_to_write = true},
        {"the worker stops", 0, .stops = true},
        {"a client of few offences", 0, .patient = true},
        {"a hold of exactly freeze_after", 0, .time = AFTER},
        {"a hold that is hardly longer", 0, .time = AFTER + 500},
        {"one that is long enough", 1, .time = AFTER + 501},
        {"a later freeze_after", 0, .after = 25 * SECOND},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        teardown(NULL);
        setup(NULL);
        struct tarpit_rules *rules = &f.w->tarpit.rules;
        rules->time = cases[i].time ? cases[i].time : rules->time;
        rules->freeze_after = cases[i].after ? cases[i].after : rules->freeze_after;
        rules->patience_offences = cases[i].patient ? 5 : 0;
        if (cases[i].off)
            rules->freeze = FREEZE_OFF;
        if (!cases[i].no_freezer)
            fake_freezer(&f);
        atomic_store(&f.shared.working, !cases[i].does_not_work);
        struct fake_client client = fake_connect(&f, WHO);
        f.w->stopping = cases[i].stops;
        client.c->flags |= CONN_PROXIED;
        fake_say(&f, &client, cases[i].said_more ? "NONSENSE\r\nNOOP\r\n" : "NONSENSE\r\n");
        if (cases[i].stops) { /* else the connection ends with its reply */
            f.w->stopping = false;
            assert_int_equal(client.c->flags & CONN_FREEZE, 0);
        }
        if (cases[i].waits_to_write)
            client.c->work = calloc(1, sizeof *client.c->work);
        fake_pass(&f, rules->freeze_after + SECOND);
        unsigned went = frozen();
        if (went != cases[i].goes)
            fail_msg("%s: %u went to the freezer", cases[i].name, went);
        if (!went && !fake_is_open(&f, &client))
            fail_msg("%s: it is gone", cases[i].name);
        fake_pass(&f, 60 * SECOND);
        if (!went && !strstr(fake_heard(&client), "500 "))
            fail_msg("%s: its reply is missing", cases[i].name);
    }
}

static void test_what_the_freezer_does_not_take_is_held_here_and_answered_in_time(void **state)
{
    fake_freezer(&f);
    struct fake_client client = held();

    close(f.freezer);
    f.freezer = -1;
    fake_pass(&f, AFTER + SECOND);
    assert_true(fake_is_open(&f, &client));
    assert_int_equal(f.w->guard.held, 1);
    assert_string_equal(fake_heard(&client), "");
    fake_pass(&f, 20 * SECOND - AFTER - SECOND - 1);
    assert_string_equal(fake_heard(&client), "");
    fake_pass(&f, 1);
    assert_non_null(strstr(fake_heard(&client), "500 "));
    assert_int_equal(f.w->guard.held, 0);
}

static void test_a_connection_that_comes_back_is_answered_and_goes_on(void **state)
{
    static struct handoff batch;
    fake_freezer(&f);
    struct fake_client client = held();

    fake_pass(&f, AFTER + 100);
    assert_int_equal(handoff_read(f.freezer, &batch), 1);
    assert_int_equal(batch.count, 1);
    assert_int_equal(batch.item[0].due_ms, f.w->loop.wall + 20 * SECOND - AFTER - 100);
    int fd = batch.item[0].fd;
    fake_pass(&f, 20 * SECOND);
    assert_int_equal(handoff_send(f.freezer, &batch), 0);
    close(fd);
    fake_turn(&f);
    assert_non_null(strstr(fake_heard(&client), "500 "));
    fake_say(&f, &client, "QUIT\r\n");
    fake_pass(&f, 60 * SECOND);
    assert_non_null(strstr(fake_heard(&client), "221 "));
    assert_int_equal(f.w->open, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_long_hold_goes_after_freeze_after_and_not_before),
        TEST(test_what_is_frozen_and_what_is_held_here),
        TEST(test_what_the_freezer_does_not_take_is_held_here_and_answered_in_time),
        TEST(test_a_connection_that_comes_back_is_answered_and_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
