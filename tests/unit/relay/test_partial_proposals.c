/* Workers propose changes of the memory of mixed answers, and the keeper makes them: only of entries
 * of messages and backends, and for no longer than these last. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/siphash.h"
#include "relay/partial_share.h"
#include "relay/partial_table.h"

#define T0 UINT64_C(1800000000000)
enum { HOUR = 3600 * 1000 };

static char path[64];
static struct partial_delivery *kept, *of_worker;
static unsigned changes, settled;

/* From the question of this number on the worker has gone on; 0: it waits. */
static unsigned late_from, asked;

static bool late(const void *ring)
{
    return ++asked >= late_from && late_from;
}

static void change(void *arg, const struct partial_change *what)
{
    changes++;
    partial_carry_out(kept, what, late, NULL, T0);
}

static void settle(void *arg)
{
    settled++;
}

static int set_up(void **state)
{
    snprintf(path, sizeof path, "/tmp/mired-settled-XXXXXX");
    int fd = mkstemp(path);
    close(fd);
    unlink(path);
    changes = settled = late_from = 0;
    return partial_open(&kept, path, HOUR) || partial_open(&of_worker, path, HOUR) ||
           partial_propose_to(of_worker, change, settle, NULL);
}

static int tear_down(void **state)
{
    partial_close(of_worker);
    partial_close(kept);
    return unlink(path);
}

static void test_a_worker_remembers_by_proposals(void **state)
{
    struct span sender = SPAN("a@b.test"), to = SPAN("alice@example.test");

    partial_delivered(of_worker, sender, to, partial_named(7), T0);
    assert_true(changes > 0);
    assert_true(partial_was_delivered(of_worker, sender, to, partial_named(7), T0));
    assert_false(partial_was_mixed(of_worker, sender, 7, T0));
    assert_true(partial_was_mixed(of_worker, sender, 7, T0));
    partial_put_in_group(of_worker, sender, to, 100, PARTIAL_LATER, T0);
    partial_rest(of_worker, sender, to, 100, T0);
    assert_int_equal(settled, 1);
    assert_true(partial_has_rested(of_worker, sender, to, 100, T0));
    assert_false(partial_has_rested(of_worker, sender, to, 100, T0));
    partial_note_backend(of_worker, SPAN("smtp://mx"), 5, T0);
    uint64_t word;
    assert_true(partial_backend(kept, SPAN("smtp://mx"), T0 + 24 * HOUR, &word) && word == 5);
    partial_forget(of_worker, sender, to, 7);
    assert_false(partial_was_delivered(kept, sender, to, partial_named(7), T0));
    settled = 0;
    partial_settle(of_worker);
    partial_settle(of_worker);
    assert_int_equal(settled, 1);
}

/* A client that has heard 451 may have sent it again, and have heard 250. */
static void test_a_late_record_of_a_message_without_a_name_is_withdrawn(void **state)
{
    struct span sender = SPAN("a@b.test"), to = SPAN("alice@example.test");

    for (int named = 0; named < 2; named++)
        for (late_from = 0; late_from <= 2; late_from++) {
            uint64_t message = 7 + (uint64_t)late_from;
            asked = 0;
            partial_delivered(of_worker, sender, to,
                              (struct partial_message){.name = message, .named = named}, T0);
            assert_int_equal(partial_was_delivered(
                                 kept, sender, to,
                                 (struct partial_message){.name = message, .named = named}, T0),
                             named || !late_from);
            assert_true(partial_is_marked(kept, sender, to, T0));
            assert_true(asked > 0 || named);
        }
    late_from = 0;
    partial_delivered(of_worker, sender, to, partial_nameless(7, 0), T0);
    late_from = 1; /* the record of an earlier try, which was not late, stays */
    partial_delivered(of_worker, sender, to, partial_nameless(7, 0), T0);
    assert_true(partial_was_delivered(kept, sender, to, partial_nameless(7, 0), T0));
    partial_put_in_group(of_worker, sender, to, 100, PARTIAL_LATER, T0);
    partial_note_backend(of_worker, SPAN("smtp://mx"), 5, T0);
    uint64_t word;
    assert_int_equal(partial_group_of(kept, sender, to, 100, T0), PARTIAL_LATER);
    assert_true(partial_backend(kept, SPAN("smtp://mx"), T0, &word));
}

/* Entries for good are the master's and the fleet process's: the key that names all others. */
static void test_it_cannot_touch_the_keys(void **state)
{
    struct sipkey fleet = {1, 2}, before;
    unsigned reserved = 0;

    assert_true(partial_use_key(kept, &fleet));
    before = *partial_key(kept);
    for (size_t i = 0; i < PARTIAL_SETS * PARTIAL_WAYS; i++) {
        uint64_t key = kept->entry[i].key;
        if (!key || kept->entry[i].until != UINT64_MAX)
            continue;
        reserved++;
        partial_carry_out(kept, &(struct partial_change){.key = key}, NULL, NULL, T0);
        partial_carry_out(kept, &(struct partial_change){.key = key, .until = UINT64_MAX}, NULL,
                          NULL, T0);
        assert_int_equal(kept->entry[i].key, key);
        assert_true(kept->entry[i].until == UINT64_MAX);
    }
    assert_int_equal(reserved, 3);
    assert_true(partial_key(kept)->k0 == before.k0 && partial_key(kept)->k1 == before.k1);
}

static void test_no_entry_lasts_longer_or_says_that_it_is_anothers(void **state)
{
    uint64_t value, key = UINT64_C(0x123456789abcdef);
    uint32_t flags;

    partial_carry_out(
        kept, &(struct partial_change){.key = key, .until = UINT64_MAX, .flags = UINT32_MAX}, NULL,
        NULL, T0);
    assert_true(partial_get(kept, key, T0, &value, &flags));
    assert_int_equal(flags & (PARTIAL_OF_OTHERS | PARTIAL_TOLD | PARTIAL_ELSEWHERE), 0);
    assert_false(partial_get(kept, key, T0 + HOUR, &value, &flags));
    partial_carry_out(
        kept, &(struct partial_change){.key = key + 1, .value = PARTIAL_GONE, .until = T0 + 1},
        NULL, NULL, T0);
    assert_false(partial_get(kept, key + 1, T0, &value, &flags));
}

/* A record that outlives its time says of the next message with the same octets that it was delivered:
 * an alarm would be lost. One that ends too early costs a second copy. */
static void test_when_the_clock_is_set_records_last_as_long_as_before(void **state)
{
    static const int64_t ways[] = {HOUR / 2,
                                   -HOUR / 2,
                                   24 * HOUR,
                                   -24 * HOUR,
                                   -365 * INT64_C(24) * HOUR,
                                   365 * INT64_C(24) * HOUR};
    struct span sender = SPAN("a@b.test"), to = SPAN("alice@example.test");
    struct span mx = SPAN("smtp://mx");
    uint64_t word;

    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        uint64_t now = T0;
        partial_delivered(kept, sender, to, partial_nameless(7, 0), now);
        partial_put_in_group(kept, sender, to, 100, PARTIAL_LATER, now);
        partial_note_backend(kept, mx, 5, now);
        now += (uint64_t)ways[i];
        partial_clock_was_set(kept, ways[i], now);
        now += HOUR - 1000;
        assert_true(partial_was_delivered(kept, sender, to, partial_nameless(7, 0), now));
        assert_int_equal(partial_group_of(kept, sender, to, 100, now), PARTIAL_LATER);
        now += 2000;
        assert_false(partial_was_delivered(kept, sender, to, partial_nameless(7, 0), now));
        assert_int_equal(partial_group_of(kept, sender, to, 100, now), PARTIAL_TAKEN);
        assert_true(partial_backend(kept, mx, now + 29 * UINT64_C(24) * HOUR, &word));
        assert_false(partial_backend(kept, mx, now + 31 * UINT64_C(24) * HOUR, &word));
        partial_clock_was_set(kept, -ways[i], now - (uint64_t)ways[i]);
        assert_false(partial_was_delivered(kept, sender, to, partial_nameless(7, 0),
                                           now - (uint64_t)ways[i]));
    }
}

static void test_a_record_from_the_future_is_not_believed(void **state)
{
    const uint64_t year = 365 * UINT64_C(24) * HOUR;
    struct span sender = SPAN("a@b.test"), to = SPAN("alice@example.test");
    struct sipkey fleet = {1, 2};

    assert_true(partial_use_key(kept, &fleet));
    partial_delivered(kept, sender, to, partial_nameless(7, 0), T0 + year);
    assert_false(partial_was_delivered(kept, sender, to, partial_nameless(7, 0),
                                       T0)); /* before the keeper looks */
    partial_clock_was_set(kept, 0, T0);
    assert_true(partial_was_delivered(kept, sender, to, partial_nameless(7, 0), T0 + HOUR - 1000));
    assert_false(partial_was_delivered(kept, sender, to, partial_nameless(7, 0), T0 + HOUR + 1000));
    assert_false(partial_use_key(kept, &fleet)); /* what is for ever stays */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_worker_remembers_by_proposals, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_late_record_of_a_message_without_a_name_is_withdrawn,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_it_cannot_touch_the_keys, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_when_the_clock_is_set_records_last_as_long_as_before,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_record_from_the_future_is_not_believed, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_no_entry_lasts_longer_or_says_that_it_is_anothers,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
