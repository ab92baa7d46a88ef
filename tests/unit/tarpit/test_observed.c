/* R20: what would have waited is counted by day, client and sender domain, in bounded room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tarpit/observed.h"

#define T0  UINT64_C(1800000000000)
#define DAY (24 * UINT64_C(3600000))

static struct observed *open_memory(void)
{
    struct observed *o;
    assert_int_equal(observed_open(&o, NULL), 0);
    return o;
}

static struct addr client(uint32_t n)
{
    struct addr a = {.family = ADDR_IP4};
    memcpy(a.octets, &n, 4);
    return a;
}

static void late(struct observed *o, uint32_t who, struct span domain, uint64_t ms, uint64_t now)
{
    struct observed_mail m = {client(who), domain, ms, false, RULE_TURN};
    observed_good(o, &m, now);
}

static void test_r20_good_mail_is_told_by_client_and_domain(void **state)
{
    struct observed *o = open_memory();
    struct observed_line l;
    uint32_t at = 0;
    late(o, 1, SPAN("a.example"), 20000, T0);
    late(o, 1, SPAN("a.example"), 90000, T0 + DAY);
    observed_typo(o, &(struct addr){.family = ADDR_IP4, .octets = {1}}, SPAN("a.example"), 20000,
                  T0);
    struct observed_mail put_off = {client(1), SPAN("a.example"), 0, true, RULE_MASK};
    observed_good(o, &put_off, T0 + DAY);
    assert_true(observed_next(o, &at, T0, T0 + DAY, &l));
    assert_string_equal(l.domain, "a.example");
    assert_true(l.late == 2 && l.late_s == 110 && l.worst_s == 90 && l.put_off == 1);
    assert_true(l.typos == 1 && l.typo_s == 20 && l.rule == RULE_MASK);
    assert_false(observed_next(o, &at, T0, T0 + DAY, &l));
    at = 0;
    assert_true(observed_next(o, &at, T0 + DAY, T0 + DAY, &l));
    assert_true(l.late == 1 && l.typos == 0);
    at = 0;
    assert_false(observed_next(o, &at, 0, T0 + 40 * DAY, &l)); /* a month is kept */
    observed_close(o);
}

static void test_r20_totals_are_told_by_day_and_rule(void **state)
{
    struct observed *o = open_memory();
    struct observed_sums s;
    struct tarpit_hold turn = {.ms = 90000, .rule = RULE_TURN},
                       mask = {.ms = 90000, .masked = true, .rule = RULE_MASK};
    observed_hold(o, &turn, true, T0);
    observed_hold(o, &mask, false, T0);
    observed_hold(o, &turn, true, T0 + 2 * DAY);
    observed_sums(o, T0, T0 + 2 * DAY, &s);
    assert_true(s.replies == 3 && s.seconds == 270 && s.connections == 2 && s.untold == 1);
    assert_true(s.by_rule[RULE_TURN] == 2 && s.by_rule[RULE_MASK] == 1);
    assert_true(s.first_day_ms <= T0 && s.first_day_ms + DAY > T0);
    observed_sums(o, T0 + DAY, T0 + 2 * DAY, &s);
    assert_true(s.replies == 1);
    observed_sums(o, 0, T0 + 60 * DAY, &s);
    assert_true(s.replies == 0 && s.first_day_ms == 0);
    observed_close(o);
}

static void test_r20_a_full_table_keeps_those_of_whom_it_says_most(void **state)
{
    struct observed *o = open_memory();
    struct observed_line l;
    uint32_t at = 0, lines = 0;
    bool there = false;
    for (int i = 0; i < 100; i++)
        late(o, 7, SPAN("important.example"), 20000, T0);
    for (uint32_t n = 100; n < 100 + 10 * OBSERVED_LINES; n++)
        late(o, n, SPAN("x.example"), 1000, T0);
    while (observed_next(o, &at, T0, T0, &l)) {
        lines++;
        there |= strcmp(l.domain, "important.example") == 0 && l.late == 100;
    }
    assert_true(lines <= OBSERVED_LINES);
    assert_true(there);
    observed_close(o);
}

static void test_r20_it_survives_a_restart(void **state)
{
    char path[] = "/tmp/mired-observed-XXXXXX";
    int fd = mkstemp(path);
    struct observed *o;
    struct observed_line l;
    uint32_t at = 0;
    assert_true(fd >= 0);
    close(fd);
    unlink(path);
    assert_int_equal(observed_open(&o, path), 0);
    late(o, 1, SPAN("a.example"), 20000, T0);
    observed_close(o);
    assert_int_equal(observed_open(&o, path), 0);
    assert_true(observed_next(o, &at, T0, T0, &l));
    assert_int_equal(l.late, 1);
    observed_close(o);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_r20_good_mail_is_told_by_client_and_domain),
        cmocka_unit_test(test_r20_totals_are_told_by_day_and_rule),
        cmocka_unit_test(test_r20_a_full_table_keeps_those_of_whom_it_says_most),
        cmocka_unit_test(test_r20_it_survives_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
