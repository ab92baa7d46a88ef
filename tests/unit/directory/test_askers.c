/* Threads that ask (field notes 2): as many tasks at once as threads, few threads while few do, and
 * none that is waited for at the end. */
#include <poll.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "directory/askers.h"

enum { MOST = 4 };

struct work {
    struct task task; /* first */
    uint32_t by;
    bool well;
};

static sem_t begun, may_end;
static bool waits;

static bool run(void *arg, uint32_t asker, struct task *t)
{
    struct work *w = (struct work *)t;

    w->by = asker;
    sem_post(&begun);
    if (waits)
        sem_wait(&may_end);
    return w->well;
}

static uint32_t with_line = UINT32_MAX; /* the thread that has a connection for every task */
static sem_t rested;
static uint32_t rested_thread;
static void *rested_of;

static void rest(void *arg, uint32_t asker, void *to)
{
    rested_thread = asker;
    rested_of = to;
    sem_post(&rested);
}

static bool has_line(void *arg, uint32_t asker, const void *to)
{
    return asker == with_line;
}

static int setup(void **state)
{
    struct askers_params params = {.most = MOST, .run = run, .rest = rest, .has_line = has_line};

    waits = false;
    with_line = UINT32_MAX;
    sem_init(&rested, 0, 0);
    sem_init(&begun, 0, 0);
    sem_init(&may_end, 0, 0);
    *state = askers_open(&params);
    return *state ? 0 : -1;
}

static void wait_done(struct askers *a, size_t n)
{
    while (n) {
        struct pollfd p = {askers_fd(a), POLLIN, 0};
        assert_int_equal(poll(&p, 1, 10000), 1);
        for (struct task *t = askers_done(a); t; t = t->next)
            n--;
    }
}

static void test_as_many_tasks_at_once_as_threads(void **state)
{
    struct askers *a = *state;
    struct work w[MOST + 1] = {0};

    waits = true;
    for (int i = 0; i < MOST; i++)
        assert_true(askers_put(a, &w[i].task));
    for (int i = 0; i < MOST; i++)
        sem_wait(&begun);
    assert_false(askers_put(a, &w[MOST].task));
    for (int i = 0; i < MOST; i++)
        sem_post(&may_end);
    wait_done(a, MOST);
    assert_true(askers_close(a));
}

static void test_one_thread_is_enough_for_one_task_at_a_time(void **state)
{
    struct askers *a = *state;
    struct work w = {.well = true};

    for (int i = 0; i < 20; i++) {
        assert_true(askers_put(a, &w.task));
        wait_done(a, 1);
        assert_int_equal(w.by, 0);
    }
    assert_true(askers_close(a));
}

static void test_a_thread_whose_connection_fails_is_used_last(void **state)
{
    struct askers *a = *state;
    struct work w[2] = {{.well = true}, {.well = true}};

    waits = true;
    for (int i = 0; i < 2; i++)
        assert_true(askers_put(a, &w[i].task));
    sem_wait(&begun);
    sem_wait(&begun);
    sem_post(&may_end);
    sem_post(&may_end);
    wait_done(a, 2);

    waits = false;
    struct work one = {.well = false};
    assert_true(askers_put(a, &one.task));
    wait_done(a, 1);
    uint32_t failing = one.by;
    assert_true(askers_put(a, &one.task));
    wait_done(a, 1);
    assert_int_not_equal(one.by, failing);
    assert_true(askers_close(a));
}

/* Lets `n` threads run one task each, at the same time. */
static void use_threads(struct askers *a, struct work *w, int n)
{
    waits = true;
    for (int i = 0; i < n; i++)
        assert_true(askers_put(a, &w[i].task));
    for (int i = 0; i < n; i++)
        sem_wait(&begun);
    for (int i = 0; i < n; i++)
        sem_post(&may_end);
    wait_done(a, (size_t)n);
    waits = false;
}

static void test_a_thread_with_a_connection_for_the_task_comes_first(void **state)
{
    struct askers *a = *state;
    struct work w[MOST] = {0}, one = {.well = true};

    use_threads(a, w, MOST);
    for (uint32_t n = 0; n < MOST; n++) {
        with_line = n;
        assert_true(askers_put(a, &one.task));
        wait_done(a, 1);
        assert_int_equal(one.by, n);
    }
    with_line = UINT32_MAX;
    assert_true(askers_put(a, &one.task));
    wait_done(a, 1);
    assert_int_equal(one.by, MOST - 1); /* the one that was busy last */
    assert_true(askers_close(a));
}

static void test_an_idle_thread_with_a_connection_can_be_told_to_close_it(void **state)
{
    struct askers *a = *state;
    struct work w[2] = {0};
    int source;

    use_threads(a, w, 2);
    assert_false(askers_rest(a, &source));
    assert_int_equal(sem_trywait(&rested), -1);
    with_line = 1;
    assert_true(askers_rest(a, &source));
    sem_wait(&rested);
    assert_int_equal(rested_thread, 1);
    assert_ptr_equal(rested_of, &source);
    assert_true(askers_close(a));
    assert_int_equal(sem_trywait(&rested), -1); /* the other one has kept its own */
}

static void test_a_busy_thread_is_not_waited_for(void **state)
{
    struct askers *a = *state;
    static struct work w; /* used after the end */

    waits = true;
    assert_true(askers_put(a, &w.task));
    sem_wait(&begun);
    assert_false(askers_close(a));
    sem_post(&may_end);
    wait_done(a, 1);
    assert_true(askers_close(a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_as_many_tasks_at_once_as_threads, setup),
        cmocka_unit_test_setup(test_one_thread_is_enough_for_one_task_at_a_time, setup),
        cmocka_unit_test_setup(test_a_thread_whose_connection_fails_is_used_last, setup),
        cmocka_unit_test_setup(test_a_thread_with_a_connection_for_the_task_comes_first, setup),
        cmocka_unit_test_setup(test_an_idle_thread_with_a_connection_can_be_told_to_close_it,
                               setup),
        cmocka_unit_test_setup(test_a_busy_thread_is_not_waited_for, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
