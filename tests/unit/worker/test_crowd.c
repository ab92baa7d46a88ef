/* Lines of strangers: how many are asked at a time, and who is next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "worker/conn.h"

enum { MANY = 100, ALICE = 7, BOB = 8 };

static struct question *next[MANY];
static size_t nexts;
static struct crowd *leaves_at_once; /* there whoever is the next is answered without being asked */

/* crowd.c calls it. */
void question_next(struct worker *w, struct question *q)
{
    next[nexts++] = q;
    if (leaves_at_once)
        crowd_leave(leaves_at_once, q);
}

/* All of them are freed at the end of each test. */
static struct question *made[MANY + 1];
static size_t makes;

static struct question *stranger_to(uint64_t account)
{
    struct question *q = calloc(1, sizeof *q);

    assert_non_null(q);
    q->leave.stranger_to = account;
    return made[makes++] = q;
}

static int setup(void **state)
{
    nexts = 0;
    leaves_at_once = NULL;
    *state = crowd_open(1);
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    crowd_close(*state);
    while (makes)
        free(made[--makes]);
    return 0;
}

static void test_four_are_asked_and_the_others_follow_in_order(void **state)
{
    struct crowd *crowd = *state;
    struct question *q[7];

    for (int i = 0; i < 7; i++) {
        q[i] = stranger_to(ALICE);
        assert_int_equal(crowd_enter(crowd, q[i]), i < 4);
    }
    assert_false(crowd_move(crowd, NULL));
    assert_int_equal(nexts, 0);
    crowd_leave(crowd, q[2]);
    assert_false(crowd_move(crowd, NULL));
    assert_int_equal(nexts, 1);
    assert_ptr_equal(next[0], q[4]);
    crowd_leave(crowd, q[5]); /* it hung up */
    crowd_leave(crowd, q[0]);
    crowd_leave(crowd, q[1]);
    crowd_move(crowd, NULL);
    assert_int_equal(nexts, 2);
    assert_ptr_equal(next[1], q[6]);
}

static void test_another_account_and_who_is_known_or_has_a_turn_stand_in_no_line(void **state)
{
    struct crowd *crowd = *state;
    struct question *q[5], *bob = stranger_to(BOB), *known = stranger_to(0);
    struct question *paced = stranger_to(ALICE);

    paced->leave.turn_end = 1;
    for (int i = 0; i < 5; i++) {
        q[i] = stranger_to(ALICE);
        crowd_enter(crowd, q[i]);
    }
    assert_true(crowd_enter(crowd, bob));
    assert_true(crowd_enter(crowd, known));
    assert_true(crowd_enter(crowd, paced));
    crowd_leave(crowd, known);
    crowd_leave(crowd, paced);
    assert_false(crowd_move(crowd, NULL));
    assert_int_equal(nexts, 0); /* neither was counted */
}

/* An account that comes to know the client while it stands in line leaves the line it entered. */
static void test_a_place_is_given_back_to_the_line_it_was_taken_from(void **state)
{
    struct crowd *crowd = *state;
    struct question *q[5];

    for (int i = 0; i < 5; i++) {
        q[i] = stranger_to(ALICE);
        crowd_enter(crowd, q[i]);
    }
    q[0]->leave.stranger_to = 0;
    crowd_leave(crowd, q[0]);
    crowd_move(crowd, NULL);
    assert_ptr_equal(next[0], q[4]);
}

static void test_a_long_line_takes_several_turns_of_the_loop(void **state)
{
    struct crowd *crowd = *state;
    struct question *q[MANY];

    for (int i = 0; i < MANY; i++) {
        q[i] = stranger_to(ALICE);
        crowd_enter(crowd, q[i]);
    }
    leaves_at_once = crowd;
    crowd_leave(crowd, q[0]);
    assert_true(crowd_move(crowd, NULL));
    assert_in_range(nexts, 1, MANY - 5);
    while (crowd_move(crowd, NULL))
        continue;
    assert_int_equal(nexts, MANY - 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_four_are_asked_and_the_others_follow_in_order, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            test_another_account_and_who_is_known_or_has_a_turn_stand_in_no_line, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_place_is_given_back_to_the_line_it_was_taken_from,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_long_line_takes_several_turns_of_the_loop, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
