/* loop.c: readiness, alarms; what is forgotten is not called. Waits are of 0
 * ms, or for something that is there already. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <sys/socket.h>
#include <unistd.h>

#include "base/loop.h"

struct ear {
    struct watch watch;
    int other; /* the end that a test writes to */
    int calls;
    uint32_t events;
    struct ear *forgets; /* what it forgets when it is called */
};

static struct loop loop;
static struct ear ear[2];

static void heard(struct loop *l, struct watch *w, uint32_t events)
{
    struct ear *e = (struct ear *)w;

    e->calls++;
    e->events = events;
    if (e->forgets)
        loop_forget(l, &e->forgets->watch);
}

static int open_loop(void **state)
{
    memset(ear, 0, sizeof ear);
    assert_int_equal(loop_open(&loop), 0);
    for (int i = 0; i < 2; i++) {
        int fd[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
        ear[i].other = fd[1];
        ear[i].watch = (struct watch){.ready = heard, .fd = fd[0], .events = EPOLLIN};
        assert_int_equal(loop_watch(&loop, &ear[i].watch), 0);
    }
    return 0;
}

static int close_loop(void **state)
{
    for (int i = 0; i < 2; i++) {
        close(ear[i].watch.fd);
        close(ear[i].other);
    }
    loop_close(&loop);
    return 0;
}

static void say(struct ear *e)
{
    assert_int_equal(write(e->other, "x", 1), 1);
}

static void test_what_is_ready_is_called_and_nothing_else(void **state)
{
    loop_turn(&loop, 0);
    assert_int_equal(ear[0].calls + ear[1].calls, 0);
    say(&ear[1]);
    loop_turn(&loop, -1);
    assert_int_equal(ear[0].calls, 0);
    assert_int_equal(ear[1].calls, 1);
    assert_int_equal(ear[1].events, EPOLLIN);
}

static void test_what_is_wanted_can_be_changed(void **state)
{
    loop_want(&loop, &ear[0].watch, 0);
    say(&ear[0]);
    loop_turn(&loop, 0);
    assert_int_equal(ear[0].calls, 0);
    loop_want(&loop, &ear[0].watch, EPOLLIN | EPOLLOUT);
    loop_turn(&loop, -1);
    assert_int_equal(ear[0].events, EPOLLIN | EPOLLOUT);
}

/* field notes 28: an event that is armed and not consumed comes again at once. */
static void test_events_that_move_nothing_are_counted(void **state)
{
    say(&ear[0]);
    for (int i = 1; i <= 10; i++) {
        loop_turn(&loop, 0);
        assert_int_equal(loop.idle, i);
    }
    loop_want(&loop, &ear[0].watch, 0); /* whose change is progress, wherever it is made */
    loop_turn(&loop, 0);
    assert_int_equal(loop.idle, 10);
    ear[1].forgets = &ear[1];
    say(&ear[1]);
    loop_turn(&loop, 0);
    assert_int_equal(ear[1].calls, 1);
    assert_int_equal(loop.idle, 10);
}

static void test_what_is_forgotten_within_a_turn_is_not_called_in_it(void **state)
{
    ear[0].forgets = &ear[1];
    ear[1].forgets = &ear[0];
    say(&ear[0]);
    say(&ear[1]);
    loop_turn(&loop, -1);
    assert_int_equal(ear[0].calls + ear[1].calls, 1);
    int first = ear[1].calls;
    ear[first].forgets = &ear[first];
    loop_turn(&loop, 0);
    loop_turn(&loop, 0);
    assert_int_equal(ear[first].calls, 2);
    assert_int_equal(ear[!first].calls, 0);
}

static void test_a_watch_that_cannot_be_watched_is_told(void **state)
{
    struct watch bad = {.ready = heard, .fd = -1, .events = EPOLLIN};

    assert_true(loop_watch(&loop, &bad) < 0);
}

enum { CROWD = 3 * LOOP_GROUP - 1 };

static struct ear auth_queue[CROWD];
static int auth_queue_called, auth_queue_expected,
    auth_queue_early; /* expected before its turn by so many calls */

static void auth_queue_heard(struct loop *l, struct watch *w, uint32_t events)
{
    struct ear *e = (struct ear *)w;

    assert_true(e->calls == 1); /* expected once */
    e->calls++;
    auth_queue_called++;
    if (e->forgets) {
        loop_forget(l, &e->forgets->watch);
        e->forgets = NULL;
    }
}

static void auth_queue_expect(struct loop *l, const struct watch *w)
{
    struct ear *e = (struct ear *)w;

    assert_int_equal(e->calls, 0);
    e->calls++;
    auth_queue_expected++;
    if (auth_queue_expected - auth_queue_called > auth_queue_early)
        auth_queue_early = auth_queue_expected - auth_queue_called;
}

static void open_auth_queue(void)
{
    memset(auth_queue, 0, sizeof auth_queue);
    auth_queue_called = auth_queue_expected = auth_queue_early = 0;
    for (int i = 0; i < CROWD; i++) {
        int fd[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
        auth_queue[i].other = fd[1];
        auth_queue[i].watch =
            (struct watch){.ready = auth_queue_heard, .fd = fd[0], .events = EPOLLIN};
        assert_int_equal(loop_watch(&loop, &auth_queue[i].watch), 0);
        say(&auth_queue[i]);
    }
    loop.prefetch = auth_queue_expect;
    loop.prefetch_octets = sizeof auth_queue[0];
}

static void close_auth_queue(void)
{
    for (int i = 0; i < CROWD; i++) {
        close(auth_queue[i].watch.fd);
        close(auth_queue[i].other);
    }
}

static void test_of_many_that_are_ready_each_is_expected_once_with_its_group(void **state)
{
    open_auth_queue();
    loop_turn(&loop, -1);
    assert_int_equal(auth_queue_called, CROWD);
    assert_int_equal(auth_queue_expected, CROWD);
    assert_int_equal(auth_queue_early, LOOP_GROUP);
    close_auth_queue();
}

static void test_who_is_forgotten_before_is_not_expected(void **state)
{
    open_auth_queue();
    auth_queue[0].forgets =
        &auth_queue[CROWD - 1]; /* far behind in the same turn, or far ahead of it */
    auth_queue[CROWD - 1].forgets = &auth_queue[0];
    loop_turn(&loop, -1);
    assert_int_equal(auth_queue_called, CROWD - 1);
    assert_int_equal(auth_queue_expected, CROWD - 1);
    close_auth_queue();
}

struct bell {
    struct alarm alarm;
    int rings;
};

static void ring(struct loop *l, struct alarm *a)
{
    struct bell *b = (struct bell *)a;

    assert_ptr_equal(l, &loop);
    if (++b->rings == 3)
        l->stop = true;
    else
        loop_alarm(l, a, l->now);
}

static void test_alarms_ring_until_the_loop_is_stopped(void **state)
{
    struct bell b = {.alarm = {.due = ring}}, never = {.alarm = {.due = ring}};

    loop_alarm(&loop, &never.alarm, loop.now);
    loop_alarm_off(&loop, &never.alarm);
    loop_alarm(&loop, &b.alarm, loop.now);
    loop_run(&loop);
    assert_int_equal(b.rings, 3);
    assert_int_equal(never.rings, 0);
}

static void test_octets_that_are_there_count_before_an_alarm_that_is_due(void **state)
{
    struct bell b = {.alarm = {.due = ring}};

    ear[0].forgets = NULL;
    say(&ear[0]);
    loop_alarm(&loop, &b.alarm, loop.now);
    loop_turn(&loop, -1);
    assert_int_equal(ear[0].calls, 1);
    assert_int_equal(b.rings, 1);
}

static void test_a_turn_has_one_time(void **state)
{
    loop_turn(&loop, 0);
    uint64_t now = loop.now, wall = loop.wall;
    assert_true(wall > 1700000000000);
    loop_turn(&loop, 0);
    assert_true(loop.now >= now);
}

#define ON_A_LOOP(test) cmocka_unit_test_setup_teardown(test, open_loop, close_loop)

/* ---- bulk ---- */

static struct ear many[CROWD];
static int many_calls, calls_before; /* of bulk watches: in all; when the ordinary one was called */

static void many_heard(struct loop *l, struct watch *w, uint32_t events)
{
    heard(l, w, events);
    loop_moved(l);
    if (many_calls++ == 0)
        say(&ear[0]); /* something short comes in behind them all */
}

static void ordinary_heard(struct loop *l, struct watch *w, uint32_t events)
{
    heard(l, w, events);
    loop_want(l, w, 0);
    calls_before = many_calls;
}

static void open_many(bool bulk)
{
    memset(many, 0, sizeof many);
    many_calls = calls_before = 0;
    ear[0].watch.ready = ordinary_heard;
    for (int i = 0; i < CROWD; i++) {
        int fd[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
        many[i].other = fd[1];
        many[i].watch = (struct watch){.ready = many_heard, .fd = fd[0], .events = EPOLLIN};
        assert_int_equal(loop_watch(&loop, &many[i].watch), 0);
        loop_bulk(&loop, &many[i].watch, bulk);
        say(&many[i]);
    }
}

static void close_many(void)
{
    for (int i = 0; i < CROWD; i++) {
        close(many[i].watch.fd);
        close(many[i].other);
    }
}

static void test_what_comes_behind_bulk_waits_for_few_of_it(void **state)
{
    for (int bulk = 0; bulk < 2; bulk++) {
        open_many(bulk);
        while (ear[0].calls == bulk)
            loop_turn(&loop, -1);
        assert_true(bulk ? calls_before <= 2 * LOOP_FEW : calls_before >= CROWD);
        loop_want(&loop, &ear[0].watch, EPOLLIN);
        close_many();
        char octet;
        assert_int_equal(read(ear[0].watch.fd, &octet, 1), 1);
    }
}

static void test_bulk_has_its_turn_all_of_it(void **state)
{
    enum { ROUNDS = 5 };

    open_many(true);
    for (int i = 0; i < ROUNDS * CROWD; i += LOOP_FEW)
        loop_turn(&loop, -1);
    for (int i = 0; i < CROWD; i++)
        assert_in_range(many[i].calls, ROUNDS - 1, ROUNDS + 1);
    assert_int_equal(loop.idle, 0);
    close_many();
}

static void test_bulk_that_moves_nothing_is_counted_once(void **state)
{
    loop_bulk(&loop, &ear[0].watch, true);
    say(&ear[0]);
    for (int i = 1; i <= 10; i++) {
        loop_turn(&loop, 0);
        assert_int_equal(ear[0].calls, i);
        assert_int_equal(loop.idle, i);
    }
}

static void test_a_bulk_watch_is_changed_forgotten_and_ordinary_again(void **state)
{
    for (int i = 0; i < 2; i++)
        loop_bulk(&loop, &ear[i].watch, true);
    loop_want(&loop, &ear[0].watch, 0);
    say(&ear[0]);
    loop_turn(&loop, 0);
    assert_int_equal(ear[0].calls, 0);
    loop_want(&loop, &ear[0].watch, EPOLLIN);
    loop_turn(&loop, 0);
    assert_int_equal(ear[0].calls, 1);
    ear[0].forgets = &ear[1];
    ear[1].forgets = &ear[0];
    say(&ear[1]);
    loop_turn(&loop, 0);
    assert_int_equal(ear[0].calls + ear[1].calls, 2); /* one has forgotten the other */
    int first = ear[1].calls;
    loop_bulk(&loop, &ear[first].watch, false);
    assert_int_equal(ear[first].watch.events, EPOLLIN);
    ear[first].forgets = &ear[first];
    loop_turn(&loop, 0);
    loop_turn(&loop, 0);
    assert_int_equal(ear[first].calls, first ? 2 : 3);
    assert_int_equal(loop_watch(&loop, &ear[!first].watch), 0); /* an ordinary one */
    assert_int_equal(ear[!first].watch.events, EPOLLIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_A_LOOP(test_what_is_ready_is_called_and_nothing_else),
        ON_A_LOOP(test_what_is_wanted_can_be_changed),
        ON_A_LOOP(test_events_that_move_nothing_are_counted),
        ON_A_LOOP(test_what_is_forgotten_within_a_turn_is_not_called_in_it),
        ON_A_LOOP(test_a_watch_that_cannot_be_watched_is_told),
        ON_A_LOOP(test_alarms_ring_until_the_loop_is_stopped),
        ON_A_LOOP(test_octets_that_are_there_count_before_an_alarm_that_is_due),
        ON_A_LOOP(test_a_turn_has_one_time),
        ON_A_LOOP(test_of_many_that_are_ready_each_is_expected_once_with_its_group),
        ON_A_LOOP(test_who_is_forgotten_before_is_not_expected),
        ON_A_LOOP(test_what_comes_behind_bulk_waits_for_few_of_it),
        ON_A_LOOP(test_bulk_has_its_turn_all_of_it),
        ON_A_LOOP(test_bulk_that_moves_nothing_is_counted_once),
        ON_A_LOOP(test_a_bulk_watch_is_changed_forgotten_and_ordinary_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
