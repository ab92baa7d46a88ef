/* How large a fleet can be, in virtual time: members that all have something to say, and one Redis
 * that delivers each entry to each member at the cost that docs/fleet.md measured. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fleet/members.h"
#include "fleet/pace.h"

enum { DELIVERY_NS = 720, SECONDS = 20 };

static uint64_t seed = 88172645463325252;

static uint32_t dice(uint32_t most)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 20) % most;
}

struct load {
    double busy;     /* of Redis' one processor */
    uint64_t lag_ms; /* from a booking to the last member, at most */
};

/* Each of n members books all the time. */
static struct load simulate(uint64_t n)
{
    static uint64_t next[MEMBERS_MOST], hello[MEMBERS_MOST], last[MEMBERS_MOST];
    uint64_t queued_ns = 0, worked_ns = 0;
    struct load load = {0};

    for (uint64_t i = 0; i < n; i++) {
        next[i] = dice((uint32_t)pace_entries_ms(n)) + 1;
        hello[i] = dice((uint32_t)pace_hello_ms(n)) + 1;
        last[i] = 0;
    }
    for (uint64_t now = 1; now <= SECONDS * 1000; now++) {
        for (uint64_t i = 0; i < n; i++) {
            if (hello[i] == now) {
                queued_ns += n * DELIVERY_NS;
                hello[i] += pace_hello_ms(n);
            }
            if (next[i] != now)
                continue;
            queued_ns += n * DELIVERY_NS;
            uint64_t lag = now - last[i] + queued_ns / 1000000;
            load.lag_ms = lag > load.lag_ms ? lag : load.lag_ms;
            last[i] = now;
            next[i] += pace_entries_ms(n);
        }
        uint64_t work = queued_ns < 1000000 ? queued_ns : 1000000;
        queued_ns -= work;
        worked_ns += work;
    }
    load.busy = (double)worked_ns / (SECONDS * 1e9);
    return load;
}

static void test_one_redis_serves_a_fleet_of_any_size(void **state)
{
    static const uint64_t sizes[] = {1, 2, 3, 10, 50, 100, 200, 500, 1000, MEMBERS_MOST};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct load load = simulate(sizes[i]);
        print_message("%4lu members: Redis is busy for %2.0f %%, changes arrive within %lu ms\n",
                      (unsigned long)sizes[i], 100 * load.busy, (unsigned long)load.lag_ms);
        assert_true(load.busy < 0.85);
        assert_true(load.lag_ms < 1500);
        assert_true(sizes[i] > 200 || load.lag_ms < 150);
    }
}

/* Nobody counts as away between two hellos, even if two get lost. */
static void test_a_member_is_away_after_three_hellos(void **state)
{
    for (uint64_t n = 1; n <= MEMBERS_MOST; n++) {
        assert_true(pace_away_ms(n) >= 3 * pace_hello_ms(n));
        assert_true(pace_entries_ms(n) >= pace_entries_ms(n - 1) && pace_hello_ms(n) >= 1000);
    }
    assert_int_equal(pace_entries_ms(3), 16);
    assert_int_equal(pace_away_ms(3), 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_redis_serves_a_fleet_of_any_size),
        cmocka_unit_test(test_a_member_is_away_after_three_hellos),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
