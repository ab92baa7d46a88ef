/* What the end of a link means for the deliveries that wait. */
#include "backends.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "backend/health.h"

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
    assert_ptr_equal(t->b.queue, d);
    let_pass(t, &l->alarm);
    assert_ptr_equal(t->b.queue, d);
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, backends_setup, backends_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_an_idle_link_that_takes_no_message_leaves_its_place),
        TEST(test_the_end_of_an_idle_link_lets_another_one_be_opened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
