/* Mixed answers in a fleet: a retry that comes to another member finds what the first one settled.
 * P8: five members over a transport that loses, repeats, delays and reorders; and what a lying
 * member can do, which is never to make a message vanish that it has not seen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "property.h"

#include "fleet/settled.h"

#define START UINT64_C(1700000000000)

enum { MEMBERS = 5, FLIGHT = 4096, PEOPLE = 6, MESSAGES = 4, KEEP_MS = 86400000 };

static const struct sipkey fleet_key = {11, 12};
static uint64_t now;

static struct partial_delivery *fresh(const char *path)
{
    struct partial_delivery *s;

    assert_int_equal(partial_open(&s, path, KEEP_MS), 0);
    partial_use_key(s, &fleet_key);
    return s;
}

static struct span person(unsigned n)
{
    static const char *const name[PEOPLE] = {"a@x", "b@x", "c@x", "d@x", "e@x", "f@x"};
    return span_of(name[n]);
}

/* One member tells another all that it has not told. */
static unsigned tell(struct partial_delivery *from, struct partial_delivery *to)
{
    uint8_t octets[SETTLED_RECORD];
    struct partial_record r, read;
    uint32_t at = 0;
    unsigned n = 0;

    while (partial_next_untold(from, &at, now, &r)) {
        settled_write(&r, 0, octets);
        struct span batch = {(char *)octets, sizeof octets};
        assert_int_equal(settled_next(&batch, 0, &read), 1);
        partial_take(to, &read, now);
        n++;
    }
    return n;
}

#define SENDER SPAN("s@y")

static bool has(const struct partial_delivery *s, unsigned who, uint64_t message)
{
    return partial_is_marked(s, SENDER, person(who), now) &&
           partial_was_delivered(s, SENDER, person(who), partial_named(message), now);
}

static void test_a_retry_at_another_member_finds_what_was_settled(void **state)
{
    struct partial_delivery *one = fresh(NULL), *two = fresh(NULL);

    now = START;
    partial_delivered(one, SENDER, person(0), partial_named(5), now);
    partial_was_mixed(one, SENDER, 5, now);
    partial_put_in_group(one, SENDER, person(1), 1000, PARTIAL_REFUSED, now);
    assert_int_equal(tell(one, two), 0); /* a moment later most are gone */
    now += 1000;
    assert_int_equal(tell(one, two), 3);
    assert_true(has(two, 0, 5) && !has(two, 1, 5) && !has(two, 0, 6));
    assert_true(partial_is_marked(two, SENDER, (struct span){0}, now));
    assert_true(partial_is_mixed(two, SENDER, 5, now));
    assert_int_equal(partial_group_of(two, SENDER, person(1), 1000, now), PARTIAL_REFUSED);
    assert_int_equal(tell(one, two), 0);
    assert_int_equal(tell(two, one), 0); /* what others have said is not said again */
    now += KEEP_MS;
    assert_false(has(two, 0, 5));
    partial_close(one);
    partial_close(two);
}

/* After the 250 the same octets are another message (docs/mixed-answers.md). */
static void test_what_was_dropped_is_dropped_at_all(void **state)
{
    struct partial_delivery *one = fresh(NULL), *two = fresh(NULL);

    now = START;
    partial_delivered(one, SENDER, person(0), partial_named(5), now);
    now += 1000;
    tell(one, two);
    assert_true(has(two, 0, 5));
    partial_forget(two, SENDER, person(0), 5); /* the last recipient got it there */
    assert_int_equal(tell(two, one), 1);
    assert_true(!has(one, 0, 5) && !has(two, 0, 5));
    partial_delivered(one, SENDER, person(0), partial_named(6), now);
    partial_forget(one, SENDER, person(0), 6); /* nobody has heard of it */
    now += 1000;
    assert_int_equal(tell(one, two), 0);
    partial_close(one);
    partial_close(two);
}

/* An alarm has no Message-ID, and its octets can be guessed: another member's word of it does not
 * count, and is not even said. */
static void test_a_message_without_an_id_stays_with_its_member(void **state)
{
    struct partial_delivery *one = fresh(NULL), *two = fresh(NULL);

    now = START;
    partial_delivered(one, SENDER, person(0), partial_nameless(5, 0), now);
    now += 1000;
    assert_int_equal(tell(one, two), 0);
    partial_delivered(one, SENDER, person(0), partial_named(5),
                      now); /* a liar's member says so all the same */
    now += 1000;
    assert_int_equal(tell(one, two), 1);
    assert_false(partial_was_delivered(two, SENDER, person(0), partial_nameless(5, 0), now));
    assert_true(partial_was_delivered(two, SENDER, person(0), partial_named(5), now));
    partial_close(one);
    partial_close(two);
}

/* The octets of another fleet, or of somebody who does not know the key, name nothing. */
static void test_without_the_key_nothing_can_be_named(void **state)
{
    struct partial_delivery *one = fresh(NULL), *two = fresh(NULL);
    struct sipkey other = {11, 13};

    now = START;
    assert_true(partial_use_key(one, &other));
    assert_false(partial_use_key(one, &other));
    partial_delivered(one, SENDER, person(0), partial_named(5), now);
    now += 1000;
    assert_int_equal(tell(one, two), 1);
    assert_false(has(two, 0, 5));
    partial_close(one);
    partial_close(two);
}

/* A member takes no mail before its memory has the fleet's key, which it keeps over restarts. What is
 * recorded before has a name that nobody knows afterwards: neither the member nor another one. */
static void test_a_record_from_before_the_key_is_not_found_with_it(void **state)
{
    char path[] = "/tmp/mired-settled-key-XXXXXX";
    struct partial_delivery *one, *two = fresh(NULL);

    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    unlink(path);
    now = START;
    assert_int_equal(partial_open(&one, path, KEEP_MS), 0);
    assert_false(partial_has_fleet_key(one));
    partial_delivered(one, SENDER, person(0), partial_named(5), now);
    assert_true(partial_use_key(one, &fleet_key) && partial_has_fleet_key(one));
    partial_delivered(one, SENDER, person(1), partial_named(5), now);
    assert_true(!has(one, 0, 5) && has(one, 1, 5));
    now += 1000;
    assert_int_equal(tell(one, two), 2);
    assert_true(!has(two, 0, 5) && has(two, 1, 5));
    partial_close(one);
    assert_int_equal(partial_open(&one, path, KEEP_MS), 0); /* Redis may be away this time */
    assert_true(partial_has_fleet_key(one) && has(one, 1, 5));
    partial_close(one);
    partial_close(two);
    unlink(path);
}

/* A mark says where to look, and a record must not turn it into a delivery: its value is a key that
 * the liar chooses. */
static void test_a_mark_is_never_taken_for_a_delivery(void **state)
{
    struct partial_delivery *one = fresh(NULL), *two = fresh(NULL), *own = fresh(NULL);
    struct partial_record victim, lie;
    uint32_t at = 0;

    now = START;
    partial_delivered(one, SENDER, person(0), partial_named(5), now);
    now += 1000;
    assert_true(partial_next_untold(one, &at, now, &victim));
    lie = (struct partial_record){
        .key = 77, .value = victim.key, .until_ms = now + KEEP_MS, .what = victim.what};
    assert_true(partial_take(two, &lie, now));
    assert_false(partial_was_delivered(two, SENDER, person(0), partial_named(5), now));
    /* nor does it change an own record, or one of another kind */
    partial_delivered(own, SENDER, person(0), partial_named(5), now);
    assert_true(partial_take(own, &lie, now));
    assert_true(has(own, 0, 5));
    for (uint8_t what = 0; what < 8; what++) {
        lie = (struct partial_record){.key = victim.key, .value = 1, .until_ms = now + 2 * KEEP_MS};
        lie.what = what;
        if (what != victim.what)
            assert_false(partial_take(own, &lie, now));
    }
    assert_true(has(own, 0, 5));
    partial_close(one);
    partial_close(two);
    partial_close(own);
}

static void test_a_flood_of_others_leaves_own_records_alone(void **state)
{
    struct partial_delivery *own = fresh(NULL);
    unsigned left = 0;

    now = seed = START;
    for (uint64_t i = 0; i < 1000; i++)
        partial_delivered(own, SENDER, person(0), partial_named(i), now);
    for (unsigned i = 0; i < 300000; i++) {
        struct partial_record lie = {.key = (uint64_t)dice(UINT32_MAX) << 32 | dice(UINT32_MAX),
                                     .value = 1 + dice(1000),
                                     .until_ms = now + 10 * (uint64_t)KEEP_MS,
                                     .what = 1};
        partial_take(own, &lie, now);
    }
    for (uint64_t i = 0; i < 1000; i++)
        left += has(own, 0, i);
    assert_int_equal(left, 1000);
    for (uint64_t i = 1000; i < 2000; i++) /* and new ones find room */
        partial_delivered(own, SENDER, person(1), partial_named(i), now);
    for (uint64_t i = 1000; i < 2000; i++)
        left += has(own, 1, i);
    assert_int_equal(left, 2000);
    now += KEEP_MS; /* nor do the others' last longer than `settle` */
    struct partial_record one = {.key = 1, .value = 1, .until_ms = now, .what = 1};
    assert_false(partial_take(own, &one, now));
    partial_close(own);
}

static void test_records_that_are_none_are_refused(void **state)
{
    static const struct partial_record bad[] = {
        {.key = 0, .value = 1, .until_ms = START + 5, .what = 1},
        {.key = 1, .value = 9, .until_ms = START + 5, .what = 3}, /* no such group */
        {.key = 1, .value = 1, .until_ms = START - 5, .what = 1},
        {.key = 1, .value = UINT64_MAX, .until_ms = START + 5, .what = 1},
        {.key = 1, .value = 1, .until_ms = START + 5, .what = 0, .gone = true},
        {.key = 1, .value = 1, .until_ms = START + 5, .what = 4},
    };
    struct partial_delivery *s = fresh(NULL);
    uint8_t octets[SETTLED_RECORD + 1] = {1};
    struct partial_record r;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(partial_take(s, &bad[i], START));
    struct span batch = {(char *)octets, SETTLED_RECORD + 1};
    assert_int_equal(settled_next(&batch, 0, &r), 1);
    assert_int_equal(settled_next(&batch, 0, &r), -EINVAL);
    octets[0] = 7;
    batch = (struct span){(char *)octets, SETTLED_RECORD};
    assert_int_equal(settled_next(&batch, 0, &r), -EINVAL);
    partial_close(s);
}

/* ---- P8 ---- */

static struct {
    bool used;
    uint8_t to, octets[SETTLED_RECORD];
    uint64_t due;
} flight[FLIGHT];
static struct partial_delivery *member[MEMBERS];
static uint32_t cut;

static void post(uint8_t to, const uint8_t *octets, uint64_t due)
{
    for (unsigned i = 0; i < FLIGHT; i++)
        if (!flight[i].used) {
            flight[i].used = true;
            flight[i].to = to;
            flight[i].due = due;
            memcpy(flight[i].octets, octets, SETTLED_RECORD);
            return;
        }
}

static void tell_all(uint8_t from, bool surely)
{
    uint8_t octets[SETTLED_RECORD];
    struct partial_record r;
    uint32_t at = 0;

    while (partial_next_untold(member[from], &at, now, &r)) {
        settled_write(&r, 0, octets);
        for (uint8_t to = 0; to < MEMBERS; to++) {
            if (to == from || (!surely && (is_cut(cut, from, to) || dice(3) == 0)))
                continue;
            post(to, octets, surely ? now : now + dice(60000));
            if (dice(4) == 0)
                post(to, octets, now + dice(600000));
        }
    }
}

static void deliver_due(void)
{
    struct partial_record r;

    for (unsigned i = 0; i < FLIGHT; i++)
        if (flight[i].used && flight[i].due <= now) {
            struct span batch = {(char *)flight[i].octets, SETTLED_RECORD};
            flight[i].used = false;
            assert_int_equal(settled_next(&batch, 0, &r), 1);
            partial_take(member[flight[i].to], &r, now);
        }
}

static void something_happens(void)
{
    struct partial_delivery *s = member[dice(MEMBERS)];
    struct span who = person(dice(PEOPLE));
    uint64_t message = 1 + dice(MESSAGES);

    switch (dice(6)) {
    case 0: partial_forget(s, SENDER, who, message); break;
    case 1: partial_was_mixed(s, SENDER, message, now); break;
    case 2: partial_put_in_group(s, SENDER, who, 1000, (enum partial_group)dice(3), now); break;
    case 3: partial_rest(s, SENDER, who, 1000, now); break;
    default: partial_delivered(s, SENDER, who, partial_named(message), now);
    }
}

static void compare(uint64_t with)
{
    for (unsigned who = 0; who < PEOPLE; who++)
        for (unsigned i = 1; i < MEMBERS; i++) {
            bool same = partial_group_of(member[i], SENDER, person(who), 1000, now) ==
                        partial_group_of(member[0], SENDER, person(who), 1000, now);
            for (uint64_t message = 1; message <= MESSAGES; message++)
                same = same && has(member[i], who, message) == has(member[0], who, message) &&
                       partial_is_mixed(member[i], SENDER, message, now) ==
                           partial_is_mixed(member[0], SENDER, message, now);
            if (!same)
                print_error("seed %lu, member %u, person %u\n", (unsigned long)with, i, who);
            assert_true(same);
        }
}

static void run(uint64_t with, const char *folder)
{
    char older[80], path[MEMBERS][80];

    now = START + dice(100000);
    cut = 0;
    memset(flight, 0, sizeof flight);
    for (unsigned i = 0; i < MEMBERS; i++) {
        snprintf(path[i], sizeof path[i], "%s/%u", folder, i);
        unlink(path[i]);
        member[i] = fresh(path[i]);
    }
    snprintf(older, sizeof older, "%s/older", folder);
    unsigned victim = dice(MEMBERS), copied = dice(100), restarts = 100 + dice(80);
    for (unsigned i = 0; i < 200; i++) {
        now += 1 + (dice(8) ? dice(3000) : dice(120000));
        something_happens();
        if (dice(2) == 0)
            tell_all((uint8_t)dice(MEMBERS), false);
        if (dice(20) == 0)
            cut = dice(1 << MEMBERS);
        if (i == copied)
            copy(path[victim], older);
        if (i == restarts) {
            partial_close(member[victim]);
            copy(older, path[victim]);
            member[victim] = fresh(path[victim]);
        }
        deliver_due();
    }
    cut = 0;
    now += 1000;
    for (uint8_t i = 0; i < MEMBERS; i++) {
        partial_tell_again(member[i]);
        tell_all(i, true);
    }
    deliver_due();
    now += 600000;
    deliver_due();
    compare(with);
    for (unsigned i = 0; i < MEMBERS; i++)
        partial_close(member[i]);
}

static void test_members_agree_whatever_happens_to_their_messages(void **state)
{
    over_seeds(40, run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_retry_at_another_member_finds_what_was_settled),
        cmocka_unit_test(test_what_was_dropped_is_dropped_at_all),
        cmocka_unit_test(test_a_message_without_an_id_stays_with_its_member),
        cmocka_unit_test(test_without_the_key_nothing_can_be_named),
        cmocka_unit_test(test_a_record_from_before_the_key_is_not_found_with_it),
        cmocka_unit_test(test_a_mark_is_never_taken_for_a_delivery),
        cmocka_unit_test(test_a_flood_of_others_leaves_own_records_alone),
        cmocka_unit_test(test_records_that_are_none_are_refused),
        cmocka_unit_test(test_members_agree_whatever_happens_to_their_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
