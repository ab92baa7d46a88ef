/* wheel.c: every timer fires once, at the first run whose time has reached it, whatever else
 * happens. The random test compares the wheel with a model that is nothing but an array. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/wheel.h"

enum { TIMERS = 200 };

struct named {
    struct timer timer;
    int fired;
};

struct world {
    struct wheel wheel;
    struct named named[TIMERS];
    uint64_t due_at[TIMERS]; /* the model: when it should fire; 0: not set */
    uint64_t seed;
    int to_do; /* what `due` does besides: see play_in_due() */
};

static uint64_t dice(struct world *w)
{
    w->seed ^= w->seed << 13;
    w->seed ^= w->seed >> 7;
    w->seed ^= w->seed << 17;
    return w->seed;
}

static void count_fired(struct timer *t, void *arg)
{
    ((struct named *)t)->fired++;
}

static void test_a_timer_fires_when_its_time_has_come_and_never_early(void **state)
{
    static const uint64_t delays[] = {
        1,      2,      63,     64,       65,         4095,       4096,       4097,
        262143, 262144, 300000, 16777216, 1073741823, 1073741824, 1073741825, 1ull << 35};
    static const uint64_t origins[] = {0, 1, 63, 4095, 1ull << 36, (1ull << 36) - 1, 1732413600123};

    for (size_t o = 0; o < sizeof origins / sizeof origins[0]; o++) {
        for (size_t i = 0; i < sizeof delays / sizeof delays[0]; i++) {
            struct wheel w;
            struct named n = {0};
            wheel_init(&w, origins[o]);
            wheel_set(&w, &n.timer, origins[o] + delays[i]);
            wheel_validate(&w);
            wheel_run(&w, origins[o] + delays[i] - 1, count_fired, NULL);
            wheel_validate(&w);
            assert_int_equal(n.fired, 0);
            wheel_run(&w, origins[o] + delays[i], count_fired, NULL);
            assert_int_equal(n.fired, 1);
            assert_false(wheel_is_set(&n.timer));
            assert_int_equal(w.count, 0);
        }
    }
}

static void test_the_past_means_the_next_run(void **state)
{
    struct wheel w;
    struct named past = {0}, present = {0};

    wheel_init(&w, 1000);
    wheel_set(&w, &past.timer, 3);
    wheel_set(&w, &present.timer, 1000);
    assert_true(wheel_next(&w) <= 1000);
    wheel_run(&w, 1000, count_fired, NULL);
    assert_int_equal(past.fired, 1);
    assert_int_equal(present.fired, 1);
}

static void test_an_empty_wheel_asks_for_no_run(void **state)
{
    struct wheel w;
    struct named n = {0};

    wheel_init(&w, 5);
    assert_true(wheel_next(&w) == WHEEL_IDLE);
    wheel_set(&w, &n.timer, 1ull << 40);
    assert_false(wheel_next(&w) == WHEEL_IDLE);
    wheel_cancel(&w, &n.timer);
    assert_true(wheel_next(&w) == WHEEL_IDLE);
    wheel_cancel(&w, &n.timer);
    wheel_run(&w, UINT64_MAX, count_fired, NULL);
    assert_int_equal(n.fired, 0);
}

static void test_what_is_out_of_reach_fires_at_the_end_of_reach(void **state)
{
    struct wheel w;
    struct named n = {0};
    uint64_t reach = 1ull << 36;

    wheel_init(&w, 77);
    wheel_set(&w, &n.timer, UINT64_MAX);
    wheel_validate(&w);
    wheel_run(&w, 77 + reach - 1, count_fired, NULL);
    wheel_validate(&w);
    assert_int_equal(n.fired, 0);
    wheel_run(&w, 77 + reach, count_fired, NULL);
    assert_int_equal(n.fired, 1);
}

static void test_a_timer_far_away_wakes_its_owner_only_a_few_times(void **state)
{
    struct wheel w;
    struct named n = {0};
    int wakes = 0;

    wheel_init(&w, 123456789);
    wheel_set(&w, &n.timer, w.now + 300000);
    for (; !n.fired; wakes++)
        wheel_run(&w, wheel_next(&w), count_fired, NULL);
    assert_true(wakes <= WHEEL_LEVELS);
    assert_int_equal(w.now, 123456789 + 300000);
}

static struct wheel *again_wheel;
static void set_again_for_now(struct timer *t, void *arg)
{
    struct named *n = (struct named *)t;

    n->fired++;
    wheel_set(again_wheel, t, again_wheel->now);
}

static void test_a_timer_set_again_for_now_waits_for_the_next_run(void **state)
{
    struct wheel w;
    struct named n = {0};

    again_wheel = &w;
    wheel_init(&w, 0);
    wheel_set(&w, &n.timer, 10);
    wheel_run(&w, 5000, set_again_for_now, NULL);
    assert_int_equal(n.fired, 1);
    assert_true(wheel_next(&w) <= 5000);
    wheel_run(&w, 5000, set_again_for_now, NULL);
    assert_int_equal(n.fired, 2);
}

struct order {
    struct timer *seen[3];
    int count;
};

static void note_order(struct timer *t, void *arg)
{
    struct order *o = arg;

    o->seen[o->count++] = t;
}

static void test_timers_fire_in_order_of_time(void **state)
{
    struct wheel w;
    struct named a = {0}, b = {0}, c = {0};
    struct order o = {0};

    wheel_init(&w, 0);
    wheel_set(&w, &b.timer, 70);
    wheel_set(&w, &c.timer, 5000);
    wheel_set(&w, &a.timer, 3);
    wheel_run(&w, 10000, note_order, &o);
    assert_ptr_equal(o.seen[0], &a.timer);
    assert_ptr_equal(o.seen[1], &b.timer);
    assert_ptr_equal(o.seen[2], &c.timer);
}

/* ---- Against the model ---- */

static uint64_t random_time(struct world *w)
{
    uint64_t now = w->wheel.now, span = 1ull << dice(w) % 38;

    return dice(w) % 8 ? now + dice(w) % span : now - (now < span ? 0 : dice(w) % span);
}

static void set_random(struct world *w)
{
    size_t i = dice(w) % TIMERS;
    uint64_t at = random_time(w), reach = w->wheel.now + (1ull << 36);

    wheel_set(&w->wheel, &w->named[i].timer, at);
    at = at < reach ? at : reach;
    w->due_at[i] = at > w->wheel.now ? at : w->wheel.now;
    w->due_at[i] += !w->due_at[i];
}

static void cancel_random(struct world *w)
{
    size_t i = dice(w) % TIMERS;

    wheel_cancel(&w->wheel, &w->named[i].timer);
    w->due_at[i] = 0;
}

static void play_in_due(struct timer *t, void *arg)
{
    struct world *w = arg;
    size_t i = (size_t)((struct named *)t - w->named);

    assert_false(wheel_is_set(t));
    assert_true(w->due_at[i] && w->due_at[i] <= w->wheel.now);
    w->due_at[i] = 0;
    memset(t, 0, sizeof *t); /* its memory may be used for something else */
    for (; w->to_do > 0; w->to_do--) {
        if (dice(w) % 2)
            set_random(w);
        else
            cancel_random(w);
    }
}

/* A run must fire all that was due before it; only what `due` itself sets for now may stay. */
static void run_to(struct world *w, uint64_t now)
{
    bool must[TIMERS];

    w->to_do = 0;
    for (size_t i = 0; i < TIMERS; i++)
        must[i] = w->due_at[i] && w->due_at[i] <= now;
    if (dice(w) % 4 == 0)
        w->to_do = (int)(dice(w) % 8);
    wheel_run(&w->wheel, now, play_in_due, w);
    wheel_validate(&w->wheel);
    for (size_t i = 0; i < TIMERS; i++)
        if (must[i])
            assert_true(w->due_at[i] == 0 || w->due_at[i] >= now);
}

static void check_next(const struct world *w)
{
    uint64_t first = WHEEL_IDLE;

    for (size_t i = 0; i < TIMERS; i++) {
        assert_int_equal(w->due_at[i] != 0, wheel_is_set(&w->named[i].timer));
        if (w->due_at[i] && w->due_at[i] < first)
            first = w->due_at[i];
    }
    uint64_t next = wheel_next(&w->wheel);
    if (first == WHEEL_IDLE)
        assert_true(next == WHEEL_IDLE);
    else
        assert_true(next <= first || first <= w->wheel.now);
}

static void step(struct world *w)
{
    switch (dice(w) % 8) {
    case 0: cancel_random(w); break;
    case 1: run_to(w, w->wheel.now + dice(w) % 3); break;
    case 2: run_to(w, w->wheel.now + dice(w) % (1ull << dice(w) % 34)); break;
    case 3: {
        uint64_t next = wheel_next(&w->wheel);
        if (next != WHEEL_IDLE)
            run_to(w, next > w->wheel.now ? next : w->wheel.now);
        break;
    }
    default: set_random(w); break;
    }
}

static void test_random_operations_agree_with_a_naive_model(void **state)
{
    static const uint64_t origins[] = {1, 1000000, (1ull << 36) - 5000, 1732413600123};

    for (size_t o = 0; o < sizeof origins / sizeof origins[0]; o++) {
        for (uint64_t seed = 1; seed <= 10; seed++) {
            static struct world w;
            memset(&w, 0, sizeof w);
            w.seed = seed * 0x9e3779b97f4a7c15;
            wheel_init(&w.wheel, origins[o]);
            for (int i = 0; i < 2000; i++) {
                step(&w);
                wheel_validate(&w.wheel);
                check_next(&w);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_timer_fires_when_its_time_has_come_and_never_early),
        cmocka_unit_test(test_the_past_means_the_next_run),
        cmocka_unit_test(test_an_empty_wheel_asks_for_no_run),
        cmocka_unit_test(test_what_is_out_of_reach_fires_at_the_end_of_reach),
        cmocka_unit_test(test_a_timer_far_away_wakes_its_owner_only_a_few_times),
        cmocka_unit_test(test_a_timer_set_again_for_now_waits_for_the_next_run),
        cmocka_unit_test(test_timers_fire_in_order_of_time),
        cmocka_unit_test(test_random_operations_agree_with_a_naive_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
