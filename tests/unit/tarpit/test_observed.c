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

static void test_r20_a_month_is_told_day_by_day(void **state)
{
    struct observed *o = open_memory();
    struct observed_day day[OBSERVED_DAYS];
    struct tarpit_hold turn = {.ms = 45000, .rule = RULE_TURN};
    for (uint64_t d = 0; d < 40; d++) {
        for (uint64_t k = 0; k <= d; k++)
            observed_message(o, T0 + d * DAY);
        observed_hold(o, &turn, true, T0 + d * DAY);
        if (d % 2)
            late(o, 1, SPAN("a.example"), 20000, T0 + d * DAY);
    }
    unsigned n = observed_days(o, 0, T0 + 39 * DAY, day);
    assert_int_equal(n, OBSERVED_DAYS); /* the month before, and no more */
    for (unsigned i = 0; i < n; i++) {
        uint64_t d = 39 - (n - 1) + i;
        assert_true(day[i].day_ms <= T0 + d * DAY && day[i].day_ms + DAY > T0 + d * DAY);
        assert_int_equal(day[i].messages, d + 1);
        assert_true(day[i].seconds == 45 && day[i].connections == 1 && day[i].late == d % 2);
    }
    assert_int_equal(observed_days(o, T0 + 37 * DAY, T0 + 39 * DAY, day), 3);
    struct observed_sums s;
    observed_sums(o, T0 + 38 * DAY, T0 + 39 * DAY, &s);
    assert_int_equal(s.messages, 39 + 40);
    observed_close(o);
}

/* On the last day of all that a word can count, a loop up to that day would never end (Frama-C). */
static void test_days_end_whatever_the_clock_says(void **state)
{
    const uint64_t now[] = {DAY, 2 * DAY, (uint64_t)UINT32_MAX * DAY};

    for (int i = 0; i < 3; i++) {
        struct observed *o = open_memory();
        struct observed_day day[OBSERVED_DAYS];
        observed_message(o, now[i]);
        assert_int_equal(observed_days(o, 0, now[i], day), 1);
        assert_true(day[0].day_ms == now[i] && day[0].messages == 1);
        observed_close(o);
    }
}

/* Why it was late, for the report: the worst message tells. */
static void test_r20_the_rule_is_that_of_the_worst_message(void **state)
{
    struct observed *o = open_memory();
    struct observed_line l;
    uint32_t at = 0;
    struct observed_mail m[] = {{client(1), SPAN("a.example"), 3000, false, RULE_NETWORK},
                                {client(1), SPAN("a.example"), 80000, false, RULE_TURN},
                                {client(1), SPAN("a.example"), 5000, false, RULE_DEBT}};
    for (int i = 0; i < 3; i++)
        observed_good(o, &m[i], T0);
    assert_true(observed_next(o, &at, 0, T0, &l));
    assert_true(l.rule == RULE_TURN && l.worst_s == 80 && l.late == 3);
    assert_true(l.last_day_ms <= T0 && l.last_day_ms + DAY > T0);
    observed_close(o);
}

static void test_r20_an_ipv6_sender_has_one_line(void **state)
{
    struct observed *o = open_memory();
    struct observed_line l;
    uint32_t at = 0;
    for (uint8_t n = 1; n < 5; n++) {
        struct observed_mail m = {{.family = ADDR_IP6, .octets = {0x2a, 1, [15] = n}},
                                  SPAN("a.example"),
                                  20000,
                                  false,
                                  RULE_TURN};
        observed_good(o, &m, T0);
    }
    assert_true(observed_next(o, &at, 0, T0, &l));
    assert_true(l.late == 4 && l.client.octets[15] == 0);
    assert_false(observed_next(o, &at, 0, T0, &l));
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
        cmocka_unit_test(test_r20_a_month_is_told_day_by_day),
        cmocka_unit_test(test_days_end_whatever_the_clock_says),
        cmocka_unit_test(test_r20_the_rule_is_that_of_the_worst_message),
        cmocka_unit_test(test_r20_an_ipv6_sender_has_one_line),
        cmocka_unit_test(test_r20_a_full_table_keeps_those_of_whom_it_says_most),
        cmocka_unit_test(test_r20_it_survives_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
