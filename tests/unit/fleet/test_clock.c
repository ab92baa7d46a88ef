/* What the fleet process remembers when somebody sets this machine's clock: it keeps its age, and
 * nothing waits for the old time to come again. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fleet/book.h"
#include "fleet/members.h"
#include "fleet/outbox.h"
#include "fleet/usage.h"

#define T0   UINT64_C(1800000000000)
#define HOUR INT64_C(3600000)
#define YEAR (365 * 24 * HOUR)

static const int64_t ways[] = {YEAR, -YEAR, 12 * HOUR, -12 * HOUR, -(int64_t)T0 + HOUR};
enum { WAYS = sizeof ways / sizeof *ways };

static const struct tarpit_rules rules = {.half_life = (uint64_t)HOUR,
                                          .good_half_life = 24 * (uint64_t)HOUR,
                                          .greet_pass = 720 * (uint64_t)HOUR};

static void test_shares_of_others_fade_as_before(void **state)
{
    const struct ledger_share own = {0};

    for (int i = 0; i < WAYS; i++) {
        struct book *b;
        struct ledger_share sum;
        uint64_t now = T0;
        struct share s = {.name = {7, LEDGER_CLIENT}, .stamp_ms = now, .at_ms = now};
        s.is = (struct ledger_share){.offences = 8,
                                     .good = 2,
                                     .debt_ms = now + (uint64_t)HOUR / 4,
                                     .delivered_ms = now - 60000,
                                     .pass_ms = now - 60000};
        assert_int_equal(book_open(&b, 64), 0);
        assert_true(book_take(b, 1, &s, &rules, now));
        book_note(b, &(struct ledger_name){9, LEDGER_PAIR}, 4711, now);
        now += (uint64_t)ways[i];
        book_clock_was_set(b, ways[i]);
        book_sum(b, &s.name, &own, &rules, now, &sum);
        assert_true(fabs(sum.offences - 8) < 0.01 && fabs(sum.good - 2) < 0.01);
        assert_int_equal(sum.debt_ms - now, HOUR / 4);
        assert_in_range(now - sum.delivered_ms, 59000, 61000);
        assert_in_range(now - sum.pass_ms, 59000, 61000);
        book_sum(b, &s.name, &own, &rules, now + (uint64_t)HOUR, &sum);
        assert_true(fabs(sum.offences - 4) < 0.01);
        struct ledger_name name;
        uint64_t hash;
        uint32_t at = 0;
        assert_true(book_next_noted(b, &at, &name, &hash) && hash == 4711);
        book_close(b);
    }
}

static void test_a_key_that_waits_has_waited_as_long(void **state)
{
    for (int i = 0; i < WAYS; i++) {
        struct outbox o;
        assert_int_equal(outbox_open(&o), 0);
        for (uint64_t n = 0; n < 100; n++) { /* the circle does not begin at its first place */
            struct outbox_item item = {.name = {n + 1, LEDGER_CLIENT}, .since_ms = T0 + n};
            assert_true(outbox_add(&o, &item));
            if (n < 50)
                outbox_take(&o);
        }
        outbox_clock_was_set(&o, ways[i]);
        for (uint64_t n = 50; n < 100; n++)
            assert_true(outbox_take(&o)->since_ms == T0 + n + (uint64_t)ways[i]);
        outbox_close(&o);
    }
}

/* One that is gone does not stay for a year, and one that is there is not missed. */
static void test_a_member_is_present_for_as_long_as_before(void **state)
{
    for (int i = 0; i < WAYS; i++) {
        struct members m;
        uint64_t now = T0;
        assert_int_equal(members_open(&m, "mx1"), 0);
        struct member *other = members_of(&m, SPAN("mx2"), now);
        assert_non_null(other);
        other->heard_ms = now;
        members_of(&m, SPAN("mx3"), now); /* only its shares were met */
        now += (uint64_t)ways[i];
        members_clock_was_set(&m, ways[i]);
        assert_int_equal(members_present(&m, now), 2);
        assert_int_equal(members_present(&m, now + (uint64_t)HOUR), 1);
        members_close(&m);
    }
}

/* R23: fleet time goes on: what this member tells next is later for the others, not a year earlier. */
static void test_what_is_told_of_an_account_goes_on_in_fleet_time(void **state)
{
    for (int i = 0; i < WAYS; i++) {
        struct usage *u;
        struct ledger *l;
        struct usage_share share;
        uint64_t now = T0;
        struct others_event e = {
            .name = {LEDGER_ALLOWANCE | 0x70, LEDGER_ALLOWANCE},
            .sent = {.bucket = BUCKET_HOUR, .recipients = 5, .most = 100},
        };
        assert_int_equal(ledger_open(&l, NULL, 4096), 0);
        assert_int_equal(usage_open(&u, 64), 0);
        usage_skew(u, 5000);
        usage_booked(u, l, &e, now);
        assert_true(usage_next_untold(u, l, now, &share));
        uint64_t before = share.stamp_ms;
        now += (uint64_t)ways[i] + 1000;
        usage_clock_was_set(u, ways[i]);
        usage_booked(u, l, &e, now);
        assert_true(usage_next_untold(u, l, now, &share));
        assert_int_equal(share.stamp_ms - before, 1000);
        assert_int_equal(share.count[BUCKET_HOUR], 10);
        usage_close(u);
        ledger_close(l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shares_of_others_fade_as_before),
        cmocka_unit_test(test_a_key_that_waits_has_waited_as_long),
        cmocka_unit_test(test_a_member_is_present_for_as_long_as_before),
        cmocka_unit_test(test_what_is_told_of_an_account_goes_on_in_fleet_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
