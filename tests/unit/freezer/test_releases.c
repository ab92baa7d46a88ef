/* Releases in progress in the freezer: what is reported to the asker, and when (issue 14, item
 * 7). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "freezer/releases.h"

enum { T0 = 1000000 };

static struct {
    uint64_t tag;
    uint32_t answered;
    bool done;
} heard[16];
static size_t count;

static void hear(void *arg, uint64_t tag, uint32_t answered, bool done)
{
    heard[count].tag = tag;
    heard[count].answered = answered;
    heard[count++].done = done;
}

static struct releases none(void)
{
    count = 0;
    return (struct releases){.tell = hear};
}

static struct network network(const char *text)
{
    struct network n;

    assert_true(network_parse(span_of(text), &n));
    return n;
}

static void begin(struct releases *r, uint64_t tag, const char *whom, uint64_t due, uint32_t holds)
{
    struct network n = network(whom);

    releases_begin(r, tag, &n, due, holds, T0);
}

static void heard_last(uint64_t tag, uint32_t answered, bool done)
{
    assert_true(count > 0);
    assert_int_equal(heard[count - 1].tag, tag);
    assert_int_equal(heard[count - 1].answered, answered);
    assert_int_equal(heard[count - 1].done, done);
}

static void test_a_release_of_nothing_is_done_at_once(void **state)
{
    struct releases r = none();

    begin(&r, 7, "192.0.2.7", releases_due(&r, T0), 0);
    heard_last(7, 0, true);
    assert_false(releases_under_way(&r));
}

static void test_it_is_told_once_when_the_last_hold_has_gone(void **state)
{
    struct releases r = none();
    uint64_t due = releases_due(&r, T0);

    begin(&r, 7, "192.0.2.7", due, 3);
    for (int i = 0; i < 3; i++) {
        releases_tell(&r, T0 + 1);
        assert_int_equal(count, 0);
        releases_thawed(&r, due, true);
    }
    assert_true(releases_under_way(&r));
    releases_tell(&r, T0 + 1);
    heard_last(7, 3, true);
    releases_tell(&r, T0 + RELEASE_LAST_MS * 2);
    assert_int_equal(count, 1);
    assert_false(releases_under_way(&r));
}

static void test_only_holds_that_were_given_back_count_as_answered(void **state)
{
    struct releases r = none();
    uint64_t due = releases_due(&r, T0);

    begin(&r, 7, "192.0.2.7", due, 2);
    releases_thawed(&r, due, false);
    releases_thawed(&r, due - 1, true); /* another hold, which was due by itself */
    releases_thawed(&r, due, true);
    releases_tell(&r, T0);
    heard_last(7, 1, true);
}

static void test_progress_is_told_twice_a_second_and_the_end_at_the_latest_after_a_minute(
    void **state)
{
    struct releases r = none();
    uint64_t due = releases_due(&r, T0);

    begin(&r, 7, "192.0.2.7", due, 3);
    releases_thawed(&r, due, true);
    releases_tell(&r, T0 + RELEASE_TELL_MS - 1);
    assert_int_equal(count, 0);
    releases_tell(&r, T0 + RELEASE_TELL_MS);
    heard_last(7, 1, false);
    releases_tell(&r, T0 + RELEASE_LAST_MS + 1);
    heard_last(7, 1, true);
    assert_false(releases_under_way(&r));
}

static void test_two_releases_at_once_have_their_own_numbers(void **state)
{
    struct releases r = none();
    uint64_t one = releases_due(&r, T0), other = releases_due(&r, T0);

    assert_int_not_equal(one, other);
    begin(&r, 1, "192.0.2.7", one, 2);
    begin(&r, 2, "198.51.100.7", other, 1);
    releases_thawed(&r, other, true);
    releases_tell(&r, T0);
    heard_last(2, 1, true);
    releases_thawed(&r, one, true);
    releases_thawed(&r, one, true);
    releases_tell(&r, T0);
    heard_last(1, 2, true);
}

static void test_a_release_of_the_same_clients_ends_the_earlier_one(void **state)
{
    static const char *const again[] = {"192.0.2.7", "192.0.2.0/24", "0.0.0.0/0"};

    for (size_t i = 0; i < sizeof again / sizeof again[0]; i++) {
        struct releases r = none();
        uint64_t first = releases_due(&r, T0), second = releases_due(&r, T0);
        begin(&r, 1, "192.0.2.7", first, 5);
        releases_thawed(&r, first, true);
        begin(&r, 2, again[i], second, 4);
        heard_last(1, 1, true);
    }
}

static void test_one_more_than_there_is_room_for_ends_one_with_what_it_has(void **state)
{
    struct releases r = none();
    char whom[32];

    for (int i = 0; i <= RELEASES; i++) {
        snprintf(whom, sizeof whom, "192.0.2.%d", i);
        begin(&r, (uint64_t)i, whom, releases_due(&r, T0), 1);
    }
    assert_int_equal(count, 1);
    heard_last(0, 0, true);
}

static uint64_t late(struct releases *r, const char *client, uint64_t now)
{
    struct network n = network(client);

    return releases_late(r, &n.base, now);
}

static void test_a_hold_that_comes_late_counts_in_the_release_under_way(void **state)
{
    struct releases r = none();
    uint64_t due = releases_due(&r, T0);

    begin(&r, 7, "192.0.2.0/24", due, 1);
    assert_int_equal(late(&r, "192.0.2.9", T0 + 3), due);
    releases_came(&r, due);
    releases_thawed(&r, due, true);
    releases_tell(&r, T0 + 3);
    assert_int_equal(count, 0);
    releases_thawed(&r, due, true);
    releases_tell(&r, T0 + 3);
    heard_last(7, 2, true);
}

static void test_a_hold_that_comes_after_the_end_of_its_release_counts_in_no_other(void **state)
{
    struct releases r = none();
    uint64_t due = releases_due(&r, T0), other = releases_due(&r, T0);

    begin(&r, 7, "192.0.2.7", due, 0);
    begin(&r, 8, "198.51.100.7", other, 1);
    uint64_t when = late(&r, "192.0.2.7", T0);
    assert_int_not_equal(when, due);
    assert_int_not_equal(when, other);
    assert_true(when <= T0 + 10);
    assert_int_equal(late(&r, "192.0.2.7", T0 + RELEASE_TELL_MS), when);
    releases_came(&r, when);
    releases_thawed(&r, when, true);
    releases_thawed(&r, other, true);
    releases_tell(&r, T0);
    heard_last(8, 1, true);
}

static void test_a_hold_that_comes_late_is_due_at_once_also_after_the_clock_was_set(void **state)
{
    struct releases r = none();

    assert_true(late(&r, "192.0.2.7", T0) <= T0);
    assert_in_range(late(&r, "192.0.2.7", 2 * T0), 2 * T0 - RELEASE_TELL_MS, 2 * T0);
}

static void test_releases_follow_a_clock_that_is_set(void **state)
{
    static const int64_t by[] = {-900000, 900000};

    for (size_t i = 0; i < sizeof by / sizeof by[0]; i++) {
        struct releases r = none();
        const uint64_t now = T0 + (uint64_t)by[i];
        uint64_t due = releases_due(&r, T0);
        begin(&r, 7, "192.0.2.7", due, 2);
        releases_clock_was_set(&r, by[i]);
        releases_tell(&r, now + RELEASE_TELL_MS - 1);
        assert_int_equal(count, 0); /* neither over nor silent for too long */
        assert_int_equal(releases_due(&r, now + 1), now + 1); /* the next one is due at once */
        releases_thawed(&r, due + (uint64_t)by[i], true);
        releases_thawed(&r, due + (uint64_t)by[i], true);
        releases_tell(&r, now + 2);
        heard_last(7, 2, true);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_release_of_nothing_is_done_at_once),
        cmocka_unit_test(test_it_is_told_once_when_the_last_hold_has_gone),
        cmocka_unit_test(test_only_holds_that_were_given_back_count_as_answered),
        cmocka_unit_test(
            test_progress_is_told_twice_a_second_and_the_end_at_the_latest_after_a_minute),
        cmocka_unit_test(test_two_releases_at_once_have_their_own_numbers),
        cmocka_unit_test(test_a_release_of_the_same_clients_ends_the_earlier_one),
        cmocka_unit_test(test_one_more_than_there_is_room_for_ends_one_with_what_it_has),
        cmocka_unit_test(test_releases_follow_a_clock_that_is_set),
        cmocka_unit_test(test_a_hold_that_comes_late_counts_in_the_release_under_way),
        cmocka_unit_test(test_a_hold_that_comes_after_the_end_of_its_release_counts_in_no_other),
        cmocka_unit_test(test_a_hold_that_comes_late_is_due_at_once_also_after_the_clock_was_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
