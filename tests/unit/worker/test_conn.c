/* A connection's life: pipelined input is answered whole, and in order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "fake.h"

enum { MANY = 4000, SMALL = 4096, LARGE = 1 << 20 };

static struct fake f;

/* What the client has read between two calls of send(); NULL: it reads nothing meanwhile. */
static const struct fake_client *reads_at_once;
static struct buf heard;
static bool was_full;

static int last_flags; /* of the last call of send() */

static void hear(const struct fake_client *client)
{
    const char *text;

    while (*(text = fake_heard(client)))
        assert_int_equal(buf_add(&heard, text, strlen(text)), 0);
}

/* Takes the place of libc's: the client makes room just after the worker has found none. */
ssize_t send(int fd, const void *at, size_t len, int flags)
{
    static const int large = LARGE;

    if (reads_at_once && fd == reads_at_once->worker_fd && was_full) {
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &large, sizeof large);
        hear(reads_at_once);
    }
    ssize_t n = sendto(fd, at, len, flags, NULL, 0);
    last_flags = flags;
    if (reads_at_once && fd == reads_at_once->worker_fd)
        was_full = n < 0;
    return n;
}

static int setup(void **state)
{
    reads_at_once = NULL;
    was_full = false;
    fake_open(&f);
    return 0;
}

static int teardown(void **state)
{
    reads_at_once = NULL;
    buf_free(&heard);
    fake_close(&f);
    return 0;
}

static size_t count(struct span text, const char *what)
{
    size_t n = 0, len = strlen(what);

    for (size_t i = 0; i + len <= text.len; i++)
        n += memcmp(text.at + i, what, len) == 0;
    return n;
}

/* The commands of a client that reads its replies late, and of one that reads them at the very
 * moment at which the worker stops for want of room. */
static void all_are_answered(bool at_once)
{
    static char commands[MANY * 6 + 1];
    static const int small = SMALL;
    struct fake_client client = fake_connect(&f, "192.0.2.7");

    f.w->service->junk_max = 0;
    fake_say(&f, &client, "EHLO client.example\r\n");
    fake_heard(&client);
    for (int i = 0; i < MANY; i++)
        strcpy(commands + (size_t)i * 6, "NOOP\r\n");
    assert_return_code(setsockopt(client.worker_fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small),
                       0);
    if (at_once)
        reads_at_once = &client;
    fake_say(&f, &client, commands);
    for (size_t before = 1; before != heard.len;) {
        before = heard.len;
        hear(&client);
        fake_turn(&f);
    }
    assert_int_equal(count(buf_span(&heard), "250 2.0.0"), MANY);
    assert_int_equal(client.c->phase, CONN_READING);
}

static void test_a_client_that_reads_late_gets_all_its_replies(void **state)
{
    all_are_answered(false);
}

static void test_a_client_that_makes_room_at_the_last_moment_gets_all_its_replies(void **state)
{
    all_are_answered(true);
}

/* The last reply and the end of the connection are one packet. Earlier replies must not wait in the
 * kernel for more: the client has to hear them first. */
static void test_only_the_last_reply_waits_for_the_end(void **state)
{
    struct fake_client client = fake_in_mail(&f, "192.0.2.1");

    fake_say(&f, &client, "NOOP\r\n");
    assert_non_null(strstr(fake_heard(&client), "250 "));
    assert_int_equal(last_flags & MSG_MORE, 0);
    fake_say(&f, &client, "QUIT\r\n");
    assert_non_null(strstr(fake_heard(&client), "221 "));
    assert_int_equal(last_flags & MSG_MORE, MSG_MORE);
    assert_false(fake_is_open(&f, &client));
}

static void test_the_reply_to_a_silent_client_waits_for_the_end_too(void **state)
{
    struct fake_client client = fake_in_mail(&f, "192.0.2.1");

    fake_pass(&f, f.config.timeout_ms + 1000);
    assert_non_null(strstr(fake_heard(&client), "421 "));
    assert_int_equal(last_flags & MSG_MORE, MSG_MORE);
    assert_false(fake_is_open(&f, &client));
}

/* So a client cannot keep a connection by an octet now and then. */
static void test_octets_of_a_line_that_is_too_long_are_no_progress(void **state)
{
    static char line[SMTP_LINE_MAX + 1001];
    uint64_t half = f.config.timeout_ms / 2;
    struct fake_client slow = fake_in_mail(&f, "192.0.2.1"), other = fake_in_mail(&f, "192.0.2.2");

    memset(line, 'x', sizeof line - 1);
    fake_say(&f, &slow, line);
    fake_pass(&f, half);
    fake_say(&f, &slow, "x");
    fake_say(&f, &other, "NOOP\r\n");
    assert_true(fake_is_open(&f, &slow));
    fake_pass(&f, half + 1000);
    assert_non_null(strstr(fake_heard(&slow), "421 "));
    assert_false(fake_is_open(&f, &slow));
    assert_true(fake_is_open(&f, &other));
}

/* Those that bring mail do not wait for them; see loop_bulk(). */
static void test_a_client_that_brings_no_mail_forward_waits_behind_others(void **state)
{
    struct fake_client client = fake_in_mail(&f, "192.0.2.7");

    assert_false(client.c->watch.events & LOOP_BULK);
    fake_say(&f, &client, "RSET\r\nNOOP\r\n");
    assert_false(client.c->watch.events & LOOP_BULK);
    fake_say(&f, &client, "NOOP\r\nMAIL FROM:<a@b.test>\r\n");
    assert_true(client.c->watch.events & LOOP_BULK);
    assert_non_null(strstr(fake_heard(&client), "250 2.1.0"));

    struct fake_client known = fake_in_mail(&f, "192.0.2.8");
    known.c->flags |= CONN_EXEMPT;
    fake_say(&f, &known, "RSET\r\nNOOP\r\nNOOP\r\n");
    assert_false(known.c->watch.events & LOOP_BULK);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_client_that_reads_late_gets_all_its_replies),
        TEST(test_a_client_that_makes_room_at_the_last_moment_gets_all_its_replies),
        TEST(test_only_the_last_reply_waits_for_the_end),
        TEST(test_the_reply_to_a_silent_client_waits_for_the_end_too),
        TEST(test_octets_of_a_line_that_is_too_long_are_no_progress),
        TEST(test_a_client_that_brings_no_mail_forward_waits_behind_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
