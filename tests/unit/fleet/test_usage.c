/* What accounts send at several members counts once at each (R23). P8: five members over a transport
 * that loses, repeats, delays and reorders, with partitions and a restart from an older file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "property.h"

#include "fleet/usage.h"
#include "tarpit/allowance.h"

#define START UINT64_C(1700000000000)
#define HOUR  UINT64_C(3600000)

enum { MEMBERS = 5, FLIGHT = 4096, PLACES = 1024, LEDGER_SIZE = 65536 };

static const struct sipkey fleet_key = {1, 2};
static const struct allowance_rules rules = {.per_hour = 200, .per_day = 1000};
static uint64_t now;

/* Of known networks. */
static uint32_t most_of(enum ledger_bucket b)
{
    return b == BUCKET_HOUR ? rules.per_hour : rules.per_day;
}

struct member {
    struct ledger *ledger;
    struct ledger_others *others;
    struct usage *usage;
    uint64_t read;
    uint32_t taken;
    char path[64];
};

static struct member member[MEMBERS];

static void open_member(struct member *m)
{
    size_t size = others_size(PLACES);
    void *mapping = aligned_alloc(64, (size + 63) / 64 * 64);

    memset(mapping, 0, size);
    m->others = others_open(mapping, size);
    assert_int_equal(ledger_open(&m->ledger, m->path[0] ? m->path : NULL, LEDGER_SIZE), 0);
    assert_int_equal(usage_open(&m->usage, 4096), 0);
    ledger_share(m->ledger, m->others);
    others_activate(m->others, &fleet_key, 1);
    m->read = others_next(m->others);
}

static void close_member(struct member *m)
{
    ledger_close(m->ledger);
    usage_close(m->usage);
    free(m->others);
}

static struct allowance_who alice(void)
{
    static const struct addr from = {.family = ADDR_IP4, .octets = {192, 0, 2, 7}};
    return (struct allowance_who){.account = SPAN("alice"), .from = &from, .trusted = true};
}

static bool take(struct member *m, uint32_t n)
{
    struct allowance_who who = alice();
    bool taken = allowance_take(m->ledger, &rules, &who, now, n).limit == ALLOWANCE_FITS;

    m->taken += taken ? n : 0;
    return taken;
}

static double used(const struct member *m, enum ledger_bucket b)
{
    return allowance_state(m->ledger, &rules, SPAN("alice"), now).used[b];
}

static void read_ring(struct member *m)
{
    struct others_event e;

    while (others_read(m->others, 1, &m->read, &e) == 1)
        if (e.what == OTHERS_SENT)
            usage_booked(m->usage, m->ledger, &e, now);
}

static bool hear(struct member *m, uint16_t from, const uint8_t *octets)
{
    struct span batch = {(const char *)octets, USAGE_RECORD};
    struct usage_share share;

    assert_int_equal(usage_next(&batch, &share), 1);
    return usage_take(m->usage, m->ledger, from, &share, share.stamp_ms, now);
}

/* Everything that `from` has to say comes to all, at once. */
static void tell(unsigned from)
{
    struct usage_share share;
    uint8_t octets[USAGE_RECORD];

    read_ring(&member[from]);
    while (usage_next_untold(member[from].usage, member[from].ledger, now, &share)) {
        usage_write(&share, octets);
        for (unsigned to = 0; to < MEMBERS; to++)
            if (to != from)
                hear(&member[to], (uint16_t)(from + 1), octets);
    }
}

static void log_in(struct member *m)
{
    struct allowance_who who = alice();

    allowance_logged_in(m->ledger, &who, now);
    read_ring(m);
}

static void open_all(void)
{
    now = START;
    for (unsigned i = 0; i < MEMBERS; i++) {
        member[i] = (struct member){0};
        open_member(&member[i]);
        log_in(&member[i]);
    }
    for (unsigned i = 0; i < MEMBERS; i++)
        tell(i);
}

static void close_all(void)
{
    for (unsigned i = 0; i < MEMBERS; i++)
        close_member(&member[i]);
}

/* A stolen password gets the allowance once, not once at each member. */
static void test_an_account_has_one_allowance_at_all_members(void **state)
{
    uint32_t all = 0;

    open_all();
    for (unsigned i = 0; i < 1000; i++, now += 100) {
        take(&member[i % MEMBERS], 1);
        tell(i % MEMBERS);
    }
    for (unsigned i = 0; i < MEMBERS; i++)
        all += member[i].taken;
    assert_in_range(all, rules.per_hour, rules.per_hour + 1 + rules.per_hour * 100 / 3600);
    for (unsigned i = 0; i < MEMBERS; i++)
        assert_true(fabs(used(&member[i], BUCKET_HOUR) - used(&member[0], BUCKET_HOUR)) < 0.1);
    close_all();
}

static void test_what_is_given_back_is_given_back_at_all(void **state)
{
    open_all();
    assert_true(take(&member[0], 50));
    tell(0);
    assert_true(fabs(used(&member[3], BUCKET_DAY) - 50) < 0.1);
    allowance_give(member[0].ledger, &rules, SPAN("alice"), false, now, 20);
    tell(0);
    assert_true(fabs(used(&member[3], BUCKET_DAY) - 30) < 0.1);
    assert_true(fabs(used(&member[0], BUCKET_DAY) - 30) < 0.1);
    close_all();
}

/* Somebody who sends all day through one member may go on through another one: what has leaked from
 * the bucket of the hour does not come back. */
static void test_what_was_sent_long_ago_does_not_count_again(void **state)
{
    open_all();
    for (unsigned i = 0; i < 10; i++, now += HOUR) {
        assert_true(take(&member[0], 80));
        read_ring(&member[0]); /* told to nobody */
    }
    tell(0);
    assert_true(used(&member[1], BUCKET_HOUR) < 1);
    assert_true(fabs(used(&member[1], BUCKET_DAY) - used(&member[0], BUCKET_DAY)) < 1);
    assert_true(take(&member[1], 80));
    close_all();
}

/* An account that comes to a member for the first time has there what it has at the others. */
static void test_a_member_that_meets_an_account_later_knows_what_it_sent(void **state)
{
    open_all();
    close_member(&member[4]);
    open_member(&member[4]);
    assert_true(take(&member[0], 150));
    tell(0);
    assert_true(used(&member[4], BUCKET_HOUR) < 0.1); /* it does not know whose that is */
    log_in(&member[4]);
    assert_true(fabs(used(&member[4], BUCKET_HOUR) - 150) < 0.1);
    assert_false(take(&member[4], 60));
    close_all();
}

static void release(struct member *m, uint64_t at)
{
    struct ledger_key k = ledger_key_allowance(m->ledger, SPAN("alice"));

    allowance_forget(m->ledger, SPAN("alice"), now, true);
    read_ring(m);
    usage_release(m->usage, k.common, (uint32_t)(at / 1000 + 1), now);
}

static void tell_all_again(void)
{
    for (unsigned i = 0; i < MEMBERS; i++) {
        usage_tell_again(member[i].usage);
        tell(i);
    }
}

/* What a member says that has not carried the release out yet does not count where it is. */
static void test_a_released_account_may_send_again_at_all_members(void **state)
{
    uint64_t at;

    open_all();
    now += 60000;
    assert_true(take(&member[0], 150));
    tell(0);
    at = now;
    release(&member[0], at);
    assert_true(take(&member[1], 5));
    tell(1);
    tell_all_again();
    assert_true(used(&member[0], BUCKET_HOUR) < 0.1);
    assert_true(used(&member[1], BUCKET_HOUR) > 149);
    for (unsigned i = 1; i < MEMBERS; i++) {
        now += 700;
        release(&member[i], at);
        tell_all_again();
    }
    tell_all_again();
    for (unsigned i = 0; i < MEMBERS; i++)
        assert_true(used(&member[i], BUCKET_HOUR) < 0.1 && used(&member[i], BUCKET_DAY) < 0.1);
    now += 2000;
    assert_true(take(&member[2], 20));
    tell(2);
    tell_all_again();
    for (unsigned i = 0; i < MEMBERS; i++)
        assert_true(fabs(used(&member[i], BUCKET_HOUR) - 20) < 0.5);
    close_all();
}

/* A member that cannot carry it out (of an earlier version) is not believed for six hours. */
static void test_a_member_that_has_not_released_an_account_is_believed_later(void **state)
{
    open_all();
    now += 60000;
    assert_true(take(&member[4], 150));
    tell(4);
    for (unsigned i = 0; i < 4; i++)
        release(&member[i], now);
    now += USAGE_RELEASED_S * UINT64_C(1000) - 60000;
    assert_true(take(&member[4], 10));
    tell(4);
    assert_true(used(&member[0], BUCKET_DAY) < 0.1);
    now += 120000;
    assert_true(take(&member[4], 10));
    tell(4);
    tell_all_again();
    assert_true(used(&member[0], BUCKET_DAY) > 5);
    close_all();
}

/* A liar can fill a bucket, as the account's own client could, but not empty one, nor overfill it. */
static void test_the_lies_of_a_member_are_bounded(void **state)
{
    struct ledger_key k;
    struct usage_share lie = {.stamp_ms = START + 1, .epoch = 5, .most = {200, 1000}};

    open_all();
    assert_true(take(&member[0], 50));
    k = ledger_key_allowance(member[0].ledger, SPAN("alice"));
    lie.id = k.common;
    read_ring(&member[0]);
    assert_true(usage_take(member[0].usage, member[0].ledger, 9, &lie, START, now));
    for (uint32_t i = 0; i < 100; i++) { /* it gives back what it never took */
        lie.stamp_ms++;
        lie.count[0] -= 1000;
        lie.count[1] -= 1000;
        usage_take(member[0].usage, member[0].ledger, 9, &lie, START, now);
    }
    assert_true(used(&member[0], BUCKET_HOUR) > 49.9);
    lie.stamp_ms++;
    lie.count[0] += 2000000000;
    lie.count[1] += 2000000000;
    for (int b = 0; b < BUCKET_COUNT; b++)
        lie.level[b] = 3e38f;
    usage_take(member[0].usage, member[0].ledger, 9, &lie, START, now);
    assert_true(used(&member[0], BUCKET_HOUR) <= 200.1 && used(&member[0], BUCKET_DAY) <= 1000.1);
    now += 24 * HOUR; /* and it leaks like everything else */
    assert_true(used(&member[0], BUCKET_DAY) < 1);
    assert_true(take(&member[0], 100));
    close_all();
}

/* 40 members let one account send at the same time, and none has heard of the others yet. */
static void test_an_account_has_one_allowance_in_a_large_fleet(void **state)
{
    enum { OTHERS = 40, ROUNDS = 4 };
    struct ledger_key k;

    open_all();
    assert_true(take(&member[0], 1));
    k = ledger_key_allowance(member[0].ledger, SPAN("alice"));
    read_ring(&member[0]);
    for (uint32_t round = 1; round <= ROUNDS; round++)
        for (uint16_t from = 1; from <= OTHERS; from++) {
            struct usage_share s = {.id = k.common,
                                    .stamp_ms = START + round,
                                    .epoch = 5,
                                    .most = {200, 1000},
                                    .count = {round, round},
                                    .level = {(float)round, (float)round}};
            assert_true(usage_take(member[0].usage, member[0].ledger, from, &s, now, now));
        }
    assert_true(used(&member[0], BUCKET_HOUR) >= (ROUNDS - 1) * OTHERS);
    close_all();
}

static void test_records_that_are_none_are_refused(void **state)
{
    struct usage_share good = {.id = 0x123b, .stamp_ms = START, .most = {5}}, s;
    uint8_t octets[USAGE_RECORD];
    struct span batch = {(char *)octets, USAGE_RECORD};

    usage_write(&good, octets);
    assert_int_equal(usage_next(&batch, &s), 1);
    assert_int_equal(usage_next(&batch, &s), 0);
    for (size_t cut = 1; cut < USAGE_RECORD; cut++) {
        batch = (struct span){(char *)octets, cut};
        assert_int_equal(usage_next(&batch, &s), -EINVAL);
    }
    struct usage_share bad[] = {good, good, good, good};
    bad[0].id = 0x1233; /* of another kind */
    bad[1].most[1] = LEDGER_BUCKET_MOST + 1;
    bad[2].level[1] = (float)NAN;
    bad[3].level[2] = -1;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        usage_write(&bad[i], octets);
        batch = (struct span){(char *)octets, USAGE_RECORD};
        assert_int_equal(usage_next(&batch, &s), -EINVAL);
    }
}

/* R23: where a password thief logs in first is not the account's first network, if another member
 * knows the account. */
static void test_the_first_network_of_an_account_is_the_first_in_the_fleet(void **state)
{
    static const struct addr thief = {.family = ADDR_IP4, .octets = {203, 0, 113, 9}};
    const struct ledger_decay d = {HOUR, HOUR};
    struct allowance_who who = {.account = SPAN("alice"), .from = &thief};

    open_all();
    struct ledger_key k = ledger_key_allowance(member[1].ledger, SPAN("alice"));
    close_member(&member[1]);
    open_member(&member[1]);
    others_set(member[1].others, &(struct ledger_name){k.common, LEDGER_ALLOWANCE}, &d, now,
               &(struct ledger_share){.flags = LEDGER_KNOWN});
    allowance_logged_in(member[1].ledger, &who, now);
    assert_true(allowance_known_from(member[1].ledger, &who, now) > now);
    who.account = SPAN("bob"); /* nobody knows this one */
    allowance_logged_in(member[1].ledger, &who, now);
    assert_true(allowance_known_from(member[1].ledger, &who, now) <= now);
    close_all();
}

/* ---- P8 ---- */

static struct {
    bool used;
    uint8_t to, from, octets[USAGE_RECORD];
    uint64_t due;
} flight[FLIGHT];
static uint32_t cut;

static void post(uint8_t from, uint8_t to, const uint8_t *octets, uint64_t due)
{
    for (unsigned i = 0; i < FLIGHT; i++)
        if (!flight[i].used) {
            flight[i].used = true;
            flight[i].from = from;
            flight[i].to = to;
            flight[i].due = due;
            memcpy(flight[i].octets, octets, USAGE_RECORD);
            return;
        }
}

static void send_all(uint8_t from, bool surely)
{
    struct usage_share share;
    uint8_t octets[USAGE_RECORD];

    read_ring(&member[from]);
    while (usage_next_untold(member[from].usage, member[from].ledger, now, &share)) {
        usage_write(&share, octets);
        for (uint8_t to = 0; to < MEMBERS; to++) {
            if (to == from || (!surely && (is_cut(cut, from, to) || dice(3) == 0)))
                continue;
            post(from, to, octets, surely ? now : now + dice(20000));
            if (dice(3) == 0)
                post(from, to, octets, now + dice(600000));
        }
    }
}

static void deliver_due(void)
{
    for (unsigned i = 0; i < FLIGHT; i++)
        if (flight[i].used && flight[i].due <= now) {
            flight[i].used = false;
            hear(&member[flight[i].to], (uint16_t)(flight[i].from + 1), flight[i].octets);
        }
}

/* What one mired would have in the bucket that had taken all of it. */
static struct ledger *reference;

static double truth(enum ledger_bucket b)
{
    struct ledger_key k = ledger_key_allowance(reference, SPAN("alice"));
    return ledger_bucket_level(reference, &k, b, usage_rate(most_of(b), b), now);
}

static void take_in_truth(uint32_t n)
{
    struct ledger_key k = ledger_key_allowance(reference, SPAN("alice"));

    for (enum ledger_bucket b = BUCKET_HOUR; b <= BUCKET_DAY; b++) {
        struct ledger_rate rate = usage_rate(most_of(b), b);
        if (!ledger_bucket_take(reference, &k, b, rate, now, n))
            ledger_bucket_raise(reference, &k, b, rate, now, rate.most);
    }
}

static void run(uint64_t with, const char *folder)
{
    char older[80];

    now = START + dice(100000);
    cut = 0;
    memset(flight, 0, sizeof flight);
    for (unsigned i = 0; i < MEMBERS; i++) {
        member[i] = (struct member){0};
        snprintf(member[i].path, sizeof member[i].path, "%s/%u", folder, i);
        unlink(member[i].path);
        open_member(&member[i]);
        log_in(&member[i]);
    }
    assert_int_equal(ledger_open(&reference, NULL, LEDGER_SIZE), 0);
    snprintf(older, sizeof older, "%s/older", folder);
    unsigned victim = dice(MEMBERS), copied = dice(100), restarts = 100 + dice(80);
    for (unsigned i = 0; i < 250; i++) {
        now += dice(8) ? dice(3000) : dice(240000);
        uint32_t n = 1 + dice(4);
        if (take(&member[dice(MEMBERS)], n))
            take_in_truth(n);
        if (dice(2) == 0)
            send_all((uint8_t)dice(MEMBERS), false);
        if (dice(30) == 0)
            cut = dice(1 << MEMBERS);
        if (i == copied)
            copy(member[victim].path, older);
        if (i == restarts) {
            close_member(&member[victim]);
            copy(older, member[victim].path);
            open_member(&member[victim]);
            log_in(&member[victim]);
        }
        deliver_due();
    }
    cut = 0;
    for (unsigned round = 0; round < 2; round++) { /* what came first may raise what comes next */
        now += 1;
        for (uint8_t i = 0; i < MEMBERS; i++) {
            usage_tell_again(member[i].usage);
            send_all(i, true);
        }
        deliver_due();
    }
    now += 600000;
    deliver_due();
    for (enum ledger_bucket b = BUCKET_HOUR; b <= BUCKET_DAY; b++) {
        /* Members that do not hear each other let each bucket leak; nobody is counted twice. */
        assert_true(used(&member[0], b) <= truth(b) + 0.1 * usage_rate(most_of(b), b).most);
        for (unsigned i = 1; i < MEMBERS; i++) {
            double most = usage_rate(most_of(b), b).most;
            bool near = fabs(used(&member[i], b) - used(&member[0], b)) <= most * 0.01;
            if (!near)
                print_error("seed %lu, member %u, bucket %d: %g and %g\n", (unsigned long)with, i,
                            (int)b, used(&member[i], b), used(&member[0], b));
            assert_true(near);
        }
    }
    ledger_close(reference);
    for (unsigned i = 0; i < MEMBERS; i++)
        close_member(&member[i]);
}

static void test_members_agree_whatever_happens_to_their_messages(void **state)
{
    over_seeds(40, run);
}

/* Epochs and stamps are fleet time. Otherwise a member whose clock is behind would not be believed after
 * a release, and one whose clock is ahead would be believed although it has not carried it out. */
static void test_a_members_clock_does_not_decide_whether_it_is_believed(void **state)
{
    const int64_t skews[] = {0, (int64_t)HOUR, -(int64_t)HOUR};
    struct usage_share share;

    for (int i = 0; i < 3; i++) {
        open_all();
        struct member *m = &member[1];
        uint64_t fleet_now = now;
        close_member(m);
        open_member(m);
        struct ledger_key k = ledger_key_allowance(m->ledger, SPAN("alice"));
        now = (uint64_t)((int64_t)fleet_now - skews[i]); /* its clock */
        usage_skew(m->usage, skews[i]);
        log_in(m);
        assert_true(take(m, 3));
        read_ring(m);
        assert_true(usage_next_untold(m->usage, m->ledger, now, &share));
        assert_true(share.epoch == fleet_now / 1000 && share.stamp_ms == fleet_now);
        usage_release(m->usage, k.common, (uint32_t)(fleet_now / 1000 + 1), now);
        assert_true(usage_next_untold(m->usage, m->ledger, now, &share));
        assert_int_equal(share.epoch, fleet_now / 1000 + 1);
        now = fleet_now + 60000;
        now = (uint64_t)((int64_t)now - skews[i]);
        share.epoch -= 1; /* of a member that has not carried it out */
        share.stamp_ms += 60000;
        assert_false(usage_take(m->usage, m->ledger, 3, &share, now, now));
        share.epoch += 1;
        assert_true(usage_take(m->usage, m->ledger, 3, &share, now, now));
        now = fleet_now;
        close_all();
    }
}

/* Redis' clock was an hour ahead, and is right again. */
static void test_what_was_said_by_a_wrong_clock_gives_way(void **state)
{
    struct usage_share share;

    open_all();
    usage_skew(member[0].usage, (int64_t)HOUR);
    usage_skew(member[1].usage, (int64_t)HOUR);
    assert_true(take(&member[0], 3));
    assert_true(take(&member[1], 1));
    read_ring(&member[0]);
    read_ring(&member[1]);
    assert_true(usage_next_untold(member[0].usage, member[0].ledger, now, &share));
    assert_true(usage_take(member[1].usage, member[1].ledger, 1, &share, now, now));
    usage_skew(member[0].usage, 0);
    usage_skew(member[1].usage, 0);
    now += 1000;
    assert_true(take(&member[0], 5));
    read_ring(&member[0]);
    assert_true(usage_next_untold(member[0].usage, member[0].ledger, now, &share));
    assert_true(share.stamp_ms == now);
    assert_true(usage_take(member[1].usage, member[1].ledger, 1, &share, now, now));
    assert_true(used(&member[1], BUCKET_HOUR) > 7.9);
    close_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_account_has_one_allowance_at_all_members),
        cmocka_unit_test(test_what_is_given_back_is_given_back_at_all),
        cmocka_unit_test(test_what_was_sent_long_ago_does_not_count_again),
        cmocka_unit_test(test_a_member_that_meets_an_account_later_knows_what_it_sent),
        cmocka_unit_test(test_a_released_account_may_send_again_at_all_members),
        cmocka_unit_test(test_a_member_that_has_not_released_an_account_is_believed_later),
        cmocka_unit_test(test_the_lies_of_a_member_are_bounded),
        cmocka_unit_test(test_an_account_has_one_allowance_in_a_large_fleet),
        cmocka_unit_test(test_a_members_clock_does_not_decide_whether_it_is_believed),
        cmocka_unit_test(test_what_was_said_by_a_wrong_clock_gives_way),
        cmocka_unit_test(test_records_that_are_none_are_refused),
        cmocka_unit_test(test_the_first_network_of_an_account_is_the_first_in_the_fleet),
        cmocka_unit_test(test_members_agree_whatever_happens_to_their_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
