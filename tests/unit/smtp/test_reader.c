/* Backends' replies, in whatever pieces they come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "smtp/reader.h"

/* Reads `text` in pieces of `piece` octets up to the first whole reply. */
static enum reader_result read_by(struct reply_reader *r, const char *text, size_t piece,
                                  struct reply *reply)
{
    enum reader_result result = READER_MORE;
    for (size_t at = 0, len = strlen(text); at < len && result == READER_MORE; at += piece) {
        struct span in = {text + at, len - at < piece ? len - at : piece};
        result = reader_take(r, &in, reply);
    }
    return result;
}

static void expect(const char *text, unsigned code, const char *enhanced, const char *words)
{
    for (size_t piece = 1; piece <= strlen(text); piece++) {
        struct reply_reader r = {0};
        struct reply reply;
        char got[16];
        assert_int_equal(read_by(&r, text, piece, &reply), READER_REPLY);
        assert_int_equal(reply.code, code);
        snprintf(got, sizeof got, "%u.%u.%u", reply.enhanced[0], reply.enhanced[1],
                 reply.enhanced[2]);
        assert_string_equal(got, enhanced);
        assert_true(span_equal(reply.arg, span_of(words)));
        reader_free(&r);
    }
}

static void test_replies_are_read_in_any_pieces(void **state)
{
    expect("250 2.1.5 Ok\r\n", 250, "2.1.5", "Ok");
    expect("550-5.1.1 No such\r\n550 5.1.1 user\r\n", 550, "5.1.1", "No such\nuser");
    expect("250-mx.example.org\r\n250-SIZE 1000\r\n250 PIPELINING\r\n", 250, "0.0.0",
           "mx.example.org\nSIZE 1000\nPIPELINING");
    expect("354\r\n", 354, "0.0.0", "");
    expect("220 ready\n", 220, "0.0.0", "ready");
    expect("250 5.1.1 is of another class\r\n", 250, "0.0.0", "5.1.1 is of another class");
}

static void test_what_is_no_reply_is_not_taken_for_one(void **state)
{
    static const char *const wrong[] = {"hello\r\n", "25 x\r\n",          "2500 x\r\n",
                                        "199 x\r\n", "600 x\r\n",         "250x\r\n",
                                        "\r\n",      "250-a\r\n251 b\r\n"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct reply_reader r = {0};
        struct reply reply;
        assert_int_equal(read_by(&r, wrong[i], 3, &reply), READER_BROKEN);
        reader_free(&r);
    }
}

/* field notes 7: a message that was taken with many words is a message that was taken. */
static void test_a_long_line_is_cut(void **state)
{
    struct reply_reader r = {0};
    struct reply reply;
    static char line[READER_REPLY_MAX];

    memset(line, 'x', sizeof line);
    memcpy(line, "250 ", 4);
    for (size_t size = READER_LINE_MAX - 10; size < READER_REPLY_MAX; size *= 2) {
        struct span in = {line, size}, end = SPAN("\r\n");
        assert_int_equal(reader_take(&r, &in, &reply), READER_MORE);
        assert_true(r.line.len <= READER_LINE_MAX);
        assert_int_equal(reader_take(&r, &end, &reply), READER_REPLY);
        assert_int_equal(reply.code, 250);
    }
    reader_free(&r);
}

static void test_a_line_without_end_is_bounded(void **state)
{
    struct reply_reader r = {0};
    struct reply reply;
    char line[1000];
    enum reader_result result = READER_MORE;

    memset(line, 'x', sizeof line);
    for (int i = 0; i < 2000 && result == READER_MORE; i++) {
        struct span in = {line, sizeof line};
        result = reader_take(&r, &in, &reply);
        assert_true(r.line.len <= READER_LINE_MAX);
    }
    assert_int_equal(result, READER_BROKEN);
    reader_free(&r);
}

static void test_a_reply_without_end_takes_bounded_memory(void **state)
{
    struct reply_reader r = {0};
    struct reply reply;

    for (int i = 0; i < 10000; i++) {
        struct span in = SPAN("550-again and again and again\r\n");
        assert_int_equal(reader_take(&r, &in, &reply), READER_MORE);
    }
    assert_true(r.text.len <= READER_TEXT_MAX);
    struct span in = SPAN("550 done\r\n");
    assert_int_equal(reader_take(&r, &in, &reply), READER_REPLY);
    assert_int_equal(reply.code, 550);
    reader_free(&r);
}

static void test_what_follows_a_reply_is_left_for_the_next(void **state)
{
    struct reply_reader r = {0};
    struct reply reply;
    struct span in = SPAN("250 one\r\n251 two\r\n4");

    assert_int_equal(reader_take(&r, &in, &reply), READER_REPLY);
    assert_int_equal(reply.code, 250);
    assert_int_equal(reader_take(&r, &in, &reply), READER_REPLY);
    assert_int_equal(reply.code, 251);
    assert_int_equal(reader_take(&r, &in, &reply), READER_MORE);
    reader_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replies_are_read_in_any_pieces),
        cmocka_unit_test(test_what_is_no_reply_is_not_taken_for_one),
        cmocka_unit_test(test_a_long_line_is_cut),
        cmocka_unit_test(test_a_line_without_end_is_bounded),
        cmocka_unit_test(test_a_reply_without_end_takes_bounded_memory),
        cmocka_unit_test(test_what_follows_a_reply_is_left_for_the_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
