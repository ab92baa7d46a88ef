/* session_freeze.c: records of sessions, and damaged ones. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "expect.h"

/* A reply to RCPT is being told, and not yet sent. */
static void hold_at_rcpt(struct dialogue *t, struct smtp_step *step)
{
    size_t used;
    greet(t);
    codes(t, "MAIL FROM:<a@example.net> RET=FULL\r\nRCPT TO:<b@example.org>\r\n", "250 250");
    assert_int_equal(
        smtp_step(&t->session, &t->service, SPAN("RCPT TO:<nobody@example.org>\r\n"), &used, step),
        SMTP_RECIPIENT);
    smtp_recipient_is(&t->session, RECIPIENT_UNKNOWN, step->address, NULL);
    assert_int_equal(smtp_step(&t->session, &t->service, SPAN(""), &used, step), SMTP_REPLY);
}

static void test_a_held_session_comes_back_as_it_was(void **state)
{
    struct dialogue *t = *state;
    struct smtp_step step;
    struct buf record = {0};
    struct reply again;
    hold_at_rcpt(t, &step);
    assert_int_equal(session_freeze(&t->session, &record), 0);
    assert_true(record.len <= 128);
    smtp_free(&t->session);
    assert_int_equal(session_thaw(&t->session, buf_span(&record)), 0);
    assert_true(smtp_reply_again(&t->session, &t->service, &again));
    assert_int_equal(again.id, REPLY_NO_USER);
    assert_int_equal(again.offence, OFFENCE_RECIPIENT);
    expect_span(again.arg, "nobody@example.org");
    codes(t, "DATA\r\nx\r\n.\r\n", "354 250");
    expect_span(envelope_helo(&t->session.envelope), "client.example.net");
    buf_free(&record);
}

static void test_a_whole_talk_may_be_frozen_at_each_reply(void **state)
{
    struct dialogue *t = *state;
    t->freeze = true;
    dialogue_restart(t, true);
    expect(t,
           "EHLO c\r\nAUTH PLAIN AGEAd3Jvbmc=\r\nMAIL FROM:<a@example.net>\r\n"
           "RCPT TO:<other@example.org>\r\nRCPT TO:<b@example.org>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n",
           "250-mx.example.org\r\n250-PIPELINING\r\n250-SIZE 1000000\r\n250-STARTTLS\r\n"
           "250-AUTH PLAIN LOGIN SCRAM-SHA-256\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n"
           "250-CHUNKING\r\n250-LIMITS RCPTMAX=1000\r\n250 ENHANCEDSTATUSCODES\r\n"
           "535 5.7.8 Authentication failed\r\n250 2.1.0 Ok\r\n"
           "552-5.2.2 Mailbox full\r\n552 5.2.2 for a week now\r\n250 2.1.5 Ok\r\n"
           "354 End data with <CR><LF>.<CR><LF>\r\n250 2.0.0 Ok\r\n221 2.0.0 Bye\r\n");
    assert_true(t->ended);
    assert_int_equal(t->frozen, 8); /* all replies, the greeting too, but 354 */
}

static void test_what_is_in_the_middle_of_something_is_not_frozen(void **state)
{
    struct dialogue *t = *state;
    struct buf record = {0};
    dialogue_restart(t, true);
    greet(t);
    codes(t, "AUTH LOGIN\r\n", "334");
    assert_int_equal(session_freeze(&t->session, &record), -EBUSY);
    codes(t, "*\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.org>\r\nBDAT 1\r\nx", "501 250 250 250");
    assert_int_equal(session_freeze(&t->session, &record), -EBUSY);
    codes(t, "RSET\r\nMAIL FROM:<>\r\nRCPT TO:<wait@example.org>\r\n", "250 250");
    assert_int_equal(session_freeze(&t->session, &record), -EBUSY);
    assert_int_equal(record.len, 0);
}

static void test_a_damaged_record_is_refused(void **state)
{
    struct dialogue *t = *state;
    struct smtp_session other;
    struct smtp_step step;
    struct buf record = {0};
    hold_at_rcpt(t, &step);
    assert_int_equal(session_freeze(&t->session, &record), 0);
    for (uint32_t i = 0; i < record.len; i++) {
        record.at[i] ^= 0x10;
        assert_int_equal(session_thaw(&other, buf_span(&record)), -EBADMSG);
        assert_null(other.envelope.text.at);
        record.at[i] ^= 0x10;
        assert_int_equal(session_thaw(&other, span_first(buf_span(&record), i)), -EBADMSG);
    }
    assert_int_equal(session_thaw(&other, buf_span(&record)), 0);
    smtp_free(&other);
    buf_free(&record);
}

/* Sets the word of a record's field, and the check over all of them. */
static void change(struct buf *record, size_t at, uint16_t word)
{
    enum { CHECKED_FROM = 4 };
    uint32_t sum = 2166136261u;

    memcpy(record->at + at, &word, sizeof word);
    for (uint32_t i = CHECKED_FROM; i < record->len; i++)
        sum = (sum ^ (uint8_t)record->at[i]) * 16777619u;
    memcpy(record->at, &sum, sizeof sum);
}

/* A process that was taken over could write one with a right check. */
static void test_a_record_with_a_reply_that_smtp_does_not_have_is_refused(void **state)
{
    enum { CODE_AT = 18 };
    static const uint16_t wrong[] = {0, 1, 99, 199, 600, 999, 1023};
    struct dialogue *t = *state;
    struct smtp_session other;
    struct smtp_step step;
    struct buf record = {0};

    hold_at_rcpt(t, &step);
    assert_int_equal(session_freeze(&t->session, &record), 0);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        change(&record, CODE_AT, wrong[i]);
        assert_int_equal(session_thaw(&other, buf_span(&record)), -EBADMSG);
    }
    change(&record, CODE_AT, 599);
    assert_int_equal(session_thaw(&other, buf_span(&record)), 0);
    smtp_free(&other);
    buf_free(&record);
}

/* Before the reply table's last row there was no count of junk: its bits were 0. */
static void test_a_record_from_before_the_junk_count_is_read(void **state)
{
    enum { REPLIES_AT = 10 };
    struct dialogue *t = *state;
    struct smtp_step step;
    struct buf record = {0};

    hold_at_rcpt(t, &step);
    assert_int_equal(session_freeze(&t->session, &record), 0);
    change(&record, REPLIES_AT, REPLY_TOO_MANY_COMMANDS);
    smtp_free(&t->session);
    assert_int_equal(session_thaw(&t->session, buf_span(&record)), 0);
    t->service.junk_max = 2;
    codes(t, "NOOP\r\nNOOP\r\nNOOP\r\n", "250 250 421");
    buf_free(&record);
}

/* A mired from before the steps reads version 4 only, and all of `code` as the code. So what it reads
 * has nothing else there, and no count is lost for that. */
static void test_a_long_count_has_a_version_that_an_older_mired_drops(void **state)
{
    enum { VERSION_AT = 8, CODE_AT = 18 };
    struct dialogue *t = *state;
    struct smtp_step step;
    struct smtp_session other;
    static const unsigned count[] = {0, 1, 255, 256, 1000, 3000};

    hold_at_rcpt(t, &step);
    for (size_t i = 0; i < sizeof count / sizeof *count; i++) {
        struct buf record = {0};
        uint16_t version, code;
        t->session.junk = count[i] & 0x3fff;
        assert_int_equal(session_freeze(&t->session, &record), 0);
        memcpy(&version, record.at + VERSION_AT, sizeof version);
        memcpy(&code, record.at + CODE_AT, sizeof code);
        assert_int_equal(version, count[i] < 256 ? 4 : 5);
        assert_int_equal(code == t->session.pending.code, count[i] < 256);
        assert_int_equal(session_thaw(&other, buf_span(&record)), 0);
        assert_int_equal(other.junk, count[i]);
        assert_int_equal(other.pending.code, t->session.pending.code);
        smtp_free(&other);
        buf_free(&record);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TALK_TEST(test_a_held_session_comes_back_as_it_was),
        TALK_TEST(test_a_whole_talk_may_be_frozen_at_each_reply),
        TALK_TEST(test_what_is_in_the_middle_of_something_is_not_frozen),
        TALK_TEST(test_a_damaged_record_is_refused),
        TALK_TEST(test_a_record_with_a_reply_that_smtp_does_not_have_is_refused),
        TALK_TEST(test_a_record_from_before_the_junk_count_is_read),
        TALK_TEST(test_a_long_count_has_a_version_that_an_older_mired_drops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
