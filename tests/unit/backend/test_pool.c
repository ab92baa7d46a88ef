/* What the end of a link means for the deliveries that wait. */
#include "backends.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "backend/health.h"
#include "base/container.h"

/* An alarm that is set; the test's clock goes to its time. */
static void let_pass(struct backends *t, struct alarm *a)
{
    assert_non_null(a->timer.prev);
    t->loop.now = a->timer.at;
    loop_alarm_off(&t->loop, a);
    a->due(&t->loop, a);
}

static void test_an_idle_link_that_takes_no_message_leaves_its_place(void **state)
{
    struct backends *t = *state;
    struct delivery *d = backends_delivery(t);

    backends_listen(t);
    t->one.tls = TLS_STARTTLS;
    t->b.open_max = 1;
    struct link *l = backends_link(t, true);
    l->plain = true; /* TLS is to be tried again */
    assert_true(pool_put(&t->b, d));
    assert_ptr_equal(pool_line_first(&t->b), d);
    let_pass(t, &l->alarm);
    assert_ptr_equal(pool_line_first(&t->b), d);
    assert_int_equal(t->b.open, 1);
    assert_int_equal(t->b.connecting, 1); /* its own */
}

static void test_the_end_of_an_idle_link_lets_another_one_be_opened(void **state)
{
    struct backends *t = *state;
    struct delivery *d = backends_delivery(t);

    backends_listen(t);
    t->b.open_max = 1;
    struct link *l = backends_new_link(t);
    assert_true(pool_put(&t->b, d));
    l->outbound.state = OUTBOUND_IDLE;
    l->plain = true;
    pool_link_due(&t->loop, &l->alarm);
    assert_int_equal(t->b.open, 1);
    assert_int_equal(t->b.connecting, 1);
}

/* Another alarm was to learn whether the backend is down. */
static void test_a_broken_link_does_not_make_those_that_wait_later(void **state)
{
    struct backends *t = *state;

    struct link *l = backends_link(t, true);
    l->outbound.state = OUTBOUND_RSET;
    t->b.room = 0;
    t->b.limited_ms = t->loop.now + 500;
    assert_true(pool_put(&t->b, backends_delivery(t)));
    pool_link_due(&t->loop, &l->alarm);
    assert_int_equal(t->b.open, 0);
    assert_ptr_equal(pool_line_first(&t->b), &t->delivery);
    assert_int_equal(t->b.retry.timer.at, t->b.limited_ms);
}

/* While another worker is served. */
static void hello(struct backends *t, enum outbound_tls tls, const char *greeting, const char *text)
{
    struct link *l = backends_new_link(t);

    sharing_answered(t->sharing, t->b.share_id, t->loop.now * 1000 + 999);
    outbound_start(&l->outbound, false, t->config.hostname, 0);
    l->outbound.tls = (uint8_t)tls;
    outbound_input(&l->outbound, span_of(greeting));
    l->lived_in = l->outbound.state;
    if (text)
        outbound_input(&l->outbound, span_of(text));
    pool_link_ready(&t->loop, &l->watch, 0);
    assert_int_equal(t->b.open, 0);
}

static void test_a_backend_that_refuses_for_good_is_down_at_once(void **state)
{
    struct backends *t = *state;
    uint32_t wants = sharing_wants(t->sharing);

    hello(t, OUTBOUND_TLS_NONE, "554 5.7.1 not you\r\n", NULL);
    assert_false(t->b.up);
    assert_int_equal(sharing_wants(t->sharing), wants);
}

static void test_a_backend_that_lacks_the_tls_it_needs_is_down_at_once(void **state)
{
    struct backends *t = *state;
    uint32_t wants = sharing_wants(t->sharing);

    hello(t, OUTBOUND_TLS_NEEDED, "220 hello\r\n", "250 backend.test\r\n");
    assert_false(t->b.up);
    assert_int_equal(sharing_wants(t->sharing), wants);
}

static void test_a_backend_that_refuses_for_now_is_not_down(void **state)
{
    struct backends *t = *state;
    uint32_t wants = sharing_wants(t->sharing);

    hello(t, OUTBOUND_TLS_NONE, "421 4.3.2 too many\r\n", NULL);
    assert_true(t->b.up);
    assert_int_equal(sharing_wants(t->sharing), wants + 1);
}

static void test_without_a_descriptor_no_other_worker_is_asked(void **state)
{
    struct backends *t = *state;
    uint32_t wants = sharing_wants(t->sharing);
    struct rlimit usual, none;

    backends_listen(t);
    backends_link(t, false);
    assert_true(pool_line_add(&t->b, backends_delivery(t)));
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &usual), 0);
    none = usual;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int error = pool_link_open(&t->b, NULL);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &usual), 0);
    pool_line_drop(&t->b, &t->delivery);
    assert_int_equal(error, POOL_NOT_NOW);
    assert_true(t->b.up);
    assert_int_equal(sharing_wants(t->sharing), wants);
}

static void test_a_new_link_is_looked_at_before_it_has_an_answer(void **state)
{
    struct backends *t = *state;

    backends_listen(t);
    assert_int_equal(pool_link_open(&t->b, NULL), 0);
    assert_non_null(t->b.share.timer.prev);
}

/* Its client has sent a second message, which takes the link of the first one, and has gone. */
static void next_is_given_up(struct delivery *d)
{
    struct backends *t = container_of(d->backend, struct backends, b);
    struct link *l = t->b.links;

    l->delivery = d;
    d->link = l;
    pool_drop(d);
}

/* AddressSanitizer finds it if the link is freed too early. */
static void test_a_link_may_be_closed_by_the_end_of_its_delivery(void **state)
{
    struct backends *t = *state;
    struct link *l = backends_link(t, true);

    t->pool.params.over = next_is_given_up;
    l->delivery = backends_delivery(t);
    l->delivery->link = l;
    l->delivery->backend = &t->b;
    l->outbound.over = true;
    pool_link_ready(&t->loop, &l->watch, 0);
    assert_null(t->b.links);
    assert_int_equal(t->b.open, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, backends_setup, backends_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_an_idle_link_that_takes_no_message_leaves_its_place),
        TEST(test_the_end_of_an_idle_link_lets_another_one_be_opened),
        TEST(test_a_broken_link_does_not_make_those_that_wait_later),
        TEST(test_a_backend_that_refuses_for_good_is_down_at_once),
        TEST(test_a_backend_that_lacks_the_tls_it_needs_is_down_at_once),
        TEST(test_a_backend_that_refuses_for_now_is_not_down),
        TEST(test_without_a_descriptor_no_other_worker_is_asked),
        TEST(test_a_new_link_is_looked_at_before_it_has_an_answer),
        TEST(test_a_link_may_be_closed_by_the_end_of_its_delivery),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
