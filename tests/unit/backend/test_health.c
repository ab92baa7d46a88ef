/* The state of a backend: its TLS. */
#include "backends.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backend/health.h"
#include "backend/tls.h"

static void test_after_failed_tls_it_is_tried_again(void **state)
{
    struct backends *t = *state;

    t->one.tls = TLS_STARTTLS;
    assert_false(health_is_plain(&t->b));
    assert_true(health_no_tls(&t->b, "no reason", false));
    struct link *clear = backends_link(t, true), *safe = backends_link(t, true);
    clear->plain = true;
    t->loop.now += BACKEND_PLAIN_MS - 1;
    assert_true(health_is_plain(&t->b));
    assert_false(pool_link_is_spent(clear));
    t->loop.now++;
    assert_false(health_is_plain(&t->b));
    assert_true(pool_link_is_spent(clear)); /* else it would stay in use for ever */
    assert_false(pool_link_is_spent(safe));
}

static void test_tls_that_works_again_is_noted(void **state)
{
    struct backends *t = *state;

    t->one.tls = TLS_STARTTLS;
    health_no_tls(&t->b, "no reason", false);
    health_tls(&t->b);
    assert_false(health_is_plain(&t->b));
}

static void test_required_tls_is_never_left_out(void **state)
{
    struct backends *t = *state;
    enum tls_mode modes[] = {TLS_VERIFIED, TLS_IMPLICIT};

    for (size_t i = 0; i < 2; i++) {
        t->one.tls = modes[i];
        assert_false(health_no_tls(&t->b, "no reason", false));
        assert_false(health_is_plain(&t->b));
    }
}

/* A backend that restarts may end a connection in the handshake. */
static void test_one_end_in_a_handshake_is_no_reason_for_clear_text(void **state)
{
    struct backends *t = *state;

    t->one.tls = TLS_STARTTLS;
    health_tls(&t->b);
    assert_false(health_no_tls(&t->b, "no reason", true));
    assert_false(health_is_plain(&t->b));
    assert_true(health_no_tls(&t->b, "no reason", true));
    assert_true(health_is_plain(&t->b));
    health_tls(&t->b);
    assert_true(health_no_tls(&t->b, "no reason", false)); /* a fault of its TLS */
}

static void test_a_backend_that_demands_tls_soon_has_it_tried_again(void **state)
{
    struct backends *t = *state;

    t->one.tls = TLS_STARTTLS;
    health_no_tls(&t->b, "no reason", false);
    struct link *l = backends_link(t, true);
    l->plain = true;
    l->outbound.complaint.code = 530;
    health_complain(&t->b, &l->outbound, NULL);
    assert_true(health_is_plain(&t->b)); /* it costs little while TLS stays broken */
    t->loop.now += POOL_RETRY_MAX_MS;
    assert_false(health_is_plain(&t->b));
}

/* A client can have itself refused all the time. */
static void test_what_is_said_of_a_client_hides_nothing_that_is_said_of_us(void **state)
{
    struct backends *t = *state;
    struct link *l = backends_link(t, true);
    struct addr client;

    assert_true(addr_parse(SPAN("192.0.2.66"), &client));
    l->outbound.complaint.code = 554;
    health_complain(&t->b, &l->outbound, &client);
    assert_int_equal(l->outbound.complaint.code, 0);
    assert_int_equal(t->b.complained_ms, 0);
    assert_true(t->b.told_of_client_ms);
    l->outbound.complaint.code = 530;
    health_complain(&t->b, &l->outbound, NULL);
    assert_true(t->b.complained_ms);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_after_failed_tls_it_is_tried_again, backends_setup,
                                        backends_teardown),
        cmocka_unit_test_setup_teardown(test_tls_that_works_again_is_noted, backends_setup,
                                        backends_teardown),
        cmocka_unit_test_setup_teardown(test_required_tls_is_never_left_out, backends_setup,
                                        backends_teardown),
        cmocka_unit_test_setup_teardown(test_one_end_in_a_handshake_is_no_reason_for_clear_text,
                                        backends_setup, backends_teardown),
        cmocka_unit_test_setup_teardown(test_a_backend_that_demands_tls_soon_has_it_tried_again,
                                        backends_setup, backends_teardown),
        cmocka_unit_test_setup_teardown(
            test_what_is_said_of_a_client_hides_nothing_that_is_said_of_us, backends_setup,
            backends_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
