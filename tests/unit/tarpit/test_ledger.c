/* The ledger in one process: amounts and their decay, turns, marks, eviction, files. */
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "tarpit/ledger_table.h"

#include "ledger_fixture.h"

enum { SECOND = 1000, HOUR = 3600 * SECOND };
#define T0 UINT64_C(1800000000000)

static const struct ledger_decay hourly = {HOUR, 7 * 24 * (uint64_t)HOUR};

static struct ledger_key client(const struct ledger *l, const char *text)
{
    struct addr a = addr(text);
    return ledger_key_client(l, &a);
}

static struct ledger_key numbered(const struct ledger *l, uint32_t n)
{
    struct addr a = {.family = ADDR_IP4};
    memcpy(a.octets, &n, 4);
    return ledger_key_client(l, &a);
}

static void test_an_entry_that_was_never_made_reads_as_zero(void **state)
{
    struct ledger *l = open_memory(1 << 16);
    struct ledger_key k = client(l, "192.0.2.7");
    struct ledger_entry e;
    assert_false(ledger_get(l, &k, &hourly, T0, &e));
    assert_true(e.offences == 0 && e.good == 0 && e.turn_ms == 0);
    assert_int_equal(ledger_stats(l).entries, 0);
    ledger_close(l);
}

static void test_r9_offences_halve_each_half_life(void **state)
{
    struct ledger *l = open_memory(1 << 16);
    struct ledger_key k = client(l, "192.0.2.7");
    struct ledger_entry e;
    assert_true(fabs(ledger_add_offences(l, &k, &hourly, T0, 8) - 8) < 1e-6);
    assert_true(ledger_get(l, &k, &hourly, T0 + HOUR, &e));
    assert_true(fabs(e.offences - 4) < 1e-5);
    assert_true(fabs(ledger_add_offences(l, &k, &hourly, T0 + 3 * HOUR, 1) - 2) < 1e-5);
    ledger_close(l);
}

static void test_r9_half_life_0_never_fades(void **state)
{
    const struct ledger_decay never = {0, 0};
    struct ledger *l = open_memory(1 << 16);
    struct ledger_key k = client(l, "192.0.2.7");
    ledger_add_offences(l, &k, &never, T0, 2);
    assert_true(ledger_add_offences(l, &k, &never, T0 + 10000 * (uint64_t)HOUR, 1) == 3);
    ledger_close(l);
}

static void test_a_booking_each_10_ms_decays_as_exactly_as_one(void **state)
{
    struct ledger *l = open_memory(1 << 16);
    struct ledger_key k = client(l, "192.0.2.7");
    double kept = exp2(-10.0 / HOUR), expected = 0, got = 0;
    for (uint64_t t = 0; t < HOUR; t += 10) {
        expected = expected * kept + 1;
        got = ledger_add_offences(l, &k, &hourly, T0 + t, 1);
    }
    assert_true(fabs(got / expected - 1) < 0.001);
    ledger_close(l);
}

static void test_amounts_stay_exact_over_days_of_bookings(void **state)
{
    struct ledger *l = open_memory(1 << 16);
    struct ledger_key k = client(l, "192.0.2.7");
    double expected = 0, got = 0;
    uint64_t t = T0;
    srand(1);
    for (int i = 0; i < 20000; i++) {
        uint64_t gap = (uint64_t)(rand() % 60000);
        t += gap;
        expected = expected * exp2(-(double)gap / HOUR) + 0.25;
        got = ledger_add_offences(l, &k, &hourly, t, 0.25);
    }
    assert_true(fabs(got / expected - 1) < 0.001);
    ledger_close(l);
}

static void test_amounts_do_not_run_over(void **state)
{
    struct ledger *l = open_memory(1 << 16);
    struct ledger_key k = client(l, "192.0.2.7");
    double got = 0;
    for (int i = 0; i < 100; i++)
        got = ledger_add_offences(l, &k, &hourly, T0, 1e9);
    assert_true(isfinite(got) && got > 1e6 && got < 1e7);
    assert_true(ledger_add_offences(l, &k, &hourly, T0, -1e9) == 0);
    ledger_close(l);
}

static void test_a_clock_that_steps_back_a_little_harms_no_amount(void **state)
{
    struct ledger *l = open_memory(1 << 16);
    struct ledger_key k = client(l, "192.0.2.7");
    ledger_add_offences(l, &k, &hourly, T0, 5);
    assert_true(fabs(ledger_add_offences(l, &k, &hourly, T0 - LEDGER_SKEW_MS, 1) - 6) < 0.01);
    ledger_close(l);
}

static void test_raising_never_lowers(void **state)
{
    struct ledger *l = open_memory(1 << 16);
    struct ledger_key k = client(l, "192.0.2.7");
    assert_true(fabs(ledger_raise_offences(l, &k, &hourly, T0, 3) - 3) < 1e-6);
    assert_true(fabs(ledger_raise_offences(l, &k, &hourly, T0, 2) - 3) < 1e-6);
    assert_true(fabs(ledger_raise_offences(l, &k, &hourly, T0 + HOUR, 3) - 3) < 1e-5);
    ledger_close(l);
}

static void test_turns_queue_up_and_end_at_latest(void **state)
{
    struct ledger *l = open_memory(1 << 16);
    struct ledger_key k = client(l, "192.0.2.7");
    assert_int_equal(ledger_take_turn(l, &k, T0, 20, T0 + 50), T0);
    assert_int_equal(ledger_take_turn(l, &k, T0 + 1, 30, T0 + 50), T0 + 20);
    assert_int_equal(ledger_take_turn(l, &k, T0 + 2, 30, T0 + 50), T0 + 50);
    assert_int_equal(ledger_take_turn(l, &k, T0 + 3, 30, T0 + 50), 0);
    assert_int_equal(ledger_take_turn(l, &k, T0 + 500, 30, T0 + 500), T0 + 500);
    ledger_close(l);
}

static void test_a_turn_from_before_the_clock_was_set_back_is_not_believed(void **state)
{
    struct ledger *l = open_memory(1 << 16);
    struct ledger_key k = client(l, "192.0.2.7");
    struct ledger_entry e;
    uint64_t before = T0 - 24 * (uint64_t)HOUR;
    ledger_take_turn(l, &k, T0, 20, T0);
    ledger_set_debt(l, &k, T0, T0 + 20);
    ledger_get(l, &k, &hourly, before, &e);
    assert_int_equal(e.debt_ms, 0);
    assert_int_equal(ledger_take_turn(l, &k, before, 20, before), before);
    ledger_close(l);
}

static void test_debts_are_raised_only(void **state)
{
    struct ledger *l = open_memory(1 << 16);
    struct ledger_key k = client(l, "192.0.2.7");
    struct ledger_entry e;
    ledger_set_debt(l, &k, T0, T0 + 50);
    ledger_set_debt(l, &k, T0, T0 + 20);
    assert_true(ledger_get(l, &k, &hourly, T0, &e));
    assert_int_equal(e.debt_ms, T0 + 50);
    ledger_close(l);
}

static void test_patience_flags_and_marks_do_not_touch_each_other(void **state)
{
    struct ledger *l = open_memory(1 << 16);
    struct ledger_key k = client(l, "192.0.2.7");
    struct ledger_entry e;
    ledger_set_patience(l, &k, T0, 30 * SECOND);
    ledger_set_flags(l, &k, T0, LEDGER_TRAPPED | LEDGER_KNOWN, 0);
    assert_true(ledger_mark(l, &k, T0, LEDGER_SUSPECT, HOUR));
    ledger_set_flags(l, &k, T0, 0, LEDGER_KNOWN);
    assert_true(ledger_get(l, &k, &hourly, T0, &e));
    assert_int_equal(e.patience_ms, 30 * SECOND);
    assert_int_equal(e.flags, LEDGER_TRAPPED | LEDGER_SUSPECT);
    assert_int_equal(e.seen_ms, T0);
    ledger_close(l);
}

static void test_a_mark_is_made_once_a_period(void **state)
{
    struct ledger *l = open_memory(1 << 16);
    struct ledger_key k = client(l, "192.0.2.7");
    assert_true(ledger_mark(l, &k, T0, LEDGER_SUSPECT, HOUR));
    assert_false(ledger_mark(l, &k, T0 + 1, LEDGER_SUSPECT, HOUR));
    assert_false(ledger_mark(l, &k, T0 + HOUR - 1, LEDGER_SUSPECT, HOUR));
    assert_true(ledger_mark(l, &k, T0 + HOUR + 128 * SECOND, LEDGER_SUSPECT, HOUR));
    assert_false(ledger_mark(l, &k, T0 + 100 * (uint64_t)HOUR, LEDGER_SUSPECT, 0));
    ledger_close(l);
}

static void test_an_exemption_ends_when_it_should(void **state)
{
    struct ledger *l = open_memory(1 << 16);
    struct ledger_key k = client(l, "192.0.2.7"), ever = client(l, "192.0.2.8");
    struct ledger_entry e;
    ledger_exempt(l, &k, T0, T0 + HOUR);
    ledger_exempt(l, &ever, T0, 0);
    ledger_get(l, &k, &hourly, T0 + HOUR, &e);
    assert_true(e.flags & LEDGER_EXEMPT);
    assert_true(e.exempt_until_ms >= T0 + HOUR && e.exempt_until_ms < T0 + HOUR + 256 * SECOND);
    ledger_get(l, &k, &hourly, T0 + HOUR + 256 * SECOND, &e);
    assert_false(e.flags & LEDGER_EXEMPT);
    ledger_get(l, &ever, &hourly, T0 + 10000 * (uint64_t)HOUR, &e);
    assert_true(e.flags & LEDGER_EXEMPT);
    ledger_set_flags(l, &ever, T0, 0, LEDGER_EXEMPT);
    ledger_get(l, &ever, &hourly, T0, &e);
    assert_false(e.flags & LEDGER_EXEMPT);
    ledger_close(l);
}

static void test_keys_tell_clients_networks_and_accounts_apart(void **state)
{
    struct ledger *l = open_memory(1 << 16);
    struct addr a = addr("192.0.2.0"), b = addr("192.0.2.200"), six = addr("2001:db8:1:2::1");
    struct addr six2 = addr("2001:db8:1:2:ffff::9");
    assert_true(ledger_key_client(l, &a).hash != ledger_key_network(l, &a).hash);
    assert_true(ledger_key_network(l, &a).hash == ledger_key_network(l, &b).hash);
    assert_true(ledger_key_client(l, &six).hash == ledger_key_client(l, &six2).hash);
    assert_true(ledger_key_account(l, SPAN("Bob")).hash == ledger_key_account(l, SPAN("bob")).hash);
    assert_true(ledger_key_account(l, SPAN("bob")).hash !=
                ledger_key_account_network(l, SPAN("bob"), &a).hash);
    assert_true(ledger_key_account_network(l, SPAN("bob"), &b).hash ==
                ledger_key_account_network(l, SPAN("bob"), &a).hash);
    ledger_close(l);
}

static void test_a_walk_finds_each_entry_with_its_address(void **state)
{
    static const char *const text[] = {"192.0.2.7", "198.51.100.1", "2001:db8:1:2::"};
    struct ledger *l = open_memory(1 << 16);
    struct ledger_key k;
    struct ledger_entry e;
    struct addr who;
    uint64_t at = 0;
    unsigned seen = 0;

    for (int i = 0; i < 3; i++) {
        k = client(l, text[i]);
        ledger_add_offences(l, &k, &hourly, T0, i + 1);
    }
    k = ledger_key_account(l, SPAN("bob"));
    ledger_add_offences(l, &k, &hourly, T0, 9);
    while (ledger_next(l, &at, &hourly, T0, &k, &who, &e)) {
        if (k.kind == LEDGER_ACCOUNT) {
            assert_int_equal(who.family, ADDR_NONE);
            seen |= 8;
            continue;
        }
        int i = (int)(e.offences + 0.5) - 1;
        struct addr expected = addr(text[i]);
        assert_true(addr_equal(&who, &expected));
        seen |= 1u << i;
    }
    assert_int_equal(seen, 15);
    assert_int_equal(ledger_stats(l).entries, 4);
    ledger_close(l);
}

static void test_what_is_forgotten_was_never_there(void **state)
{
    struct ledger *l = open_memory(1 << 16);
    struct ledger_key k = client(l, "192.0.2.7");
    struct ledger_entry e;
    ledger_add_offences(l, &k, &hourly, T0, 5);
    ledger_set_patience(l, &k, T0, 9);
    ledger_forget(l, &k);
    ledger_forget(l, &k);
    assert_false(ledger_get(l, &k, &hourly, T0, &e));
    assert_int_equal(ledger_stats(l).entries, 0);
    assert_true(fabs(ledger_add_offences(l, &k, &hourly, T0, 1) - 1) < 1e-6);
    ledger_get(l, &k, &hourly, T0, &e);
    assert_int_equal(e.patience_ms, 0);
    ledger_close(l);
}

static void test_who_is_forgiven_keeps_good_mail_and_an_exemption(void **state)
{
    struct ledger *l = open_memory(1 << 16);
    struct ledger_key k = client(l, "192.0.2.7"), none = client(l, "192.0.2.8");
    struct ledger_entry e;

    ledger_add_offences(l, &k, &hourly, T0, 5);
    ledger_add_good(l, &k, &hourly, T0, 3);
    ledger_raise_turn(l, &k, T0, T0 + HOUR, true);
    ledger_set_debt(l, &k, T0, T0 + HOUR);
    ledger_set_patience(l, &k, T0, 9);
    ledger_delivered(l, &k, T0);
    ledger_pass(l, &k, T0, T0);
    ledger_set_flags(l, &k, T0, LEDGER_TRAPPED, 0);
    ledger_mark(l, &k, T0, LEDGER_SUSPECT, HOUR);
    ledger_exempt(l, &k, T0, T0 + HOUR);
    ledger_forgive(l, &k);
    assert_true(ledger_get(l, &k, &hourly, T0, &e));
    assert_true(fabs(e.good - 3) < 1e-3);
    assert_true(e.delivered_ms && e.pass_ms && e.exempt_until_ms >= T0 + HOUR);
    assert_int_equal(e.flags, LEDGER_EXEMPT);
    assert_true(e.offences == 0 && !e.turn_ms && !e.paced && !e.debt_ms && !e.patience_ms);
    assert_true(ledger_mark(l, &k, T0, LEDGER_SUSPECT, HOUR));
    ledger_forgive(l, &none);
    assert_false(ledger_get(l, &none, &hourly, T0, &e));
    assert_int_equal(ledger_stats(l).entries, 1);
    ledger_close(l);
}

static void test_a_full_set_evicts_its_weakest(void **state)
{
    struct ledger *l = open_memory(LEDGER_WAYS * 64); /* one set */
    struct ledger_entry e;
    assert_int_equal(ledger_stats(l).capacity, LEDGER_WAYS);
    for (uint32_t i = 1; i <= LEDGER_WAYS; i++) {
        struct ledger_key k = numbered(l, i);
        ledger_add_offences(l, &k, &hourly, T0, i == 3 ? 1 : 10);
    }
    struct ledger_key late = numbered(l, 99), weak = numbered(l, 3);
    ledger_add_offences(l, &late, &hourly, T0, 1);
    assert_true(ledger_get(l, &late, &hourly, T0, &e));
    assert_false(ledger_get(l, &weak, &hourly, T0, &e));
    assert_int_equal(ledger_stats(l).evictions, 1);
    assert_int_equal(ledger_stats(l).entries, LEDGER_WAYS);
    ledger_close(l);
}

static void test_exempt_indebted_and_good_entries_outlast_a_flood(void **state)
{
    struct ledger *l = open_memory(LEDGER_WAYS * 64);
    struct ledger_key exempt = numbered(l, 1), debtor = numbered(l, 2), good = numbered(l, 3);
    struct ledger_key known = numbered(l, 4);
    struct ledger_entry e;
    ledger_exempt(l, &exempt, T0, 0);
    ledger_take_turn(l, &debtor, T0, 90 * SECOND, T0);
    ledger_add_good(l, &good, &hourly, T0, 100);
    ledger_set_flags(l, &known, T0, LEDGER_KNOWN, 0);
    for (uint32_t i = 100; i < 10100; i++) {
        struct ledger_key k = numbered(l, i);
        ledger_add_offences(l, &k, &hourly, T0 + 1000, 1);
    }
    assert_true(ledger_get(l, &exempt, &hourly, T0, &e));
    assert_true(ledger_get(l, &debtor, &hourly, T0, &e));
    assert_true(ledger_get(l, &good, &hourly, T0, &e));
    assert_true(ledger_get(l, &known, &hourly, T0, &e));
    ledger_close(l);
}

static void test_entries_of_a_full_table_never_mix(void **state)
{
    struct ledger *l = open_memory(64 * 1024);
    for (uint32_t i = 0; i < 100000; i++) {
        struct ledger_key k = numbered(l, i % 5000);
        struct ledger_entry e;
        double marked = 1 + i % 5000;
        bool had = ledger_get(l, &k, &hourly, T0, &e);
        if (had)
            assert_true(fabs(e.good - marked) < 1);
        else
            ledger_add_good(l, &k, &hourly, T0, marked);
    }
    ledger_close(l);
}

/* ---- claims of the dead ---- */

static void mark_all(struct ledger *l, uint64_t since)
{
    for (uint64_t i = 0; i < l->sets * LEDGER_WAYS; i++)
        atomic_store(&l->slot[i].word[WORD_KEY], since << 4 | 15);
}

static void test_a_set_in_the_middle_of_claims_is_left_alone_without_waiting(void **state)
{
    struct ledger *l = open_memory(LEDGER_WAYS * 64);
    struct ledger_key k = numbered(l, 1);
    struct ledger_entry e;
    mark_all(l, T0);
    assert_true(ledger_add_offences(l, &k, &hourly, T0 + LEDGER_CLAIM_MS, 2) == 2);
    assert_false(ledger_get(l, &k, &hourly, T0, &e));
    ledger_close(l);
}

static void test_a_dead_claimers_mark_is_taken_over_after_a_second(void **state)
{
    struct ledger *l = open_memory(LEDGER_WAYS * 64);
    struct ledger_key k = numbered(l, 1);
    struct ledger_entry e;
    mark_all(l, T0);
    ledger_add_offences(l, &k, &hourly, T0 + LEDGER_CLAIM_MS + 1, 2);
    assert_true(ledger_get(l, &k, &hourly, T0 + LEDGER_CLAIM_MS + 1, &e));
    ledger_close(l);
}

static void test_a_mark_from_the_future_is_taken_over(void **state)
{
    struct ledger *l = open_memory(LEDGER_WAYS * 64);
    struct ledger_key k = numbered(l, 1);
    struct ledger_entry e;
    mark_all(l, T0 + HOUR);
    ledger_add_offences(l, &k, &hourly, T0, 2);
    assert_true(ledger_get(l, &k, &hourly, T0, &e));
    ledger_close(l);
}

static void test_words_under_another_tag_count_as_nothing_and_heal(void **state)
{
    struct ledger *l = open_memory(LEDGER_WAYS * 64);
    struct ledger_key k = numbered(l, 1);
    struct ledger_entry e;
    ledger_add_offences(l, &k, &hourly, T0, 2);
    struct ledger_slot *slot = ledger_find(l, k.hash);
    for (int w = WORD_OFFENCES; w < WORD_COUNT; w++)
        atomic_fetch_xor(&slot->word[w], UINT64_C(0xa5) << LEDGER_TAG_SHIFT);
    assert_true(ledger_get(l, &k, &hourly, T0, &e));
    assert_true(e.offences == 0);
    assert_true(fabs(ledger_add_offences(l, &k, &hourly, T0, 3) - 3) < 1e-6);
    ledger_close(l);
}

/* ---- files ---- */

struct file {
    char dir[32], path[64], aside[80];
};

static struct file file_new(void)
{
    struct file f = {.dir = "/tmp/ledger.XXXXXX"};
    assert_non_null(mkdtemp(f.dir));
    snprintf(f.path, sizeof f.path, "%s/ledger", f.dir);
    snprintf(f.aside, sizeof f.aside, "%s.set-aside", f.path);
    return f;
}

static void file_end(struct file *f)
{
    unlink(f->path);
    unlink(f->aside);
    rmdir(f->dir);
}

static double offences_after_reopening(const struct file *f, uint64_t size)
{
    struct ledger *l;
    struct ledger_entry e;
    assert_int_equal(ledger_open(&l, f->path, size), 0);
    struct ledger_key k = client(l, "192.0.2.7");
    ledger_get(l, &k, &hourly, T0, &e);
    ledger_close(l);
    return e.offences;
}

static void book_in_file(const struct file *f, uint64_t size)
{
    struct ledger *l;
    assert_int_equal(ledger_open(&l, f->path, size), 0);
    struct ledger_key k = client(l, "192.0.2.7");
    ledger_add_offences(l, &k, &hourly, T0, 7);
    ledger_close(l);
}

static void test_a_ledger_survives_being_closed(void **state)
{
    struct file f = file_new();
    book_in_file(&f, 1 << 16);
    assert_true(fabs(offences_after_reopening(&f, 1 << 16) - 7) < 1e-5);
    assert_int_equal(access(f.aside, F_OK), -1);
    file_end(&f);
}

static void test_a_ledger_of_another_size_is_set_aside(void **state)
{
    struct file f = file_new();
    book_in_file(&f, 1 << 16);
    log_to(open("/dev/null", O_WRONLY | O_CLOEXEC));
    assert_true(offences_after_reopening(&f, 1 << 17) == 0);
    log_to(2);
    assert_int_equal(access(f.aside, F_OK), 0);
    file_end(&f);
}

static void test_a_damaged_header_is_set_aside(void **state)
{
    struct file f = file_new();
    book_in_file(&f, 1 << 16);
    int fd = open(f.path, O_RDWR | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "?", 1, 20), 1);
    close(fd);
    log_to(open("/dev/null", O_WRONLY | O_CLOEXEC));
    assert_true(offences_after_reopening(&f, 1 << 16) == 0);
    log_to(2);
    assert_int_equal(access(f.aside, F_OK), 0);
    file_end(&f);
}

static void test_a_folder_that_is_not_there_is_an_error(void **state)
{
    struct ledger *l = NULL;
    assert_true(ledger_open(&l, "/proc/nonexistent/ledger", 1 << 16) < 0);
    assert_null(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_entry_that_was_never_made_reads_as_zero),
        cmocka_unit_test(test_r9_offences_halve_each_half_life),
        cmocka_unit_test(test_r9_half_life_0_never_fades),
        cmocka_unit_test(test_a_booking_each_10_ms_decays_as_exactly_as_one),
        cmocka_unit_test(test_amounts_stay_exact_over_days_of_bookings),
        cmocka_unit_test(test_amounts_do_not_run_over),
        cmocka_unit_test(test_a_clock_that_steps_back_a_little_harms_no_amount),
        cmocka_unit_test(test_raising_never_lowers),
        cmocka_unit_test(test_turns_queue_up_and_end_at_latest),
        cmocka_unit_test(test_a_turn_from_before_the_clock_was_set_back_is_not_believed),
        cmocka_unit_test(test_debts_are_raised_only),
        cmocka_unit_test(test_patience_flags_and_marks_do_not_touch_each_other),
        cmocka_unit_test(test_a_mark_is_made_once_a_period),
        cmocka_unit_test(test_an_exemption_ends_when_it_should),
        cmocka_unit_test(test_keys_tell_clients_networks_and_accounts_apart),
        cmocka_unit_test(test_a_walk_finds_each_entry_with_its_address),
        cmocka_unit_test(test_what_is_forgotten_was_never_there),
        cmocka_unit_test(test_who_is_forgiven_keeps_good_mail_and_an_exemption),
        cmocka_unit_test(test_a_full_set_evicts_its_weakest),
        cmocka_unit_test(test_exempt_indebted_and_good_entries_outlast_a_flood),
        cmocka_unit_test(test_entries_of_a_full_table_never_mix),
        cmocka_unit_test(test_a_set_in_the_middle_of_claims_is_left_alone_without_waiting),
        cmocka_unit_test(test_a_dead_claimers_mark_is_taken_over_after_a_second),
        cmocka_unit_test(test_a_mark_from_the_future_is_taken_over),
        cmocka_unit_test(test_words_under_another_tag_count_as_nothing_and_heal),
        cmocka_unit_test(test_a_ledger_survives_being_closed),
        cmocka_unit_test(test_a_ledger_of_another_size_is_set_aside),
        cmocka_unit_test(test_a_damaged_header_is_set_aside),
        cmocka_unit_test(test_a_folder_that_is_not_there_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
