/* session_data.c: DATA and BDAT, from the client's octets to the spool. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "expect.h"

static void ready(struct dialogue *t)
{
    greet(t);
    begin_mail(t);
}

static void test_data_passes_octets_as_they_come(void **state)
{
    struct dialogue *t = *state;
    ready(t);
    codes(t, "DATA\r\n", "354");
    codes(t, "Subject: x\r\n\r\n..dot\r\n\xff\x7f\x01\r\n.\r\nNOOP\r\n", "250 250");
    struct span body = SPAN("Subject: x\r\n\r\n..dot\r\n\xff\x7f\x01\r\n");
    assert_true(span_equal(buf_span(&t->body), body));
    expect_asked(t, "message\nend\n");
}

static void test_a_bare_lf_never_ends_the_data(void **state)
{
    static const char *const endings[] = {"x\n.\n", "x\n.\r\n", "x\r\n.\n", "x\r.\r\n", "x\r\n.\r"};
    struct dialogue *t = *state;
    greet(t);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        begin_mail(t);
        codes(t, "DATA\r\n", "354");
        expect_codes(t, span_of(endings[i]), "");
        codes(t, "RSET\r\nMAIL FROM:<evil@example.net>\r\n", "");
        expect(t, "\r\n.\r\n", "554 5.5.2 Bare CR or LF, or too long a line, in the message\r\n");
        expect_asked(t, "message\nvoid\n");
    }
    assert_int_equal(t->offences, 5);
}

/* What a session makes of a message that comes in so large pieces. */
static void send_message(struct dialogue *t, struct span message, bool chunk, size_t piece)
{
    struct buf all = {0};

    buf_free(&t->replies);
    begin_mail(t);
    if (chunk)
        buf_addf(&all, "BDAT %zu LAST\r\n", message.len);
    else
        buf_add_span(&all, SPAN("DATA\r\n"));
    buf_add_span(&all, message);
    if (!chunk)
        buf_add_span(&all, SPAN("\r\n.\r\n"));
    t->replies.len = 0;
    dialogue_send(t, buf_span(&all), piece);
    buf_free(&all);
}

#define HERE(s)                                                                                    \
    {                                                                                              \
        (s), sizeof(s) - 1                                                                         \
    }
#define OCTETS(s) ((struct span)HERE(s))

/* field notes 36: a backend that drops NUL before it looks for the dot would see an end here. */
static void test_nul_makes_a_message_bad(void **state)
{
    static const struct span bad[] = {
        HERE("x\r\n\0.\r\nMAIL FROM:<evil@example.net>"),
        HERE("x\r\n.\0\r\ny"),
        HERE("x\r\0\n.\r\ny"),
        HERE("x\r\n.\r\0\ny"),
        HERE("\0"),
        HERE("\0.\r\nx"),
        HERE("Subject: a\0b\r\n\r\nx"),
        HERE("Subject: x\r\n\0\r\nbody"),
        HERE("x\r\n..\0\r\n"),
        HERE("x\0\0\0\0\r\ny"),
        HERE("\xff\xfe\0"),
        HERE("x\r\n\r\ny\0"),
    };
    struct dialogue *t = *state;
    const char *const said = "554 5.5.2 NUL in the message\r\n";

    greet(t);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        for (size_t piece = 0; piece < 5; piece++) {
            for (int chunk = 0; chunk < 2; chunk++) {
                send_message(t, bad[i], chunk, piece);
                struct span replies = buf_span(&t->replies);
                struct span last = span_after(replies, replies.len - strlen(said));
                if (replies.len < strlen(said) || !span_equal(last, span_of(said)))
                    fail_msg("case %zu, pieces of %zu, %s: %.*s", i, piece, chunk ? "BDAT" : "DATA",
                             (int)replies.len, replies.at);
            }
        }
    }
    buf_free(&t->asked);
}

static void test_nul_passes_where_it_is_allowed(void **state)
{
    struct dialogue *t = *state;
    t->service.allow_nul = true;
    greet(t);
    for (int chunk = 0; chunk < 2; chunk++) {
        send_message(t, OCTETS("a\0b\r\n\0c.\r\nc"), chunk, 0);
        assert_true(span_equal(buf_span(&t->body), OCTETS("a\0b\r\n\0c.\r\nc\r\n")));
        send_message(t, OCTETS("a\r\n\0.\r\nc"), chunk, 0);
        struct span refusal = SPAN("554 5.5.2 NUL in the message\r\n");
        struct span replies = buf_span(&t->replies);
        assert_true(span_equal(span_after(replies, replies.len - refusal.len), refusal));
    }
}

/* field notes 10: Exchange Online sends bare LF by BDAT to servers that offer CHUNKING. */
static void test_a_bare_lf_in_a_chunk_can_be_mended(void **state)
{
    static const struct {
        struct span chunk;
        const char *body;
    } cases[] = {
        {HERE("a\nb"), "a\r\nb\r\n"},
        {HERE("\n"), "\r\n"},
        {HERE("\n\n\n"), "\r\n\r\n\r\n"},
        {HERE("a\r\nb\n"), "a\r\nb\r\n"},
        {HERE("a\n.\nb\n"), "a\r\n..\r\nb\r\n"},
        {HERE(".\n"), "..\r\n"},
        {HERE("a\r\n.\nQUIT\n"), "a\r\n..\r\nQUIT\r\n"},
        {HERE("a\n.\r\nQUIT\n"), "a\r\n..\r\nQUIT\r\n"},
        {HERE("a\n..\n"), "a\r\n...\r\n"},
        {HERE("a\n\r\nb"), "a\r\n\r\nb\r\n"},
        {HERE("a"), "a\r\n"},
    };
    struct dialogue *t = *state;

    smtp_mend(&t->session);
    greet(t);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (size_t piece = 0; piece < 4; piece++) {
            send_message(t, cases[i].chunk, true, piece);
            expect_span(buf_span(&t->replies), "250 2.0.0 Ok\r\n");
            expect_span(buf_span(&t->body), cases[i].body);
        }
    }
    /* Never a CR, never in DATA; whether it is mended depends on the client's address. */
    send_message(t, SPAN("a\rb"), true, 0);
    expect_span(buf_span(&t->replies),
                "554 5.5.2 Bare CR or LF, or too long a line, in the message\r\n");
    send_message(t, SPAN("a\r\r\nb"), true, 0);
    expect_span(buf_span(&t->replies),
                "554 5.5.2 Bare CR or LF, or too long a line, in the message\r\n");
    send_message(t, SPAN("a\n.\nb"), false, 0);
    expect_span(buf_span(&t->replies),
                "354 End data with <CR><LF>.<CR><LF>\r\n"
                "554 5.5.2 Bare CR or LF, or too long a line, in the message\r\n");
    dialogue_restart(t, false);
    greet(t);
    send_message(t, SPAN("a\nb"), true, 0);
    expect_span(buf_span(&t->replies),
                "554 5.5.2 Bare CR or LF, or too long a line, in the message\r\n");
}

/* field notes 10 */
static void test_chunks_can_be_left_out(void **state)
{
    struct dialogue *t = *state;
    t->service.no_chunking = true;
    dialogue_send(t, SPAN("EHLO c\r\n"), 0);
    assert_null(memmem(t->replies.at, t->replies.len, "CHUNKING", 8));
    t->replies.len = 0;
    begin_mail(t);
    expect(t, "BDAT 6 LAST\r\nQUIT\r\n", "500 5.5.2 Unknown command\r\n");
    codes(t, "DATA\r\nx\r\n.\r\n", "354 250");
}

/* field notes 31: what is wrong with a message goes before what we lack, and the cuts say nothing.
 */
static void test_the_reply_does_not_depend_on_the_cuts(void **state)
{
    static const struct span messages[] = {
        HERE("0123456789\n0123456789"),
        HERE("0123456789012345\n"),
        HERE("\n0123456789012345"),
        HERE("0123\r0123456789012"),
        HERE("01234567890\0x"),
        HERE("01234567890123456789"),
        HERE("0123456789\r\n0123456789\n"),
        HERE(".\r\n.\r\n0123456789\n"),
    };
    struct dialogue *t = *state;

    for (size_t room = 0; room < 24; room += 3) {
        for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++) {
            for (int size_max = 0; size_max <= 12; size_max += 12) {
                for (int how = 0; how < 3; how++) { /* DATA, BDAT LAST, two chunks */
                    struct buf first = {0};
                    for (size_t piece = 0; piece < 8; piece++) {
                        t->service.size_max = (uint64_t)size_max;
                        t->spool_room = room;
                        dialogue_restart(t, false);
                        greet(t);
                        if (how == 2) {
                            begin_mail(t);
                            t->replies.len = 0;
                            char bdat[32];
                            snprintf(bdat, sizeof bdat, "BDAT %zu\r\n", messages[i].len);
                            dialogue_send(t, span_of(bdat), 0);
                            dialogue_send(t, messages[i], piece);
                            dialogue_send(t, SPAN("BDAT 2 LAST\r\nz\n"), piece);
                        } else {
                            send_message(t, messages[i], how == 1, piece);
                        }
                        if (piece == 0)
                            buf_add_span(&first, buf_span(&t->replies));
                        else if (!span_equal(buf_span(&first), buf_span(&t->replies)))
                            fail_msg("message %zu, way %d, room %zu, size_max %d, pieces of %zu:\n"
                                     "%.*sinstead of\n%.*s",
                                     i, how, room, size_max, piece, (int)t->replies.len,
                                     t->replies.at, (int)first.len, first.at);
                    }
                    buf_free(&first);
                }
            }
        }
    }
}

static void test_a_message_over_the_limit_is_dropped_and_refused_at_its_end(void **state)
{
    struct dialogue *t = *state;
    char line[1000];
    memset(line, 'x', sizeof line);
    memcpy(line + sizeof line - 2, "\r\n", 2);
    ready(t);
    codes(t, "DATA\r\n", "354");
    for (int i = 0; i < 1000; i++)
        dialogue_send(t, (struct span){line, sizeof line}, 0);
    expect_asked(t, "message\n");
    dialogue_send(t, (struct span){line, sizeof line}, 0);
    expect_asked(t, "void\n");
    assert_int_equal(t->body.len, 0);
    expect(t, "x\r\n.\r\n", "552 5.3.4 Message exceeds the size limit\r\n");
    codes(t, "MAIL FROM:<>\r\n", "250");
}

/* field notes 7: SIZE is a backend's, and the client need not know that it is smaller than ours. */
static void test_a_message_beyond_a_backends_size_alone_is_no_offence(void **state)
{
    static const struct {
        uint64_t size_free;
        size_t offences;
    } table[] = {{0, 1}, {99, 1}, {150, 0}, {1000, 0}};
    static const char *const ways[][2] = {
        {"MAIL FROM:<a@example.net> SIZE=150\r\n", NULL},
        {"MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n", ".\r\n"},
        {"MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\nBDAT 150 LAST\r\n", ""},
        {"MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\nBDAT 150\r\n", ""},
    };
    struct dialogue *t = *state;
    greet(t);
    t->service.size_max = 100;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        for (size_t k = 0; k < sizeof ways / sizeof *ways; k++) {
            struct buf all = {0};
            dialogue_send(t, SPAN("RSET\r\n"), 0);
            t->service.size_free = table[i].size_free;
            t->offences = 0;
            buf_addf(&all, "%s", ways[k][0]);
            if (ways[k][1])
                buf_addf(&all, "%0148d\r\n%s", 0, ways[k][1]);
            dialogue_send(t, buf_span(&all), 0);
            buf_free(&all);
            if (t->offences != table[i].offences)
                fail_msg("row %zu, way %zu", i, k);
        }
}

static void test_stuffing_dots_do_not_count_for_the_size(void **state)
{
    struct dialogue *t = *state;
    t->service.size_max = 6;
    ready(t);
    codes(t, "DATA\r\n..x\r\n..\r\n.\r\n", "354 552");
    begin_mail(t);
    t->service.size_max = 7;
    codes(t, "DATA\r\n..x\r\n..\r\n.\r\n", "354 250");
}

static void test_a_full_spool_is_452_at_the_end(void **state)
{
    struct dialogue *t = *state;
    t->spool_room = 10;
    ready(t);
    codes(t, "DATA\r\n0123456789\r\nmore\r\n", "354");
    expect_asked(t, "message\nvoid\n");
    expect(t, "more\r\n.\r\n", "452 4.3.1 No room for the message now\r\n");
    begin_mail(t);
    codes(t, "DATA\r\n0123456789\r\n.\r\n", "354 452"); /* it fails with the last octets */
    expect_asked(t, "message\nvoid\n");
    assert_int_equal(t->offences, 0);
}

static void test_no_spool_is_452_in_place_of_354(void **state)
{
    struct dialogue *t = *state;
    t->no_spool = true;
    ready(t);
    expect(t, "DATA\r\n", "452 4.3.1 No room for the message now\r\n");
    expect_asked(t, "message\nvoid\n");
    t->no_spool = false;
    codes(t, "DATA\r\n.\r\n", "354 250");
}

static void test_the_backends_words_are_the_reply(void **state)
{
    struct dialogue *t = *state;
    t->verdict = reply_make(REPLY_OTHER, SPAN("Spam\nSee https://example.org/spam"));
    t->verdict.code = 554;
    memcpy(t->verdict.enhanced, (uint8_t[]){5, 7, 1}, 3);
    t->verdict.offence = OFFENCE_BACKEND;
    ready(t);
    expect(t, "DATA\r\n.\r\n",
           "354 End data with <CR><LF>.<CR><LF>\r\n"
           "554-5.7.1 Spam\r\n554 5.7.1 See https://example.org/spam\r\n");
    assert_int_equal(t->offences, 1);
}

static void test_chunks_make_one_message(void **state)
{
    struct dialogue *t = *state;
    ready(t);
    expect(t, "BDAT 5\r\nab\r\n.", "250 2.0.0 Chunk taken\r\n");
    expect(t, "BDAT 6\r\nc\r\n..d", "250 2.0.0 Chunk taken\r\n");
    expect(t, "BDAT 0 LAST\r\n", "250 2.0.0 Ok\r\n");
    expect_span(buf_span(&t->body), "ab\r\n..c\r\n...d\r\n");
    expect_asked(t, "message\nend\n");
    codes(t, "DATA\r\n", "503");
}

/* A caller that reads no more than that and a few commands answers few chunks at a time. */
static void test_the_session_says_what_comes_before_the_next_command(void **state)
{
    struct dialogue *t = *state;
    ready(t);
    assert_int_equal(smtp_octets_due(&t->session), 0);
    codes(t, "BDAT 10\r\nabc", "");
    assert_int_equal(smtp_octets_due(&t->session), 7);
    codes(t, "defghij", "250");
    assert_int_equal(smtp_octets_due(&t->session), 0);
    codes(t, "RSET\r\nMAIL FROM:<a@b.net>\r\nRCPT TO:<c@d.org>\r\nDATA\r\n", "250 250 250 354");
    assert_true(smtp_octets_due(&t->session) == SIZE_MAX);
}

static void test_a_dot_line_in_a_chunk_is_no_end(void **state)
{
    struct dialogue *t = *state;
    ready(t);
    codes(t, "BDAT 22 LAST\r\na\r\n.\r\nQUIT\r\n.\r\nb\r\n..\r\nNOOP\r\n", "250 250");
    expect_span(buf_span(&t->body), "a\r\n..\r\nQUIT\r\n..\r\nb\r\n...\r\n");
}

static void test_an_empty_message_may_be_one_chunk(void **state)
{
    struct dialogue *t = *state;
    ready(t);
    codes(t, "BDAT 0 LAST\r\nNOOP\r\n", "250 250");
    assert_int_equal(t->body.len, 0);
    expect_asked(t, "message\nend\n");
}

static void test_a_crlf_may_stand_in_two_chunks(void **state)
{
    struct dialogue *t = *state;
    ready(t);
    codes(t, "BDAT 2\r\na\rBDAT 2 LAST\r\n\nb", "250 250");
    expect_span(buf_span(&t->body), "a\r\nb\r\n");
}

static void test_bad_line_ends_in_chunks_are_told_at_the_last(void **state)
{
    struct dialogue *t = *state;
    const char *const bad = "554 5.5.2 Bare CR or LF, or too long a line, in the message\r\n";
    ready(t);
    codes(t, "BDAT 3\r\na\nbBDAT 3\r\nxyz", "250 250");
    expect_asked(t, "message\nvoid\n");
    expect(t, "BDAT 2 LAST\r\n\r\n", bad);
    begin_mail(t);
    expect(t, "BDAT 2 LAST\r\na\r", bad); /* a CR at the very end */
    expect_asked(t, "message\nvoid\n");
    codes(t, "MAIL FROM:<>\r\n", "250");
}

static void test_octets_of_a_refused_chunk_are_not_commands(void **state)
{
    struct dialogue *t = *state;
    codes(t, "BDAT 6\r\nQUIT\r\nNOOP\r\n", "503 250");
    codes(t, "HELO c\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", "250 503 250");
    greet(t);
    expect(t, "BDAT 6\r\nQUIT\r\n", "503 5.5.1 MAIL first\r\n");
    codes(t, "MAIL FROM:<a@example.net>\r\n", "250");
    expect(t, "BDAT 6\r\nQUIT\r\n", "554 5.5.1 No valid recipients\r\n");
    codes(t, "RCPT TO:<b@example.org>\r\nBDAT 2 LAST\r\n\r\n", "250 250");
    expect_asked(t, "recipient b@example.org\nmessage\nend\n");
}

static void test_a_refusal_waits_until_its_chunk_is_read(void **state)
{
    struct dialogue *t = *state;
    greet(t);
    codes(t, "BDAT 3\r\nab", "");
    assert_true(smtp_in_data(&t->session));
    codes(t, "c", "503");
    assert_false(smtp_in_data(&t->session));
}

static void test_a_failed_chunk_breaks_the_message_until_rset(void **state)
{
    struct dialogue *t = *state;
    t->service.size_max = 4;
    ready(t);
    expect(t, "BDAT 5\r\nabcde", "552 5.3.4 Message exceeds the size limit\r\n");
    expect_asked(t, "message\nvoid\n");
    expect(t, "BDAT 6\r\nQUIT\r\n", "503 5.5.1 RSET first\r\n");
    codes(t, "BDAT 1 LAST\r\nxMAIL FROM:<>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n",
          "503 503 503 503");
    codes(t, "RSET\r\n", "250");
    begin_mail(t);
    codes(t, "BDAT 4 LAST\r\nab\r\n", "250");
    begin_mail(t);
    codes(t, "BDAT 5 LAST\r\nabcdeMAIL FROM:<>\r\n", "552 250"); /* it failed, and was the last */
}

static void test_a_spool_that_fails_breaks_the_chunk(void **state)
{
    struct dialogue *t = *state;
    t->spool_room = 3;
    ready(t);
    codes(t, "BDAT 3\r\nabcBDAT 3\r\ndefBDAT 1 LAST\r\nx", "250 452 503");
    t->no_spool = true;
    codes(t, "EHLO c\r\n", "250");
    begin_mail(t);
    codes(t, "BDAT 3 LAST\r\nabc", "452");
    expect_asked(t, "message\nvoid\n");
}

static void test_rset_between_chunks_gives_the_spool_up(void **state)
{
    struct dialogue *t = *state;
    ready(t);
    codes(t, "BDAT 3\r\nabc", "250");
    assert_true(smtp_in_data(&t->session));
    codes(t, "RCPT TO:<c@example.org>\r\nDATA\r\nRSET\r\n", "503 503 250");
    expect_asked(t, "message\nvoid\n");
    assert_false(smtp_in_data(&t->session));
    begin_mail(t);
    codes(t, "BDAT 3\r\nabcQUIT\r\n", "250 221");
    expect_asked(t, "message\nvoid\n");
}

static void test_a_chunk_whose_size_cannot_be_told_ends_the_connection(void **state)
{
    static const char *const wrong[] = {"BDAT\r\n",           "BDAT x\r\n",
                                        "BDAT -1\r\n",        "BDAT 5 FIRST\r\n",
                                        "BDAT 5 LAST x\r\n",  "BDAT 99999999999999999999\r\n",
                                        "BDAT 4294967296\r\n"};
    struct dialogue *t = *state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        dialogue_restart(t, false);
        ready(t);
        expect_octets(t, span_of(wrong[i]), "501 5.5.4 Syntax: BDAT size [LAST]\r\n");
        assert_true(t->ended);
    }
}

static void test_the_largest_chunk_size_is_only_a_number(void **state)
{
    struct dialogue *t = *state;
    ready(t);
    codes(t, "BDAT 4294967295\r\nQUIT\r\n", "");
    assert_true(t->session.chunk_left == UINT32_MAX - 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TALK_TEST(test_data_passes_octets_as_they_come),
        TALK_TEST(test_a_message_beyond_a_backends_size_alone_is_no_offence),
        TALK_TEST(test_a_bare_lf_never_ends_the_data),
        TALK_TEST(test_nul_makes_a_message_bad),
        TALK_TEST(test_nul_passes_where_it_is_allowed),
        TALK_TEST(test_a_bare_lf_in_a_chunk_can_be_mended),
        TALK_TEST(test_chunks_can_be_left_out),
        TALK_TEST(test_the_reply_does_not_depend_on_the_cuts),
        TALK_TEST(test_a_message_over_the_limit_is_dropped_and_refused_at_its_end),
        TALK_TEST(test_stuffing_dots_do_not_count_for_the_size),
        TALK_TEST(test_a_full_spool_is_452_at_the_end),
        TALK_TEST(test_no_spool_is_452_in_place_of_354),
        TALK_TEST(test_the_backends_words_are_the_reply),
        TALK_TEST(test_chunks_make_one_message),
        TALK_TEST(test_the_session_says_what_comes_before_the_next_command),
        TALK_TEST(test_a_dot_line_in_a_chunk_is_no_end),
        TALK_TEST(test_an_empty_message_may_be_one_chunk),
        TALK_TEST(test_a_crlf_may_stand_in_two_chunks),
        TALK_TEST(test_bad_line_ends_in_chunks_are_told_at_the_last),
        TALK_TEST(test_octets_of_a_refused_chunk_are_not_commands),
        TALK_TEST(test_a_refusal_waits_until_its_chunk_is_read),
        TALK_TEST(test_a_failed_chunk_breaks_the_message_until_rset),
        TALK_TEST(test_a_spool_that_fails_breaks_the_chunk),
        TALK_TEST(test_rset_between_chunks_gives_the_spool_up),
        TALK_TEST(test_a_chunk_whose_size_cannot_be_told_ends_the_connection),
        TALK_TEST(test_the_largest_chunk_size_is_only_a_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
