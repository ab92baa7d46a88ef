/* SCRAM logins between their two messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "auth/scram_logins.h"

static int setup(void **state)
{
    *state = calloc(1, sizeof(struct scram_logins));
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    scram_logins_close(*state);
    free(*state);
    return 0;
}

static void test_a_talk_is_found_by_its_worker_until_it_ends(void **state)
{
    struct scram_logins *t = *state;
    struct scram_pending *pending = scram_logins_begin(t, 3);
    uint32_t number = pending->number;
    assert_int_not_equal(number, 0);
    assert_ptr_equal(scram_logins_find(t, 3, number), pending);
    assert_null(scram_logins_find(t, 4, number));
    assert_null(scram_logins_find(t, 3, number + 1));
    assert_null(scram_logins_find(t, 3, number + SCRAM_LOGINS_MAX));
    scram_logins_end(t, pending);
    assert_null(scram_logins_find(t, 3, number));
}

static void test_the_oldest_gives_way(void **state)
{
    struct scram_logins *t = *state;
    uint32_t first = scram_logins_begin(t, 0)->number, last = first;
    for (int i = 1; i < SCRAM_LOGINS_MAX; i++)
        last = scram_logins_begin(t, 0)->number;
    assert_non_null(scram_logins_find(t, 0, first));
    uint32_t one_more = scram_logins_begin(t, 0)->number;
    assert_null(scram_logins_find(t, 0, first));
    assert_non_null(scram_logins_find(t, 0, last));
    assert_non_null(scram_logins_find(t, 0, one_more));
}

static void test_numbers_begin_anew_without_a_zero(void **state)
{
    struct scram_logins *t = *state;
    t->last = UINT32_MAX;
    assert_int_equal(scram_logins_begin(t, 0)->number, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_talk_is_found_by_its_worker_until_it_ends, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_the_oldest_gives_way, setup, teardown),
        cmocka_unit_test_setup_teardown(test_numbers_begin_anew_without_a_zero, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
