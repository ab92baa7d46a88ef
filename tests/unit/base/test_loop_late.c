/* A loop that has not run for a while: what has come meanwhile is served before any time-out. The clock
 * is the test's, and so is epoll_wait(): as after SIGCONT, it may return before it has looked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/container.h"
#include "base/loop.h"
#include "virtual_clock.h"

enum { MANY = 400 }; /* more than one batch */

static uint64_t stopped_ms; /* the process does not run for so long within the next wait */

/* Takes the place of libc's. */
int epoll_wait(int epoll, struct epoll_event *events, int most, int wait_ms)
{
    if (stopped_ms) {
        mono_ms += stopped_ms;
        stopped_ms = 0;
        errno = EINTR;
        return -1;
    }
    return (int)syscall(SYS_epoll_pwait, epoll, events, most, wait_ms < 0 ? 0 : wait_ms, NULL, 8);
}

struct waiting {
    struct watch watch;
    struct alarm alarm;
    int other;
    bool served, late;
};

static struct loop loop;
static struct waiting one[MANY];

static void served(struct loop *l, struct watch *watch, uint32_t events)
{
    struct waiting *w = container_of(watch, struct waiting, watch);
    char octet;

    assert_int_equal(read(watch->fd, &octet, 1), 1);
    loop_moved(l);
    loop_alarm_off(l, &w->alarm);
    w->served = true;
}

static void late(struct loop *l, struct alarm *alarm)
{
    container_of(alarm, struct waiting, alarm)->late = true;
}

static int open_all(void **state)
{
    memset(one, 0, sizeof one);
    assert_return_code(loop_open(&loop), errno);
    for (int i = 0; i < MANY; i++) {
        int fd[2];
        assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), errno);
        one[i].other = fd[1];
        one[i].watch = (struct watch){.ready = served, .fd = fd[0], .events = EPOLLIN};
        one[i].alarm.due = late;
        assert_int_equal(loop_watch(&loop, &one[i].watch), 0);
        loop_alarm(&loop, &one[i].alarm, loop.now + 20000);
    }
    return 0;
}

static int close_all(void **state)
{
    for (int i = 0; i < MANY; i++) {
        close(one[i].watch.fd);
        close(one[i].other);
    }
    loop_close(&loop);
    return 0;
}

static void test_what_came_while_the_process_was_stopped_is_not_late(void **state)
{
    for (int i = 0; i < MANY; i += 2)
        assert_int_equal(write(one[i].other, "x", 1), 1);
    stopped_ms = 3600000;
    loop_turn(&loop, -1);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(one[i].served, i % 2 == 0);
        assert_int_equal(one[i].late, i % 2 == 1);
    }
}

/* One that is ready for ever must not keep what is due away. */
static void ready_for_ever(struct loop *l, struct watch *watch, uint32_t events)
{
}

static void test_what_is_always_ready_does_not_keep_a_time_out_away(void **state)
{
    one[0].watch.ready = ready_for_ever;
    assert_int_equal(write(one[0].other, "x", 1), 1);
    stopped_ms = 40000;
    loop_turn(&loop, -1);
    for (int i = 0; i < MANY; i++)
        assert_true(one[i].late);
}

static unsigned calls;

/* Each call takes 20 ms. */
static void slow_for_ever(struct loop *l, struct watch *watch, uint32_t events)
{
    mono_ms += 20;
    calls++;
}

static void test_a_loop_with_too_much_to_do_catches_up_once_and_for_a_moment(void **state)
{
    one[0].watch.ready = slow_for_ever;
    assert_int_equal(write(one[0].other, "x", 1), 1);
    stopped_ms = 25000;
    calls = 0;
    loop_turn(&loop, -1);
    assert_in_range(calls, 5, 15);
    for (int i = 0; i < 50; i++) {
        calls = 0;
        one[1].late = false;
        loop_alarm(&loop, &one[1].alarm, loop.now + 20);
        loop_turn(&loop, -1);
        assert_int_equal(calls, 1);
        assert_true(one[1].late);
    }
}

/* As before: one batch, and then what is due. */
static void test_a_loop_that_is_on_time_does_not_look_twice(void **state)
{
    for (int i = 0; i < MANY; i++)
        assert_int_equal(write(one[i].other, "x", 1), 1);
    loop_turn(&loop, -1);
    int n = 0;
    for (int i = 0; i < MANY; i++)
        n += one[i].served;
    assert_int_equal(n, LOOP_BATCH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_came_while_the_process_was_stopped_is_not_late,
                                        open_all, close_all),
        cmocka_unit_test_setup_teardown(test_what_is_always_ready_does_not_keep_a_time_out_away,
                                        open_all, close_all),
        cmocka_unit_test_setup_teardown(
            test_a_loop_with_too_much_to_do_catches_up_once_and_for_a_moment, open_all, close_all),
        cmocka_unit_test_setup_teardown(test_a_loop_that_is_on_time_does_not_look_twice, open_all,
                                        close_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
