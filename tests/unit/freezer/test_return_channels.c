/* return_channels.c: which channels of workers' own the freezer keeps, if a worker was taken over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "freezer/return_channels.h"

enum { SLOTS = 64 }; /* so a slot has a share of 64 */

struct world {
    struct loop loop;
    struct freezer_params params;
    struct freezer_shared shared;
    struct return_channels ways;
    int slot[SLOTS];
};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);

    assert_int_equal(loop_open(&w->loop), 0);
    w->params = (struct freezer_params){.slot = w->slot, .slots = SLOTS, .shared = &w->shared};
    assert_int_equal(return_channels_open(&w->ways, &w->loop, NULL, &w->params), 0);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    return_channels_close(&w->ways);
    loop_close(&w->loop);
    free(w);
    return 0;
}

/* Returns the worker's end. */
static int offer(struct world *w, uint32_t slot, uint32_t name)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
    struct handoff_item item = {.kind = HANDOFF_CHANNEL, .fd = pair[1], .way = name};
    return_channels_add(&w->ways, slot, &item);
    return pair[0];
}

static bool is_open(int fd)
{
    char octet;
    bool open = recv(fd, &octet, 1, MSG_DONTWAIT) < 0;

    close(fd);
    return open;
}

static bool has(struct world *w, uint32_t name)
{
    for (const struct return_channel *way = w->ways.own; way; way = way->next)
        if (way->name == name)
            return true;
    return false;
}

static void test_a_worker_with_channels_without_end_loses_only_its_own_slots(void **state)
{
    struct world *w = *state;
    int other = offer(w, 1, 4711), first = offer(w, 0, 1);

    for (uint32_t name = 2; name <= 3000; name++)
        close(offer(w, 0, name));
    assert_true(has(w, 4711));
    assert_false(has(w, 1));
    assert_true(has(w, 3000) && has(w, 3000 - 63));
    assert_false(has(w, 3000 - 64));
    assert_true(is_open(other));
    assert_false(is_open(first));
}

static void test_a_worker_takes_no_name_of_another_slot(void **state)
{
    struct world *w = *state;
    int own = offer(w, 1, 4711), forged = offer(w, 0, 4711);

    assert_false(is_open(forged));
    assert_true(is_open(own));
}

static void test_a_worker_may_replace_its_channel(void **state)
{
    struct world *w = *state;
    int first = offer(w, 1, 4711), second = offer(w, 1, 4711);

    assert_false(is_open(first));
    assert_true(is_open(second));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_worker_with_channels_without_end_loses_only_its_own_slots),
        TEST(test_a_worker_takes_no_name_of_another_slot),
        TEST(test_a_worker_may_replace_its_channel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
