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
    assert_true(health_no_tls(&t->b, "no reason"));
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
    health_no_tls(&t->b, "no reason");
    health_tls(&t->b);
    assert_false(health_is_plain(&t->b));
}

static void test_required_tls_is_never_left_out(void **state)
{
    struct backends *t = *state;
    enum tls_mode modes[] = {TLS_VERIFIED, TLS_IMPLICIT};

    for (size_t i = 0; i < 2; i++) {
        t->one.tls = modes[i];
        assert_false(health_no_tls(&t->b, "no reason"));
        assert_false(health_is_plain(&t->b));
    }
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
