/* slab.c: objects are zeroed, apart, aligned and counted, and chunks go back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/slab.h"

enum { OBJECTS = 2000, SIZE = 200 };

static void *object[OBJECTS];

static void take_all(struct slab *s)
{
    for (int i = 0; i < OBJECTS; i++) {
        object[i] = slab_take(s);
        assert_non_null(object[i]);
        memset(object[i], i & 0xff, SIZE);
    }
}

static void test_objects_are_zeroed_each_time_they_are_given_out(void **state)
{
    static const char zero[SIZE];
    struct slab s;

    slab_init(&s, SIZE);
    for (int i = 0; i < 10; i++) {
        char *o = slab_take(&s);
        assert_memory_equal(o, zero, SIZE);
        memset(o, 0xff, SIZE);
        slab_give(&s, o);
    }
}

static void test_objects_do_not_overlap_and_are_aligned(void **state)
{
    struct slab s;

    slab_init(&s, SIZE);
    assert_int_equal(s.size, 200);
    take_all(&s);
    assert_int_equal(s.used, OBJECTS);
    for (int i = 0; i < OBJECTS; i++) {
        unsigned char *o = object[i];
        assert_int_equal((uintptr_t)o % 8, 0);
        assert_int_equal(o[0], i & 0xff);
        assert_int_equal(o[SIZE - 1], i & 0xff);
        slab_give(&s, o);
    }
    assert_int_equal(s.used, 0);
}

static void test_empty_chunks_are_given_back_but_for_one(void **state)
{
    struct slab s;

    slab_init(&s, SIZE);
    assert_int_equal(s.chunks, 0);
    take_all(&s);
    size_t full = s.chunks;
    assert_true(full >= OBJECTS * SIZE / SLAB_CHUNK);
    for (int i = OBJECTS; i-- > 1;)
        slab_give(&s, object[i]);
    assert_true(s.chunks <= 2); /* that of object[0], and the spare */
    slab_give(&s, object[0]);
    assert_int_equal(s.chunks, 1);
}

static void test_at_the_edge_of_a_chunk_nothing_is_mapped_to_and_fro(void **state)
{
    struct slab s;

    slab_init(&s, SLAB_CHUNK / 4); /* three to a chunk */
    for (int i = 0; i < 3; i++)
        object[i] = slab_take(&s);
    void *fourth = slab_take(&s);
    assert_int_equal(s.chunks, 2);
    slab_give(&s, fourth);
    assert_int_equal(s.chunks, 2);
    assert_ptr_equal(slab_take(&s), fourth);
    assert_int_equal(s.chunks, 2);
}

static void test_freed_places_are_used_before_new_chunks(void **state)
{
    struct slab s;

    slab_init(&s, SIZE);
    take_all(&s);
    size_t full = s.chunks;
    for (int i = 0; i < OBJECTS; i += 2)
        slab_give(&s, object[i]);
    assert_int_equal(s.chunks, full);
    for (int i = 0; i < OBJECTS; i += 2)
        object[i] = slab_take(&s);
    assert_int_equal(s.chunks, full);
    for (int i = 0; i < OBJECTS; i++)
        slab_give(&s, object[i]);
    assert_int_equal(s.chunks, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_objects_are_zeroed_each_time_they_are_given_out),
        cmocka_unit_test(test_objects_do_not_overlap_and_are_aligned),
        cmocka_unit_test(test_empty_chunks_are_given_back_but_for_one),
        cmocka_unit_test(test_at_the_edge_of_a_chunk_nothing_is_mapped_to_and_fro),
        cmocka_unit_test(test_freed_places_are_used_before_new_chunks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
