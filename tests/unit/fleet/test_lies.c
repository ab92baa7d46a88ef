/* A member that lies (docs/fleet.md): its clock, its amounts, its version and its half-life are
 * anything. What it says of innocent clients is bounded, and fades. In virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

#include "alone.h"
#include "property.h"
#include "tarpit/policy.h"

#define START UINT64_C(1700000000000)

static const struct addr innocent = {.family = ADDR_IP4, .octets = {192, 0, 2, 7}};
static struct mirror mirror;
static uint64_t now;

static void begin_alone(void)
{
    now = START;
    alone_open(&mirror);
}

static void close_alone(void)
{
    book_close(mirror.book);
    ledger_close(mirror.ledger);
    free(mirror.others);
}

static int say(uint16_t from, const struct share *s)
{
    return alone_say(&mirror, from, s, now);
}

static struct ledger_entry known_of(const struct ledger_key *k)
{
    return alone_known(&mirror, k, now);
}

static double extreme(void)
{
    static const double some[] = {0, 0, 1e-30, 1, 7, 100, 6144, 1e6, 3e38};
    return some[dice(sizeof some / sizeof some[0])];
}

static uint64_t some_end(uint64_t at)
{
    return dice(2) ? 0 : at + dice(2 * LEDGER_HORIZON_MS);
}

/* Its clock is anywhere, its amounts are absurd, and one octet in some of its shares is any. */
static void lie(uint16_t from, const struct ledger_name *n)
{
    uint64_t at = now + 20000 - (dice(2) ? dice(40000) : dice(1u << 31));
    struct share s = {.name = *n,
                      .at_ms = at,
                      .stamp_ms = at,
                      .is = {.offences = extreme(),
                             .good = extreme(),
                             .spent = extreme(),
                             .turn_ms = some_end(at),
                             .debt_ms = some_end(at),
                             .delivered_ms = at - dice(1u << 30),
                             .flags = dice(256),
                             .paced = dice(2)}};
    uint8_t octets[SHARE_VALUE_MOST];
    size_t len = share_write(&s, 0, octets);

    if (dice(4) == 0)
        octets[dice((uint32_t)len)] = (uint8_t)dice(256);
    if (share_read(&s, (struct span){(char *)octets, len}, &mirror.rules, 0, now) < 0)
        return;
    assert_true(s.at_ms <= now + SHARE_AHEAD_MS);
    mirror_take(&mirror, from, &s, now);
}

static double debt_of(const struct ledger_key *k)
{
    struct ledger_entry e = known_of(k);
    return policy_debt(&mirror.rules, e.offences, e.good);
}

/* What liars of so many names make of an innocent client: the largest debt, and the largest one
 * after so many half-lives without lies. */
static void slander(unsigned names, unsigned half_lives, double *worst, double *left)
{
    begin_alone();
    struct addr a = innocent;
    struct mirror *m = &mirror;
    struct ledger_key k = ledger_key_client(m->ledger, &a), net = ledger_key_network(m->ledger, &a);
    struct ledger_name client_name = {k.label, LEDGER_CLIENT},
                       network_name = {net.label, LEDGER_NETWORK};
    struct ledger_decay d = {m->rules.half_life, m->rules.good_half_life};
    struct ledger_share before, after;
    uint64_t seen;

    ledger_raise_good(m->ledger, &k, &d, now, 30);
    ledger_own(m->ledger, &k, &client_name, &d, now, &before, &seen);
    for (unsigned i = 0; i < 3000; i++) {
        lie((uint16_t)(1 + dice(names)), &client_name);
        lie((uint16_t)(1 + dice(names)), &network_name);
        *worst = fmax(*worst, debt_of(&k));
        struct ledger_entry e = known_of(&k);
        assert_true(e.turn_ms <= now + SHARE_AHEAD_MS + LEDGER_HORIZON_MS);
        assert_true(e.debt_ms <= now + SHARE_AHEAD_MS + LEDGER_HORIZON_MS);
        assert_true(known_of(&net).offences <= names * 4 * m->rules.network_share * 1.01);
    }
    ledger_own(m->ledger, &k, &client_name, &d, now, &after, &seen);
    assert_true(near(before.offences, after.offences) && near(before.good, after.good));
    now += SHARE_AHEAD_MS + half_lives * m->rules.half_life;
    *left = fmax(*left, debt_of(&k));
    assert_true(known_of(&k).turn_ms <= now && known_of(&k).debt_ms <= now);
    close_alone();
}

/* A lie of one member about one client counts as a trap would, and is below the pace 6 half-lives
 * later. A liar of several names can say that much under each, and spend under one the good mail
 * that it claims under another. */
static void test_the_lies_of_a_member_are_bounded(void **state)
{
    const struct tarpit_rules r = config_default_rules();
    double trap = policy_most_trap(&r), claimed = 12 * LEDGER_EARN_MOST / r.good_ratio;
    double worst = 0, left = 0;

    for (unsigned i = 0; i < 10; i++) {
        seed = i * 2654435761 + 88172645463325252;
        slander(1, 6, &worst, &left);
    }
    assert_true(worst <= trap * 1.01 && worst > trap / 2); /* the bound is what limits it */
    assert_true(left < r.pace_after);
    worst = left = 0;
    for (unsigned i = 0; i < 10; i++) {
        seed = i * 2654435761 + 88172645463325252;
        slander(2, 9, &worst, &left);
    }
    assert_true(worst <= (2 * trap + claimed) * 1.01);
    assert_true(left < r.pace_after);
}

static void test_shares_of_another_version_change_nothing(void **state)
{
    begin_alone();
    struct addr a = innocent;
    struct ledger_key k = ledger_key_client(mirror.ledger, &a);
    struct share s = {
        .name = {k.label, LEDGER_CLIENT}, .at_ms = now, .stamp_ms = now, .is = {.offences = 7}};
    uint8_t octets[SHARE_VALUE_MOST];
    size_t len = share_write(&s, 0, octets);

    for (unsigned version = 0; version < 256; version++) {
        struct share read = {.name = s.name};
        octets[0] = (uint8_t)version;
        int r = share_read(&read, (struct span){(char *)octets, len}, &mirror.rules, 0, now);
        assert_int_equal(r, version == SHARE_VERSION ? 0 : -ENOTSUP);
    }
    close_alone();
}

static void test_ends_further_ahead_than_any_ledger_has_are_refused(void **state)
{
    begin_alone();
    for (int debt = 0; debt < 2; debt++) {
        struct share s = {.name = {1, LEDGER_CLIENT},
                          .at_ms = now,
                          .stamp_ms = now,
                          .is = {.turn_ms = debt ? 0 : now + LEDGER_HORIZON_MS,
                                 .debt_ms = debt ? now + LEDGER_HORIZON_MS : 0}};
        uint8_t octets[SHARE_VALUE_MOST];
        size_t len = share_write(&s, 0, octets);
        struct share read = {.name = s.name};
        assert_int_equal(
            share_read(&read, (struct span){(char *)octets, len}, &mirror.rules, 0, now), 0);
        octets[len - 1]++; /* a millisecond more */
        assert_int_equal(
            share_read(&read, (struct span){(char *)octets, len}, &mirror.rules, 0, now), -EINVAL);
    }
    close_alone();
}

/* Another half-life makes amounts differ, but a member's own rules decide how long they count. */
static void test_a_member_of_another_half_life_cannot_make_a_debt_last(void **state)
{
    begin_alone();
    struct addr a = innocent;
    struct ledger_key k = ledger_key_client(mirror.ledger, &a);
    uint64_t half_life = mirror.rules.half_life;
    struct share s = {.name = {k.label, LEDGER_CLIENT}, .at_ms = now, .is = {.offences = 60}};

    assert_int_equal(say(1, &s), 0);
    for (unsigned i = 0; i < 6; i++) {
        double before = known_of(&k).offences;
        now += half_life;
        assert_true(near(known_of(&k).offences, before / 2));
    }
    assert_true(known_of(&k).offences < mirror.rules.pace_after);
    close_alone();
}

/* Without a shield a trap books no more than any other offence, so it bounds nothing. */
static void test_offences_count_at_others_without_a_shield(void **state)
{
    begin_alone();
    mirror.rules.shield = 0;
    struct addr a = innocent;
    struct ledger_key k = ledger_key_client(mirror.ledger, &a);
    struct share s = {.name = {k.label, LEDGER_CLIENT}, .at_ms = now, .is = {.offences = 7}};
    struct share lie = {.name = s.name, .at_ms = now, .is = {.offences = 3e38}};

    assert_int_equal(say(1, &s), 0);
    assert_true(known_of(&k).offences > 6.9);
    assert_int_equal(say(2, &lie), 0);
    assert_true(known_of(&k).offences < 7 + 61);
    close_alone();
}

/* A share from the future would win over every later one. */
static void test_a_share_from_the_future_is_refused(void **state)
{
    begin_alone();
    struct addr a = innocent;
    struct ledger_key k = ledger_key_client(mirror.ledger, &a);
    struct share s = {
        .name = {k.label, LEDGER_CLIENT}, .at_ms = now + SHARE_AHEAD_MS + 1, .is = {.offences = 7}};

    assert_int_equal(say(1, &s), -ERANGE);
    assert_true(known_of(&k).offences == 0);
    s.at_ms = now;
    assert_int_equal(say(1, &s), 0);
    assert_true(near(known_of(&k).offences, 7));
    close_alone();
}

/* What the member says while both have measured Redis' clock. */
static int say_at_skew(double offences)
{
    struct addr a = innocent;
    struct ledger_key k = ledger_key_client(mirror.ledger, &a);
    struct share s = {.name = {k.label, LEDGER_CLIENT},
                      .at_ms = now,
                      .stamp_ms = (uint64_t)((int64_t)now + mirror.skew),
                      .is = {.offences = offences}};
    struct share read = {.name = s.name};
    uint8_t octets[SHARE_VALUE_MOST];
    size_t len = share_write(&s, mirror.skew, octets);

    int r = share_read(&read, (struct span){(char *)octets, len}, &mirror.rules, mirror.skew, now);
    return r < 0 ? r : mirror_take(&mirror, 1, &read, now);
}

/* Redis' machine may start with a wrong clock, or a replica has one. What was said by it must not win
 * over everything that is said before that time has come. */
static void test_a_wrong_clock_of_redis_does_no_harm_when_it_is_right_again(void **state)
{
    const int64_t hours = INT64_C(3600000);

    for (int64_t wrong = -10 * hours; wrong <= 10 * hours; wrong += 5 * hours) {
        begin_alone();
        struct addr a = innocent;
        struct ledger_key k = ledger_key_client(mirror.ledger, &a);
        struct ledger_name name = {k.label, LEDGER_CLIENT};
        struct share own;
        uint64_t seen;

        mirror.skew = wrong;
        mirror_turn(&mirror, now);
        assert_int_equal(say_at_skew(5), 1);
        assert_true(near(known_of(&k).offences, 5));
        now += 1000;
        mirror.skew = 0;
        assert_int_equal(say_at_skew(7), 1);
        assert_true(near(known_of(&k).offences, 7));
        mirror_turn(&mirror, now);
        mirror_own(&mirror, &name, k.hash, now, &own, &seen);
        assert_true(own.stamp_ms >= now && own.stamp_ms <= now + 1);
        close_alone();
    }
}

/* A release also forgets shares with stamps of a wrong clock. */
static void test_a_release_wins_over_shares_from_the_future(void **state)
{
    begin_alone();
    struct addr a = innocent;
    struct ledger_key k = ledger_key_client(mirror.ledger, &a);
    struct ledger_name name = {k.label, LEDGER_CLIENT};

    mirror.skew = 7200000;
    assert_int_equal(say_at_skew(5), 1);
    mirror.skew = 0;
    now += 1000;
    mirror_forget(&mirror, &name, now, now);
    assert_true(known_of(&k).offences <= 0);
    now += 1000;
    assert_int_equal(say_at_skew(2), 1);
    assert_true(near(known_of(&k).offences, 2));
    close_alone();
}

/* A clock that is measured a little differently does not change which share is the later one. */
static void test_a_little_skew_brings_no_earlier_share_back(void **state)
{
    begin_alone();
    struct addr a = innocent;
    struct ledger_key k = ledger_key_client(mirror.ledger, &a);

    mirror.skew = 4000;
    assert_int_equal(say_at_skew(5), 1);
    mirror.skew = 0;
    assert_int_equal(say_at_skew(7), 0);
    assert_true(near(known_of(&k).offences, 5));
    close_alone();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_lies_of_a_member_are_bounded),
        cmocka_unit_test(test_shares_of_another_version_change_nothing),
        cmocka_unit_test(test_ends_further_ahead_than_any_ledger_has_are_refused),
        cmocka_unit_test(test_a_member_of_another_half_life_cannot_make_a_debt_last),
        cmocka_unit_test(test_offences_count_at_others_without_a_shield),
        cmocka_unit_test(test_a_share_from_the_future_is_refused),
        cmocka_unit_test(test_a_wrong_clock_of_redis_does_no_harm_when_it_is_right_again),
        cmocka_unit_test(test_a_release_wins_over_shares_from_the_future),
        cmocka_unit_test(test_a_little_skew_brings_no_earlier_share_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
