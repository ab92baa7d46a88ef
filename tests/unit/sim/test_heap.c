/* The simulator's agenda. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "heap.h"

static void test_it_gives_out_in_order_of_time_then_of_agent(void **state)
{
    static const struct heap_item in[] = {{5, 1}, {3, 9}, {5, 0}, {1, 4}, {3, 2}, {9, 3}, {1, 5}};
    static const struct heap_item out[] = {{1, 4}, {1, 5}, {3, 2}, {3, 9}, {5, 0}, {5, 1}, {9, 3}};
    struct heap_item got;
    struct heap h;

    assert_true(heap_open(&h, 7));
    for (int i = 0; i < 7; i++)
        heap_add(&h, in[i].at, in[i].agent);
    for (int i = 0; i < 7; i++) {
        assert_true(heap_next(&h, &got));
        assert_int_equal(got.at, out[i].at);
        assert_int_equal(got.agent, out[i].agent);
    }
    assert_false(heap_next(&h, &got));
    heap_close(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_gives_out_in_order_of_time_then_of_agent)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
