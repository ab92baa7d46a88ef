/* SCRAM logins between their two messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "auth/scram_logins.h"

enum { SLOTS = 6 };

static int setup(void **state)
{
    struct scram_logins *t = calloc(1, sizeof *t);

    *state = t;
    return t && scram_logins_open(t, SLOTS, 0) ? 0 : -1;
}

static int teardown(void **state)
{
    scram_logins_close(*state);
    free(*state);
    return 0;
}

/* Begins a login of a slot; returns its number. */
static uint32_t begin(struct scram_logins *t, uint16_t slot)
{
    struct scram_pending *pending = calloc(1, sizeof *pending);

    assert_true(scram_logins_add(t, pending, slot));
    return pending->place.number;
}

static void test_a_login_is_found_by_its_worker_until_it_ends(void **state)
{
    struct scram_logins *t = *state;
    uint32_t number = begin(t, 3);
    struct scram_pending *pending = scram_logins_find(t, 3, number);
    assert_int_not_equal(number, 0);
    assert_non_null(pending);
    assert_null(scram_logins_find(t, 4, number));
    assert_null(scram_logins_find(t, 3, number + 1));
    assert_null(scram_logins_find(t, 3, number + SCRAM_LOGINS_MAX));
    scram_logins_end(t, pending);
    assert_null(scram_logins_find(t, 3, number));
}

static void test_with_one_worker_the_oldest_of_all_places_gives_way(void **state)
{
    struct scram_logins *t = *state;
    uint32_t first = begin(t, 0), last = first;
    for (int i = 1; i < SCRAM_LOGINS_MAX; i++)
        last = begin(t, 0);
    assert_non_null(scram_logins_find(t, 0, first));
    uint32_t one_more = begin(t, 0);
    assert_null(scram_logins_find(t, 0, first));
    assert_non_null(scram_logins_find(t, 0, last));
    assert_non_null(scram_logins_find(t, 0, one_more));
}

static void test_a_worker_that_begins_without_end_replaces_no_login_of_others(void **state)
{
    struct scram_logins *t = *state;
    uint32_t others[170], flood = 0;
    for (int i = 0; i < 170; i++) /* their shares of the six are 170 each */
        others[i] = begin(t, (uint16_t)(i % (SLOTS - 1)));
    for (int i = 0; i < 7777; i++)
        flood = begin(t, SLOTS - 1);
    for (int i = 0; i < 170; i++)
        assert_non_null(scram_logins_find(t, (uint16_t)(i % (SLOTS - 1)), others[i]));
    assert_non_null(scram_logins_find(t, SLOTS - 1, flood));
    assert_non_null(scram_logins_find(t, SLOTS - 1, flood - 853)); /* all other places */
    assert_null(scram_logins_find(t, SLOTS - 1, flood - 854));
}

static void test_numbers_begin_anew_without_a_zero_and_without_those_in_use(void **state)
{
    struct scram_logins *t = *state;
    assert_int_equal(begin(t, 2), 1);
    assert_int_equal(begin(t, 1), 2);
    t->last = UINT32_MAX;
    assert_int_equal(begin(t, 1), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_login_is_found_by_its_worker_until_it_ends, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_with_one_worker_the_oldest_of_all_places_gives_way,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_a_worker_that_begins_without_end_replaces_no_login_of_others, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_numbers_begin_anew_without_a_zero_and_without_those_in_use, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
