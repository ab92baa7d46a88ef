/* A hand-over, word by word: what is said to a backend, and what its answers come to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "relay/outbound.h"

#define HELLO_ALL                                                                                  \
    "250-mx\r\n250-PIPELINING\r\n250-SIZE\r\n250-8BITMIME\r\n250-DSN\r\n250 SMTPUTF8\r\n"

struct talk {
    struct outbound o;
    struct envelope envelope;
    struct job job;
    struct job_recipient recipient[3];
};

static void hear(struct talk *t, const char *text)
{
    outbound_input(&t->o, span_of(text));
}

/* What has been said since is exactly this. */
static void said(struct talk *t, const char *text)
{
    assert_true(span_equal(buf_span(&t->o.out), span_of(text)));
    buf_free(&t->o.out);
}

static int open_talk(void **state)
{
    struct talk *t = calloc(1, sizeof *t);
    envelope_set_sender(&t->envelope, SPAN("a@b.test"), SPAN("RET=HDRS"));
    envelope_add_recipient(&t->envelope, SPAN("x@example.test"), SPAN("NOTIFY=NEVER"));
    envelope_add_recipient(&t->envelope, SPAN("y@example.test"), (struct span){0});
    t->job = (struct job){
        .envelope = &t->envelope, .size = 1234, .recipient = t->recipient, .recipients = 2};
    *state = t;
    return 0;
}

/* Whose message it is, for XCLIENT and XFORWARD. */
static void introduce(struct talk *t, const char *client, const char *helo)
{
    assert_true(addr_parse(span_of(client), &t->job.who.client));
    t->job.who.client.port = 4321;
    t->job.who.helo = span_of(helo);
    t->job.who.esmtp = true;
}

static int close_talk(void **state)
{
    struct talk *t = *state;
    for (int i = 0; i < 3; i++)
        kept_free(&t->recipient[i].reply);
    kept_free(&t->job.whole);
    outbound_free(&t->o);
    envelope_free(&t->envelope);
    free(t);
    return 0;
}

static void get_ready(struct talk *t, bool lmtp, const char *hello)
{
    outbound_start(&t->o, lmtp, "mired.test", 0);
    hear(t, "220 backend\r\n");
    said(t, lmtp ? "LHLO mired.test\r\n" : "EHLO mired.test\r\n");
    hear(t, hello);
    assert_int_equal(t->o.state, OUTBOUND_IDLE);
}

static void fates(const struct talk *t, enum fate first, enum fate second)
{
    assert_int_equal(t->recipient[0].fate, first);
    assert_int_equal(t->recipient[1].fate, second);
}

static void test_a_whole_envelope_goes_out_in_one_burst(void **state)
{
    struct talk *t = *state;
    get_ready(t, false, HELLO_ALL);
    assert_int_equal(outbound_begin(&t->o, &t->job), 0);
    said(t, "MAIL FROM:<a@b.test> SIZE=1234 RET=HDRS\r\nRCPT TO:<x@example.test> NOTIFY=NEVER\r\n"
            "RCPT TO:<y@example.test>\r\nDATA\r\n");
    hear(t, "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n");
    assert_int_equal(t->o.state, OUTBOUND_BODY);
    outbound_sent(&t->o);
    hear(t, "250 2.0.0 queued\r\n");
    assert_true(t->o.over);
    assert_int_equal(t->o.state, OUTBOUND_IDLE);
    fates(t, FATE_DONE, FATE_DONE);
    assert_int_equal(t->job.whole.code, 250);
}

static void test_without_pipelining_each_command_waits_for_its_reply(void **state)
{
    struct talk *t = *state;
    get_ready(t, false, "250 mx\r\n");
    outbound_begin(&t->o, &t->job);
    said(t, "MAIL FROM:<a@b.test>\r\n"); /* what the backend does not know is not said */
    hear(t, "250 ok\r\n");
    said(t, "RCPT TO:<x@example.test>\r\n");
    hear(t, "250 ok\r\n");
    said(t, "RCPT TO:<y@example.test>\r\n");
    hear(t, "250 ok\r\n");
    said(t, "DATA\r\n");
    hear(t, "354 go\r\n");
    assert_int_equal(t->o.state, OUTBOUND_BODY);
}

static void test_a_backend_without_ehlo_is_spoken_to_by_helo(void **state)
{
    struct talk *t = *state;
    outbound_start(&t->o, false, "mired.test", 0);
    hear(t, "220 old\r\n");
    said(t, "EHLO mired.test\r\n");
    hear(t, "502 what?\r\n");
    said(t, "HELO mired.test\r\n");
    hear(t, "250 ok\r\n");
    assert_int_equal(t->o.state, OUTBOUND_IDLE);
    assert_int_equal(t->o.caps, 0);
}

static void test_mixed_answers_end_the_job_before_the_data(void **state)
{
    struct talk *t = *state;
    get_ready(t, false, "250 mx\r\n");
    outbound_begin(&t->o, &t->job);
    hear(t, "250 ok\r\n250 ok\r\n550 5.1.1 no\r\n");
    assert_true(t->o.over);
    fates(t, FATE_TAKEN, FATE_REFUSED);
    assert_int_equal(t->recipient[1].reply.code, 550);
    assert_false(t->job.sent);
    assert_int_equal(t->o.state, OUTBOUND_RSET);
    hear(t, "250 ok\r\n");
    assert_int_equal(t->o.state, OUTBOUND_IDLE);
}

static void test_a_354_that_is_not_wanted_is_answered_by_hanging_up(void **state)
{
    struct talk *t = *state;
    get_ready(t, false, HELLO_ALL);
    outbound_begin(&t->o, &t->job);
    hear(t, "250 ok\r\n250 ok\r\n550 no\r\n354 go\r\n");
    assert_true(t->o.over);
    assert_int_equal(t->o.state, OUTBOUND_DEAD);
    assert_false(t->job.sent);
}

static void test_a_refused_sender_speaks_for_all(void **state)
{
    struct talk *t = *state;
    get_ready(t, false, HELLO_ALL);
    outbound_begin(&t->o, &t->job);
    hear(t, "550 5.7.1 not you\r\n503 no\r\n503 no\r\n503 no\r\n");
    assert_true(t->o.over);
    assert_int_equal(t->job.whole.code, 550);
    assert_int_equal(t->o.state, OUTBOUND_RSET);
}

static void test_lmtp_answers_for_each_recipient_that_was_taken(void **state)
{
    struct talk *t = *state;
    envelope_add_recipient(&t->envelope, SPAN("z@example.test"), (struct span){0});
    t->job.recipients = 3;
    get_ready(t, true, HELLO_ALL);
    outbound_begin(&t->o, &t->job);
    hear(t, "250 ok\r\n250 ok\r\n450 4.2.1 later\r\n250 ok\r\n354 go\r\n");
    assert_int_equal(t->o.state, OUTBOUND_BODY);
    outbound_sent(&t->o);
    hear(t, "250 ok\r\n");
    assert_false(t->o.over);
    hear(t, "552 5.2.2 full\r\n");
    assert_true(t->o.over);
    fates(t, FATE_DONE, FATE_LATER);
    assert_int_equal(t->recipient[2].fate, FATE_REFUSED);
}

static void test_who_has_the_message_already_is_left_out(void **state)
{
    struct talk *t = *state;
    t->recipient[0].fate = FATE_HAS_IT;
    get_ready(t, false, HELLO_ALL);
    outbound_begin(&t->o, &t->job);
    said(t, "MAIL FROM:<a@b.test> SIZE=1234 RET=HDRS\r\nRCPT TO:<y@example.test>\r\nDATA\r\n");
    hear(t, "250 ok\r\n250 ok\r\n354 go\r\n");
    outbound_sent(&t->o);
    hear(t, "250 ok\r\n");
    fates(t, FATE_HAS_IT, FATE_DONE);
}

static void test_a_421_is_taken_as_the_end_of_the_connection(void **state)
{
    struct talk *t = *state;
    get_ready(t, false, HELLO_ALL);
    outbound_begin(&t->o, &t->job);
    hear(t, "250 ok\r\n421 4.3.2 shutting down\r\n");
    assert_int_equal(t->o.state, OUTBOUND_DEAD);
    assert_false(t->o.over);
    assert_false(t->job.sent);
}

static void test_a_421_to_the_data_is_a_451_to_the_client(void **state)
{
    struct talk *t = *state;
    get_ready(t, false, HELLO_ALL);
    outbound_begin(&t->o, &t->job);
    hear(t, "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n");
    outbound_sent(&t->o);
    hear(t, "421 4.3.2 shutting down\r\n");
    assert_true(t->o.over);
    assert_int_equal(t->o.state, OUTBOUND_DEAD);
    fates(t, FATE_LATER, FATE_LATER);
    assert_int_equal(t->recipient[0].reply.code, 451);
}

static void test_who_speaks_unasked_is_not_trusted(void **state)
{
    struct talk *t = *state;
    get_ready(t, false, HELLO_ALL);
    hear(t, "250 something\r\n");
    assert_int_equal(t->o.state, OUTBOUND_DEAD);
}

#define IN_TALK(test) cmocka_unit_test_setup_teardown(test, open_talk, close_talk)

static void test_xclient_comes_before_each_message_and_begins_anew(void **state)
{
    struct talk *t = *state;

    introduce(t, "2001:db8::7", "far.example.net");
    outbound_start(&t->o, false, "mired.test", CAP_XCLIENT | CAP_XFORWARD);
    hear(t, "220 mx\r\n");
    said(t, "EHLO mired.test\r\n");
    hear(t, "250-mx\r\n250-PIPELINING\r\n250-XFORWARD NAME ADDR\r\n"
            "250 XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR\r\n");
    assert_int_equal(outbound_begin(&t->o, &t->job), 0);
    said(t, "XCLIENT NAME=[UNAVAILABLE] ADDR=IPV6:2001:db8::7 PORT=4321 PROTO=ESMTP "
            "HELO=far.example.net LOGIN=[UNAVAILABLE]\r\n");
    hear(t, "220 mx\r\n");
    said(t, "EHLO far.example.net\r\n");
    hear(t, "250-mx\r\n250-PIPELINING\r\n250 XCLIENT ADDR\r\n");
    said(t, "MAIL FROM:<a@b.test>\r\nRCPT TO:<x@example.test>\r\nRCPT TO:<y@example.test>\r\n"
            "DATA\r\n");
}

static void test_a_backend_that_refuses_xclient_gets_the_mail_all_the_same(void **state)
{
    struct talk *t = *state;

    introduce(t, "192.0.2.7", "far.example.net");
    outbound_start(&t->o, false, "mired.test", CAP_XCLIENT);
    hear(t, "220 mx\r\n250-mx\r\n250 XCLIENT ADDR\r\n");
    said(t, "EHLO mired.test\r\n");
    assert_int_equal(outbound_begin(&t->o, &t->job), 0);
    said(t, "XCLIENT ADDR=192.0.2.7\r\n");
    hear(t, "550 5.7.0 not from you\r\n");
    said(t, "MAIL FROM:<a@b.test>\r\n");
}

/* Introduces a first client, whose message then goes out; `hello` is what the backend offers it. */
static void first_client(struct talk *t, const char *hello)
{
    introduce(t, "192.0.2.7", "far.example.net");
    outbound_start(&t->o, false, "mired.test", CAP_XCLIENT);
    hear(t, "220 mx\r\n250-mx\r\n250-PIPELINING\r\n250 XCLIENT ADDR\r\n");
    assert_false(outbound_is_spent(&t->o));
    assert_int_equal(outbound_begin(&t->o, &t->job), 0);
    hear(t, "220 mx\r\n");
    hear(t, hello);
    hear(t, "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n");
    outbound_sent(&t->o);
    hear(t, "250 taken\r\n");
    assert_true(t->o.over);
    assert_int_equal(t->o.state, OUTBOUND_IDLE);
    t->o.over = false;
}

static void test_a_backend_that_takes_xclient_once_gets_one_client_a_connection(void **state)
{
    first_client(*state, "250-mx\r\n250 PIPELINING\r\n");
    assert_true(outbound_is_spent(&((struct talk *)*state)->o));
}

static void test_a_message_never_goes_out_as_that_of_the_client_before(void **state)
{
    struct talk *t = *state;

    first_client(t, "250-mx\r\n250-PIPELINING\r\n250 XCLIENT ADDR\r\n");
    assert_false(outbound_is_spent(&t->o));
    assert_int_equal(outbound_begin(&t->o, &t->job), 0);
    hear(t, "550 5.7.0 not from you\r\n");
    assert_int_equal(t->o.state, OUTBOUND_DEAD);
}

static void test_xforward_tells_only_what_is_taken_and_nothing_can_be_added_to_it(void **state)
{
    struct talk *t = *state;

    introduce(t, "192.0.2.7", "a b=c+d SOURCE=LOCAL");
    outbound_start(&t->o, false, "mired.test", CAP_XFORWARD);
    hear(t, "220 mx\r\n250-mx\r\n250-XCLIENT ADDR\r\n250 XFORWARD ADDR HELO SOURCE\r\n");
    said(t, "EHLO mired.test\r\n");
    assert_int_equal(outbound_begin(&t->o, &t->job), 0);
    said(t, "XFORWARD ADDR=192.0.2.7 HELO=a+20b+3Dc+2Bd+20SOURCE+3DLOCAL SOURCE=REMOTE\r\n");
    hear(t, "250 Ok\r\n");
    said(t, "MAIL FROM:<a@b.test>\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_TALK(test_a_whole_envelope_goes_out_in_one_burst),
        IN_TALK(test_without_pipelining_each_command_waits_for_its_reply),
        IN_TALK(test_a_backend_without_ehlo_is_spoken_to_by_helo),
        IN_TALK(test_mixed_answers_end_the_job_before_the_data),
        IN_TALK(test_a_354_that_is_not_wanted_is_answered_by_hanging_up),
        IN_TALK(test_a_refused_sender_speaks_for_all),
        IN_TALK(test_lmtp_answers_for_each_recipient_that_was_taken),
        IN_TALK(test_who_has_the_message_already_is_left_out),
        IN_TALK(test_a_421_is_taken_as_the_end_of_the_connection),
        IN_TALK(test_a_421_to_the_data_is_a_451_to_the_client),
        IN_TALK(test_who_speaks_unasked_is_not_trusted),
        IN_TALK(test_xclient_comes_before_each_message_and_begins_anew),
        IN_TALK(test_a_backend_that_refuses_xclient_gets_the_mail_all_the_same),
        IN_TALK(test_a_backend_that_takes_xclient_once_gets_one_client_a_connection),
        IN_TALK(test_a_message_never_goes_out_as_that_of_the_client_before),
        IN_TALK(test_xforward_tells_only_what_is_taken_and_nothing_can_be_added_to_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
