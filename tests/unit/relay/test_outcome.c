/* Every mixture of answers, and the one reply that the client hears (docs/mixed-answers.md). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/container.h"
#include "relay/outcome.h"

enum { SECOND = 1000, DAY = 86400 * SECOND };
#define T0 UINT64_C(1800000000000)

struct backend_client {
    struct partial_delivery *partial;
    struct envelope envelope;
    struct job job;
    struct job_identity identity;
    unsigned found; /* times that the identity was asked for */
    struct job_recipient recipient[2];
    uint32_t before; /* of the last end() */
    bool deaf;       /* the client has reset the connection */
};

static void find(struct job_identity *identity)
{
    struct backend_client *t = container_of(identity, struct backend_client, identity);

    t->found++;
    identity->known = true;
}

static int open_talk(void **state)
{
    struct backend_client *t = calloc(1, sizeof *t);
    assert_int_equal(partial_open(&t->partial, NULL, DAY), 0);
    envelope_set_sender(&t->envelope, SPAN("a@b.test"), (struct span){0});
    envelope_add_recipient(&t->envelope, SPAN("x@example.test"), (struct span){0});
    envelope_add_recipient(&t->envelope, SPAN("y@example.test"), (struct span){0});
    t->job = (struct job){.envelope = &t->envelope,
                          .recipient = t->recipient,
                          .recipients = 2,
                          .declared = 1234,
                          .identity = &t->identity};
    t->identity = (struct job_identity){.find = find, .hash = 99};
    *state = t;
    return 0;
}

static void forget(struct backend_client *t)
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
    struct backend_client *t = *state;
    forget(t);
    envelope_free(&t->envelope);
    partial_close(t->partial);
    free(t);
    return 0;
}

static void answer(struct backend_client *t, int i, enum fate fate, unsigned code, const char *text)
{
    struct reply r = {.id = REPLY_OTHER, .code = (uint16_t)code, .arg = span_of(text)};
    t->recipient[i].fate = (uint8_t)fate;
    if (code)
        kept_set(&t->recipient[i].reply, &r);
}

static void whole(struct backend_client *t, unsigned code)
{
    struct reply r = {.id = REPLY_OTHER, .code = (uint16_t)code, .arg = SPAN("whole")};
    kept_set(&t->job.whole, &r);
}

static bool hears(const void *arg)
{
    const struct backend_client *t = arg;
    return !t->deaf;
}

static unsigned end(struct backend_client *t, uint64_t now, uint32_t *accepted)
{
    return outcome_end(&(struct outcome_part){&t->job, 0}, 1, t->partial, now,
                       (struct outcome_client){hears, t}, accepted, &t->before)
        .code;
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
    struct backend_client *t = *state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        t->recipient[0].fate = table[i].one;
        t->recipient[1].fate = table[i].two;
        assert_int_equal(job_may_send(&t->job), table[i].may);
    }
}

static void test_the_backends_own_word_is_told_when_it_is_one(void **state)
{
    struct backend_client *t = *state;
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

/* Whether y is told 452 beside x, in a transaction that declares this SIZE. */
static bool apart(const struct backend_client *t, const char *sender, uint32_t declared,
                  uint64_t now)
{
    struct envelope e = {0};
    envelope_set_sender(&e, span_of(sender), (struct span){0});
    assert_false(outcome_apart(&e, SPAN("y@example.test"), declared, t->partial, now));
    envelope_add_recipient(&e, SPAN("x@example.test"), (struct span){0});
    bool is = outcome_apart(&e, SPAN("y@example.test"), declared, t->partial, now);
    envelope_free(&e);
    return is;
}

/* field notes 25: all that a mixed answer does to other mail is nothing. */
static void test_the_retry_of_a_mixed_answer_is_split_and_nothing_else_is(void **state)
{
    static const struct {
        enum fate x, y;
        bool apart;
    } table[] = {
        {FATE_TAKEN, FATE_REFUSED, true}, {FATE_TAKEN, FATE_LATER, true},
        {FATE_DONE, FATE_REFUSED, true},  {FATE_DONE, FATE_LATER, true},
        {FATE_HAS_IT, FATE_LATER, true},  {FATE_HAS_IT, FATE_REFUSED, true},
        {FATE_LATER, FATE_REFUSED, true}, {FATE_REFUSED, FATE_LATER, true},
        {FATE_REFUSED, FATE_DONE, true},  {FATE_LATER, FATE_TAKEN, true},
        {FATE_TAKEN, FATE_DONE, false},   {FATE_TAKEN, FATE_HAS_IT, false},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        void *fresh;
        uint32_t accepted;
        open_talk(&fresh);
        struct backend_client *t = fresh;
        answer(t, 0, table[i].x, table[i].x == FATE_LATER ? 450 : 550, "no");
        answer(t, 1, table[i].y, table[i].y == FATE_LATER ? 450 : 550, "virus found");
        assert_int_equal(end(t, T0, &accepted), 451);
        if (apart(t, "a@b.test", 1234, T0 + SECOND) != table[i].apart)
            fail_msg("row %zu", i);
        assert_false(apart(t, "c@b.test", 1234, T0 + SECOND));
        assert_false(apart(t, "a@b.test", 1235, T0 + SECOND)); /* another message of that sender */
        assert_false(apart(t, "a@b.test", 0, T0 + SECOND));
        assert_false(apart(t, "a@b.test", 1234, T0 + 2 * (uint64_t)DAY));
        close_talk(&fresh);
    }
}

/* field notes 25: recipients that get the same answer in the retry may share a transaction
 * again. */
static void test_the_split_follows_the_last_answer(void **state)
{
    struct backend_client *t = *state;
    uint32_t accepted;

    answer(t, 0, FATE_TAKEN, 0, "");
    answer(t, 1, FATE_REFUSED, 550, "no");
    assert_int_equal(end(t, T0, &accepted), 451);
    assert_true(apart(t, "a@b.test", 1234, T0));
    answer(t, 0, FATE_REFUSED, 550, "no");
    answer(t, 1, FATE_TAKEN, 0, "");
    assert_int_equal(end(t, T0, &accepted), 451);
    assert_true(apart(t, "a@b.test", 1234, T0));
    answer(t, 0, FATE_DONE, 0, "");
    answer(t, 1, FATE_TAKEN, 0, "");
    assert_int_equal(end(t, T0, &accepted), 451);
    assert_false(apart(t, "a@b.test", 1234, T0));
}

/* field notes 4: a pool whose hosts declare another SIZE each is split at the second retry. */
static void test_a_sender_that_declares_another_size_each_time_is_split_too(void **state)
{
    struct backend_client *t = *state;
    uint32_t accepted;

    for (uint32_t size = 1; size < 3; size++) {
        t->job.declared = size;
        answer(t, 0, FATE_TAKEN, 0, "");
        answer(t, 1, FATE_REFUSED, 550, "no");
        assert_int_equal(end(t, T0, &accepted), 451);
        assert_int_equal(apart(t, "a@b.test", 77, T0), size == 2);
    }
    t->identity.hash = 100; /* another message: once is not twice */
    t->job.declared = 5;
    assert_false(apart(t, "d@b.test", 77, T0));
}

/* field notes 4: a client that hung up comes again. */
static void test_who_has_it_is_remembered_when_the_client_did_not_hear_it(void **state)
{
    struct backend_client *t = *state;
    uint32_t accepted;

    answer(t, 0, FATE_DONE, 0, "");
    answer(t, 1, FATE_DONE, 0, "");
    whole(t, 250);
    assert_int_equal(end(t, T0, &accepted), 250);
    outcome_unheard(&(struct outcome_part){&t->job, 0}, 1, t->partial,
                    T0); /* without a Message-ID it may be another message */
    forget(t);
    assert_int_equal(outcome_begin(&t->job, t->partial, T0), 2);
    answer(t, 0, FATE_DONE, 0, "");
    answer(t, 1, FATE_DONE, 0, "");
    t->identity.named = true;
    outcome_unheard(&(struct outcome_part){&t->job, 0}, 1, t->partial, T0);
    forget(t);
    assert_int_equal(outcome_begin(&t->job, t->partial, T0), 0);
}

/* Without a Message-ID the next message with these octets may be another one, and it would count as
 * the retry of one whose client never heard that it must retry. */
static void test_a_mixed_answer_that_nobody_hears_marks_only_a_message_with_a_name(void **state)
{
    struct backend_client *t = *state;
    uint32_t accepted;

    for (int named = 0; named < 2; named++)
        for (int deaf = 0; deaf < 2; deaf++) {
            t->identity.hash++;
            t->identity.named = named;
            t->deaf = deaf;
            answer(t, 0, FATE_DONE, 0, "");
            answer(t, 1, FATE_LATER, 450, "later");
            assert_int_equal(end(t, T0, &accepted), 451);
            forget(t);
            assert_int_equal(outcome_begin(&t->job, t->partial, T0 + SECOND),
                             deaf && !named ? 2 : 1);
            assert_true(apart(t, "a@b.test", 1234, T0 + SECOND));
            forget(t);
        }
}

/* The hash costs a look at every octet of the message. */
static void test_a_message_is_hashed_only_where_something_is_recorded_of_its_sender(void **state)
{
    static const struct {
        enum fate fate;
        unsigned code;
    } same_for_all[] = {{FATE_DONE, 250}, {FATE_LATER, 450}, {FATE_REFUSED, 550}};
    struct backend_client *t = *state;
    uint32_t accepted;

    for (int k = 0; k < 3; k++) {
        assert_int_equal(outcome_begin(&t->job, t->partial, T0), 2);
        for (int i = 0; i < 2; i++)
            answer(t, i, same_for_all[k].fate, k ? same_for_all[k].code : 0, "x");
        whole(t, same_for_all[k].code);
        assert_int_equal(end(t, T0, &accepted), same_for_all[k].code);
        forget(t);
    }
    assert_int_equal(t->found, 0);
    answer(t, 0, FATE_DONE, 0, "");
    answer(t, 1, FATE_LATER, 452, "full");
    assert_int_equal(end(t, T0, &accepted), 451);
    assert_int_equal(t->found, 1);
    forget(t);
    t->identity.known = false;
    assert_int_equal(outcome_begin(&t->job, t->partial, T0), 1);
    assert_int_equal(t->found, 2);
    forget(t);
    t->identity.known = false; /* of another sender nothing is recorded */
    envelope_free(&t->envelope);
    envelope_set_sender(&t->envelope, SPAN("c@d.test"), (struct span){0});
    envelope_add_recipient(&t->envelope, SPAN("x@example.test"), (struct span){0});
    envelope_add_recipient(&t->envelope, SPAN("y@example.test"), (struct span){0});
    assert_int_equal(outcome_begin(&t->job, t->partial, T0), 2);
    assert_int_equal(t->found, 2);
}

static void test_who_got_it_does_not_get_it_twice(void **state)
{
    struct backend_client *t = *state;
    uint32_t accepted;

    assert_int_equal(outcome_begin(&t->job, t->partial, T0), 2);
    t->job.sent = true;
    answer(t, 0, FATE_DONE, 0, "");
    answer(t, 1, FATE_LATER, 452, "full");
    whole(t, 452);
    assert_int_equal(end(t, T0, &accepted), 451);
    assert_int_equal(accepted, 1);
    forget(t);
    t->identity.hash = 98; /* another message */
    assert_int_equal(outcome_begin(&t->job, t->partial, T0 + SECOND), 2);
    forget(t);
    t->identity.hash = 99;
    assert_int_equal(outcome_begin(&t->job, t->partial, T0 + SECOND), 1);
    assert_int_equal(t->recipient[0].fate, FATE_HAS_IT);
    t->job.sent = true;
    answer(t, 1, FATE_DONE, 0, "");
    whole(t, 250);
    assert_int_equal(end(t, T0 + SECOND, &accepted), 250);
    assert_int_equal(accepted, 2);
    assert_int_equal(t->before, 1);
}

/* Anybody who knows a message can send it first, so that the backend throws that copy away. */
static void test_another_clients_word_counts_only_where_it_cannot_be_a_forgery(void **state)
{
    enum { NOBODY, ONE = 11, TWO = 22 };
    static const struct {
        uint64_t source, signatures;
        bool vouched;
    } first[] = {{ONE, 0, false}, {ONE, 5, false}, {ONE, 5, true}, {ONE, 0, true}};
    static const struct {
        uint64_t source, signatures;
        bool vouched;
        bool believes[2][4]; /* without and with a Message-ID: each of the first tries */
    } next[] = {
        {ONE, 0, false, {{true, true, true, true}, {true, true, true, true}}},
        {ONE, 5, false, {{true, true, true, true}, {true, true, true, true}}},
        {ONE, 6, false, {{true, true, true, true}, {true, true, true, true}}},
        {TWO, 0, false, {{false, false, true, true}, {false, false, true, true}}},
        {TWO, 5, false, {{false, false, true, true}, {false, true, true, true}}},
        {TWO, 6, false, {{false, false, true, true}, {false, false, true, true}}},
        {TWO, 5, true, {{false, false, true, true}, {false, true, true, true}}},
    };
    struct backend_client *t = *state;
    uint32_t accepted;

    for (int named = 0; named < 2; named++)
        for (size_t f = 0; f < sizeof first / sizeof *first; f++)
            for (size_t n = 0; n < sizeof next / sizeof *next; n++) {
                struct job_identity *is = t->job.identity;
                is->hash++;
                is->named = named;
                is->source = first[f].source;
                is->signatures = first[f].signatures;
                is->vouched = first[f].vouched;
                answer(t, 0, FATE_DONE, 0, "");
                answer(t, 1, FATE_LATER, 450, "later");
                assert_int_equal(end(t, T0, &accepted), 451);
                forget(t);
                is->source = next[n].source;
                is->signatures = next[n].signatures;
                is->vouched = next[n].vouched;
                uint32_t left = outcome_begin(&t->job, t->partial, T0 + SECOND);
                if (left != (next[n].believes[named][f] ? 1 : 2))
                    fail_msg("named %d, first %zu, next %zu: %u left", named, f, n, left);
                forget(t);
            }
}

/* An alarm that another client has delivered to all leaves no record that would lose the next one. */
static void test_whoever_delivers_an_alarm_withdraws_what_is_recorded_of_it(void **state)
{
    struct backend_client *t = *state;
    uint32_t accepted;

    t->identity.source = 11;
    answer(t, 0, FATE_DONE, 0, "");
    answer(t, 1, FATE_LATER, 450, "later");
    assert_int_equal(end(t, T0, &accepted), 451);
    forget(t);
    t->identity.source = 22;
    assert_int_equal(outcome_begin(&t->job, t->partial, T0 + SECOND), 2);
    answer(t, 0, FATE_DONE, 0, "");
    answer(t, 1, FATE_DONE, 0, "");
    whole(t, 250);
    assert_int_equal(end(t, T0 + SECOND, &accepted), 250);
    forget(t);
    t->identity.source = 11;
    assert_int_equal(outcome_begin(&t->job, t->partial, T0 + 2 * SECOND), 2);
}

static void test_when_all_have_it_nothing_is_sent_and_the_client_hears_250(void **state)
{
    struct backend_client *t = *state;
    uint32_t accepted;

    answer(t, 0, FATE_HAS_IT, 0, "");
    answer(t, 1, FATE_HAS_IT, 0, "");
    assert_false(job_may_send(&t->job));
    assert_int_equal(end(t, T0, &accepted), 250);
    assert_int_equal(accepted, 2);
}

static void test_a_connection_that_broke_after_the_dot_is_a_451(void **state)
{
    struct backend_client *t = *state;
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
        cmocka_unit_test(test_the_retry_of_a_mixed_answer_is_split_and_nothing_else_is),
        IN_TALK(test_the_split_follows_the_last_answer),
        IN_TALK(test_a_sender_that_declares_another_size_each_time_is_split_too),
        IN_TALK(test_who_has_it_is_remembered_when_the_client_did_not_hear_it),
        IN_TALK(test_a_mixed_answer_that_nobody_hears_marks_only_a_message_with_a_name),
        IN_TALK(test_a_message_is_hashed_only_where_something_is_recorded_of_its_sender),
        IN_TALK(test_who_got_it_does_not_get_it_twice),
        IN_TALK(test_another_clients_word_counts_only_where_it_cannot_be_a_forgery),
        IN_TALK(test_whoever_delivers_an_alarm_withdraws_what_is_recorded_of_it),
        IN_TALK(test_when_all_have_it_nothing_is_sent_and_the_client_hears_250),
        IN_TALK(test_a_connection_that_broke_after_the_dot_is_a_451),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
