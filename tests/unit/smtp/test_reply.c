/* reply.c: replies as octets, within what senders bear (PEERS: 900 octets, 50 lines). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "smtp/reply.h"
#include "wire.h"

static void expect_written(const struct reply *r, const char *wanted)
{
    struct buf out = {0};
    assert_int_equal(reply_write(r, &out), 0);
    if (!span_equal(buf_span(&out), span_of(wanted)))
        fail_msg("got %.*s, wanted %s", (int)out.len, out.at, wanted);
    buf_free(&out);
}

static struct reply other(const char *text)
{
    struct reply r = reply_make(REPLY_OTHER, span_of(text));
    r.code = 554;
    r.enhanced[0] = 5, r.enhanced[1] = 7, r.enhanced[2] = 1;
    return r;
}

static void test_a_row_becomes_a_line(void **state)
{
    struct reply r = reply_make(REPLY_NO_USER, SPAN("a@b.example"));
    expect_written(&r, "550 5.1.1 <a@b.example>: user unknown\r\n");
    assert_int_equal(r.offence, OFFENCE_RECIPIENT);
    r = reply_make(REPLY_GREETING, SPAN("mx.example"));
    expect_written(&r, "220 mx.example ESMTP mired\r\n");
    r = reply_make(REPLY_AUTH_PROMPT, SPAN(""));
    expect_written(&r, "334 \r\n");
    r = reply_make(REPLY_OK, SPAN("not shown"));
    expect_written(&r, "250 2.0.0 Ok\r\n");
}

static void test_every_row_is_a_sound_reply(void **state)
{
    for (unsigned id = 0; id < REPLY_COUNT; id++) {
        struct reply r = reply_make((enum reply_id)id, SPAN("x"));
        struct buf out = {0};
        if (id == REPLY_OTHER)
            r = other("x");
        assert_int_equal(reply_write(&r, &out), 0);
        assert_null(wire_fault(buf_span(&out)));
        assert_true(!r.enhanced[0] || r.enhanced[0] == r.code / 100);
        /* What a recipient's own server lacks is not the client's fault (R24). */
        bool ours = id == REPLY_OTHER || id == REPLY_NO_ROUTE || id == REPLY_TOO_LARGE_THERE;
        assert_int_equal(r.offence != OFFENCE_NONE, r.code >= 500 && !ours);
        buf_free(&out);
    }
}

static void test_lines_of_the_argument_become_lines(void **state)
{
    struct reply r = other("one\ntwo\nthree");
    expect_written(&r, "554-5.7.1 one\r\n554-5.7.1 two\r\n554 5.7.1 three\r\n");
    r = other("one\n");
    expect_written(&r, "554 5.7.1 one\r\n");
    r = other("");
    expect_written(&r, "554 5.7.1 \r\n");
    r = reply_make(REPLY_EHLO, SPAN("mx\nPIPELINING"));
    expect_written(&r, "250-mx\r\n250 PIPELINING\r\n");
}

static void test_hostile_octets_become_question_marks(void **state)
{
    struct reply r = reply_make(REPLY_NO_USER, SPAN("a\r\x1b[0m\x7f\xff\xc2\x85\0\xc3\xa4\t"));
    expect_written(&r, "550 5.1.1 <a??[0m?????\xc3\xa4?>: user unknown\r\n");
}

static void test_an_argument_cannot_make_a_second_line_out_of_a_row(void **state)
{
    struct reply r = reply_make(REPLY_NO_USER, SPAN("a\n250 fine"));
    struct buf out = {0};
    assert_int_equal(reply_write(&r, &out), 0);
    assert_null(wire_fault(buf_span(&out)));
    buf_free(&out);
}

static void test_a_long_argument_is_cut_and_the_rows_words_stay(void **state)
{
    char text[3000];
    struct buf out = {0};
    memset(text, 'x', sizeof text);
    struct reply r = reply_make(REPLY_NO_USER, (struct span){text, sizeof text});
    assert_int_equal(reply_write(&r, &out), 0);
    assert_int_equal(out.len, REPLY_LINE_MAX);
    assert_memory_equal(out.at + out.len - 17, ">: user unknown\r\n", 17);
    buf_free(&out);
    /* Never within a character. */
    memset(text, 0, sizeof text);
    for (size_t i = 0; i < sizeof text; i += 3)
        memcpy(text + i, "\xe2\x82\xac", 3);
    for (size_t shift = 0; shift < 3; shift++) {
        memset(text, 'x', shift);
        r.arg = (struct span){text + 3 - shift, sizeof text - 3};
        assert_int_equal(reply_write(&r, &out), 0);
        assert_null(wire_fault(buf_span(&out)));
        buf_free(&out);
    }
}

static void test_the_whole_stays_within_900_octets_and_50_lines(void **state)
{
    struct buf text = {0}, out = {0};
    for (int i = 0; i < 100; i++)
        assert_int_equal(buf_addf(&text, "%s%d", i ? "\n" : "", i), 0);
    struct reply r = other("");
    r.arg = buf_span(&text);
    assert_int_equal(reply_write(&r, &out), 0);
    assert_null(wire_fault(buf_span(&out)));
    assert_true(out.len <= REPLY_WHOLE_MAX);
    buf_free(&out);
    buf_free(&text);
    for (int i = 0; i < 100; i++)
        assert_int_equal(buf_addf(&text, "\n"), 0);
    r.enhanced[0] = 0;
    r.arg = buf_span(&text);
    assert_int_equal(reply_write(&r, &out), 0);
    assert_null(wire_fault(buf_span(&out)));
    assert_int_equal(out.len, 50 * 6);
    buf_free(&out);
    buf_free(&text);
}

static void test_a_drip_says_it_all_first(void **state)
{
    struct reply r = reply_make(REPLY_NO_USER, SPAN("a@b.example"));
    struct buf out = {0};
    assert_int_equal(reply_drip(&r, true, &out), 0);
    assert_int_equal(reply_drip(&r, false, &out), 0);
    assert_int_equal(reply_end_drip(&r, &out), 0);
    assert_true(span_equal(buf_span(&out), SPAN("550-5.1.1 <a@b.example>: user unknown\r\n"
                                                "550-5.1.1 Wait\r\n"
                                                "550 5.1.1 <a@b.example>: user unknown\r\n")));
    buf_free(&out);
}

static void test_a_dripped_reply_stays_within_what_senders_bear(void **state)
{
    char text[2000];
    struct buf out = {0};
    memset(text, 'x', sizeof text);
    text[1000] = '\n';
    struct reply r = other("");
    memset(r.enhanced, 255, 3);
    r.arg = (struct span){text, sizeof text};
    for (int i = 0; i < REPLY_DRIPS_MAX + 1; i++)
        assert_int_equal(reply_drip(&r, i == 0, &out), 0);
    assert_int_equal(reply_end_drip(&r, &out), 0);
    assert_null(wire_fault(buf_span(&out)));
    assert_true(out.len <= REPLY_WHOLE_MAX);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_row_becomes_a_line),
        cmocka_unit_test(test_every_row_is_a_sound_reply),
        cmocka_unit_test(test_lines_of_the_argument_become_lines),
        cmocka_unit_test(test_hostile_octets_become_question_marks),
        cmocka_unit_test(test_an_argument_cannot_make_a_second_line_out_of_a_row),
        cmocka_unit_test(test_a_long_argument_is_cut_and_the_rows_words_stay),
        cmocka_unit_test(test_the_whole_stays_within_900_octets_and_50_lines),
        cmocka_unit_test(test_a_drip_says_it_all_first),
        cmocka_unit_test(test_a_dripped_reply_stays_within_what_senders_bear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
