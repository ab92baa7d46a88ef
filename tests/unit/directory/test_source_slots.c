/* Which worker slot's query a source gets next: each gets as many as the others while all wait. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "directory/source_slots.h"

enum { SLOTS = 5 };

static uint32_t take(struct source_slots *s)
{
    uint32_t slot = source_slots_first(s);

    assert_in_range(slot, 0, SLOTS - 1);
    assert_int_equal(source_slots_first(s), slot);
    source_slots_leave(s, slot);
    source_slots_begin(s, slot);
    return slot;
}

static void wait_many(struct source_slots *s, uint32_t slot, int count)
{
    while (count--)
        source_slots_wait(s, slot);
}

static void test_nobody_waits(void **state)
{
    struct source_slots *s = source_slots_open(SLOTS);

    assert_int_equal(source_slots_first(s), UINT32_MAX);
    source_slots_wait(s, 3);
    assert_int_equal(source_slots_first(s), 3);
    source_slots_leave(s, 3);
    assert_int_equal(source_slots_first(s), UINT32_MAX);
    free(s);
}

/* A source that accepts one query at a time, and a slot that always has one waiting. */
static void test_with_one_connection_slots_take_turns(void **state)
{
    struct source_slots *s = source_slots_open(SLOTS);
    uint32_t served[SLOTS] = {0};

    wait_many(s, 0, 1000);
    wait_many(s, 2, 100);
    wait_many(s, 4, 100);
    for (int n = 0; n < 300; n++) {
        uint32_t slot = take(s);
        served[slot]++;
        source_slots_end(s, slot);
    }
    assert_int_equal(served[0], 100);
    assert_int_equal(served[2], 100);
    assert_int_equal(served[4], 100);
    /* What nobody else wants is for the one that waits. */
    for (int n = 0; n < 900; n++) {
        assert_int_equal(take(s), 0);
        source_slots_end(s, 0);
    }
    assert_int_equal(source_slots_first(s), UINT32_MAX);
    free(s);
}

/* A slot that comes late gets the next places until it has as many as the others. */
static void test_who_has_the_fewest_comes_first(void **state)
{
    struct source_slots *s = source_slots_open(SLOTS);

    wait_many(s, 1, 100);
    for (int n = 0; n < 6; n++)
        assert_int_equal(take(s), 1);
    wait_many(s, 3, 100);
    for (int n = 0; n < 3; n++) {
        source_slots_end(s, 1);
        assert_int_equal(take(s), 3);
    }
    source_slots_end(s, 3); /* 3 and 2 */
    assert_int_equal(take(s), 3);
    source_slots_end(s, 1);
    assert_int_equal(take(s), 1);
    free(s);
}

/* Six places, random ends: nobody who waits is ever more than one turn behind. */
static void test_shares_are_equal_whichever_query_ends(void **state)
{
    for (unsigned seed = 1; seed <= 20; seed++) {
        struct source_slots *s = source_slots_open(SLOTS);
        uint32_t running[SLOTS] = {0};
        srand(seed);
        for (uint32_t slot = 0; slot < SLOTS; slot++)
            wait_many(s, slot, 1000);
        for (int n = 0; n < 6; n++)
            running[take(s)]++;
        for (int n = 0; n < 500; n++) {
            uint32_t ends = (uint32_t)rand() % SLOTS;
            if (!running[ends])
                continue;
            running[ends]--;
            source_slots_end(s, ends);
            running[take(s)]++;
            for (uint32_t slot = 0; slot < SLOTS; slot++)
                assert_in_range(running[slot], 1, 2);
        }
        free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nobody_waits),
        cmocka_unit_test(test_with_one_connection_slots_take_turns),
        cmocka_unit_test(test_who_has_the_fewest_comes_first),
        cmocka_unit_test(test_shares_are_equal_whichever_query_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
