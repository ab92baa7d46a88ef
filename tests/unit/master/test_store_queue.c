/* Turns at the pair to the store: a slot that sends connections without end fills only its own queue. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/channel.h"
#include "master/store_queue.h"
#include "query/notes.h"

enum { BAD = 3, GOOD = 0, OTHER = 900, ENOUGH = 100000 };

static struct loop loop;
static struct store_queue queue;
static int pair[2];
static unsigned taken[1024]; /* connections of each slot that the store has taken */
static char words[NOTE_TEXT];
static size_t words_len; /* that come with each connection */

static int setup(void **state)
{
    memset(taken, 0, sizeof taken);
    words_len = (size_t)snprintf(words, sizeof words, "example.test +");
    assert_return_code(loop_open(&loop), 0);
    assert_return_code(channel_pair(pair), 0);
    return 0;
}

static int teardown(void **state)
{
    store_queue_close(&loop, &queue);
    loop_close(&loop);
    close(pair[0]);
    close(pair[1]);
    return 0;
}

/* A new connection, of which the worker keeps *worker if that is not NULL. */
static uint32_t put(uint32_t slot, int *worker)
{
    int end[2];

    assert_return_code(socketpair(AF_UNIX, SOCK_STREAM, 0, end), errno);
    uint32_t dropped =
        store_queue_put(&loop, &queue, pair[0], slot, end[1], (struct span){words, words_len});
    close(end[1]);
    if (worker)
        *worker = end[0];
    else
        close(end[0]);
    return dropped;
}

/* The store takes the next connection. Returns its slot, or -1 if there is none now. */
static int take(void)
{
    struct note n;

    if (channel_read(pair[1], &n) != 1)
        return -1;
    assert_int_equal(n.kind, NOTE_STORE);
    assert_int_equal(n.fds, 1);
    assert_string_equal(n.text, "example.test +"); /* also of one that has waited */
    struct stat st;
    assert_return_code(fstat(n.fd[0], &st), errno);
    assert_true(S_ISSOCK(st.st_mode));
    close(n.fd[0]);
    taken[n.arg]++;
    return n.arg;
}

/* The store takes all; the master's loop turns meanwhile. */
static void take_all(void)
{
    do {
        while (take() >= 0)
            ;
        loop_turn(&loop, 0);
    } while (queue.waiting);
    while (take() >= 0)
        ;
}

/* The bad slot sends until some of its connections are dropped. Returns how many it has sent. */
static unsigned flood(void)
{
    unsigned sent = 0;

    while (put(BAD, NULL) == 0) {
        sent++;
        assert_true(sent < ENOUGH);
    }
    return sent + 1;
}

static void test_connections_pass_at_once(void **state)
{
    for (unsigned i = 0; i < 50; i++) {
        assert_int_equal(put(GOOD, NULL), 0);
        assert_int_equal(take(), GOOD);
    }
    assert_int_equal(take(), -1);
    assert_int_equal(queue.waiting, 0);
}

static void test_words_without_end_are_dropped(void **state)
{
    memset(words, 'x', sizeof words);
    words_len = sizeof words - 1;
    assert_int_equal(put(BAD, NULL), 1);
    assert_int_equal(put(BAD, NULL), 2);
    assert_int_equal(take(), -1);
}

static void test_a_flood_takes_no_connection_from_other_slots(void **state)
{
    unsigned sent = 0, dropped = 0, good = 0;

    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < 64; i++, sent++) /* as many as the master reads in a turn */
            dropped += put(BAD, NULL) != 0;
        assert_int_equal(put(round % 2 ? GOOD : OTHER, NULL), 0);
        good++;
        for (int i = 0; i < 9; i++) /* the store takes fewer than come */
            take();
        loop_turn(&loop, 0);
    }
    take_all();
    assert_int_equal(taken[GOOD] + taken[OTHER], good);
    assert_true(dropped > 0);
    assert_int_equal(taken[BAD] + dropped, sent);
}

static void test_slots_take_turns(void **state)
{
    unsigned ahead = 0, at = 0;

    flood();
    assert_int_equal(queue.waiting, STORE_QUEUE_EACH);
    for (int i = 0; i < 10; i++)
        assert_int_equal(put(GOOD, NULL), 0);
    while (take() >= 0)
        ahead++;
    loop_turn(&loop, 0);
    for (int slot; (slot = take()) >= 0; at++)
        if (at < 20)
            assert_int_equal(slot, at % 2 ? BAD : GOOD);
    assert_true(ahead > 0);
    take_all();
    assert_int_equal(taken[GOOD], 10);
}

/* The store is away, and its pair is full. */
static void test_a_slots_queue_has_room_for_all_that_a_true_worker_opens(void **state)
{
    flood();
    for (int i = 0; i < STORE_QUEUE_EACH; i++)
        assert_int_equal(put(GOOD, NULL), 0);
    for (unsigned i = 1; i < 9; i++)
        assert_int_equal(put(GOOD, NULL), i);
    take_all();
    assert_int_equal(taken[GOOD], STORE_QUEUE_EACH);
    assert_int_equal(put(GOOD, NULL), 0);
    assert_int_equal(take(), GOOD);
}

static bool has_ended(int fd)
{
    char octet;

    return recv(fd, &octet, 1, MSG_DONTWAIT) == 0;
}

static void test_a_worker_sees_the_end_of_what_is_dropped_and_of_nothing_else(void **state)
{
    int dropped, waits;

    flood();
    assert_int_not_equal(put(BAD, &dropped), 0);
    assert_true(has_ended(dropped));
    assert_int_equal(put(GOOD, &waits), 0);
    assert_false(has_ended(waits));
    store_queue_close(&loop, &queue);
    assert_true(has_ended(waits));
    assert_int_equal(queue.waiting, 0);
    close(dropped);
    close(waits);
}

static void test_nothing_is_watched_while_nothing_waits(void **state)
{
    flood();
    take_all();
    uint64_t moved = loop.moved;
    for (int i = 0; i < 5; i++)
        loop_turn(&loop, 0);
    assert_int_equal(loop.moved, moved);
    assert_int_equal(loop.idle, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_connections_pass_at_once),
        TEST(test_words_without_end_are_dropped),
        TEST(test_a_flood_takes_no_connection_from_other_slots),
        TEST(test_slots_take_turns),
        TEST(test_a_slots_queue_has_room_for_all_that_a_true_worker_opens),
        TEST(test_a_worker_sees_the_end_of_what_is_dropped_and_of_nothing_else),
        TEST(test_nothing_is_watched_while_nothing_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
