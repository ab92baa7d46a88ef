/* Short words for tests of a dialogue. After <cmocka.h>. */
#ifndef MIRED_TEST_EXPECT_H
#define MIRED_TEST_EXPECT_H

#include <string.h>

#include "dialogue.h"

static inline void expect_span(struct span got, const char *wanted)
{
    if (!span_equal(got, span_of(wanted)))
        fail_msg("got \"%.*s\", wanted \"%s\"", (int)got.len, got.at ? got.at : "", wanted);
}

/* Sends octets; all that is replied must be this. */
static inline void expect_octets(struct dialogue *t, struct span octets, const char *replies)
{
    dialogue_send(t, octets, 0);
    expect_span(buf_span(&t->replies), replies);
    buf_free(&t->replies);
}

#define expect(t, sent, replies) expect_octets(t, SPAN(sent), replies)

/* What the caller was asked since the last time, a line each. */
static inline void expect_asked(struct dialogue *t, const char *lines)
{
    expect_span(buf_span(&t->asked), lines);
    buf_free(&t->asked);
}

/* The three-digit codes of the replies, parted by spaces. */
static inline void expect_codes(struct dialogue *t, struct span octets, const char *codes)
{
    struct buf got = {0};
    dialogue_send(t, octets, 0);
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
static inline void greet(struct dialogue *t)
{
    codes(t, "EHLO client.example.net\r\n", "250");
}

/* A recipient has been taken. */
static inline void begin_mail(struct dialogue *t)
{
    codes(t, "MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\n", "250 250");
    buf_free(&t->asked);
}

static inline int dialogue_setup(void **state)
{
    static struct dialogue t;
    dialogue_open(&t);
    *state = &t;
    return 0;
}

static inline int dialogue_teardown(void **state)
{
    dialogue_close(*state);
    return 0;
}

#define TALK_TEST(f) cmocka_unit_test_setup_teardown(f, dialogue_setup, dialogue_teardown)

#endif
