/* What an asker that was taken over does to a clerk's pairs, and that the others are served. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "clerk/pairs.h"

enum { SLOTS = 5, EVENTS = 3 };

/* The asker's ends are [1] of queries and [0] of answers. */
static int ask[SLOTS][QUERY_QUEUES][2], own[SLOTS][2], answer[SLOTS][2];
static int clerk_ask[SLOTS][QUERY_QUEUES], clerk_own[SLOTS], clerk_answer[SLOTS];
static int set;
static struct pairs *pairs;
static unsigned taken[SLOTS];
static bool answers; /* whether take() answers */
static int short_of; /* how many descriptors the kernel has no memory to watch */

/* In the C library's place. */
int epoll_ctl(int in, int operation, int fd, struct epoll_event *event)
{
    if (operation == EPOLL_CTL_ADD && short_of > 0) {
        short_of--;
        errno = ENOMEM;
        return -1;
    }
    return (int)syscall(SYS_epoll_ctl, in, operation, fd, event);
}

static void new_pair(int fd[2])
{
    assert_return_code(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd),
                       0);
}

static void open_all(uint32_t owns)
{
    for (int i = 0; i < SLOTS; i++) {
        for (int q = 0; q < QUERY_QUEUES; q++) {
            new_pair(ask[i][q]);
            clerk_ask[i][q] = ask[i][q][0];
        }
        new_pair(own[i]);
        clerk_own[i] = own[i][0];
        new_pair(answer[i]);
        clerk_answer[i] = answer[i][1];
        taken[i] = 0;
    }
    answers = true;
    set = epoll_create1(EPOLL_CLOEXEC);
    assert_return_code(set, 0);
    pairs = pairs_open(&(struct pairs_params){.ask = clerk_ask,
                                              .answer = clerk_answer,
                                              .slots = SLOTS,
                                              .own = clerk_own,
                                              .owns = owns},
                       set);
    assert_non_null(pairs);
}

static int set_up(void **state)
{
    open_all(SLOTS);
    return 0;
}

static int tear_down(void **state)
{
    pairs_close(pairs);
    close(set);
    for (int i = 0; i < SLOTS; i++)
        for (int end = 0; end < 2; end++) {
            for (int q = 0; q < QUERY_QUEUES; q++)
                close(ask[i][q][end]);
            close(own[i][end]);
            close(answer[i][end]);
        }
    return 0;
}

static int send_as(int fd, uint16_t slot, uint64_t id)
{
    struct query_head head = {.id = id, .slot = slot, .kind = QUERY_RECIPIENT};
    static const char text[] = "alice@example.org";

    return query_send(fd, &head, (struct span){text, sizeof text - 1}, (struct span){0});
}

static void take(void *arg, struct query_packet *q)
{
    taken[q->head.slot]++;
    if (answers)
        pairs_answer(pairs, q->head.slot, &(struct answer){.id = q->head.id, .result = ANSWER_YES});
}

/* One turn with the least time, so at most one query a queue. Returns the number of events. */
static int turn(void)
{
    struct epoll_event event[EVENTS];
    int n = epoll_wait(set, event, EVENTS, 0);

    for (int i = 0; i < n; i++)
        pairs_ready(pairs, &event[i], 0, take, NULL);
    return n;
}

static void turns(int n)
{
    while (n-- > 0 && turn() > 0)
        ;
}

static void fill(int fd, uint16_t slot)
{
    while (send_as(fd, slot, 1) == 0)
        ;
}

static unsigned read_answers(int slot)
{
    struct answer a;
    unsigned n = 0;

    while (answer_read(answer[slot][0], &a) == 1)
        n++;
    return n;
}

static void test_a_flood_of_one_asker_delays_the_queries_of_another_by_a_round(void **state)
{
    answers = false;
    for (int q = 0; q < QUERY_QUEUES; q++)
        for (int i = 0; i < SLOTS - 1; i++)
            fill(ask[i][q][1], (uint16_t)i);
    assert_int_equal(send_as(ask[SLOTS - 1][QUERY_FIRST][1], SLOTS - 1, 7), 0);
    turns((QUERY_QUEUES * (SLOTS - 1) + 1 + EVENTS - 1) / EVENTS);
    assert_int_equal(taken[SLOTS - 1], 1);
    for (int i = 0; i < SLOTS - 1; i++)
        assert_in_range(taken[i], 1, QUERY_QUEUES);
}

static void test_an_asker_that_takes_no_answers_gets_no_further_queries_taken(void **state)
{
    unsigned before;

    bool full = false;
    while (!full) { /* the queue of answers, what the clerk keeps, and the queue of queries */
        int error = send_as(ask[1][QUERY_FIRST][1], 1, 1);
        full = turn() == 0 && error < 0;
    }
    before = taken[1];
    fill(ask[1][QUERY_STRANGERS][1], 1);
    fill(own[1][1], 1);
    assert_int_equal(turn(), 0); /* nothing is reported again and again, so the clerk sleeps */
    assert_int_equal(taken[1], before);
    assert_int_equal(send_as(ask[2][QUERY_FIRST][1], 2, 9), 0);
    turns(1);
    assert_int_equal(taken[2], 1);
    assert_int_equal(read_answers(2), 1);

    unsigned got = read_answers(1); /* it goes on: each query has its answer */
    assert_true(got > 0);
    for (int i = 0; i < 100000; i++) {
        turn();
        unsigned more = read_answers(1);
        got += more;
        if (!more && turn() == 0)
            break;
    }
    got += read_answers(1);
    assert_int_equal(got, taken[1]);
    assert_true(taken[1] > before);
}

static void test_answers_that_nobody_takes_are_kept_up_to_a_limit(void **state)
{
    struct answer a = {.result = ANSWER_NO};
    unsigned got = 0;

    for (uint64_t i = 1; i <= 5 * PAIRS_KEPT_MAX; i++) {
        a.id = i;
        pairs_answer(pairs, 3, &a);
    }
    for (uint64_t next = 1; turn() > 0 || got == 0;) {
        while (answer_read(answer[3][0], &a) == 1) {
            assert_int_equal(a.id, next++); /* in order */
            got++;
        }
    }
    while (answer_read(answer[3][0], &a) == 1)
        got++;
    assert_in_range(got, PAIRS_KEPT_MAX + 1, 5 * PAIRS_KEPT_MAX - 1);
}

static void test_an_asker_that_shuts_its_queues_is_forgotten_and_no_other(void **state)
{
    for (int q = 0; q < QUERY_QUEUES; q++)
        shutdown(ask[0][q][1], SHUT_WR);
    shutdown(own[0][1], SHUT_RDWR);
    shutdown(answer[0][0], SHUT_RD);
    turns(8);
    assert_int_equal(turn(), 0);
    pairs_answer(pairs, 0, &(struct answer){.id = 1, .result = ANSWER_YES});
    assert_int_equal(turn(), 0);
    assert_true(pairs_are_left(pairs));
    for (uint16_t i = 1; i < SLOTS; i++) {
        assert_int_equal(send_as(ask[i][QUERY_FIRST][1], i, 1), 0);
        assert_int_equal(send_as(own[i][1], i, 2), 0);
    }
    turns(2 * SLOTS);
    for (int i = 1; i < SLOTS; i++)
        assert_int_equal(read_answers(i), 2);
}

static void test_an_empty_packet_is_not_the_end(void **state)
{
    int queue[] = {ask[2][QUERY_FIRST][1], ask[2][QUERY_STRANGERS][1], own[2][1]};

    for (int i = 0; i < 3; i++)
        assert_int_equal(send(queue[i], "", 0, MSG_NOSIGNAL), 0);
    turns(6);
    for (int i = 0; i < 3; i++)
        assert_int_equal(send_as(queue[i], 2, 5), 0);
    turns(6);
    assert_int_equal(read_answers(2), 3);
}

static void test_a_query_in_anothers_name_is_dropped(void **state)
{
    assert_int_equal(send_as(ask[0][QUERY_FIRST][1], 1, 5), 0);
    assert_int_equal(send_as(own[0][1], 4, 5), 0);
    assert_int_equal(send_as(ask[0][QUERY_STRANGERS][1], SLOTS + 17, 5), 0);
    turns(8);
    for (int i = 0; i < SLOTS; i++)
        assert_int_equal(taken[i], 0);
}

static void test_the_last_asker_ends_the_clerk(void **state)
{
    for (int i = 0; i < SLOTS; i++) {
        assert_true(pairs_are_left(pairs));
        shutdown(ask[i][QUERY_FIRST][1], SHUT_RDWR);
        turns(4);
    }
    assert_false(pairs_are_left(pairs));
}

/* With very many workers several of them share a queue for second messages. */
static void test_slots_that_share_an_own_queue_are_all_served(void **state)
{
    tear_down(state);
    open_all(2);
    assert_int_equal(send_as(own[0][1], 0, 1), 0);
    assert_int_equal(send_as(own[0][1], 4, 1), 0);
    assert_int_equal(send_as(own[0][1], 3, 1), 0); /* not one of these */
    assert_int_equal(send_as(own[1][1], 3, 1), 0);
    turns(8);
    assert_int_equal(taken[0], 1);
    assert_int_equal(taken[4], 1);
    assert_int_equal(taken[3], 1);
}

/* It would take no query of this asker any more. */
static void test_what_the_kernel_has_no_memory_to_watch_is_watched_later(void **state)
{
    struct answer a = {.id = 1, .result = ANSWER_NO};

    assert_true(pairs_look_after(pairs));
    short_of = 1; /* the way to the asker, which takes no answer */
    for (int i = 0; short_of && i < 5 * PAIRS_KEPT_MAX; i++)
        pairs_answer(pairs, 3, &a);
    assert_int_equal(short_of, 0);
    assert_true(read_answers(3) > 0);
    assert_int_equal(turn(), 0);
    short_of = 1;
    assert_false(pairs_look_after(pairs));
    assert_true(pairs_look_after(pairs));
    short_of = 2; /* its queues, when it has taken the answer that was kept */
    assert_int_equal(turn(), 1);
    assert_int_equal(short_of, 1);
    assert_int_equal(read_answers(3), 1);
    for (int q = 0; q < QUERY_QUEUES; q++)
        assert_int_equal(send_as(ask[3][q][1], 3, 2), 0);
    assert_int_equal(send_as(own[3][1], 3, 2), 0);
    assert_false(pairs_look_after(pairs));
    assert_true(pairs_look_after(pairs));
    turns(8);
    assert_int_equal(read_answers(3), QUERY_QUEUES + 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_a_flood_of_one_asker_delays_the_queries_of_another_by_a_round),
        TEST(test_an_asker_that_takes_no_answers_gets_no_further_queries_taken),
        TEST(test_answers_that_nobody_takes_are_kept_up_to_a_limit),
        TEST(test_an_asker_that_shuts_its_queues_is_forgotten_and_no_other),
        TEST(test_an_empty_packet_is_not_the_end),
        TEST(test_a_query_in_anothers_name_is_dropped),
        TEST(test_the_last_asker_ends_the_clerk),
        TEST(test_slots_that_share_an_own_queue_are_all_served),
        TEST(test_what_the_kernel_has_no_memory_to_watch_is_watched_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
