/* Short words for tests of a talk. After <cmocka.h>. */
#ifndef MIRED_TEST_EXPECT_H
#define MIRED_TEST_EXPECT_H

#include <string.h>

#include "talk.h"

static inline void expect_span(struct span got, const char *wanted)
{
    if (!span_equal(got, span_of(wanted)))
        fail_msg("got \"%.*s\", wanted \"%s\"", (int)got.len, got.at ? got.at : "", wanted);
}

/* Sends octets; all that is replied must be this. */
static inline void expect_octets(struct talk *t, struct span octets, const char *replies)
{
    talk_send(t, octets, 0);
    expect_span(buf_span(&t->replies), replies);
    buf_free(&t->replies);
}

#define expect(t, sent, replies) expect_octets(t, SPAN(sent), replies)

/* What the caller was asked since the last time, a line each. */
static inline void expect_asked(struct talk *t, const char *lines)
{
    expect_span(buf_span(&t->asked), lines);
    buf_free(&t->asked);
}

/* The three-digit codes of the replies, parted by spaces. */
static inline void expect_codes(struct talk *t, struct span octets, const char *codes)
{
    struct buf got = {0};
    talk_send(t, octets, 0);
    for (struct span rest = buf_span(&t->replies); rest.len;) {
        struct span line = span_first(rest, span_find(rest, '\n') + 1);
        if (line.at[3] == ' ')
            assert_int_equal(buf_addf(&got, "%s%.3s", got.len ? " " : "", line.at), 0);
        rest = span_after(rest, line.len);
    }
    expect_span(buf_span(&got), codes);
    buf_free(&got);
    buf_free(&t->replies);
}

#define codes(t, sent, wanted) expect_codes(t, SPAN(sent), wanted)

/* EHLO is said and forgotten. */
static inline void greet(struct talk *t)
{
    codes(t, "EHLO client.example.net\r\n", "250");
}

/* A recipient has been taken. */
static inline void begin_mail(struct talk *t)
{
    codes(t, "MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\n", "250 250");
    buf_free(&t->asked);
}

static inline int talk_setup(void **state)
{
    static struct talk t;
    talk_open(&t);
    *state = &t;
    return 0;
}

static inline int talk_teardown(void **state)
{
    talk_close(*state);
    return 0;
}

#define TALK_TEST(f) cmocka_unit_test_setup_teardown(f, talk_setup, talk_teardown)

#endif
