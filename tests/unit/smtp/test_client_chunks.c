/* A hand-over with BDAT (RFC 3030), word by word: when it is used, and what the replies come to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "smtp/client.h"

#define HELLO    "250-mx\r\n250-PIPELINING\r\n250 CHUNKING\r\n"
#define HEADER   "Received: from x\r\n\tby mired.test\r\n" /* 34 octets */
#define ENVELOPE "MAIL FROM:<a@b.test>\r\nRCPT TO:<x@example.test>\r\nRCPT TO:<y@example.test>\r\n"
#define TAKEN    "250 ok\r\n250 ok\r\n250 ok\r\n"

struct backend_client {
    struct outbound o;
    struct envelope envelope;
    struct job job;
    struct job_recipient recipient[2];
};

static void hear(struct backend_client *t, const char *text)
{
    outbound_input(&t->o, span_of(text));
}

/* What has been said since is exactly this. */
static void said(struct backend_client *t, const char *text)
{
    assert_true(span_equal(buf_span(&t->o.out), span_of(text)));
    buf_free(&t->o.out);
}

static void connect_to(struct backend_client *t, bool lmtp, const char *hello)
{
    outbound_free(&t->o);
    outbound_start(&t->o, lmtp, "mired.test", 0);
    t->o.chunks = true;
    hear(t, "220 backend\r\n");
    buf_free(&t->o.out);
    hear(t, hello);
    assert_int_equal(t->o.state, OUTBOUND_IDLE);
}

static void forget_replies(struct backend_client *t)
{
    for (int i = 0; i < 2; i++) {
        kept_free(&t->recipient[i].reply);
        t->recipient[i] = (struct job_recipient){.fate = FATE_OPEN};
    }
    kept_free(&t->job.whole);
}

static void begin(struct backend_client *t)
{
    forget_replies(t);
    t->job.whole = (struct kept_reply){0};
    t->job.sent = t->o.over = false;
    assert_int_equal(outbound_begin(&t->o, &t->job), 0);
}

static int open_talk(void **state)
{
    struct backend_client *t = calloc(1, sizeof *t);

    envelope_set_sender(&t->envelope, SPAN("a@b.test"), (struct span){0});
    envelope_add_recipient(&t->envelope, SPAN("x@example.test"), (struct span){0});
    envelope_add_recipient(&t->envelope, SPAN("y@example.test"), (struct span){0});
    t->job = (struct job){.envelope = &t->envelope,
                          .header = SPAN(HEADER),
                          .size = 1034,
                          .recipient = t->recipient,
                          .recipients = 2};
    *state = t;
    return 0;
}

static int close_talk(void **state)
{
    struct backend_client *t = *state;

    forget_replies(t);
    outbound_free(&t->o);
    envelope_free(&t->envelope);
    free(t);
    return 0;
}

static void fates(const struct backend_client *t, enum fate first, enum fate second)
{
    assert_int_equal(t->recipient[0].fate, first);
    assert_int_equal(t->recipient[1].fate, second);
}

/* Up to the place where the message itself is sent. */
static void send_first_chunk(struct backend_client *t, bool lmtp)
{
    connect_to(t, lmtp, HELLO);
    begin(t);
    said(t, ENVELOPE);
    hear(t, TAKEN);
    said(t, "BDAT 34\r\n" HEADER);
    assert_int_equal(t->o.state, OUTBOUND_CHUNK);
}

static void send_message(struct backend_client *t, bool lmtp)
{
    send_first_chunk(t, lmtp);
    hear(t, "250 2.0.0 34 octets\r\n");
    said(t, "BDAT 1000 LAST\r\n");
    assert_int_equal(t->o.state, OUTBOUND_BODY);
    assert_int_equal(t->o.ahead, 34);
    assert_true(t->o.chunked);
    outbound_sent(&t->o);
}

static void test_the_first_chunk_of_a_connection_is_the_header_alone(void **state)
{
    struct backend_client *t = *state;

    send_message(t, false);
    assert_true(t->job.sent);
    hear(t, "250 2.0.0 queued\r\n");
    assert_true(t->o.over);
    assert_int_equal(t->o.state, OUTBOUND_IDLE);
    fates(t, FATE_DONE, FATE_DONE);
}

static void test_later_messages_of_the_connection_are_one_chunk(void **state)
{
    struct backend_client *t = *state;

    send_message(t, false);
    hear(t, "250 2.0.0 queued\r\n");
    begin(t);
    said(t, ENVELOPE);
    hear(t, TAKEN);
    said(t, "BDAT 1034 LAST\r\n");
    assert_int_equal(t->o.state, OUTBOUND_BODY);
    assert_int_equal(t->o.ahead, 0);
    outbound_sent(&t->o);
    hear(t, "250 2.0.0 queued\r\n");
    fates(t, FATE_DONE, FATE_DONE);
}

/* The octets that went ahead were the first message's, and another one has a header of its own. */
static void test_a_message_with_data_behind_one_with_bdat_begins_at_its_beginning(void **state)
{
    struct backend_client *t = *state;

    send_message(t, false);
    hear(t, "250 2.0.0 queued\r\n");
    t->job.by_data = true;
    begin(t);
    said(t, ENVELOPE "DATA\r\n");
    hear(t, TAKEN "354 go on\r\n");
    assert_int_equal(t->o.state, OUTBOUND_BODY);
    assert_int_equal(t->o.ahead, 0);
    assert_false(t->o.chunked);
}

/* The same octets may have been commands to a server that has refused the recipients. */
static void test_nothing_of_the_message_is_sent_before_the_last_recipient_is_answered(void **state)
{
    struct backend_client *t = *state;

    connect_to(t, false, HELLO);
    begin(t);
    said(t, ENVELOPE);
    hear(t, "250 ok\r\n250 ok\r\n250 o");
    said(t, "");
    assert_int_equal(t->o.state, OUTBOUND_RCPT);
    hear(t, "k\r\n");
    said(t, "BDAT 34\r\n" HEADER);
}

static void test_without_pipelining_bdat_follows_the_last_recipient(void **state)
{
    struct backend_client *t = *state;

    connect_to(t, false, "250-mx\r\n250 CHUNKING\r\n");
    begin(t);
    said(t, "MAIL FROM:<a@b.test>\r\n");
    hear(t, "250 ok\r\n");
    said(t, "RCPT TO:<x@example.test>\r\n");
    hear(t, "250 ok\r\n");
    said(t, "RCPT TO:<y@example.test>\r\n");
    hear(t, "450 later\r\n");
    said(t, "BDAT 34\r\n" HEADER);
}

/* DATA where BDAT is not offered, not wanted, or the message has stuffing dots. */
static void test_data_is_used_where_bdat_may_not_be(void **state)
{
    struct backend_client *t = *state;

    for (int i = 0; i < 4; i++) {
        connect_to(t, false, i == 0 ? "250-mx\r\n250 PIPELINING\r\n" : HELLO);
        t->o.chunks = i != 1;
        t->job.by_data = i == 2;
        t->job.header = i == 3 ? (struct span){0} : SPAN(HEADER);
        begin(t);
        said(t, ENVELOPE "DATA\r\n");
        hear(t, TAKEN "354 go\r\n");
        assert_int_equal(t->o.state, OUTBOUND_BODY);
        assert_false(t->o.chunked);
        said(t, "");
    }
}

/* The extensions are those of the latest EHLO: here that after XCLIENT. */
static void test_bdat_is_used_only_if_the_latest_ehlo_offers_it(void **state)
{
    struct backend_client *t = *state;

    connect_to(t, false, "250-mx\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 XCLIENT ADDR\r\n");
    t->o.xclient_caps = CAP_XCLIENT;
    assert_true(addr_parse(SPAN("192.0.2.1"), &t->job.who.client));
    begin(t);
    hear(t, "220 again\r\n");
    buf_free(&t->o.out);
    hear(t, "250-mx\r\n250 PIPELINING\r\n");
    said(t, ENVELOPE "DATA\r\n");
}

static void test_a_mixed_or_refused_envelope_is_reset_and_the_connection_stays(void **state)
{
    static const char *const replies[] = {"250 ok\r\n250 ok\r\n550 5.1.1 no\r\n",
                                          "250 ok\r\n550 5.1.1 no\r\n550 5.1.1 no\r\n",
                                          "250 ok\r\n450 4.2.0 no\r\n450 4.2.0 no\r\n",
                                          "550 5.7.1 spam\r\n503 mail?\r\n503 mail?\r\n"};
    struct backend_client *t = *state;

    connect_to(t, false, HELLO);
    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
        begin(t);
        said(t, ENVELOPE);
        hear(t, replies[i]);
        said(t, "RSET\r\n");
        assert_true(t->o.over);
        assert_false(t->job.sent);
        hear(t, "250 ok\r\n");
        assert_int_equal(t->o.state, OUTBOUND_IDLE);
    }
}

/* A server that does not know BDAT, and one that fails at it: the job goes again with DATA. */
static void test_a_refused_first_chunk_ends_the_connection_and_not_the_job(void **state)
{
    static const char *const refusals[] = {
        "500 5.5.1 what?\r\n", "501 no\r\n", "502 5.5.1 not here\r\n", "503 5.5.1 no\r\n",
        "504 no\r\n", "550 5.7.1 no\r\n", "552 5.3.4 large\r\n", "554 5.6.0 content\r\n",
        "452 4.3.1 full\r\n", "354 go on\r\n",
        /* one reply for each line of the chunk, which it takes for commands */
        "500 what?\r\n500 what?\r\n500 what?\r\n"};
    struct backend_client *t = *state;

    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        send_first_chunk(t, i % 2);
        hear(t, refusals[i]);
        assert_int_equal(t->o.state, OUTBOUND_DEAD);
        assert_true(t->o.chunks_refused);
        assert_false(t->o.over);
        assert_false(t->job.sent);
        assert_true(t->o.complaint.code > 0);
        said(t, "");
        fates(t, FATE_TAKEN, FATE_TAKEN);
        connect_to(t, i % 2, HELLO);
        t->job.by_data = true;
        begin(t);
        said(t, ENVELOPE "DATA\r\n");
        t->job.by_data = false;
    }
}

static void test_a_connection_that_ends_at_the_first_chunk_refuses_nothing(void **state)
{
    struct backend_client *t = *state;

    send_first_chunk(t, false);
    hear(t, "421 4.3.2 going down\r\n");
    assert_int_equal(t->o.state, OUTBOUND_DEAD);
    assert_false(t->o.chunks_refused);
    assert_false(t->o.over);
}

static void test_bdat_refused_at_its_last_chunk_leaves_the_job_unsent(void **state)
{
    static const char *const refusals[] = {"500 what?\r\n", "502 5.5.1 not here\r\n",
                                           "503 5.5.1 bad sequence\r\n", "504 no\r\n"};
    struct backend_client *t = *state;

    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        send_message(t, false);
        hear(t, refusals[i]);
        assert_int_equal(t->o.state, OUTBOUND_DEAD);
        assert_true(t->o.chunks_refused);
        assert_false(t->o.over);
        assert_false(t->job.sent);
    }
}

static void test_a_refusal_of_the_message_is_the_clients_reply(void **state)
{
    struct backend_client *t = *state;

    send_message(t, false);
    hear(t, "550 5.7.1 spam\r\n");
    assert_true(t->o.over);
    assert_false(t->o.chunks_refused);
    assert_int_equal(t->o.state, OUTBOUND_IDLE);
    assert_int_equal(t->job.whole.code, 550);
    fates(t, FATE_REFUSED, FATE_REFUSED);
    send_message(t, false);
    hear(t, "451 4.3.0 later\r\n");
    fates(t, FATE_LATER, FATE_LATER);
}

static void test_lmtp_answers_each_recipient_after_the_last_chunk(void **state)
{
    struct backend_client *t = *state;

    send_message(t, true);
    hear(t, "250 2.0.0 x has it\r\n");
    assert_false(t->o.over);
    hear(t, "552 5.2.2 y is full\r\n");
    assert_true(t->o.over);
    assert_int_equal(t->o.state, OUTBOUND_IDLE);
    fates(t, FATE_DONE, FATE_REFUSED);
}

/* RCPT was refused for one of them: it has no reply after the chunk. */
static void test_lmtp_answers_only_recipients_that_it_has_accepted(void **state)
{
    struct backend_client *t = *state;

    connect_to(t, true, HELLO);
    begin(t);
    hear(t, "250 ok\r\n450 4.2.0 later\r\n250 ok\r\n");
    hear(t, "250 chunk\r\n");
    outbound_sent(&t->o);
    hear(t, "250 2.0.0 y has it\r\n");
    assert_true(t->o.over);
    fates(t, FATE_LATER, FATE_DONE);
}

/* The recipient that has the message keeps it, and the client tries again for the other one. */
static void test_lmtp_bdat_refused_for_one_recipient_only_defers_that_one(void **state)
{
    struct backend_client *t = *state;

    send_message(t, true);
    hear(t, "250 2.0.0 x has it\r\n503 5.5.1 no\r\n");
    assert_true(t->o.over);
    assert_true(t->job.sent);
    assert_true(t->o.chunks_refused);
    fates(t, FATE_DONE, FATE_LATER);
    assert_int_equal(t->recipient[1].reply.code, 451);
}

static void test_a_refusal_amid_the_chunk_ends_the_connection(void **state)
{
    struct backend_client *t = *state;

    send_first_chunk(t, false);
    hear(t, "250 ok\r\n");
    hear(t, "552 5.3.4 too large\r\n");
    assert_true(t->o.over);
    assert_int_equal(t->o.state, OUTBOUND_DEAD);
    fates(t, FATE_REFUSED, FATE_REFUSED);
    assert_int_equal(t->recipient[1].reply.code, 552);
    assert_false(t->job.sent);

    send_first_chunk(t, false);
    hear(t, "250 ok\r\n");
    hear(t, "503 5.5.1 no\r\n"); /* not about the message: it is tried again */
    assert_false(t->o.over);
    assert_int_equal(t->o.state, OUTBOUND_DEAD);
}

#define IN_TALK(f) cmocka_unit_test_setup_teardown(f, open_talk, close_talk)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_TALK(test_the_first_chunk_of_a_connection_is_the_header_alone),
        IN_TALK(test_later_messages_of_the_connection_are_one_chunk),
        IN_TALK(test_a_message_with_data_behind_one_with_bdat_begins_at_its_beginning),
        IN_TALK(test_nothing_of_the_message_is_sent_before_the_last_recipient_is_answered),
        IN_TALK(test_without_pipelining_bdat_follows_the_last_recipient),
        IN_TALK(test_data_is_used_where_bdat_may_not_be),
        IN_TALK(test_bdat_is_used_only_if_the_latest_ehlo_offers_it),
        IN_TALK(test_a_mixed_or_refused_envelope_is_reset_and_the_connection_stays),
        IN_TALK(test_a_refused_first_chunk_ends_the_connection_and_not_the_job),
        IN_TALK(test_a_connection_that_ends_at_the_first_chunk_refuses_nothing),
        IN_TALK(test_bdat_refused_at_its_last_chunk_leaves_the_job_unsent),
        IN_TALK(test_a_refusal_of_the_message_is_the_clients_reply),
        IN_TALK(test_lmtp_answers_each_recipient_after_the_last_chunk),
        IN_TALK(test_lmtp_answers_only_recipients_that_it_has_accepted),
        IN_TALK(test_lmtp_bdat_refused_for_one_recipient_only_defers_that_one),
        IN_TALK(test_a_refusal_amid_the_chunk_ends_the_connection),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
