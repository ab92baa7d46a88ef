/* What directories said lately: for how long, whose it is, and what is given up when there is no
 * more room. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "directory/cache.h"

enum { GOOD_MS = 1000, BAD_MS = 100, LONG_AGO = 1000000 };

static const struct cache_source one = {.id = 11, .good_ms = GOOD_MS, .bad_ms = BAD_MS};
static const struct cache_source other = {.id = 22, .good_ms = GOOD_MS, .bad_ms = BAD_MS};

static struct cache *cache_of(uint32_t places)
{
    struct cache *c = NULL;

    assert_int_equal(cache_open(&c, NULL, places), 0);
    return c;
}

static void found(const struct cache *c, const char *key, uint64_t now, enum cache_age age,
                  enum answer_result wanted)
{
    enum answer_result r = ANSWER_OTHER;

    assert_int_equal(cache_find(c, &one, span_of(key), now, &r), age);
    if (age != CACHE_NONE)
        assert_int_equal(r, wanted);
}

static void test_answers_are_fresh_then_due_then_old(void **state)
{
    struct cache *c = cache_of(64);

    cache_put(c, &one, SPAN("alice@example.test"), 5000, ANSWER_YES);
    cache_put(c, &one, SPAN("nobody@example.test"), 5000, ANSWER_NO);
    found(c, "alice@example.test", 5799, CACHE_FRESH, ANSWER_YES);
    found(c, "alice@example.test", 5800, CACHE_DUE, ANSWER_YES);
    found(c, "alice@example.test", 5999, CACHE_DUE, ANSWER_YES);
    found(c, "alice@example.test", 6000, CACHE_OLD, ANSWER_YES);
    found(c, "nobody@example.test", 5079, CACHE_FRESH, ANSWER_NO);
    found(c, "nobody@example.test", 5080, CACHE_DUE, ANSWER_NO);
    found(c, "nobody@example.test", 5100, CACHE_OLD, ANSWER_NO);
    found(c, "carol@example.test", 5000, CACHE_NONE, 0);
    cache_close(c);
}

/* field notes 11 */
static void test_what_says_no_is_forgotten_and_what_says_yes_is_not(void **state)
{
    struct cache *c = cache_of(64);

    cache_put(c, &one, SPAN("alice@example.test"), 5000, ANSWER_YES);
    cache_put(c, &one, SPAN("late@example.test"), 5000, ANSWER_NO);
    cache_forget_unknown(c, 5000);
    found(c, "alice@example.test", 5001, CACHE_FRESH, ANSWER_YES);
    found(c, "late@example.test", 5001, CACHE_NONE, 0);
    cache_put(c, &one, SPAN("late@example.test"), 5002, ANSWER_NO);
    found(c, "late@example.test", 5002, CACHE_FRESH, ANSWER_NO);
    cache_close(c);
}

static void test_one_address_is_forgotten(void **state)
{
    struct cache *c = cache_of(64);

    cache_put(c, &one, SPAN("alice@example.test"), 5000, ANSWER_YES);
    cache_put(c, &one, SPAN("bob@example.test"), 5000, ANSWER_YES);
    cache_forget(c, &one, SPAN("alice@example.test"));
    cache_forget(c, &one, SPAN("nobody@example.test"));
    cache_forget(c, &other, SPAN("bob@example.test"));
    found(c, "alice@example.test", 5001, CACHE_NONE, 0);
    found(c, "bob@example.test", 5001, CACHE_FRESH, ANSWER_YES);
    cache_close(c);
}

static void test_one_source_is_forgotten_and_is_no_longer_down(void **state)
{
    struct cache *c = cache_of(64);
    enum answer_result r;

    cache_put(c, &one, SPAN("alice@example.test"), 5000, ANSWER_YES);
    cache_put(c, &other, SPAN("alice@example.test"), 5000, ANSWER_YES);
    cache_source_was(c, &one, true, 5000);
    cache_forget_source(c, &one, 5000);
    assert_false(cache_is_down(c, &one));
    found(c, "alice@example.test", 5001, CACHE_NONE, 0);
    assert_int_equal(cache_find(c, &other, SPAN("alice@example.test"), 5001, &r), CACHE_FRESH);
    cache_put(c, &one, SPAN("alice@example.test"), 5001, ANSWER_NO);
    found(c, "alice@example.test", 5002, CACHE_FRESH, ANSWER_NO);
    cache_close(c);
}

static void test_a_clock_that_is_set_back_does_not_go_on_forgetting(void **state)
{
    struct cache *c = cache_of(64);

    cache_forget_unknown(c, LONG_AGO);
    cache_forget_source(c, &one, LONG_AGO);
    cache_put(c, &one, SPAN("late@example.test"), 5000, ANSWER_NO);
    found(c, "late@example.test", 5001, CACHE_FRESH, ANSWER_NO);
    cache_close(c);
}

static void test_a_clock_that_is_set_back_makes_answers_old(void **state)
{
    struct cache *c = cache_of(64);

    cache_put(c, &one, SPAN("alice@example.test"), LONG_AGO, ANSWER_YES);
    found(c, "alice@example.test", LONG_AGO - 5, CACHE_FRESH, ANSWER_YES); /* another process's */
    found(c, "alice@example.test", LONG_AGO - 600000, CACHE_OLD, ANSWER_YES);
    cache_close(c);
}

static void test_each_source_has_its_own_answers(void **state)
{
    struct cache *c = cache_of(64);
    enum answer_result r;

    cache_put(c, &one, SPAN("alice@example.test"), 5000, ANSWER_YES);
    assert_int_equal(cache_find(c, &other, SPAN("alice@example.test"), 5000, &r), CACHE_NONE);
    cache_put(c, &other, SPAN("alice@example.test"), 5000, ANSWER_NO);
    found(c, "alice@example.test", 5000, CACHE_FRESH, ANSWER_YES);
    assert_int_equal(cache_source_id(c, SPAN("ldap a")), cache_source_id(c, SPAN("ldap a")));
    assert_int_not_equal(cache_source_id(c, SPAN("ldap a")), cache_source_id(c, SPAN("ldap b")));
    cache_close(c);
}

static void test_a_new_answer_takes_the_old_ones_place(void **state)
{
    struct cache *c = cache_of(64);

    cache_put(c, &one, SPAN("alice@example.test"), 5000, ANSWER_NO);
    cache_put(c, &one, SPAN("alice@example.test"), 5050, ANSWER_YES);
    found(c, "alice@example.test", 5200, CACHE_FRESH, ANSWER_YES);
    cache_close(c);
}

static void test_later_and_others_words_are_not_kept(void **state)
{
    struct cache *c = cache_of(64);

    cache_put(c, &one, SPAN("alice@example.test"), 5000, ANSWER_LATER);
    found(c, "alice@example.test", 5000, CACHE_NONE, 0);
    cache_put(c, &one, SPAN("alice@example.test"), 5000, ANSWER_YES);
    cache_put(c, &one, SPAN("alice@example.test"), 5001, ANSWER_OTHER);
    found(c, "alice@example.test", 5001, CACHE_FRESH, ANSWER_YES);
    cache_close(c);
}

static void test_one_renews_an_answer_and_the_others_leave_it_alone(void **state)
{
    struct cache *c = cache_of(64);
    struct span alice = SPAN("alice@example.test");

    assert_false(cache_claim(c, &one, alice, 5000)); /* there is none to renew */
    cache_put(c, &one, alice, 5000, ANSWER_YES);
    assert_true(cache_claim(c, &one, alice, 5900));
    assert_false(cache_claim(c, &one, alice, 5900));
    assert_false(cache_claim(c, &one, alice, 5900 + CACHE_CLAIM_MS - 1));
    assert_true(cache_claim(c, &one, alice, 5900 + CACHE_CLAIM_MS)); /* who had it is dead */
    cache_put(c, &one, alice, 30000, ANSWER_YES);
    assert_true(cache_claim(c, &one, alice, 30900));
    assert_true(cache_claim(c, &one, alice, 100)); /* the clock was set back */
    cache_close(c);
}

static void test_of_a_source_that_is_down_one_at_a_time_finds_out_whether_it_is_up_again(
    void **state)
{
    struct cache *c = cache_of(64);

    assert_false(cache_may_try(c, &one, 5000));           /* it is up */
    assert_false(cache_source_was(c, &one, false, 5000)); /* no news */
    assert_true(cache_source_was(c, &one, true, 5000));
    assert_true(cache_is_down(c, &one));
    assert_false(cache_is_down(c, &other));
    assert_false(cache_may_try(c, &one, 5000 + CACHE_DOWN_MS - 1));
    assert_true(cache_may_try(c, &one, 6000));
    assert_false(cache_may_try(c, &one, 6000));
    assert_false(cache_source_was(c, &one, true, 7000)); /* still */
    assert_true(cache_may_try(c, &one, 8000));
    assert_false(cache_may_try(c, &one, 8000 + CACHE_PROBE_MS - 1));
    assert_true(cache_may_try(c, &one, 8000 + CACHE_PROBE_MS)); /* who tried has died */
    assert_true(cache_source_was(c, &one, false, 24000));
    assert_false(cache_is_down(c, &one));
    cache_close(c);
}

static void test_any_number_of_sources_may_have_been_down(void **state)
{
    struct cache *c = cache_of(64);

    for (uint64_t id = 1; id < 1000; id++) {
        struct cache_source s = {.id = id, .good_ms = GOOD_MS, .bad_ms = BAD_MS};
        assert_true(cache_source_was(c, &s, true, 5000));
        assert_true(cache_is_down(c, &s));
        assert_true(cache_source_was(c, &s, false, 5000));
    }
    cache_close(c);
}

static void test_without_room_those_who_do_not_exist_go_first_and_no_answer_is_another_ones(
    void **state)
{
    struct cache *c = cache_of(256);
    int yes = 0, no = 0;
    char key[32];

    for (int i = 0; i < 4096; i++) {
        snprintf(key, sizeof key, "user%d@example.test", i);
        cache_put(c, &one, span_of(key), 5000, i < 64 ? ANSWER_YES : ANSWER_NO);
    }
    for (int i = 0; i < 4096; i++) {
        enum answer_result r;
        snprintf(key, sizeof key, "user%d@example.test", i);
        if (cache_find(c, &one, span_of(key), 5010, &r) == CACHE_NONE)
            continue;
        assert_int_equal(r, i < 64 ? ANSWER_YES : ANSWER_NO);
        yes += i < 64;
        no += i >= 64;
    }
    assert_in_range(yes, 60, 64); /* of a set with more than eight the ninth had to go */
    assert_int_equal(yes + no, 256);
    cache_close(c);
}

/* Processes that write the same few places over and over, and are killed in the middle of it. */
static void test_what_the_killed_leave_behind_is_nobodys_answer(void **state)
{
    struct cache *c = cache_of(8);
    pid_t writer[4];

    for (int w = 0; w < 4; w++) {
        writer[w] = fork();
        if (writer[w] == 0)
            for (unsigned i = (unsigned)w;; i++) {
                char key[32];
                snprintf(key, sizeof key, "user%u@example.test", i % 64);
                cache_put(c, &one, span_of(key), 5000, i % 2 ? ANSWER_YES : ANSWER_NO);
            }
    }
    for (int round = 0; round < 200000; round++) {
        unsigned i = (unsigned)round % 64;
        enum answer_result r;
        char key[32];
        snprintf(key, sizeof key, "user%u@example.test", i);
        if (cache_find(c, &one, span_of(key), 5000, &r) != CACHE_NONE)
            assert_int_equal(r, i % 2 ? ANSWER_YES : ANSWER_NO);
    }
    for (int w = 0; w < 4; w++) {
        kill(writer[w], SIGKILL);
        waitpid(writer[w], NULL, 0);
    }
    cache_put(c, &one, SPAN("alice@example.test"), 5000, ANSWER_YES);
    found(c, "alice@example.test", 5000, CACHE_FRESH, ANSWER_YES);
    cache_close(c);
}

static void test_answers_outlive_a_restart(void **state)
{
    char path[] = "/tmp/mired-answers-XXXXXX";
    struct cache *c;
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    close(fd);
    unlink(path);
    assert_int_equal(cache_open(&c, path, 64), 0);
    uint64_t id = cache_source_id(c, SPAN("ldap"));
    cache_put(c, &one, SPAN("alice@example.test"), 5000, ANSWER_YES);
    cache_close(c);
    assert_int_equal(cache_open(&c, path, 64), 0);
    found(c, "alice@example.test", 5001, CACHE_FRESH, ANSWER_YES);
    assert_int_equal(cache_source_id(c, SPAN("ldap")), id);
    cache_close(c);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_are_fresh_then_due_then_old),
        cmocka_unit_test(test_what_says_no_is_forgotten_and_what_says_yes_is_not),
        cmocka_unit_test(test_one_address_is_forgotten),
        cmocka_unit_test(test_one_source_is_forgotten_and_is_no_longer_down),
        cmocka_unit_test(test_a_clock_that_is_set_back_does_not_go_on_forgetting),
        cmocka_unit_test(test_a_clock_that_is_set_back_makes_answers_old),
        cmocka_unit_test(test_each_source_has_its_own_answers),
        cmocka_unit_test(test_a_new_answer_takes_the_old_ones_place),
        cmocka_unit_test(test_later_and_others_words_are_not_kept),
        cmocka_unit_test(test_one_renews_an_answer_and_the_others_leave_it_alone),
        cmocka_unit_test(
            test_of_a_source_that_is_down_one_at_a_time_finds_out_whether_it_is_up_again),
        cmocka_unit_test(test_any_number_of_sources_may_have_been_down),
        cmocka_unit_test(
            test_without_room_those_who_do_not_exist_go_first_and_no_answer_is_another_ones),
        cmocka_unit_test(test_what_the_killed_leave_behind_is_nobodys_answer),
        cmocka_unit_test(test_answers_outlive_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
