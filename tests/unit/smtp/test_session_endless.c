/* What is read only to be dropped is limited: refused messages and chunks, empty chunks, and lines
 * that are too long. An honest sender meets none of these limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "expect.h"
#include "smtp/session_part.h"

enum { MIB = 1 << 20, PIECE = 1 << 16 };

/* Steps that a transaction may have with this junk_max, in octets. */
#define WITHIN(max) ((size_t)(max)*SMTP_JUNK_STEPS * SMTP_JUNK_WITHIN * SMTP_JUNK_OCTETS)

static void limit(struct dialogue *t, uint8_t max, uint64_t size_max)
{
    t->service.junk_max = max;
    t->service.size_max = size_max;
    dialogue_restart(t, true);
    greet(t);
}

/* Sends lines of 64 octets until the session ends, `octets` at most. Returns how many. */
static size_t pour(struct dialogue *t, size_t octets)
{
    static char lines[PIECE];
    size_t sent = 0, n;

    for (size_t i = 0; i < sizeof lines; i++)
        lines[i] = i % 64 == 62 ? '\r' : i % 64 == 63 ? '\n' : 'x';
    for (; sent < octets && !t->ended; sent += n) {
        n = octets - sent < sizeof lines ? octets - sent : sizeof lines;
        dialogue_send(t, (struct span){lines, n}, 0);
    }
    return sent;
}

static void expect_end(struct dialogue *t, const char *replies)
{
    codes(t, "NOOP\r\n", replies);
    assert_true(t->ended);
    assert_true(smtp_is_junk(&t->session));
}

static void begin_data(struct dialogue *t)
{
    begin_mail(t);
    codes(t, "DATA\r\n", "354");
}

static void test_a_refused_message_hears_why_at_its_end(void **state)
{
    struct dialogue *t = *state;

    limit(t, 3, 1000);
    begin_data(t);
    assert_int_equal(pour(t, WITHIN(3) - MIB), WITHIN(3) - MIB);
    codes(t, ".\r\n", "552");
    assert_false(t->ended);
    assert_false(smtp_is_junk(&t->session));
}

static void test_a_refused_message_without_an_end_ends_the_session_with_its_reply(void **state)
{
    struct dialogue *t = *state;

    for (int frozen = 0; frozen < 2; frozen++) {
        t->freeze = frozen;
        limit(t, 3, 1000);
        begin_data(t);
        /* RCPT and DATA are two steps */
        assert_int_equal(pour(t, 4 * WITHIN(3)), WITHIN(3) - SMTP_JUNK_OCTETS);
        expect_end(t, "552");
        expect_asked(t, "message\nvoid\n");
    }
}

/* Where size_max itself is larger than what a transaction may have in vain. */
static void test_a_message_of_twice_size_max_is_read_to_its_end(void **state)
{
    struct dialogue *t = *state;
    const size_t size_max = WITHIN(1) + 5 * MIB;

    t->spool_room = 10;
    limit(t, 1, size_max); /* no space for it: our fault */
    begin_data(t);
    assert_int_equal(pour(t, size_max), size_max);
    codes(t, ".\r\n", "452");
    assert_false(t->ended);

    limit(t, 1, size_max);
    begin_data(t);
    assert_int_equal(pour(t, 2 * size_max), 2 * size_max);
    codes(t, ".\r\n", "552");
    assert_false(t->ended);

    limit(t, 1, size_max);
    begin_data(t);
    assert_int_equal(pour(t, 5 * size_max), 2 * size_max + PIECE);
    expect_end(t, "552");
}

/* The count of a message's octets ends at 4 GiB. */
static void test_nothing_is_read_beyond_4_gib(void **state)
{
    struct dialogue *t = *state;

    limit(t, SMTP_JUNK_MAX, 4000000000);
    begin_data(t);
    t->session.size = 4000000000;
    assert_int_equal(pour(t, 9 * MIB), 9 * MIB);
    assert_false(t->ended);
    t->session.size = UINT32_MAX - MIB;
    assert_int_equal(pour(t, 9 * MIB), MIB);
    expect_end(t, "552");

    limit(t, UINT8_MAX, 4000000000);
    begin_data(t);
    t->session.size = UINT32_MAX - MIB;
    pour(t, 9 * MIB);
    expect_end(t, "552");
}

static void test_a_bad_message_without_an_end_ends_too(void **state)
{
    struct dialogue *t = *state;

    limit(t, 2, 7 * MIB);
    begin_data(t);
    codes(t, "a bare\nLF\r\n", "");
    assert_true(pour(t, 4 * WITHIN(2)) <= WITHIN(2));
    expect_end(t, "554");
    limit(t, 2, 0);
    begin_data(t);
    codes(t, "a bare\nLF\r\n", "");
    assert_true(pour(t, 4 * WITHIN(2)) <= WITHIN(2));
    expect_end(t, "554");
}

static void test_where_commands_have_no_limit_messages_have_none(void **state)
{
    struct dialogue *t = *state;

    limit(t, 0, 1000);
    begin_data(t);
    assert_int_equal(pour(t, WITHIN(2)), WITHIN(2));
    codes(t, ".\r\n", "552");
    assert_false(t->ended);
}

/* ---- chunks ---- */

static void test_a_chunk_of_a_refused_message_is_not_read_without_end(void **state)
{
    struct dialogue *t = *state;

    limit(t, 2, 1000);
    begin_mail(t);
    codes(t, "BDAT 4294967295\r\n", "");
    assert_true(pour(t, 4 * WITHIN(2)) <= WITHIN(2));
    expect_end(t, "552");

    limit(t, 5, 1000); /* and within the limit it is: its octets are no commands */
    begin_mail(t);
    codes(t, "BDAT 15728640\r\n", "");
    assert_int_equal(pour(t, 15 * MIB), 15 * MIB);
    codes(t, "RSET\r\n", "552 250");
    assert_false(t->ended);
}

/* Its chunks are answered with 250 until the last. */
static void test_chunks_of_a_bad_message_end(void **state)
{
    struct dialogue *t = *state;
    unsigned n = 0;

    limit(t, 2, 0);
    begin_mail(t);
    codes(t, "BDAT 4\r\na\nb\n", "250");
    for (; !t->ended && n < 99; n++) {
        buf_free(&t->replies);
        dialogue_send(t, SPAN("BDAT 1048576\r\n"), 0);
        pour(t, MIB);
    }
    assert_int_equal(n, 30);
    expect_end(t, "554");
}

static void test_a_refused_chunk_of_any_size_ends_the_session_at_once(void **state)
{
    struct dialogue *t = *state;

    limit(t, 2, 1000);
    codes(t, "BDAT 4294967295 LAST\r\n", "503");
    assert_true(t->ended);
    limit(t, 2, 1000);
    codes(t, "MAIL FROM:<a@b.net>\r\nRCPT TO:<nobody@d.org>\r\nBDAT 33554432 LAST\r\n",
          "250 550 554");
    assert_true(t->ended);
    assert_true(smtp_is_junk(&t->session));

    t->service.no_chunking = true;
    limit(t, 2, 1000);
    begin_mail(t);
    codes(t, "BDAT 99999999\r\n", "500");
    assert_true(t->ended);
    t->service.no_chunking = false;

    limit(t, 2, 1000); /* several have the limit together */
    codes(t, "BDAT 15728640\r\n", "");
    assert_int_equal(pour(t, 15 * MIB), 15 * MIB);
    assert_false(t->ended);
    codes(t, "BDAT 15728640\r\n", "503 503");
    assert_true(t->ended);

    limit(t, 2, 20 * MIB); /* what a sender has pipelined */
    codes(t, "MAIL FROM:<a@b.net>\r\nRCPT TO:<nobody@d.org>\r\nBDAT 41943040 LAST\r\n", "250 550");
    assert_int_equal(pour(t, 40 * MIB), 40 * MIB);
    assert_false(t->ended);
}

static void test_empty_chunks_are_limited(void **state)
{
    struct dialogue *t = *state;
    unsigned n = 0;

    limit(t, 7, 1000);
    begin_mail(t);
    for (; !t->ended && n < 999; n++) {
        buf_free(&t->replies);
        dialogue_send(t, SPAN("BDAT 0\r\n"), 0);
    }
    assert_int_equal(n, 21);
    expect_end(t, "421");

    limit(t, 7, 1000); /* a few are no harm, and LAST may be one of them */
    for (int message = 0; message < 9; message++) {
        begin_mail(t);
        for (n = 0; n < 20; n++)
            codes(t, "BDAT 0\r\n", "250");
        codes(t, "BDAT 3\r\nx\r\nBDAT 0 LAST\r\n", "250 250");
    }
    assert_false(t->ended);
}

/* ---- lines ---- */

/* Sends `octets` octets of a line, `piece` at a time, until the session ends. */
static size_t draw(struct dialogue *t, size_t octets, size_t piece)
{
    static char line[PIECE];
    size_t sent = 0, n;

    memset(line, 'x', sizeof line);
    for (; sent < octets && !t->ended; sent += n) {
        n = octets - sent < piece ? octets - sent : piece;
        dialogue_send(t, (struct span){line, n}, 0);
    }
    return sent;
}

static void test_a_long_line_hears_500_at_its_end(void **state)
{
    struct dialogue *t = *state;

    for (size_t piece = 1000; piece < PIECE; piece = piece * 3 + 1) {
        limit(t, 9, 1000);
        assert_int_equal(draw(t, SMTP_LINE_DROPPED_MAX - 2, piece), SMTP_LINE_DROPPED_MAX - 2);
        assert_true(smtp_in_long_line(&t->session));
        codes(t, "\r\n", "500");
        assert_false(smtp_in_long_line(&t->session));
        assert_false(t->ended);
        /* each line has a count of its own */
        draw(t, SMTP_LINE_DROPPED_MAX - 2, piece);
        codes(t, "\r\n", "500");
        codes(t, "NOOP\r\n", "250");
    }
}

static void test_a_line_without_an_end_ends_the_session(void **state)
{
    struct dialogue *t = *state;

    for (int max = 0; max < 10; max += 9)
        for (size_t piece = 1000; piece < PIECE; piece = piece * 3 + 1) {
            limit(t, (uint8_t)max, 1000);
            assert_in_range(draw(t, 9 * MIB, piece), SMTP_LINE_DROPPED_MAX + 1,
                            SMTP_LINE_DROPPED_MAX + piece);
            expect_end(t, "500");
        }
    limit(t, 9, 1000); /* its end does not help */
    draw(t, SMTP_LINE_DROPPED_MAX - 1, PIECE);
    codes(t, "\r\nNOOP\r\n", "500");
    assert_true(t->ended);
}

static void test_a_response_of_auth_without_an_end_ends_the_session(void **state)
{
    struct dialogue *t = *state;

    limit(t, 9, 1000);
    codes(t, "AUTH PLAIN\r\n", "334");
    assert_in_range(draw(t, 9 * MIB, PIECE), SMTP_LINE_DROPPED_MAX + 1,
                    SMTP_LINE_DROPPED_MAX + PIECE);
    expect_end(t, "500");
}

static void test_a_long_line_between_chunks_changes_no_chunk(void **state)
{
    struct dialogue *t = *state;

    limit(t, 9, 1000);
    begin_mail(t);
    codes(t, "BDAT 3\r\nx\r\n", "250");
    draw(t, 5000, 700);
    codes(t, "\r\n", "500");
    codes(t, "BDAT 3 LAST\r\ny\r\n", "250");
    expect_span(buf_span(&t->body), "x\r\ny\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TALK_TEST(test_a_refused_message_hears_why_at_its_end),
        TALK_TEST(test_a_refused_message_without_an_end_ends_the_session_with_its_reply),
        TALK_TEST(test_a_message_of_twice_size_max_is_read_to_its_end),
        TALK_TEST(test_nothing_is_read_beyond_4_gib),
        TALK_TEST(test_a_bad_message_without_an_end_ends_too),
        TALK_TEST(test_where_commands_have_no_limit_messages_have_none),
        TALK_TEST(test_a_chunk_of_a_refused_message_is_not_read_without_end),
        TALK_TEST(test_chunks_of_a_bad_message_end),
        TALK_TEST(test_a_refused_chunk_of_any_size_ends_the_session_at_once),
        TALK_TEST(test_empty_chunks_are_limited),
        TALK_TEST(test_a_long_line_hears_500_at_its_end),
        TALK_TEST(test_a_line_without_an_end_ends_the_session),
        TALK_TEST(test_a_response_of_auth_without_an_end_ends_the_session),
        TALK_TEST(test_a_long_line_between_chunks_changes_no_chunk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
