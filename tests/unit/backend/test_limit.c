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
    sharing_answered(t->sharing, t->b.share_id,
                     t->loop.now * 1000 + (uint64_t)(getpid() + 1) % 1000);
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

/* The backend accepts the connection of each worker before it refuses it: that says nothing. */
static void test_the_own_word_does_not_hide_another_workers(void **state)
{
    struct backends *t = *state;
    struct link *l = backends_new_link(t);

    other_has_links(t);
    l->outbound.state = OUTBOUND_HELLO;
    limit_look(&t->b);
    assert_int_equal(sharing_last_answer(t->sharing, t->b.share_id), t->b.told_us);
    assert_true(limit_refused(&t->b, l, false));
    t->loop.now += POOL_ASK_MS;
    assert_true(limit_refused(&t->b, l, false));
    t->loop.now += 4 * POOL_SHARE_MS; /* the other worker has said nothing more */
    assert_false(limit_refused(&t->b, l, false));
}

/* Else two workers would make each other believe it for half a minute. */
static void test_a_greeting_after_a_refusal_is_no_answer(void **state)
{
    struct backends *t = *state;
    struct link *l = backends_new_link(t);

    assert_true(limit_refused(&t->b, l, false));
    l->outbound.state = OUTBOUND_HELLO;
    limit_look(&t->b);
    assert_int_equal(sharing_last_answer(t->sharing, t->b.share_id), 0);
    t->b.doubted_ms = 0;
    t->b.up = false;
    limit_look(&t->b);
    assert_int_equal(sharing_last_answer(t->sharing, t->b.share_id), 0);
    backends_link(t, false);
    limit_look(&t->b);
    assert_int_not_equal(sharing_last_answer(t->sharing, t->b.share_id), 0);
}

static void test_a_handshake_before_the_greeting_is_no_answer(void **state)
{
    struct backends *t = *state;
    struct link *l = backends_new_link(t);

    l->outbound.state = OUTBOUND_SHAKE;
    t->one.tls = TLS_IMPLICIT;
    limit_look(&t->b);
    assert_int_equal(sharing_last_answer(t->sharing, t->b.share_id), 0);
    t->one.tls = TLS_STARTTLS;
    limit_look(&t->b);
    assert_int_not_equal(sharing_last_answer(t->sharing, t->b.share_id), 0);
}

/* Others may use an address that works. */
static void test_while_others_are_served_each_address_is_tried(void **state)
{
    struct backends *t = *state;

    for (unsigned i = 0; i < 3; i++, t->loop.now += POOL_ASK_MAX_MS) {
        other_has_links(t);
        assert_int_equal(t->b.turn, i);
        assert_true(limit_refused(&t->b, NULL, false));
    }
}

/* One that got a link only after a long message must find its place free. */
static void test_the_place_of_a_given_link_stays_free_from_its_end_on(void **state)
{
    struct backends *t = *state;
    struct link *l = backends_link(t, false);

    other_wants(t, 0);
    limit_look(&t->b);
    t->loop.now += 10 * POOL_GIVE_MS;
    assert_int_equal(limit_most(&t->b), 0); /* else it would open another one for the other's */
    pool_link_close(l);
    t->loop.now += POOL_GIVE_MS - 1;
    assert_int_equal(limit_most(&t->b), 0);
    t->loop.now++;
    assert_int_equal(limit_most(&t->b), 8);
}

static void test_a_worker_asks_more_often_the_longer_it_waits(void **state)
{
    struct backends *t = *state;
    uint64_t begun = t->loop.now, last = POOL_GIVE_MS;

    for (int i = 0; t->loop.now < begun + POOL_DOUBT_MS; i++, t->loop.now = t->b.ask_ms) {
        other_has_links(t);
        assert_true(limit_refused(&t->b, NULL, false));
        uint64_t pause = t->b.ask_ms - t->loop.now;
        assert_true(pause >= POOL_ASK_MS);
        assert_true(pause < POOL_GIVE_MS);
        assert_true(pause <= last);
        if (i)
            last = pause;
    }
    assert_true(last < POOL_ASK_MAX_MS / 2);
}

/* A worker that was taken over wants links without end. */
static void test_a_backend_that_takes_a_link_after_a_gift_is_not_crowded(void **state)
{
    struct backends *t = *state;

    backends_link(t, true);
    backends_link(t, true);
    other_wants(t, 0);
    limit_look(&t->b);
    assert_int_equal(t->b.open, 1);
    t->loop.now += POOL_GIVE_MS;
    limit_ready(&t->b, backends_link(t, true));
    for (uint64_t end = t->loop.now + POOL_DEAF_MS; t->loop.now < end; t->loop.now += 100) {
        other_wants(t, 0);
        limit_look(&t->b);
        assert_int_equal(t->b.open, 2);
    }
    other_wants(t, 0);
    limit_look(&t->b);
    assert_int_equal(t->b.open, 1);
}

/* A real need is met long before that worker takes the backend for down. */
static void test_a_refusal_shows_that_links_are_scarce(void **state)
{
    struct backends *t = *state;

    _Static_assert(POOL_DEAF_MS < POOL_DOUBT_MS / 2, "");
    backends_link(t, true);
    backends_link(t, true);
    other_wants(t, 0);
    limit_look(&t->b);
    t->loop.now += POOL_GIVE_MS;
    limit_ready(&t->b, backends_link(t, true));
    struct link *l = backends_new_link(t);
    assert_true(limit_refused(&t->b, l, false));
    pool_link_close(l);
    other_wants(t, 0);
    limit_look(&t->b);
    assert_int_equal(t->b.open, 1);
}

/* Its certificate is wrong, say: that is no matter of how many links there are. */
static void test_a_lasting_refusal_costs_others_no_link(void **state)
{
    struct backends *t = *state;
    struct link *l = backends_new_link(t);

    l->lasting = true;
    other_has_links(t);
    assert_false(limit_refused(&t->b, l, false));
    limit_hurry(&t->b);
    assert_false(other_must_give(t));
    backends_link(t, false); /* what serves already goes on */
    assert_true(pool_line_add(&t->b, backends_delivery(t)));
    assert_true(limit_refused(&t->b, l, false));
    pool_line_drop(&t->b, &t->delivery);
    assert_false(other_must_give(t));
}

static void test_a_lack_of_its_own_costs_others_no_link(void **state)
{
    struct backends *t = *state;

    other_has_links(t);
    assert_false(limit_short(&t->b, "no reason"));
    limit_hurry(&t->b);
    assert_false(other_must_give(t));
    backends_link(t, false);
    assert_true(limit_short(&t->b, "no reason"));
    assert_int_equal(limit_most(&t->b), 1);
    assert_int_equal(t->b.retry.timer.at, t->loop.now + POOL_LIMITED_MS);
    assert_false(other_must_give(t));
}

static void test_a_link_without_an_answer_asks_for_another_workers(void **state)
{
    struct backends *t = *state;
    uint64_t begun = t->loop.now;

    backends_new_link(t);
    limit_opened(&t->b);
    while (!other_must_give(t)) {
        assert_true(t->loop.now <= begun + POOL_SILENT_MS);
        t->loop.now = t->b.share.timer.at;
        other_has_links(t);
        t->b.share.due(&t->loop, &t->b.share);
    }
    assert_true(t->loop.now >= begun + POOL_SILENT_MS);
    t->b.links->outbound.state = OUTBOUND_HELLO;
    t->loop.now = t->b.share.timer.at;
    other_has_links(t);
    t->b.share.due(&t->loop, &t->b.share);
    assert_false(other_must_give(t));
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
        TEST(test_the_own_word_does_not_hide_another_workers),
        TEST(test_a_greeting_after_a_refusal_is_no_answer),
        TEST(test_a_handshake_before_the_greeting_is_no_answer),
        TEST(test_while_others_are_served_each_address_is_tried),
        TEST(test_the_place_of_a_given_link_stays_free_from_its_end_on),
        TEST(test_a_worker_asks_more_often_the_longer_it_waits),
        TEST(test_a_backend_that_takes_a_link_after_a_gift_is_not_crowded),
        TEST(test_a_refusal_shows_that_links_are_scarce),
        TEST(test_a_lasting_refusal_costs_others_no_link),
        TEST(test_a_lack_of_its_own_costs_others_no_link),
        TEST(test_a_link_without_an_answer_asks_for_another_workers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
