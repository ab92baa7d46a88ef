/* session.c, command.c: order, lines, sequence, ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "expect.h"
#include "smtp/session_part.h"

static void test_the_greeting_is_the_first_thing_said(void **state)
{
    struct smtp_session s;
    struct smtp_service service = {.hostname = "mx.example.org"};
    struct smtp_step step;
    size_t used;
    smtp_start(&s, false);
    assert_int_equal(smtp_step(&s, &service, SPAN("EHLO x\r\n"), &used, &step), SMTP_REPLY);
    assert_int_equal(used, 0);
    assert_int_equal(step.reply.id, REPLY_GREETING);
    expect_span(step.reply.arg, "mx.example.org");
    assert_false(step.reply.last);
    smtp_free(&s);
}

static void test_nothing_is_parsed_while_a_reply_waits(void **state)
{
    struct dialogue *t = *state;
    struct smtp_step step;
    size_t used;
    struct span in = SPAN("NOOP\r\nQUIT\r\n");
    assert_int_equal(smtp_step(&t->session, &t->service, in, &used, &step), SMTP_REPLY);
    assert_int_equal(used, 6);
    assert_int_equal(step.reply.id, REPLY_OK);
    struct reply again;
    assert_true(smtp_reply_again(&t->session, &t->service, &again));
    assert_int_equal(again.id, REPLY_OK);
    assert_int_equal(smtp_step(&t->session, &t->service, span_after(in, 6), &used, &step),
                     SMTP_REPLY);
    assert_int_equal(step.reply.id, REPLY_BYE);
    assert_true(step.reply.last);
    assert_int_equal(smtp_step(&t->session, &t->service, SPAN(""), &used, &step), SMTP_END);
    assert_int_equal(smtp_step(&t->session, &t->service, SPAN("NOOP\r\n"), &used, &step), SMTP_END);
    assert_int_equal(used, 0);
    assert_false(smtp_reply_again(&t->session, &t->service, &again));
}

static void test_pipelined_commands_are_answered_in_order(void **state)
{
    struct dialogue *t = *state;
    expect(t,
           "EHLO c.example.net\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\n"
           "RCPT TO:<nobody@example.org>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n",
           "250-mx.example.org\r\n250-PIPELINING\r\n250-SIZE 1000000\r\n250-STARTTLS\r\n"
           "250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250-CHUNKING\r\n"
           "250-LIMITS RCPTMAX=1000\r\n250 ENHANCEDSTATUSCODES\r\n"
           "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n550 5.1.1 <nobody@example.org>: user unknown\r\n"
           "354 End data with <CR><LF>.<CR><LF>\r\n250 2.0.0 Ok\r\n221 2.0.0 Bye\r\n");
    expect_asked(t, "recipient b@example.org\nrecipient nobody@example.org\nmessage\nend\n");
    expect_span(buf_span(&t->body), "x\r\n");
    assert_true(t->ended);
}

static void test_one_octet_at_a_time_is_the_same(void **state)
{
    struct dialogue *t = *state;
    dialogue_send(
        t, SPAN("HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n..\r\n.\r\n"), 1);
    expect_span(buf_span(&t->replies), "250 mx.example.org\r\n250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n"
                                       "354 End data with <CR><LF>.<CR><LF>\r\n250 2.0.0 Ok\r\n");
    expect_span(buf_span(&t->body), "..\r\n");
}

/* What every command gets in every state that does not allow it: rows of the table, and nothing
 * else. */
static void test_each_command_is_refused_where_the_table_does_not_allow_it(void **state)
{
    static const struct {
        enum smtp_state state;
        const char *way;
    } ways[] = {
        {STATE_FRESH, "NOOP\r\n"},
        {STATE_READY, "EHLO c\r\n"},
        {STATE_SENDER, "EHLO c\r\nMAIL FROM:<>\r\n"},
        {STATE_RECIPIENTS, "EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.org>\r\n"},
        {STATE_CHUNKS, "EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.org>\r\nBDAT 1\r\nx"},
    };
    struct dialogue *t = *state;
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
        for (unsigned i = 0; smtp_command_at(i); i++) {
            const struct command *c = smtp_command_at(i);
            struct buf line = {0};
            if (c->flags & COMMAND_LMTP_ONLY)
                continue;
            dialogue_restart(t, true);
            dialogue_send(t, span_of(ways[w].way), 0);
            assert_int_equal(t->session.state, ways[w].state);
            buf_free(&t->replies);
            assert_int_equal(buf_addf(&line, "%s%s\r\n", c->verb,
                                      c->flags & COMMAND_BARE    ? ""
                                      : c->flags & COMMAND_CHUNK ? " 0"
                                                                 : " x"),
                             0);
            dialogue_send(t, buf_span(&line), 0);
            buf_free(&line);
            bool refused = span_starts_fold(buf_span(&t->replies), SPAN("503 5.5.1 "));
            bool none = span_starts_fold(buf_span(&t->replies), SPAN("554 5.5.1 "));
            bool recipients = c->flags & COMMAND_RECIPIENTS && ways[w].state == STATE_SENDER;
            assert_int_equal(none, recipients);
            assert_int_equal(refused, !(c->allowed & (1u << ways[w].state)));
            assert_true(t->replies.len > 0);
        }
    }
}

static void test_mail_needs_ehlo_or_helo(void **state)
{
    struct dialogue *t = *state;
    expect(t, "MAIL FROM:<a@example.net>\r\n", "503 5.5.1 EHLO first\r\n");
    codes(t, "HELO c\r\nMAIL FROM:<a@example.net>\r\n", "250 250");
}

static void test_out_of_order_says_what_is_missing(void **state)
{
    struct dialogue *t = *state;
    greet(t);
    expect(t, "RCPT TO:<b@example.org>\r\n", "503 5.5.1 MAIL first\r\n");
    expect(t, "DATA\r\n", "503 5.5.1 MAIL first\r\n");
    codes(t, "MAIL FROM:<a@example.net>\r\n", "250");
    expect(t, "MAIL FROM:<a@example.net>\r\n", "503 5.5.1 The sender is known\r\n");
    expect(t, "DATA\r\n", "554 5.5.1 No valid recipients\r\n");
    assert_int_equal(t->offences, 4);
}

static void test_what_was_pipelined_behind_a_refusal_is_no_offence(void **state)
{
    struct dialogue *t = *state;
    greet(t);
    codes(t, "MAIL FROM:<a@example.net>\r\nRCPT TO:<nobody@example.org>\r\nDATA\r\n",
          "250 550 554");
    assert_int_equal(t->offences, 1);
    codes(t, "RSET\r\nMAIL FROM:<> SIZE=9999999\r\nRCPT TO:<b@example.org>\r\nDATA\r\n",
          "250 552 503 503");
    assert_int_equal(t->offences, 2);
    codes(t, "MAIL FROM:<>\r\nDATA\r\n", "250 554"); /* nothing was refused before it */
    assert_int_equal(t->offences, 3);
    codes(t, "RCPT TO:<b@example.org>\r\nBDAT 1\r\nxDATA\r\n", "250 250 503");
    assert_int_equal(t->offences, 4);
    codes(t, "RSET\r\nDATA\r\n", "250 503");
    assert_int_equal(t->offences, 5);
}

static void test_unknown_commands_and_empty_lines_are_500(void **state)
{
    struct dialogue *t = *state;
    expect(t, "FROB x\r\n", "500 5.5.2 Unknown command\r\n");
    expect(t, "\r\n", "500 5.5.2 Unknown command\r\n");
    expect(t, " EHLO x\r\n", "500 5.5.2 Unknown command\r\n");
    expect(t, "LHLO x\r\n", "500 5.5.2 Unknown command\r\n");
    expect(t, "noop\r\n", "250 2.0.0 Ok\r\n");
    expect(t, "GET / index.html\r\n", "500 5.5.2 Unknown command\r\n");
}

static void test_vrfy_tells_nothing_and_expn_is_not_there(void **state)
{
    struct dialogue *t = *state;
    expect(t, "VRFY alice\r\n", "252 2.5.2 Cannot VRFY; send some mail, I will try my best\r\n");
    codes(t, "VRFY\r\n", "501");
    expect(t, "EXPN staff\r\n", "502 5.5.1 EXPN is not offered\r\n");
    expect(t, "HELP\r\nHELP MAIL\r\nNOOP whatever\r\n",
           "214 2.0.0 See RFC 5321\r\n214 2.0.0 See RFC 5321\r\n250 2.0.0 Ok\r\n");
}

static void test_commands_without_arguments_take_none(void **state)
{
    struct dialogue *t = *state;
    codes(t, "RSET x\r\nQUIT now\r\nNOOP\r\n", "501 501 250");
    codes(t, "RSET  \r\n", "250");
    assert_false(t->ended);
}

static void test_a_line_of_2048_octets_is_taken_and_one_more_is_not(void **state)
{
    struct dialogue *t = *state;
    char line[SMTP_LINE_MAX + 1];
    memset(line, 'x', sizeof line);
    memcpy(line, "NOOP ", 5);
    memcpy(line + SMTP_LINE_MAX - 2, "\r\n", 2);
    expect_octets(t, (struct span){line, SMTP_LINE_MAX}, "250 2.0.0 Ok\r\n");
    memcpy(line + SMTP_LINE_MAX - 2, "x\r\n", 3);
    expect_octets(t, (struct span){line, SMTP_LINE_MAX + 1}, "500 5.5.2 Line too long\r\n");
}

static void test_a_line_without_end_is_swallowed_and_answered_once(void **state)
{
    struct dialogue *t = *state;
    char junk[5000];
    memset(junk, 'j', sizeof junk);
    for (int i = 0; i < 100; i++) {
        dialogue_send(t, (struct span){junk, sizeof junk}, 700);
        assert_true(t->input.len < SMTP_LINE_MAX);
    }
    assert_int_equal(t->replies.len, 0);
    expect(t, "\r\nNOOP\r\n", "500 5.5.2 Line too long\r\n250 2.0.0 Ok\r\n");
}

static void test_a_bare_cr_lf_or_nul_makes_the_line_bad_up_to_its_lf(void **state)
{
    struct dialogue *t = *state;
    const char *const bad = "500 5.5.2 Bare CR, LF or NUL\r\n250 2.0.0 Ok\r\n";
    expect(t, "NOOP\nNOOP\r\n", bad);
    expect(t, "NOOP\rRSET\r\nNOOP\r\n", bad);
    expect(t, "NOOP\r\r\nNOOP\r\n", bad);
    expect(t, "NO\0OP\r\nNOOP\r\n", bad);
    expect(t, "MAIL FROM:<>\nNOOP\r\n", bad);
    assert_int_equal(t->offences, 5);
    expect(t, "\nNOOP\r\n", bad); /* a key pressed */
    assert_int_equal(t->offences, 5);
}

/* `echo QUIT | nc`, `echo | openssl s_client`: taken where nothing depends on it, and no offence. */
static void test_what_a_shell_sends_to_check_a_server_is_no_offence(void **state)
{
    static const struct {
        const char *says, *codes;
    } checks[] = {
        {"QUIT\n", "221"},
        {"EHLO x\nQUIT\n", "250 221"},
        {"HELO x\nNOOP\r\nRSET\r\nQUIT\n", "250 250 250 221"},
        {"EHLO\r\nQUIT\r\n", "501 221"},
        {"HELO \nQUIT\n", "501 221"},
        {"\nQUIT\r\n", "500 221"},
        {"\r\n\r\nQUIT\n", "500 500 221"},
        {"EHLO x\r\n\nQUIT\n", "250 500 221"},
        {"\x16\x03\x01\x01\n\x01\r\n", "554"},
        {"\x16\x03\x03", "554"},
        {"HEAD / HTTP/1.1\r\nHost: mx.example.org\r\n\r\n", "554"},
        {"GET /x HTTP/1.0\r\n\r\n", "554"},
    };
    struct dialogue *t = *state;

    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        dialogue_restart(t, false);
        expect_codes(t, span_of(checks[i].says), checks[i].codes);
        assert_true(t->ended);
        assert_int_equal(t->offences, 0);
    }
}

/* Within a mail transaction, and for what could be part of one, LF alone ends no line. */
static void test_a_bare_lf_ends_no_line_of_a_transaction(void **state)
{
    static const char *const lines[] = {"QUIT\n", "RSET\n", "NOOP\n", "EHLO x\n"};
    static const char *const mail[] = {"MAIL FROM:<>\n", "STARTTLS\n", "AUTH PLAIN\n",
                                       "HELP\n",         "VRFY a\n",   "RCPT\n",
                                       "DATA\n",         "QUITE\n",    "NOOP\r\r\n"};
    struct dialogue *t = *state;

    dialogue_restart(t, false);
    greet(t);
    for (size_t i = 0; i < sizeof mail / sizeof mail[0]; i++)
        expect_codes(t, span_of(mail[i]), "500");
    begin_mail(t);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        expect_codes(t, span_of(lines[i]), "500");
    assert_int_equal(t->offences, sizeof mail / sizeof mail[0] + sizeof lines / sizeof lines[0]);
}

/* R22: what may be said before the greeting without being an early talker. */
static void test_r22_only_what_ends_with_quit_or_begins_tls_is_a_check(void **state)
{
    static const char *const checks[] = {"QUIT\r\n",
                                         "quit\n",
                                         "EHLO x\r\nQUIT\r\n",
                                         "HELO x\nNOOP\r\nRSET\r\nQUIT\n",
                                         "QUIT\r\nMAIL FROM:<a@b.example>\r\n",
                                         "\x16\x03\x01\x02"};
    static const char *const talk[] = {"Q",
                                       "QUIT",
                                       "\n",
                                       "EHLO x\r\n",
                                       "EHLO x\r\nMAIL FROM:<>\r\nQUIT\r\n",
                                       "GET / HTTP/1.1\r\n",
                                       "NO\rOP\nQUIT\n",
                                       "NOOP\nQUIT\n",
                                       "QUIT now\r\nMAIL FROM:<a@b.example>\r\n",
                                       "RSET x\r\nQUIT\r\n",
                                       "HELO \x01\r\nQUIT\r\n",
                                       "\x16",
                                       "\x16\x02",
                                       "STARTTLS\r\nQUIT\r\n",
                                       "AUTH PLAIN\r\nQUIT\r\n"};

    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++)
        assert_int_equal(smtp_early(span_of(checks[i])), SMTP_EARLY_CHECK);
    for (size_t i = 0; i < sizeof talk / sizeof talk[0]; i++)
        assert_int_equal(smtp_early(span_of(talk[i])), SMTP_EARLY_TALK);
    assert_int_equal(smtp_early((struct span){0}), SMTP_EARLY_TALK);
}

static void test_ehlo_and_rset_reset_the_transaction(void **state)
{
    struct dialogue *t = *state;
    greet(t);
    begin_mail(t);
    codes(t, "RSET\r\nRCPT TO:<c@example.org>\r\n", "250 503");
    expect_span(envelope_helo(&t->session.envelope), "client.example.net");
    begin_mail(t);
    codes(t, "EHLO again.example.net\r\nDATA\r\n", "250 503");
    expect_span(envelope_helo(&t->session.envelope), "again.example.net");
    begin_mail(t);
    codes(t, "HELO old.example.net\r\nDATA\r\nMAIL FROM:<x@example.net>\r\n", "250 503 250");
}

static void test_after_a_message_the_next_may_begin(void **state)
{
    struct dialogue *t = *state;
    greet(t);
    for (int i = 0; i < 3; i++) {
        begin_mail(t);
        codes(t, "DATA\r\n.\r\n", "354 250");
        assert_int_equal(envelope_recipients(&t->session.envelope), 0);
        assert_false(envelope_has_sender(&t->session.envelope));
    }
}

static void test_shutting_drops_the_reply_in_waiting_and_ends(void **state)
{
    struct dialogue *t = *state;
    struct smtp_step step;
    size_t used;
    greet(t);
    begin_mail(t);
    assert_int_equal(smtp_step(&t->session, &t->service, SPAN("NOOP\r\n"), &used, &step),
                     SMTP_REPLY);
    smtp_shut(&t->session, REPLY_SHUTDOWN);
    expect(t, "NOOP\r\n", "421 4.3.2 mx.example.org Service is closing, try again\r\n");
    assert_true(t->ended);
}

static void test_shutting_in_the_data_gives_the_spool_up(void **state)
{
    struct dialogue *t = *state;
    greet(t);
    begin_mail(t);
    codes(t, "DATA\r\nabc\r\n", "354");
    assert_true(smtp_in_data(&t->session));
    smtp_shut(&t->session, REPLY_TIMEOUT);
    assert_false(smtp_in_data(&t->session));
    dialogue_go_on(t);
    expect_asked(t, "message\nvoid\n");
    expect_span(buf_span(&t->replies), "421 4.4.2 mx.example.org Idle for too long\r\n");
}

static void test_an_answer_that_comes_after_the_end_is_ignored(void **state)
{
    struct dialogue *t = *state;
    greet(t);
    codes(t, "MAIL FROM:<a@example.net>\r\nRCPT TO:<wait@example.org>\r\n", "250");
    expect_span(smtp_asked(&t->session), "wait@example.org");
    smtp_shut(&t->session, REPLY_SHUTDOWN);
    smtp_recipient_is(&t->session, RECIPIENT_TAKE, SPAN("wait@example.org"), NULL);
    dialogue_go_on(t);
    assert_int_equal(memcmp(t->replies.at, "421", 3), 0);
    assert_int_equal(envelope_recipients(&t->session.envelope), 0);
}

static void test_nothing_happens_while_a_question_is_open(void **state)
{
    struct dialogue *t = *state;
    greet(t);
    codes(t, "MAIL FROM:<a@example.net>\r\nRCPT TO:<wait@example.org>\r\n", "250");
    codes(t, "QUIT\r\n", "");
    smtp_recipient_is(&t->session, RECIPIENT_TAKE, SPAN("wait@example.org"), NULL);
    codes(t, "NOOP\r\n", "250 221");
}

static void test_lmtp_greets_with_lhlo_only(void **state)
{
    struct dialogue *t = *state;
    t->service.lmtp = true;
    t->service.tls = false;
    t->service.auth = 0;
    t->service.size_max = 0;
    dialogue_restart(t, true);
    expect(t, "EHLO c\r\nHELO c\r\n", "500 5.5.2 Unknown command\r\n500 5.5.2 Unknown command\r\n");
    expect(t, "LHLO c\r\n",
           "250-mx.example.org\r\n250-PIPELINING\r\n250-SIZE\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"
           "250-DSN\r\n250-CHUNKING\r\n250-LIMITS RCPTMAX=1000\r\n250 ENHANCEDSTATUSCODES\r\n");
}

static void test_lmtp_replies_to_the_data_once_for_each_recipient(void **state)
{
    struct dialogue *t = *state;
    t->service.lmtp = true;
    dialogue_restart(t, true);
    codes(t, "LHLO c\r\nMAIL FROM:<a@example.net>\r\nDATA\r\n", "250 250 503");
    codes(t,
          "RCPT TO:<b@example.org>\r\nRCPT TO:<nobody@example.org>\r\nRCPT TO:<c@example.org>\r\n",
          "250 550 250");
    codes(t, "DATA\r\nx\r\n.\r\nNOOP\r\n", "354 250 250 250");
    codes(t, "MAIL FROM:<>\r\nRCPT TO:<b@example.org>\r\nRCPT TO:<c@example.org>\r\n",
          "250 250 250");
    codes(t, "DATA\r\nx\ry\r\n.\r\nNOOP\r\n", "354 554 554 250");
    codes(t, "MAIL FROM:<>\r\nRCPT TO:<b@example.org>\r\nRCPT TO:<c@example.org>\r\n",
          "250 250 250");
    codes(t, "BDAT 2\r\nx\nBDAT 0 LAST\r\nNOOP\r\n", "250 554 554 250");
}

/* A mailbox that fails says nothing of the others, and a caller that goes on speaking is ignored. */
static void test_lmtp_recipients_may_have_replies_of_their_own(void **state)
{
    struct dialogue *t = *state;
    t->service.lmtp = true;
    t->service.junk_max = SMTP_JUNK_MAX;
    t->other = reply_make(REPLY_NO_SPACE, (struct span){0});
    dialogue_restart(t, true);
    codes(t, "LHLO c\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\n", "250 250 250");
    codes(t, "DATA\r\nx\r\n.\r\nNOOP\r\n", "354 250 250");
    codes(t, "MAIL FROM:<>\r\nRCPT TO:<b@example.org>\r\nRCPT TO:<nobody@example.org>\r\n",
          "250 250 550");
    codes(t, "RCPT TO:<c@example.org>\r\nRCPT TO:<d@example.org>\r\n", "250 250");
    codes(t, "DATA\r\nx\r\n.\r\nNOOP\r\n", "354 250 452 250 250");
    codes(t, "MAIL FROM:<>\r\nRCPT TO:<b@example.org>\r\nRCPT TO:<c@example.org>\r\n",
          "250 250 250");
    codes(t, "BDAT 3 LAST\r\nx\r\nNOOP\r\n", "250 452 250");
    t->verdict = reply_make(REPLY_BACKEND_DOWN, (struct span){0}); /* one of them is no junk */
    t->other = reply_make(REPLY_OK, (struct span){0});
    codes(t, "MAIL FROM:<>\r\nRCPT TO:<b@example.org>\r\nRCPT TO:<c@example.org>\r\n",
          "250 250 250");
    codes(t, "DATA\r\nx\r\n.\r\n", "354 451 250");
    assert_int_equal(t->session.junk, 0);
    codes(t, "MAIL FROM:<>\r\nRCPT TO:<b@example.org>\r\nRCPT TO:<c@example.org>\r\n",
          "250 250 250");
    codes(t, "DATA\r\nx\ry\r\n.\r\nQUIT\r\n", "354 554 554 221"); /* the session's own */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TALK_TEST(test_the_greeting_is_the_first_thing_said),
        TALK_TEST(test_nothing_is_parsed_while_a_reply_waits),
        TALK_TEST(test_pipelined_commands_are_answered_in_order),
        TALK_TEST(test_one_octet_at_a_time_is_the_same),
        TALK_TEST(test_each_command_is_refused_where_the_table_does_not_allow_it),
        TALK_TEST(test_mail_needs_ehlo_or_helo),
        TALK_TEST(test_out_of_order_says_what_is_missing),
        TALK_TEST(test_what_was_pipelined_behind_a_refusal_is_no_offence),
        TALK_TEST(test_unknown_commands_and_empty_lines_are_500),
        TALK_TEST(test_vrfy_tells_nothing_and_expn_is_not_there),
        TALK_TEST(test_commands_without_arguments_take_none),
        TALK_TEST(test_a_line_of_2048_octets_is_taken_and_one_more_is_not),
        TALK_TEST(test_a_line_without_end_is_swallowed_and_answered_once),
        TALK_TEST(test_a_bare_cr_lf_or_nul_makes_the_line_bad_up_to_its_lf),
        TALK_TEST(test_what_a_shell_sends_to_check_a_server_is_no_offence),
        TALK_TEST(test_a_bare_lf_ends_no_line_of_a_transaction),
        TALK_TEST(test_r22_only_what_ends_with_quit_or_begins_tls_is_a_check),
        TALK_TEST(test_ehlo_and_rset_reset_the_transaction),
        TALK_TEST(test_after_a_message_the_next_may_begin),
        TALK_TEST(test_shutting_drops_the_reply_in_waiting_and_ends),
        TALK_TEST(test_shutting_in_the_data_gives_the_spool_up),
        TALK_TEST(test_an_answer_that_comes_after_the_end_is_ignored),
        TALK_TEST(test_nothing_happens_while_a_question_is_open),
        TALK_TEST(test_lmtp_greets_with_lhlo_only),
        TALK_TEST(test_lmtp_replies_to_the_data_once_for_each_recipient),
        TALK_TEST(test_lmtp_recipients_may_have_replies_of_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
