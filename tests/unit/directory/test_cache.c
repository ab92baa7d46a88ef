/* What a directory said lately, for how long, and what is given up when there is no more room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "directory/cache.h"

enum { GOOD_MS = 1000, BAD_MS = 100 };

static enum answer_result found(const struct cache *c, const char *key, uint64_t now, bool stale)
{
    enum answer_result r = ANSWER_OTHER;

    return cache_find(c, span_of(key), now, stale, &r) ? r : 0;
}

static void test_answers_are_fresh_for_their_time_and_stale_after_it(void **state)
{
    struct cache *c = cache_open(64, GOOD_MS, BAD_MS);

    cache_put(c, SPAN("alice@example.test"), 5000, ANSWER_YES);
    cache_put(c, SPAN("nobody@example.test"), 5000, ANSWER_NO);
    assert_int_equal(found(c, "alice@example.test", 5999, false), ANSWER_YES);
    assert_int_equal(found(c, "alice@example.test", 6000, false), 0);
    assert_int_equal(found(c, "alice@example.test", 6000, true), ANSWER_YES);
    assert_int_equal(found(c, "nobody@example.test", 5099, false), ANSWER_NO);
    assert_int_equal(found(c, "nobody@example.test", 5100, false), 0);
    assert_int_equal(found(c, "nobody@example.test", 5100, true), ANSWER_NO);
    assert_int_equal(found(c, "carol@example.test", 5000, true), 0);
    cache_close(c);
}

static void test_a_new_answer_takes_the_old_ones_place(void **state)
{
    struct cache *c = cache_open(64, GOOD_MS, BAD_MS);

    cache_put(c, SPAN("alice@example.test"), 5000, ANSWER_NO);
    cache_put(c, SPAN("alice@example.test"), 5050, ANSWER_YES);
    assert_int_equal(found(c, "alice@example.test", 5200, false), ANSWER_YES);
    cache_close(c);
}

static void test_later_and_others_words_are_not_kept(void **state)
{
    struct cache *c = cache_open(64, GOOD_MS, BAD_MS);

    cache_put(c, SPAN("alice@example.test"), 5000, ANSWER_LATER);
    assert_int_equal(found(c, "alice@example.test", 5000, true), 0);
    cache_put(c, SPAN("alice@example.test"), 5000, ANSWER_YES);
    cache_put(c, SPAN("alice@example.test"), 5001, ANSWER_LATER);
    assert_int_equal(found(c, "alice@example.test", 5001, false), ANSWER_YES);
    cache_close(c);
}

static void test_without_room_the_oldest_go_and_no_answer_is_another_ones(void **state)
{
    struct cache *c = cache_open(256, GOOD_MS, BAD_MS);
    int there = 0;
    char key[32];

    for (int i = 0; i < 4096; i++) {
        snprintf(key, sizeof key, "user%d@example.test", i);
        cache_put(c, span_of(key), 5000 + (uint64_t)i, i % 2 ? ANSWER_YES : ANSWER_NO);
    }
    for (int i = 0; i < 4096; i++) {
        snprintf(key, sizeof key, "user%d@example.test", i);
        enum answer_result r = found(c, key, 10000, true);
        if (r) {
            assert_int_equal(r, i % 2 ? ANSWER_YES : ANSWER_NO);
            there++;
            assert_true(i > 2048); /* the newest of each set */
        }
    }
    assert_int_equal(there, 256);
    cache_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_are_fresh_for_their_time_and_stale_after_it),
        cmocka_unit_test(test_a_new_answer_takes_the_old_ones_place),
        cmocka_unit_test(test_later_and_others_words_are_not_kept),
        cmocka_unit_test(test_without_room_the_oldest_go_and_no_answer_is_another_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
