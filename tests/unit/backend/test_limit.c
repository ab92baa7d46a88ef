/* A backend that accepts few connections: when it is down, and when a worker gives a link up. */
#include "backends.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

/* What another worker does in the shared memory. */
static void other_has_links(struct backends *t)
{
    sharing_answered(t->sharing, t->b.share_id, t->loop.now * 1000 + 1);
}

static void other_wants(struct backends *t, uint32_t lines)
{
    sharing_want(t->sharing, t->b.share_id, (uint32_t)getpid() + 1, lines, t->loop.now * 1000);
}

static bool other_must_give(struct backends *t)
{
    return sharing_must_give(t->sharing, t->b.share_id, (uint32_t)getpid() + 1, 9,
                             t->loop.now * 1000);
}

static void test_a_backend_that_serves_nobody_is_down(void **state)
{
    struct backends *t = *state;

    t->pool.params.slots = 1;
    assert_false(limit_refused(&t->b, backends_new_link(t), false));
    assert_false(limit_refused(&t->b, NULL, false));
}

/* Two workers may have connected in the same moment. */
static void test_with_several_workers_one_more_attempt_shows_it(void **state)
{
    struct backends *t = *state;

    assert_true(limit_refused(&t->b, NULL, false));
    assert_true(limit_asks(&t->b));
    assert_true(limit_waits(&t->b));
    t->loop.now += POOL_ASK_MS;
    assert_false(limit_asks(&t->b));
    assert_false(limit_refused(&t->b, NULL, false));
}

static void test_a_backend_whose_other_links_serve_is_not_down(void **state)
{
    struct backends *t = *state;

    backends_link(t, false);
    backends_link(t, true);
    assert_int_equal(limit_most(&t->b), 8);
    assert_true(limit_refused(&t->b, backends_new_link(t), false));
    assert_int_equal(limit_most(&t->b), 2);
    t->loop.now += POOL_LIMITED_MS;
    assert_int_equal(limit_most(&t->b), 8); /* one more is tried */
}

static void test_links_that_have_long_said_nothing_prove_nothing(void **state)
{
    struct backends *t = *state;

    backends_link(t, false);
    t->loop.now += POOL_SERVES_MS;
    assert_false(limit_refused(&t->b, backends_new_link(t), false));
}

/* A machine that is gone answers nobody: it must be noticed after one attempt. */
static void test_silence_counts_unless_others_heard_something_since(void **state)
{
    struct backends *t = *state;

    backends_link(t, false);
    t->loop.now++;
    struct link *l = backends_new_link(t);
    t->loop.now += POOL_CONNECT_MS;
    assert_false(limit_refused(&t->b, l, true));
    t->b.spoke_ms = t->loop.now - 1;
    assert_true(limit_refused(&t->b, l, true));
    other_has_links(t);
    while (t->b.links)
        pool_link_close(t->b.links);
    t->loop.now += POOL_LEFT_MS;
    other_has_links(t);
    assert_false(limit_refused(&t->b, backends_new_link(t), true));
}

static void test_a_backend_that_serves_another_worker_is_asked_for_a_link(void **state)
{
    struct backends *t = *state;

    other_has_links(t);
    assert_false(other_must_give(t));
    assert_true(limit_refused(&t->b, backends_new_link(t), false));
    assert_true(other_must_give(t));
    assert_true(limit_waits(&t->b));
}

/* The other worker may have been taken over. */
static void test_another_workers_word_is_believed_for_a_while_only(void **state)
{
    struct backends *t = *state;
    uint64_t begun = t->loop.now;

    for (;; t->loop.now += POOL_ASK_MS) {
        other_has_links(t);
        if (!limit_refused(&t->b, NULL, false))
            break;
        assert_true(t->loop.now < begun + POOL_DOUBT_MS);
    }
    assert_int_equal(t->loop.now, begun + POOL_DOUBT_MS);
}

static void test_an_old_word_counts_for_nothing(void **state)
{
    struct backends *t = *state;

    other_has_links(t);
    assert_true(limit_refused(&t->b, NULL, false));
    t->loop.now += 4 * POOL_SHARE_MS;
    assert_false(limit_refused(&t->b, NULL, false));
}

/* It may count a connection until it has seen its end. */
static void test_a_refusal_after_the_own_link_was_closed_is_not_down(void **state)
{
    struct backends *t = *state;

    t->pool.params.slots = 1;
    pool_link_close(backends_link(t, true));
    assert_true(limit_refused(&t->b, backends_new_link(t), false));
    t->loop.now += POOL_LEFT_MS;
    assert_false(limit_refused(&t->b, backends_new_link(t), false));
}

static void test_an_idle_link_is_given_at_once(void **state)
{
    struct backends *t = *state;

    backends_link(t, false);
    backends_link(t, true);
    other_wants(t, 0);
    limit_look(&t->b);
    assert_int_equal(t->b.open, 1);
    assert_int_equal(limit_most(&t->b), 1); /* it is not taken back at once */
    t->loop.now += POOL_GIVE_MS;
    assert_int_equal(limit_most(&t->b), 8);
}

static void test_no_link_is_closed_under_a_message(void **state)
{
    struct backends *t = *state;
    struct link *l = backends_link(t, false);

    other_wants(t, 0);
    limit_look(&t->b);
    assert_int_equal(t->b.open, 1);
    assert_true(pool_link_is_spent(l)); /* but it takes no other one */
    pool_link_close(l);
    assert_false(t->b.give);
}

/* A hostile worker asks all the time. */
static void test_not_more_than_one_link_is_given_in_a_while(void **state)
{
    struct backends *t = *state;

    for (int i = 0; i < 5; i++)
        backends_link(t, true);
    for (uint64_t ms = 0; ms < POOL_GIVE_MS; ms += 10, t->loop.now += 10) {
        other_wants(t, 0);
        limit_look(&t->b);
    }
    assert_int_equal(t->b.open, 4);
    t->loop.now += 50;
    other_wants(t, 0);
    limit_look(&t->b);
    assert_int_equal(t->b.open, 3);
}

static void test_who_has_as_many_keeps_them(void **state)
{
    struct backends *t = *state;

    backends_link(t, true);
    other_wants(t, 1);
    limit_look(&t->b);
    assert_int_equal(t->b.open, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, backends_setup, backends_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_backend_that_serves_nobody_is_down),
        TEST(test_with_several_workers_one_more_attempt_shows_it),
        TEST(test_a_backend_whose_other_links_serve_is_not_down),
        TEST(test_links_that_have_long_said_nothing_prove_nothing),
        TEST(test_silence_counts_unless_others_heard_something_since),
        TEST(test_a_backend_that_serves_another_worker_is_asked_for_a_link),
        TEST(test_another_workers_word_is_believed_for_a_while_only),
        TEST(test_an_old_word_counts_for_nothing),
        TEST(test_a_refusal_after_the_own_link_was_closed_is_not_down),
        TEST(test_an_idle_link_is_given_at_once),
        TEST(test_no_link_is_closed_under_a_message),
        TEST(test_not_more_than_one_link_is_given_in_a_while),
        TEST(test_who_has_as_many_keeps_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
