/* How processes share the connections of a server that accepts few. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/sharing.h"

enum { A = 4242, B = 4243, C = 4244, SECOND = 1000000 };
static const uint64_t source = 0x123456789abcdef, other = 0xfedcba987654321;
static const uint64_t now = 77ULL * 86400 * SECOND; /* later than 32 bits of ms */

static int setup(void **state)
{
    return sharing_open((struct sharing **)state);
}

static int teardown(void **state)
{
    sharing_close(*state);
    return 0;
}

static void test_all_clerks_know_the_last_answer(void **state)
{
    struct sharing *s = *state;

    assert_int_equal(sharing_last_answer(s, source), 0);
    sharing_answered(s, source, now);
    sharing_answered(s, source, now + 5);
    assert_int_equal(sharing_last_answer(s, source), now + 5);
    assert_int_equal(sharing_last_answer(s, other), 0);
}

static void test_who_has_more_gives_one_up_and_only_one_does(void **state)
{
    struct sharing *s = *state;
    uint32_t before = sharing_wants(s);

    sharing_want(s, source, A, 0, now);
    assert_int_not_equal(sharing_wants(s), before);
    assert_false(sharing_must_give(s, source, A, 5, now)); /* its own */
    assert_false(sharing_must_give(s, source, B, 0, now)); /* has none */
    assert_false(sharing_must_give(s, other, B, 5, now));
    assert_true(sharing_must_give(s, source, B, 1, now + 1));
    assert_false(sharing_must_give(s, source, C, 9, now + 1));
}

static void test_nobody_gives_so_much_that_it_has_less(void **state)
{
    struct sharing *s = *state;

    sharing_want(s, source, A, 3, now);
    assert_false(sharing_must_give(s, source, B, 3, now));
    assert_false(sharing_must_give(s, source, B, 4, now));
    assert_true(sharing_must_give(s, source, B, 5, now));
    sharing_want(s, source, A, 5000, now); /* more than there are bits */
    assert_false(sharing_must_give(s, source, B, 1000, now));
}

static void test_each_name_has_an_id_of_its_own(void **state)
{
    struct sharing *s = *state;
    uint64_t id = sharing_id(s, span_of("smtp://a:25"));

    assert_int_not_equal(id, 0);
    assert_int_equal(sharing_id(s, span_of("smtp://a:25")), id);
    assert_int_not_equal(sharing_id(s, span_of("smtp://b:25")), id);
}

static void test_a_request_ends(void **state)
{
    struct sharing *s = *state;

    sharing_want(s, source, A, 0, now);
    assert_false(sharing_must_give(s, source, B, 5, now + (SHARING_WANT_MS + 1) * 1000));
    sharing_want(s, source, A, 0, now + SECOND);
    assert_true(sharing_must_give(s, source, B, 5, now + 2 * SECOND));
}

/* The places of many sources: the one that has just answered keeps its own. */
static void test_with_too_many_sources_the_oldest_is_forgotten(void **state)
{
    struct sharing *s = *state;

    for (uint64_t i = 0; i < 9; i++)
        sharing_answered(s, 7 + i * SHARING_PLACES, now + i);
    assert_int_equal(sharing_last_answer(s, 7), 0);
    for (uint64_t i = 1; i < 9; i++)
        assert_int_equal(sharing_last_answer(s, 7 + i * SHARING_PLACES), now + i);
    sharing_want(s, 7 + 9 * SHARING_PLACES, A, 0, now);
    assert_int_equal(sharing_last_answer(s, 7 + SHARING_PLACES), 0);
    assert_int_equal(sharing_last_answer(s, 7 + 8 * SHARING_PLACES), now + 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_all_clerks_know_the_last_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_who_has_more_gives_one_up_and_only_one_does, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_nobody_gives_so_much_that_it_has_less, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_each_name_has_an_id_of_its_own, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_request_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_with_too_many_sources_the_oldest_is_forgotten, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
