/* Lines of strangers: how many are asked at a time, and who is next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "worker/auth_queue.h"
#include "worker/queries.h"

enum { MANY = 100, ALICE = 7, BOB = 8 };

static struct query *next[MANY];
static size_t nexts;
static struct auth_queue
    *leaves_at_once; /* in this line the next query is answered without being sent */

/* auth_queue.c calls it. */
void query_next(struct worker *w, struct query *q)
{
    next[nexts++] = q;
    if (leaves_at_once)
        auth_queue_leave(leaves_at_once, q);
}

/* All of them are freed at the end of each test. */
static struct query *made[MANY + 1];
static size_t makes;

static struct query *stranger_to(uint64_t account)
{
    struct query *q = calloc(1, sizeof *q);

    assert_non_null(q);
    q->permit.stranger_to = account;
    return made[makes++] = q;
}

static int setup(void **state)
{
    nexts = 0;
    leaves_at_once = NULL;
    *state = auth_queue_open(1);
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    auth_queue_close(*state);
    while (makes)
        free(made[--makes]);
    return 0;
}

static void test_four_are_asked_and_the_others_follow_in_order(void **state)
{
    struct auth_queue *auth_queue = *state;
    struct query *q[7];

    for (int i = 0; i < 7; i++) {
        q[i] = stranger_to(ALICE);
        assert_int_equal(auth_queue_enter(auth_queue, q[i]), i < 4);
    }
    assert_false(auth_queue_move(auth_queue, NULL));
    assert_int_equal(nexts, 0);
    auth_queue_leave(auth_queue, q[2]);
    assert_false(auth_queue_move(auth_queue, NULL));
    assert_int_equal(nexts, 1);
    assert_ptr_equal(next[0], q[4]);
    auth_queue_leave(auth_queue, q[5]); /* it hung up */
    auth_queue_leave(auth_queue, q[0]);
    auth_queue_leave(auth_queue, q[1]);
    auth_queue_move(auth_queue, NULL);
    assert_int_equal(nexts, 2);
    assert_ptr_equal(next[1], q[6]);
}

static void test_another_account_and_who_is_known_or_has_a_turn_stand_in_no_line(void **state)
{
    struct auth_queue *auth_queue = *state;
    struct query *q[5], *bob = stranger_to(BOB), *known = stranger_to(0);
    struct query *paced = stranger_to(ALICE);

    paced->permit.turn_end = 1;
    for (int i = 0; i < 5; i++) {
        q[i] = stranger_to(ALICE);
        auth_queue_enter(auth_queue, q[i]);
    }
    assert_true(auth_queue_enter(auth_queue, bob));
    assert_true(auth_queue_enter(auth_queue, known));
    assert_true(auth_queue_enter(auth_queue, paced));
    auth_queue_leave(auth_queue, known);
    auth_queue_leave(auth_queue, paced);
    assert_false(auth_queue_move(auth_queue, NULL));
    assert_int_equal(nexts, 0); /* neither was counted */
}

/* A query leaves the line that it entered, even if the account has come to know its client
 * meanwhile. */
static void test_a_place_is_given_back_to_the_line_it_was_taken_from(void **state)
{
    struct auth_queue *auth_queue = *state;
    struct query *q[5];

    for (int i = 0; i < 5; i++) {
        q[i] = stranger_to(ALICE);
        auth_queue_enter(auth_queue, q[i]);
    }
    q[0]->permit.stranger_to = 0;
    auth_queue_leave(auth_queue, q[0]);
    auth_queue_move(auth_queue, NULL);
    assert_ptr_equal(next[0], q[4]);
}

static void test_a_long_line_takes_several_turns_of_the_loop(void **state)
{
    struct auth_queue *auth_queue = *state;
    struct query *q[MANY];

    for (int i = 0; i < MANY; i++) {
        q[i] = stranger_to(ALICE);
        auth_queue_enter(auth_queue, q[i]);
    }
    leaves_at_once = auth_queue;
    auth_queue_leave(auth_queue, q[0]);
    assert_true(auth_queue_move(auth_queue, NULL));
    assert_in_range(nexts, 1, MANY - 5);
    while (auth_queue_move(auth_queue, NULL))
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
