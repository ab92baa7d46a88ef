/* Every mixture of answers, and the one reply that the client hears (docs/settling.md). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "relay/settling.h"

enum { SECOND = 1000, DAY = 86400 * SECOND };
#define T0 UINT64_C(1800000000000)

struct talk {
    struct settle *settle;
    struct addr client;
    struct envelope envelope;
    struct job job;
    struct job_recipient recipient[2];
};

static int open_talk(void **state)
{
    struct talk *t = calloc(1, sizeof *t);
    assert_int_equal(settle_open(&t->settle, NULL, DAY), 0);
    assert_true(addr_parse(SPAN("192.0.2.7"), &t->client));
    envelope_set_sender(&t->envelope, SPAN("a@b.test"), (struct span){0});
    envelope_add_recipient(&t->envelope, SPAN("x@example.test"), (struct span){0});
    envelope_add_recipient(&t->envelope, SPAN("y@example.test"), (struct span){0});
    t->job = (struct job){.envelope = &t->envelope, .recipient = t->recipient, .recipients = 2};
    *state = t;
    return 0;
}

static void forget(struct talk *t)
{
    for (int i = 0; i < 2; i++) {
        kept_free(&t->recipient[i].reply);
        t->recipient[i] = (struct job_recipient){0};
    }
    kept_free(&t->job.whole);
    t->job.whole = (struct kept_reply){0};
    t->job.sent = false;
}

static int close_talk(void **state)
{
    struct talk *t = *state;
    forget(t);
    envelope_free(&t->envelope);
    settle_close(t->settle);
    free(t);
    return 0;
}

static void answer(struct talk *t, int i, enum fate fate, unsigned code, const char *text)
{
    struct reply r = {.id = REPLY_OTHER, .code = (uint16_t)code, .arg = span_of(text)};
    t->recipient[i].fate = (uint8_t)fate;
    if (code)
        kept_set(&t->recipient[i].reply, &r);
}

static void whole(struct talk *t, unsigned code)
{
    struct reply r = {.id = REPLY_OTHER, .code = (uint16_t)code, .arg = SPAN("whole")};
    kept_set(&t->job.whole, &r);
}

static unsigned end(struct talk *t, uint64_t now, uint32_t *accepted)
{
    return settling_end(&t->job, t->settle, &t->client, 99, now, accepted).code;
}

static void test_data_goes_only_when_nobody_was_refused_for_good(void **state)
{
    static const struct {
        enum fate one, two;
        bool may;
    } table[] = {
        {FATE_TAKEN, FATE_TAKEN, true},    {FATE_TAKEN, FATE_LATER, true},
        {FATE_TAKEN, FATE_REFUSED, false}, {FATE_TAKEN, FATE_HAS_IT, true},
        {FATE_LATER, FATE_LATER, false},   {FATE_REFUSED, FATE_REFUSED, false},
        {FATE_LATER, FATE_REFUSED, false}, {FATE_HAS_IT, FATE_HAS_IT, false},
    };
    struct talk *t = *state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        t->recipient[0].fate = table[i].one;
        t->recipient[1].fate = table[i].two;
        assert_int_equal(settling_may_send(&t->job), table[i].may);
    }
}

static void test_the_backends_own_word_is_told_when_it_is_one(void **state)
{
    struct talk *t = *state;
    uint32_t accepted;

    answer(t, 0, FATE_DONE, 0, "");
    answer(t, 1, FATE_DONE, 0, "");
    whole(t, 250);
    assert_int_equal(end(t, T0, &accepted), 250);
    assert_int_equal(accepted, 2);
    forget(t);
    answer(t, 0, FATE_REFUSED, 550, "no");
    answer(t, 1, FATE_REFUSED, 554, "nor");
    assert_int_equal(end(t, T0, &accepted), 550);
    assert_int_equal(accepted, 0);
    forget(t);
    answer(t, 0, FATE_LATER, 452, "full");
    answer(t, 1, FATE_LATER, 450, "busy");
    assert_int_equal(end(t, T0, &accepted), 452);
    forget(t);
    whole(t, 552); /* to MAIL */
    assert_int_equal(end(t, T0, &accepted), 552);
}

static void test_a_refusal_among_taken_is_told_at_the_retrys_rcpt(void **state)
{
    struct talk *t = *state;
    struct reply r;
    char room[64];
    uint32_t accepted;

    answer(t, 0, FATE_TAKEN, 0, "");
    answer(t, 1, FATE_REFUSED, 550, "no such user");
    assert_int_equal(end(t, T0, &accepted), 451);
    assert_int_equal(accepted, 0);
    assert_int_equal(settle_was_refused(t->settle, &t->client, SPAN("a@b.test"),
                                        SPAN("x@example.test"), T0 + SECOND, &r, room),
                     0);
    assert_int_equal(settle_was_refused(t->settle, &t->client, SPAN("a@b.test"),
                                        SPAN("y@example.test"), T0 + SECOND, &r, room),
                     1);
    assert_int_equal(r.code, 550);
    assert_true(span_equal(r.arg, SPAN("no such user")));
    /* Not told to anybody else, nor for ever. */
    assert_int_equal(settle_was_refused(t->settle, &t->client, SPAN("c@b.test"),
                                        SPAN("y@example.test"), T0 + SECOND, &r, room),
                     0);
    assert_int_equal(settle_was_refused(t->settle, &t->client, SPAN("a@b.test"),
                                        SPAN("y@example.test"), T0 + 2 * (uint64_t)DAY, &r, room),
                     0);
}

static void test_who_got_it_does_not_get_it_twice(void **state)
{
    struct talk *t = *state;
    uint32_t accepted;

    assert_int_equal(settling_begin(&t->job, t->settle, &t->client, 99, T0), 2);
    t->job.sent = true;
    answer(t, 0, FATE_DONE, 0, "");
    answer(t, 1, FATE_LATER, 452, "full");
    whole(t, 452);
    assert_int_equal(end(t, T0, &accepted), 451);
    assert_int_equal(accepted, 1);
    forget(t);
    assert_int_equal(settling_begin(&t->job, t->settle, &t->client, 98, T0 + SECOND),
                     2); /* another message */
    forget(t);
    assert_int_equal(settling_begin(&t->job, t->settle, &t->client, 99, T0 + SECOND), 1);
    assert_int_equal(t->recipient[0].fate, FATE_HAS_IT);
    t->job.sent = true;
    answer(t, 1, FATE_DONE, 0, "");
    whole(t, 250);
    assert_int_equal(end(t, T0 + SECOND, &accepted), 250);
    assert_int_equal(accepted, 2);
}

static void test_when_all_have_it_nothing_is_sent_and_the_client_hears_250(void **state)
{
    struct talk *t = *state;
    uint32_t accepted;

    answer(t, 0, FATE_HAS_IT, 0, "");
    answer(t, 1, FATE_HAS_IT, 0, "");
    assert_false(settling_may_send(&t->job));
    assert_int_equal(end(t, T0, &accepted), 250);
    assert_int_equal(accepted, 2);
}

static void test_a_connection_that_broke_after_the_dot_is_a_451(void **state)
{
    struct talk *t = *state;
    uint32_t accepted;

    t->job.sent = true;
    answer(t, 0, FATE_TAKEN, 0, "");
    answer(t, 1, FATE_TAKEN, 0, "");
    assert_int_equal(end(t, T0, &accepted), 451);
    assert_int_equal(accepted, 0);
}

#define IN_TALK(test) cmocka_unit_test_setup_teardown(test, open_talk, close_talk)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_TALK(test_data_goes_only_when_nobody_was_refused_for_good),
        IN_TALK(test_the_backends_own_word_is_told_when_it_is_one),
        IN_TALK(test_a_refusal_among_taken_is_told_at_the_retrys_rcpt),
        IN_TALK(test_who_got_it_does_not_get_it_twice),
        IN_TALK(test_when_all_have_it_nothing_is_sent_and_the_client_hears_250),
        IN_TALK(test_a_connection_that_broke_after_the_dot_is_a_451),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
