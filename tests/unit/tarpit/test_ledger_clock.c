/* Clocks that jump, in virtual time: what the ledger has keeps its age, whatever the wall clock says. A
 * second ledger, whose clock nobody sets, says what is right. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tarpit/allowance.h"
#include "tarpit/ledger_clock.h"
#include "tarpit/ledger_others.h"
#include "tarpit/ledger_proposals.h"
#include "tarpit/ledger_proposer.h"
#include "tarpit/ledger_table.h"

#include "ledger_fixture.h"

#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
#define YEAR   (365 * DAY)
#define T0     INT64_C(1800000000000)

static const struct ledger_decay decay = {12 * (uint64_t)HOUR, 30 * (uint64_t)DAY};

/* A machine: its ledger, the true time, and how far its wall clock is ahead of that. */
struct machine {
    struct ledger *l;
    int64_t time, ahead, started; /* ms */
    uint32_t boot;
};

static struct machine machine(void)
{
    return (struct machine){.l = open_memory(1 << 18), .time = T0, .started = T0 - HOUR, .boot = 1};
}

static uint64_t wall(const struct machine *m)
{
    return (uint64_t)(m->time + m->ahead);
}

/* What the keeper does in each of its turns. */
static int64_t look(struct machine *m)
{
    struct clock_reading r = {wall(m), (uint64_t)(m->time - m->started), m->boot};
    struct clock_step step = {0};

    return ledger_follow_clock(m->l, &r, &step) ? step.by_ms : 0;
}

static void passes(struct machine *m, int64_t ms)
{
    m->time += ms;
    look(m);
}

static void is_set(struct machine *m, int64_t ahead)
{
    m->ahead = ahead;
    look(m);
}

/* The machine is off for a while, and its clock is `ahead` when it starts again. */
static void is_off(struct machine *m, int64_t ms, int64_t ahead)
{
    m->time += ms;
    m->started = m->time - MINUTE;
    m->boot++;
    m->ahead = ahead;
    look(m);
}

/* So far ahead that it says 1970. */
static int64_t of_1970(const struct machine *m)
{
    return -(m->time - MINUTE);
}

static struct ledger_key numbered(const struct ledger *l, uint32_t n)
{
    struct addr a = {.family = ADDR_IP4};

    memcpy(a.octets, &n, 4);
    return ledger_key_client(l, &a);
}

static void offends(struct machine *m, uint32_t n, double weight)
{
    struct ledger_key k = numbered(m->l, n);

    ledger_add_offences(m->l, &k, &decay, wall(m), weight);
    ledger_note_time(m->l, wall(m));
}

static void delivers(struct machine *m, uint32_t n)
{
    struct ledger_key k = numbered(m->l, n);

    ledger_add_good(m->l, &k, &decay, wall(m), 1);
    ledger_delivered(m->l, &k, wall(m));
    ledger_pass(m->l, &k, wall(m), wall(m));
    ledger_note_time(m->l, wall(m));
}

static struct ledger_entry entry_of(const struct machine *m, uint32_t n)
{
    struct ledger_key k = numbered(m->l, n);
    struct ledger_entry e;

    ledger_get(m->l, &k, &decay, wall(m), &e);
    return e;
}

static int64_t ago(const struct machine *m, uint64_t at)
{
    return (int64_t)wall(m) - (int64_t)at;
}

static void assert_near(double got, double expected)
{
    if (fabs(got - expected) > 0.02 * expected + 1e-9)
        fail_msg("%g instead of %g", got, expected);
}

static const int64_t jumps[] = {HOUR, -HOUR, 12 * HOUR, -12 * HOUR, YEAR, -YEAR, 5 * YEAR};
enum { JUMPS = sizeof jumps / sizeof *jumps };

/* The fault that this room was made for: an address that a bot has had while the clock was a year
 * ahead belongs to somebody else a week later. */
static void test_offences_of_a_clock_that_was_ahead_fade_when_it_is_set_back(void **state)
{
    for (int i = 0; i < JUMPS; i++) {
        struct machine m = machine();
        is_set(&m, jumps[i]);
        offends(&m, 1, 8);
        passes(&m, 12 * HOUR);
        is_set(&m, 0);
        assert_near(entry_of(&m, 1).offences, 4);
        passes(&m, 12 * HOUR);
        assert_near(entry_of(&m, 1).offences, 2);
        passes(&m, 7 * DAY);
        assert_true(entry_of(&m, 1).offences < 0.01);
        ledger_close(m.l);
    }
}

static void test_a_clock_that_jumps_and_comes_back_forgives_nothing_and_forgets_nobody(void **state)
{
    for (int i = 0; i < JUMPS; i++) {
        struct machine m = machine();
        look(&m);
        offends(&m, 1, 8);
        delivers(&m, 2);
        passes(&m, 2 * HOUR);
        is_set(&m, jumps[i]);
        struct ledger_entry bad = entry_of(&m, 1), good = entry_of(&m, 2);
        assert_near(bad.offences, 8 * exp2(-2.0 / 12));
        assert_near(good.good, exp2(-2.0 / (30 * 24)));
        assert_in_range(ago(&m, good.delivered_ms), HOUR, 3 * HOUR);
        assert_in_range(ago(&m, good.pass_ms), HOUR, 4 * HOUR);
        assert_in_range(ago(&m, good.seen_ms), 2 * HOUR - 2000, 2 * HOUR + 2000);
        offends(&m, 1, 1); /* the sum is written at the jumped time */
        passes(&m, HOUR);
        is_set(&m, 0);
        assert_near(entry_of(&m, 1).offences, 8 * exp2(-3.0 / 12) + exp2(-1.0 / 12));
        good = entry_of(&m, 2);
        assert_in_range(ago(&m, good.delivered_ms), 2 * HOUR, 4 * HOUR);
        assert_in_range(ago(&m, good.pass_ms), 2 * HOUR, 5 * HOUR);
        ledger_close(m.l);
    }
}

/* Any history: bookings, pauses and settings of the clock, beside a ledger whose clock is right. */
static void test_after_any_settings_the_ledger_is_that_of_a_clock_that_was_never_set(void **state)
{
    enum { CLIENTS = 24, STEPS = 400 };

    for (unsigned seed = 1; seed <= 6; seed++) {
        struct machine set = machine(), right = machine();
        unsigned n = seed;
        look(&set);
        look(&right);
        for (int i = 0; i < STEPS; i++) {
            int what = rand_r(&n) % 8;
            uint32_t who = (uint32_t)(rand_r(&n) % CLIENTS);
            int64_t pause = rand_r(&n) % (3 * HOUR);
            if (what < 3) {
                offends(&set, who, 1 + what);
                offends(&right, who, 1 + what);
            } else if (what < 5) {
                delivers(&set, who);
                delivers(&right, who);
            } else if (what < 7) {
                passes(&set, pause);
                passes(&right, pause);
            } else {
                is_set(&set, jumps[rand_r(&n) % JUMPS] + rand_r(&n) % HOUR);
            }
        }
        for (uint32_t who = 0; who < CLIENTS; who++) {
            struct ledger_entry a = entry_of(&set, who), b = entry_of(&right, who);
            assert_near(a.offences, b.offences);
            assert_near(a.good, b.good);
            assert_int_equal(a.delivered_ms != 0, b.delivered_ms != 0);
            int64_t seen = ago(&set, a.seen_ms) - ago(&right, b.seen_ms);
            assert_in_range(seen + 60 * SECOND, 0, 120 * SECOND);
        }
        ledger_close(set.l);
        ledger_close(right.l);
    }
}

/* A small step is none, many small ones are. */
static void test_small_steps_add_up(void **state)
{
    struct machine m = machine();
    int64_t sum = 0;

    look(&m);
    for (int i = 1; i <= 100; i++) {
        m.ahead = -i * 100;
        sum += look(&m);
    }
    assert_in_range(-sum, 100 * 100 - LEDGER_STEP_MS, 100 * 100);
    m.time += 30 * DAY; /* suspended: the wall clock has gone on as well */
    assert_int_equal(look(&m), 0);
    ledger_close(m.l);
}

/* A machine without a battery: it starts in 1970, is used, and hears the time later. */
static void test_a_start_in_1970_keeps_what_was_known_before(void **state)
{
    struct machine m = machine();
    struct ledger_key exempt = numbered(m.l, 3), over = numbered(m.l, 4);

    look(&m);
    offends(&m, 1, 8);
    passes(&m, 24 * HOUR);
    delivers(&m, 2);
    ledger_exempt(m.l, &over, wall(&m), wall(&m) + HOUR);
    passes(&m, 2 * HOUR);
    ledger_exempt(m.l, &exempt, wall(&m), wall(&m) + 10 * DAY);
    ledger_note_time(m.l, wall(&m));
    for (int again = 0; again < 2; again++) { /* and once more, right after the time was heard */
        is_off(&m, MINUTE, of_1970(&m));
        assert_near(entry_of(&m, 1).offences, 8 * exp2(-26.0 / 12));
        assert_true(entry_of(&m, 2).delivered_ms && entry_of(&m, 2).pass_ms); /* before 1970 */
        assert_true(entry_of(&m, 3).flags & LEDGER_EXEMPT);
        offends(&m, 5 + (uint32_t)again, 8);
        passes(&m, MINUTE);
        is_set(&m, 0);
        assert_near(entry_of(&m, 5 + (uint32_t)again).offences, 8);
        assert_near(entry_of(&m, 1).offences, 8 * exp2(-26.0 / 12));
        assert_in_range(ago(&m, entry_of(&m, 2).delivered_ms), HOUR, 3 * HOUR);
        assert_in_range(ago(&m, entry_of(&m, 2).pass_ms), HOUR, 4 * HOUR);
        assert_true(entry_of(&m, 3).flags & LEDGER_EXEMPT);
        assert_in_range(entry_of(&m, 3).exempt_until_ms - wall(&m), 10 * DAY - HOUR,
                        10 * DAY + HOUR);
        assert_false(entry_of(&m, 4).flags & LEDGER_EXEMPT);
    }
    passes(&m, 11 * DAY);
    assert_false(entry_of(&m, 3).flags & LEDGER_EXEMPT);
    ledger_close(m.l);
}

/* The clock is a year ahead when the machine starts, and set right an hour, or two years, later. */
static void test_a_start_with_a_clock_that_is_ahead_forgets_nobody_for_long(void **state)
{
    for (int i = 0; i < 2; i++) {
        struct machine m = machine();
        look(&m);
        delivers(&m, 2);
        offends(&m, 1, 8);
        is_off(&m, HOUR, YEAR);
        assert_true(entry_of(&m, 2).good < 0.001); /* like after a year in which it was off */
        offends(&m, 3, 8);
        passes(&m, i ? 2 * YEAR : HOUR);
        offends(&m, 4, 8);
        passes(&m, 12 * HOUR);
        is_set(&m, 0);
        assert_near(entry_of(&m, 4).offences, 4);
        if (i == 0) {
            assert_near(entry_of(&m, 2).good, exp2(-14.0 / (30 * 24)));
            assert_in_range(ago(&m, entry_of(&m, 2).delivered_ms), 13 * HOUR, 15 * HOUR);
            assert_near(entry_of(&m, 1).offences, 8 * exp2(-14.0 / 12));
            assert_near(entry_of(&m, 3).offences, 8 * exp2(-13.0 / 12));
        } else {
            assert_true(entry_of(&m, 1).offences < 0.01 && entry_of(&m, 3).offences < 0.01);
        }
        ledger_close(m.l);
    }
}

/* The clock is ahead, and right after the next start. */
static void test_a_clock_that_is_right_again_after_a_start_makes_nothing_last(void **state)
{
    struct machine m = machine();

    is_set(&m, YEAR);
    delivers(&m, 2);
    passes(&m, 6 * HOUR);
    offends(&m, 1, 8);
    is_off(&m, MINUTE, 0);
    assert_near(entry_of(&m, 1).offences, 8);
    assert_in_range(ago(&m, entry_of(&m, 2).delivered_ms), 5 * HOUR, 7 * HOUR);
    passes(&m, 12 * HOUR);
    assert_near(entry_of(&m, 1).offences, 4);
    ledger_close(m.l);
}

/* A file of an earlier version does not say when it was used last. */
static void test_times_of_the_future_in_a_file_of_an_earlier_version_are_made_the_present(
    void **state)
{
    struct machine m = machine();
    struct ledger_key k = numbered(m.l, 1);

    m.ahead = YEAR;
    ledger_add_offences(m.l, &k, &decay, wall(&m), 8);
    ledger_delivered(m.l, &k, wall(&m));
    ledger_set_debt(m.l, &k, wall(&m), wall(&m) + HOUR);
    m.ahead = 0;
    m.l->file.fresh = 0;
    look(&m);
    struct ledger_entry e = entry_of(&m, 1);
    assert_near(e.offences, 8);
    assert_in_range(ago(&m, e.seen_ms), 0, 2000);
    assert_in_range(ago(&m, e.delivered_ms), 0, 20 * MINUTE);
    passes(&m, 12 * HOUR);
    assert_near(entry_of(&m, 1).offences, 4);
    ledger_close(m.l);
}

/* Whatever a killed keeper has left: the next booking makes the time right. */
static void test_a_booking_makes_an_amount_of_the_future_fade(void **state)
{
    struct machine m = machine();
    struct ledger_key k = numbered(m.l, 1);

    ledger_add_offences(m.l, &k, &decay, (uint64_t)(T0 + YEAR), 4);
    assert_near(ledger_add_offences(m.l, &k, &decay, T0, 1), 5);
    struct ledger_entry e;
    ledger_get(m.l, &k, &decay, T0 + 12 * HOUR, &e);
    assert_near(e.offences, 2.5);
    /* a clock that is a moment behind changes nothing */
    assert_near(ledger_add_offences(m.l, &k, &decay, T0 - LEDGER_SKEW_MS, 1), 6);
    ledger_close(m.l);
}

/* What a damaged head says of the clock moves nothing, and later steps are followed. */
static void test_a_damaged_head_is_not_believed_and_later_steps_are_followed(void **state)
{
    static const uint64_t damage[] = {UINT64_C(1) << 63, UINT64_C(1) << 62, UINT64_MAX / 3};

    for (unsigned i = 0; i < 3 * sizeof damage / sizeof *damage; i++) {
        struct machine m = machine();
        struct ledger_head *h = m.l->head;
        _Atomic uint64_t *const word[] = {&h->ahead, &h->began, &h->last};
        offends(&m, 2, 1);
        is_off(&m, DAY, 0); /* so the head's `began` says which times are of this clock */
        offends(&m, 1, 8);
        atomic_fetch_add(word[i % 3], damage[i / 3]);
        if (word[i % 3] == &h->last)
            m.boot++; /* it is looked at after a start */
        assert_int_equal(look(&m), 0);
        assert_near(entry_of(&m, 1).offences, 8);
        passes(&m, 12 * HOUR);
        assert_near(entry_of(&m, 1).offences, 4);
        m.ahead = -HOUR;
        assert_int_equal(look(&m), -HOUR);
        assert_near(entry_of(&m, 1).offences, 4);
        passes(&m, 12 * HOUR);
        assert_near(entry_of(&m, 1).offences, 2);
        ledger_close(m.l);
    }
}

/* During a reload there are two keepers. */
static void test_of_two_keepers_one_moves_the_times(void **state)
{
    struct machine m = machine();

    look(&m);
    offends(&m, 1, 8);
    m.ahead = -HOUR;
    assert_int_equal(look(&m), -HOUR);
    assert_int_equal(look(&m), 0);
    assert_near(entry_of(&m, 1).offences, 8);
    ledger_close(m.l);
}

/* An entry that is as weak as its age makes room; one from the future would never be old. */
static void test_entries_from_the_future_push_out_nobody(void **state)
{
    struct machine m = machine();

    m.l->sets = 1;
    is_set(&m, YEAR);
    for (uint32_t n = 100; n < 100 + LEDGER_WAYS; n++)
        offends(&m, n, 8);
    is_set(&m, 0);
    passes(&m, 2 * DAY);
    for (uint32_t n = 1; n <= LEDGER_WAYS; n++)
        offends(&m, n, 1);
    for (uint32_t n = 1; n <= LEDGER_WAYS; n++)
        assert_true(entry_of(&m, n).offences > 0.9);
    ledger_close(m.l);
}

/* ---- turns, debts, marks ---- */

static void test_turns_and_debts_last_as_long_as_before(void **state)
{
    for (int i = 0; i < JUMPS; i++) {
        struct machine m = machine();
        struct ledger_key k = numbered(m.l, 1);
        look(&m);
        ledger_raise_turn(m.l, &k, wall(&m), wall(&m) + 10 * MINUTE, true);
        ledger_set_debt(m.l, &k, wall(&m), wall(&m) + 20 * MINUTE);
        is_set(&m, jumps[i]);
        struct ledger_entry e = entry_of(&m, 1);
        assert_int_equal(e.turn_ms - wall(&m), 10 * MINUTE);
        assert_int_equal(e.debt_ms - wall(&m), 20 * MINUTE);
        assert_true(e.paced);
        ledger_close(m.l);
    }
}

static void test_the_table_of_turns_follows(void **state)
{
    static const int64_t ways[] = {-20 * MINUTE, HOUR};

    for (int i = 0; i < 2; i++) {
        struct ledger *l = open_memory(1 << 16);
        struct proposals *to = calloc(1, proposals_size());
        struct turns *turns = aligned_alloc(4096, turns_size());
        struct ledger_key a = numbered(l, 1), b = numbered(l, 2);
        uint64_t now = T0;

        memset(turns, 0, turns_size());
        assert_int_equal(ledger_propose_to(l, to, turns), 0);
        assert_int_equal(proposer_take_turn(l->proposer, a.hash, now, now, 5 * MINUTE, now, 0),
                         now);
        assert_int_equal(proposer_take_turn(l->proposer, b.hash, now, now, SECOND, now, 0), now);
        now += 2 * MINUTE;
        turns_clock_was_set(turns, ways[i], now + (uint64_t)ways[i]);
        now += (uint64_t)ways[i];
        assert_int_equal(proposer_take_turn(l->proposer, a.hash, now, now, SECOND, now + HOUR, 0),
                         now + 3 * MINUTE);
        assert_int_equal(proposer_take_turn(l->proposer, b.hash, now, now, SECOND, now, 0), now);
        ledger_close(l);
        free(turns);
        free(to);
    }
}

static void test_a_mark_counts_for_its_period(void **state)
{
    for (int i = 0; i < JUMPS; i++) {
        struct machine m = machine();
        struct ledger_key k = numbered(m.l, 1);
        look(&m);
        assert_true(ledger_mark(m.l, &k, wall(&m), LEDGER_COUNTED, 12 * HOUR));
        is_set(&m, jumps[i]);
        assert_false(ledger_mark(m.l, &k, wall(&m), LEDGER_COUNTED, 12 * HOUR));
        passes(&m, 13 * HOUR);
        assert_true(ledger_mark(m.l, &k, wall(&m), LEDGER_COUNTED, 12 * HOUR));
        ledger_close(m.l);
    }
}

/* A stamp of another process, a moment later than this one's time, is not half a year old. */
static void test_a_stamp_that_is_a_moment_ahead_is_of_now(void **state)
{
    struct machine m = machine();
    struct ledger_key k = numbered(m.l, 1);
    const uint64_t hour = T0 / HOUR * HOUR, step = T0 / 512000 * 512000;
    struct ledger_entry e;

    ledger_pass(m.l, &k, hour, hour);
    ledger_get(m.l, &k, &decay, hour - 10, &e);
    assert_true(e.pass_ms && e.pass_ms <= hour);
    ledger_delivered(m.l, &k, step);
    ledger_get(m.l, &k, &decay, step - 10, &e);
    assert_true(e.delivered_ms && e.delivered_ms <= step);
    ledger_close(m.l);
}

/* ---- accounts ---- */

static const struct allowance_rules rules = {
    .per_hour = 100, .per_day = 1000, .refuse_stolen = true};

static struct allowance_who who(const struct addr *from)
{
    return (struct allowance_who){.account = span_of("anna"), .from = from};
}

/* R23: a thief does not get another allowance, nor does the owner lose one; a new network stays new, and
 * a stolen account stolen, for as long as without the jump. */
static void test_r23_a_jump_gives_no_allowance_and_takes_none(void **state)
{
    struct addr home = addr("192.0.2.7"), abroad = addr("203.0.113.7");

    for (int i = 0; i < JUMPS; i++) {
        struct machine m = machine();
        struct allowance_who owner = who(&home), thief = who(&abroad);
        look(&m);
        allowance_logged_in(m.l, &owner, wall(&m));
        passes(&m, HOUR);
        allowance_logged_in(m.l, &thief, wall(&m));
        assert_int_equal(allowance_take(m.l, &rules, &owner, wall(&m), 90).limit, ALLOWANCE_FITS);
        assert_int_equal(allowance_take(m.l, &rules, &thief, wall(&m), 10).limit, ALLOWANCE_FITS);
        is_set(&m, jumps[i]);
        assert_int_equal(allowance_ask(m.l, &rules, &owner, wall(&m), 15).limit, ALLOWANCE_HOUR);
        assert_int_equal(allowance_ask(m.l, &rules, &owner, wall(&m), 9).limit, ALLOWANCE_FITS);
        assert_int_equal(allowance_ask(m.l, &rules, &thief, wall(&m), 5).limit, ALLOWANCE_HOUR);
        assert_true(allowance_ask(m.l, &rules, &thief, wall(&m), 1).is_new);
        assert_false(allowance_ask(m.l, &rules, &owner, wall(&m), 1).is_new);
        passes(&m, HOUR);
        assert_int_equal(allowance_ask(m.l, &rules, &owner, wall(&m), 95).limit, ALLOWANCE_FITS);
        struct ledger_key k = ledger_key_allowance(m.l, owner.account);
        ledger_looks_stolen(m.l, &k, wall(&m), wall(&m) + ALLOWANCE_STOLEN_MS);
        is_set(&m, 0);
        assert_true(allowance_state(m.l, &rules, owner.account, wall(&m)).stolen);
        passes(&m, ALLOWANCE_STOLEN_MS + HOUR);
        assert_false(allowance_state(m.l, &rules, owner.account, wall(&m)).stolen);
        ledger_close(m.l);
    }
}

/* ---- a fleet ---- */

/* R25: so does what other members have said. */
static void test_r25_what_others_know_fades_as_before(void **state)
{
    const struct sipkey key = {1, 2};
    size_t size = others_size(1024);

    for (int i = 0; i < JUMPS; i++) {
        struct machine m = machine();
        struct ledger_others *o = aligned_alloc(64, (size + 63) / 64 * 64);
        memset(o, 0, size);
        ledger_share(m.l, others_open(o, size));
        others_activate(o, &key, 1);
        struct ledger_key k = numbered(m.l, 1);
        struct ledger_name name = {k.label, LEDGER_CLIENT};
        is_set(&m, jumps[i]);
        struct ledger_share theirs = {
            .offences = 8, .good = 2, .delivered_ms = wall(&m), .debt_ms = wall(&m) + 20 * MINUTE};
        others_set(o, &name, &decay, wall(&m), &theirs);
        is_set(&m, 0);
        struct ledger_entry e = entry_of(&m, 1);
        assert_near(e.offences, 8);
        assert_int_equal(e.debt_ms - wall(&m), 20 * MINUTE);
        assert_in_range(ago(&m, e.delivered_ms), 0, 20 * MINUTE);
        passes(&m, 12 * HOUR);
        assert_near(entry_of(&m, 1).offences, 4);
        ledger_close(m.l);
        free(o);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_offences_of_a_clock_that_was_ahead_fade_when_it_is_set_back),
        cmocka_unit_test(
            test_a_clock_that_jumps_and_comes_back_forgives_nothing_and_forgets_nobody),
        cmocka_unit_test(test_after_any_settings_the_ledger_is_that_of_a_clock_that_was_never_set),
        cmocka_unit_test(test_small_steps_add_up),
        cmocka_unit_test(test_a_start_in_1970_keeps_what_was_known_before),
        cmocka_unit_test(test_a_start_with_a_clock_that_is_ahead_forgets_nobody_for_long),
        cmocka_unit_test(test_a_clock_that_is_right_again_after_a_start_makes_nothing_last),
        cmocka_unit_test(
            test_times_of_the_future_in_a_file_of_an_earlier_version_are_made_the_present),
        cmocka_unit_test(test_a_booking_makes_an_amount_of_the_future_fade),
        cmocka_unit_test(test_a_damaged_head_is_not_believed_and_later_steps_are_followed),
        cmocka_unit_test(test_of_two_keepers_one_moves_the_times),
        cmocka_unit_test(test_entries_from_the_future_push_out_nobody),
        cmocka_unit_test(test_turns_and_debts_last_as_long_as_before),
        cmocka_unit_test(test_the_table_of_turns_follows),
        cmocka_unit_test(test_a_mark_counts_for_its_period),
        cmocka_unit_test(test_a_stamp_that_is_a_moment_ahead_is_of_now),
        cmocka_unit_test(test_r23_a_jump_gives_no_allowance_and_takes_none),
        cmocka_unit_test(test_r25_what_others_know_fades_as_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
