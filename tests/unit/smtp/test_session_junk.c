/* The limit for commands that bring no mail forward (SMTP_JUNK_MAX). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "expect.h"

#define CLOSED "421 4.7.0 mx.example.org Too many commands without mail, connect again\r\n"
#define MAIL   "MAIL FROM:<a@b.net>\r\n"
#define GOOD   MAIL "RCPT TO:<c@d.org>\r\nDATA\r\nx\r\n.\r\n"

static void limit(struct dialogue *t, uint8_t max)
{
    t->service.junk_max = max;
    dialogue_restart(t, true);
}

/* How many replies there are to `line`, said until the session ends; at most `most` times. */
static unsigned replies_until_the_end(struct dialogue *t, const char *line, unsigned most)
{
    unsigned n = 0;

    for (; n < most && !t->ended; n++) {
        buf_free(&t->replies);
        dialogue_send(t, span_of(line), 0);
    }
    return n;
}

static void test_each_command_that_brings_no_mail_forward_counts(void **state)
{
    struct dialogue *t = *state;
    static const char *const line[] = {
        "NOOP\r\n",   "NOOP x\r\n", "RSET\r\n",   "RSET x\r\n", "HELP\r\n",   "HELO c\r\n",
        "EHLO c\r\n", "EHLO\r\n",   "VRFY a\r\n", "VRFY\r\n",   "EXPN a\r\n", "XYZZY\r\n",
        "\r\n",       "\n",         "NOOP\n",     "NO\rOP\r\n",
    };

    for (size_t i = 0; i < sizeof line / sizeof *line; i++) {
        limit(t, 7);
        greet(t);
        assert_int_equal(replies_until_the_end(t, line[i], 99), 8);
        expect_span(buf_span(&t->replies), CLOSED);
    }
    limit(t, 7); /* before EHLO */
    assert_int_equal(replies_until_the_end(t, "EHLO\r\n", 99), 8);
    limit(t, 7);
    assert_int_equal(replies_until_the_end(t, "EHLO \1\r\n", 99), 8);
}

static void test_a_long_line_counts_whatever_its_pieces(void **state)
{
    struct dialogue *t = *state;
    char line[3 * SMTP_LINE_MAX];

    memset(line, 'x', sizeof line);
    memcpy(line + sizeof line - 2, "\r\n", 2);
    for (size_t piece = 0; piece < 3000; piece += 1000) {
        limit(t, 2);
        for (int n = 0; n < 3; n++) {
            assert_false(t->ended);
            buf_free(&t->replies);
            dialogue_send(t, (struct span){line, sizeof line}, piece);
        }
        assert_true(t->ended);
        expect_span(buf_span(&t->replies), CLOSED);
    }
}

static void test_pipelined_commands_are_answered_up_to_the_limit_and_no_further(void **state)
{
    struct dialogue *t = *state;

    limit(t, 2);
    greet(t);
    codes(t, "NOOP\r\nHELP\r\nVRFY a\r\nNOOP\r\n" GOOD, "250 214 421");
    assert_true(t->ended);
    expect_asked(t, "");
}

static void test_an_accepted_message_sets_the_count_to_0(void **state)
{
    struct dialogue *t = *state;

    limit(t, 3);
    greet(t);
    for (int n = 0; n < 300; n++) /* a pool asks whether the connection lives, and resets it */
        codes(t, "NOOP\r\nRSET\r\n" GOOD "RSET\r\n", "250 250 250 250 354 250 250");
    for (int n = 0; n < 300; n++)
        codes(t, "NOOP\r\nRSET\r\n" MAIL "RCPT TO:<c@d.org>\r\nBDAT 1 LAST\r\nx",
              "250 250 250 250 250");
    assert_false(t->ended);
    t->verdict = reply_make(REPLY_BACKEND_DOWN, (struct span){0});
    codes(t, "NOOP\r\n" GOOD, "250 250 250 354 451");
    codes(t, "NOOP\r\nNOOP\r\n", "250 421"); /* nothing was accepted in between */
}

/* How often a client can give up this transaction; the 421 comes in place of the last reply. */
static unsigned transactions(struct dialogue *t, uint8_t max, const char *transaction)
{
    limit(t, max);
    greet(t);
    unsigned n = replies_until_the_end(t, transaction, 9999);
    struct span all = buf_span(&t->replies);
    assert_true(all.len >= strlen(CLOSED));
    expect_span(span_after(all, all.len - strlen(CLOSED)), CLOSED);
    return n - 1;
}

/* RSET counts ten steps, each RCPT and each DATA one. */
static void test_transactions_that_are_given_up_count_by_their_recipients(void **state)
{
    struct dialogue *t = *state;

    assert_int_equal(transactions(t, 100, MAIL "RSET\r\n"), 100);
    /* a server that verifies senders, as mired itself does 80 times (src/directory/backend.c) */
    assert_int_equal(transactions(t, 100, MAIL "RCPT TO:<c@d.org>\r\nRSET\r\n"), 90);
    /* what a sender pipelines, each message refused */
    assert_int_equal(transactions(t, 100, MAIL "RCPT TO:<masked@d.org>\r\nDATA\r\nRSET\r\n"), 83);
    assert_int_equal(transactions(t, 100, MAIL "RCPT TO:<nobody@d.org>\r\nDATA\r\nRSET\r\n"), 83);
    assert_int_equal(transactions(t, 100, MAIL "RCPT TO:<c@d.org>\r\nEHLO c\r\n"), 90);
    assert_int_equal(transactions(t, 7, "MAIL FROM:<a@b.net> SIZE=9999999\r\nRSET\r\n"), 7);
}

/* One that says MAIL at once behind a refused MAIL: the first gives nothing up. */
static void test_a_refused_mail_without_rset_counts_when_the_next_comes(void **state)
{
    struct dialogue *t = *state;

    assert_int_equal(transactions(t, 7, "MAIL FROM:<a@b.net> SIZE=9999999\r\n"), 8);
}

/* The client hears 421 where it has lost nothing: at RSET or at MAIL, never at RCPT. */
static void test_the_421_comes_between_two_transactions(void **state)
{
    struct dialogue *t = *state;

    limit(t, 1);
    greet(t);
    codes(t, MAIL, "250");
    for (int n = 0; n < 11; n++)
        codes(t, "RCPT TO:<c@d.org>\r\n", "250");
    assert_false(t->ended);
    codes(t, "RSET\r\n", "421");

    limit(t, 1);
    greet(t);
    t->verdict = reply_make(REPLY_BACKEND_DOWN, (struct span){0});
    codes(t, MAIL "RCPT TO:<c@d.org>\r\nDATA\r\nx\r\n.\r\n", "250 250 354 451");
    codes(t, GOOD, "250 250 354 451"); /* six steps each */
    assert_false(t->ended);
    codes(t, GOOD, "421");
}

/* How many messages a client can have refused at their end, each of so many octets. */
static unsigned refused(struct dialogue *t, uint8_t max, size_t octets, bool chunks)
{
    struct buf message = {0};
    unsigned n = 0;

    limit(t, max);
    t->service.size_max = 0;
    t->verdict = reply_make(REPLY_BACKEND_DOWN, (struct span){0});
    greet(t);
    if (chunks)
        buf_addf(&message, MAIL "RCPT TO:<c@d.org>\r\nBDAT %zu LAST\r\n", octets);
    else
        buf_addf(&message, MAIL "RCPT TO:<c@d.org>\r\nDATA\r\n");
    for (size_t i = 0; i < octets; i += 64)
        buf_addf(&message, "%.62s\r\n",
                 "a line of sixty-two octets, as many as there are in this text.................");
    if (!chunks)
        buf_addf(&message, ".\r\n");
    for (; n < 9999 && !t->ended; n++) {
        buf_free(&t->replies);
        dialogue_send(t, buf_span(&message), 0);
    }
    buf_free(&message);
    expect_span(buf_span(&t->replies), CLOSED); /* and nothing else: at MAIL */
    return n - 1;
}

/* Each costs its octets, and the backend's work. */
static void test_messages_that_are_refused_at_their_end_are_limited_by_number_and_size(void **state)
{
    struct dialogue *t = *state;

    for (int chunks = 0; chunks < 2; chunks++) {
        assert_int_equal(refused(t, 100, 64, chunks), 167);
        assert_int_equal(refused(t, 100, 500 << 10, chunks), 167);
        assert_int_equal(refused(t, 100, 2 << 20, chunks), 101);
        assert_int_equal(refused(t, 100, 30 << 20, chunks), 16);
    }
}

/* Postfix and Exim say it there. They hear the 421 in its place: a 421 to MAIL would defer a message. */
static void test_rset_behind_a_refused_message_counts_nothing_and_hears_the_421(void **state)
{
    struct dialogue *t = *state;

    for (int freeze = 0; freeze < 2; freeze++) {
        t->freeze = freeze;
        t->verdict = reply_make(REPLY_BACKEND_DOWN, (struct span){0});
        assert_int_equal(transactions(t, 100, GOOD "RSET\r\n"), 166);
        t->verdict = reply_make(REPLY_LOOP, (struct span){0});
        assert_int_equal(transactions(t, 100, GOOD "RSET\r\n"), 166);
        expect_span(span_first(buf_span(&t->replies), 3),
                    "250"); /* the message has all of its replies */
    }
    t->freeze = false;
    limit(t, 2);
    greet(t);
    codes(t, GOOD "RSET\r\nRSET\r\n", "250 250 354 554 250 250"); /* 6 and 10 */
    codes(t, "MAIL FROM:<a@b.net> SIZE=9999999\r\nRSET\r\n", "552 421");
    limit(t, 2);
    greet(t);
    codes(t, "XYZZY\r\nRSET\r\nRSET\r\n", "500 250 421");
}

/* Or by the session itself, which drops their octets. */
static void test_messages_that_are_too_large_or_bad_count_as_refused(void **state)
{
    struct dialogue *t = *state;
    struct buf message = {0};

    limit(t, 1);
    t->service.size_max = 1000;
    greet(t);
    buf_addf(&message, MAIL "RCPT TO:<c@d.org>\r\nDATA\r\n");
    for (int i = 0; i < 100; i++)
        buf_addf(&message, "twenty octets and CRLF\r\n");
    buf_addf(&message, ".\r\n");
    for (int n = 0; n < 2; n++) {
        buf_free(&t->replies);
        dialogue_send(t, buf_span(&message), 0);
        assert_false(t->ended);
    }
    buf_free(&t->replies);
    dialogue_send(t, buf_span(&message), 0);
    expect_span(buf_span(&t->replies), CLOSED);
    buf_free(&message);

    limit(t, 1);
    greet(t);
    for (int n = 0; n < 2; n++)
        codes(t, MAIL "RCPT TO:<c@d.org>\r\nDATA\r\nbare\nLF\r\n.\r\n", "250 250 354 554");
    codes(t, MAIL, "421");
}

/* Of lines that have 64 octets. */
static void send_octets(struct dialogue *t, size_t octets)
{
    char lines[1 << 16];

    for (size_t i = 0; i < sizeof lines; i++)
        lines[i] = i % 64 == 62 ? '\r' : i % 64 == 63 ? '\n' : 'x';
    for (size_t n; octets; octets -= n) {
        n = octets < sizeof lines ? octets : sizeof lines;
        dialogue_send(t, (struct span){lines, n}, 0);
    }
}

/* Chunks of a message that is given up, and chunks that are refused, are octets too. */
static void test_octets_of_chunks_that_bring_no_mail_forward_count(void **state)
{
    struct dialogue *t = *state;

    limit(t, 1);
    t->service.size_max = 0;
    greet(t);
    codes(t, MAIL "RCPT TO:<c@d.org>\r\nBDAT 5242880\r\n", "250 250");
    send_octets(t, 10 << 19);
    codes(t, "RSET\r\n", "250 421"); /* of the chunk; 2 steps, 10 and 10 */

    limit(t, 1);
    greet(t);
    codes(t, "BDAT 5242880\r\n", "");
    send_octets(t, 10 << 19);
    codes(t, "MAIL FROM:<a@b.net>\r\n", "503 421"); /* 1 and 10 */

    limit(t, 1); /* too large in its first chunk: RSET must come first */
    t->service.size_max = 1000;
    greet(t);
    codes(t, MAIL "RCPT TO:<c@d.org>\r\nBDAT 5242880\r\n", "250 250");
    send_octets(t, 10 << 19);
    codes(t, "RSET\r\n", "552 421");
}

/* As many as the envelope holds, and as many again that are too many; then a message. */
static void test_each_transaction_may_have_all_of_its_recipients(void **state)
{
    struct dialogue *t = *state;

    limit(t, SMTP_JUNK_MAX);
    greet(t);
    for (int n = 0; n < SMTP_JUNK_MAX; n++)
        codes(t, "NOOP\r\n", "250");
    codes(t, MAIL, "250");
    for (int n = 0; n < 1000; n++)
        codes(t, "RCPT TO:<c@d.org>\r\n", "250");
    for (int n = 0; n < 999; n++)
        codes(t, "RCPT TO:<c@d.org>\r\n", "452");
    codes(t, "DATA\r\nx\r\n.\r\n", "354 250");
    codes(t, MAIL "RCPT TO:<c@d.org>\r\n", "250 250"); /* the count is 0 again */
    assert_false(t->ended);
}

/* Pipelined behind a refused command, they are no offence; without this limit they cost nothing. */
static void test_what_follows_a_refused_command_is_limited(void **state)
{
    struct dialogue *t = *state;
    static const char *const line[] = {"RCPT TO:<c@d.org>\r\n", "DATA\r\n", "BDAT 0\r\n"};

    for (size_t i = 0; i < sizeof line / sizeof *line; i++) {
        limit(t, 5);
        greet(t);
        codes(t, "MAIL FROM:<a@b.net> SIZE=9999999\r\n", "552");
        t->offences = 0;
        assert_int_equal(replies_until_the_end(t, line[i], 9999), 151);
        assert_int_equal(t->offences, 0);
        expect_span(buf_span(&t->replies), CLOSED);
    }
    limit(t, 5); /* and refused recipients, of which a service without holds makes any number */
    greet(t);
    codes(t, MAIL, "250");
    assert_int_equal(replies_until_the_end(t, "RCPT TO:<nobody@d.org>\r\n", 9999), 151);
}

static void test_any_number_of_chunks_is_one_message(void **state)
{
    struct dialogue *t = *state;

    limit(t, 1);
    greet(t);
    codes(t, MAIL "RCPT TO:<c@d.org>\r\n", "250 250");
    for (int n = 0; n < 500; n++)
        codes(t, "BDAT 1\r\nx", "250");
    codes(t, "BDAT 1 LAST\r\nx", "250");
    assert_false(t->ended);
}

static void test_logins_that_come_to_nothing_count(void **state)
{
    struct dialogue *t = *state;
    static const char *const login[] = {"AUTH PLAIN\r\n*\r\n",    "AUTH LOGIN\r\n*\r\n",
                                        "AUTH PLAIN\r\n\x80\r\n", "AUTH LOGIN\r\nYQ==\r\n*\r\n",
                                        "AUTH PLAIN\r\nYQ==\r\n", "AUTH PLAIN\r\na\rb\r\n"};

    for (size_t i = 0; i < sizeof login / sizeof *login; i++)
        for (int piece = 0; piece < 2; piece++) {
            limit(t, 9);
            greet(t);
            unsigned n = 0;
            for (; n < 99 && !t->ended; n++) {
                buf_free(&t->replies);
                dialogue_send(t, span_of(login[i]), (size_t)piece);
            }
            assert_int_equal(n, 10);
            assert_non_null(memmem(t->replies.at, t->replies.len, CLOSED, strlen(CLOSED)));
        }
    limit(t, 9); /* where a login succeeds, or somebody is asked, it does not */
    greet(t);
    for (int n = 0; n < 50; n++)
        codes(t, "AUTH PLAIN\r\nAGEAbGF0ZXI=\r\n", "334 454");
    codes(t, "AUTH PLAIN\r\nAGEAcmlnaHQ=\r\n", "334 235");
    assert_false(t->ended);
}

/* Where no hold makes a client wait (R19), a refused command counts. */
static void test_refused_commands_count(void **state)
{
    struct dialogue *t = *state;
    static const char *const line[] = {"AUTH\r\n", "AUTH X\r\n", "QUIT x\r\n", "DSN\r\n"};

    for (size_t i = 0; i < sizeof line / sizeof *line; i++)
        assert_int_equal(transactions(t, 9, line[i]), 9);
    limit(t, 9);
    greet(t);
    codes(t, MAIL, "250");
    assert_int_equal(replies_until_the_end(t, MAIL, 99), 10);
    t->service.tls = false;
    assert_int_equal(transactions(t, 9, "STARTTLS\r\n"), 9);
}

static void test_steps_are_kept_while_replies_are_held_frozen(void **state)
{
    struct dialogue *t = *state;

    t->freeze = true;
    for (unsigned max = 1; max <= UINT8_MAX; max += 1 + 2 * max) {
        limit(t, (uint8_t)max);
        greet(t);
        codes(t, MAIL, "250");
        assert_int_equal(replies_until_the_end(t, "RCPT TO:<masked@d.org>\r\n", 9999),
                         max * 30 + 1);
    }
}

static void test_ehlo_behind_starttls_is_no_junk_and_tls_clears_no_count(void **state)
{
    struct dialogue *t = *state;

    limit(t, 2);
    greet(t);
    codes(t, "NOOP\r\nRSET\r\n", "250 250");
    codes(t, "STARTTLS\r\n", "220");
    codes(t, "EHLO c\r\n" GOOD, "250 250 250 354 250");
    assert_false(t->ended);

    limit(t, 2);
    greet(t);
    codes(t, "NOOP\r\nRSET\r\n", "250 250");
    codes(t, "STARTTLS\r\n", "220");
    codes(t, "EHLO c\r\n", "250");
    codes(t, "EHLO c\r\n", "421");
}

/* A message has its own reply, whatever came before it; between two chunks it is voided. */
static void test_no_message_is_cut_off_behind_its_end(void **state)
{
    struct dialogue *t = *state;

    limit(t, 2);
    greet(t);
    codes(t, "NOOP\r\nNOOP\r\n" GOOD, "250 250 250 250 354 250");
    codes(t, "NOOP\r\nNOOP\r\n" GOOD "NOOP\r\nNOOP\r\nNOOP\r\n",
          "250 250 250 250 354 250 250 250 421");

    limit(t, 2);
    greet(t);
    codes(t, MAIL "RCPT TO:<c@d.org>\r\nBDAT 1\r\nx", "250 250 250");
    buf_free(&t->asked);
    codes(t, "NOOP\r\nNOOP\r\nBDAT 1 LAST\r\nx", "250 421");
    expect_asked(t, "void\n");
    assert_true(t->ended && !t->spool_open);
}

/* The hold for a bad line is not spared by its being the last one. */
static void test_the_421_has_the_offence_of_what_it_replaces(void **state)
{
    struct dialogue *t = *state;

    limit(t, 2);
    greet(t);
    t->offences = 0;
    codes(t, "NOOP\r\nNOOP\r\nXYZZY\r\n", "250 250 421");
    assert_int_equal(t->offences, 1);

    limit(t, 2);
    greet(t);
    t->offences = 0;
    codes(t, "XYZZY\r\nEXPN a\r\nNOOP\r\n", "500 502 421");
    assert_int_equal(t->offences, 2);
}

static void test_the_count_is_kept_while_replies_are_held_frozen(void **state)
{
    struct dialogue *t = *state;

    t->freeze = true;
    for (unsigned max = 1; max <= UINT8_MAX; max += 1 + max / 3) {
        limit(t, (uint8_t)max);
        greet(t);
        assert_int_equal(replies_until_the_end(t, "HELP\r\n", 999), max + 1);
        expect_span(buf_span(&t->replies), CLOSED);
    }
}

static void test_without_a_limit_there_is_none(void **state)
{
    struct dialogue *t = *state;

    limit(t, 0);
    greet(t);
    assert_int_equal(replies_until_the_end(t, "NOOP\r\n", 70000), 70000);
    assert_false(t->ended);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TALK_TEST(test_each_command_that_brings_no_mail_forward_counts),
        TALK_TEST(test_a_long_line_counts_whatever_its_pieces),
        TALK_TEST(test_pipelined_commands_are_answered_up_to_the_limit_and_no_further),
        TALK_TEST(test_an_accepted_message_sets_the_count_to_0),
        TALK_TEST(test_transactions_that_are_given_up_count_by_their_recipients),
        TALK_TEST(test_a_refused_mail_without_rset_counts_when_the_next_comes),
        TALK_TEST(test_the_421_comes_between_two_transactions),
        TALK_TEST(test_messages_that_are_refused_at_their_end_are_limited_by_number_and_size),
        TALK_TEST(test_rset_behind_a_refused_message_counts_nothing_and_hears_the_421),
        TALK_TEST(test_messages_that_are_too_large_or_bad_count_as_refused),
        TALK_TEST(test_octets_of_chunks_that_bring_no_mail_forward_count),
        TALK_TEST(test_each_transaction_may_have_all_of_its_recipients),
        TALK_TEST(test_what_follows_a_refused_command_is_limited),
        TALK_TEST(test_any_number_of_chunks_is_one_message),
        TALK_TEST(test_logins_that_come_to_nothing_count),
        TALK_TEST(test_refused_commands_count),
        TALK_TEST(test_steps_are_kept_while_replies_are_held_frozen),
        TALK_TEST(test_ehlo_behind_starttls_is_no_junk_and_tls_clears_no_count),
        TALK_TEST(test_no_message_is_cut_off_behind_its_end),
        TALK_TEST(test_the_421_has_the_offence_of_what_it_replaces),
        TALK_TEST(test_the_count_is_kept_while_replies_are_held_frozen),
        TALK_TEST(test_without_a_limit_there_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
