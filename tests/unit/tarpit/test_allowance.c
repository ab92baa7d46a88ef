/* R23 in virtual time: what accounts may send, from networks that they know and from new ones, by
 * random histories; between processes; and what makes an account look stolen. */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <pthread.h>

#include "tarpit/allowance.h"
#include "tarpit/ledger_table.h"

#include "ledger_fixture.h"

#define T0 UINT64_C(1800000000000)
enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR };

static const struct ledger_decay never = {0, 0};

static struct addr network(unsigned n)
{
    return (struct addr){.family = ADDR_IP4,
                         .octets = {10, (uint8_t)(n >> 8), (uint8_t)n, (uint8_t)(n * 7)}};
}

static struct allowance_who who(const struct addr *from)
{
    return (struct allowance_who){.account = SPAN("joe"), .from = from};
}

static bool sends(struct ledger *l, const struct allowance_rules *r, const struct addr *from,
                  uint64_t now, uint32_t n)
{
    struct allowance_who w = who(from);
    return allowance_take(l, r, &w, now, n).limit == ALLOWANCE_FITS;
}

static void logs_in(struct ledger *l, const struct addr *from, uint64_t now)
{
    struct allowance_who w = who(from);
    allowance_logged_in(l, &w, now);
}

/* How many of `tries` single recipients at one moment. */
static unsigned sends_of(struct ledger *l, const struct allowance_rules *r, const struct addr *from,
                         uint64_t now, unsigned tries)
{
    unsigned n = 0;
    for (unsigned i = 0; i < tries; i++)
        n += sends(l, r, from, now, 1);
    return n;
}

static const struct allowance_rules usual = {200, 1000, false};

/* ---- amounts ---- */

static void test_an_hours_allowance_and_then_no_more(void **state)
{
    struct ledger *l = open_memory(1 << 16);
    struct addr home = addr("192.0.2.7");
    struct allowance_who w = who(&home);

    logs_in(l, &home, T0);
    assert_int_equal(sends_of(l, &usual, &home, T0 + 1, 1000), 200);
    struct allowance_answer a = allowance_ask(l, &usual, &w, T0 + 1, 1);
    assert_int_equal(a.limit, ALLOWANCE_HOUR);
    assert_int_equal(a.most, 200);
    assert_in_range(a.again_ms, T0 + 17 * SECOND, T0 + 19 * SECOND); /* 3600 s / 200 */
    assert_true(sends(l, &usual, &home, a.again_ms, 1));
    assert_int_equal(sends_of(l, &usual, &home, T0 + HOUR + MINUTE, 1000), 200);
    ledger_close(l);
}

static void test_a_day_allows_five_full_hours(void **state)
{
    struct ledger *l = open_memory(1 << 16);
    struct addr home = addr("192.0.2.7");
    struct allowance_who w = who(&home);
    unsigned sent = 0;

    logs_in(l, &home, T0);
    for (uint64_t h = 0; h < 12; h++)
        sent += sends_of(l, &usual, &home, T0 + h * HOUR + 1, 500);
    assert_in_range(sent, 1000, 1000 + 1000 * 11 / 24 + 1);
    assert_int_equal(allowance_ask(l, &usual, &w, T0 + 11 * HOUR + 2, 1).limit, ALLOWANCE_DAY);
    ledger_close(l);
}

static void test_off_is_no_limit_and_books_nothing(void **state)
{
    struct ledger *l = open_memory(1 << 16);
    struct allowance_rules off = {0}, day = {0, 30, false};
    struct addr home = addr("192.0.2.7");

    assert_int_equal(sends_of(l, &off, &home, T0, 5000), 5000);
    assert_int_equal(ledger_stats(l).entries, 0);
    logs_in(l, &home, T0);
    assert_int_equal(sends_of(l, &day, &home, T0, 5000), 30); /* one of the two is off */
    ledger_close(l);
}

static void test_what_was_refused_is_given_back(void **state)
{
    struct ledger *l = open_memory(1 << 16);
    struct addr home = addr("192.0.2.7"), cafe = addr("198.51.100.1");

    logs_in(l, &home, T0);
    logs_in(l, &cafe, T0);
    for (int i = 0; i < 100; i++) {
        assert_true(sends(l, &usual, &home, T0 + i, 150));
        allowance_give(l, &usual, SPAN("joe"), false, T0 + i, 150);
        assert_true(sends(l, &usual, &cafe, T0 + i, 15));
        allowance_give(l, &usual, SPAN("joe"), true, T0 + i, 15);
    }
    assert_int_equal(sends_of(l, &usual, &home, T0 + 100, 500), 200);
    allowance_give(l, &usual, SPAN("joe"), false, T0 + 100, 5000); /* more than there was */
    assert_int_equal(sends_of(l, &usual, &home, T0 + 100, 500), 200);
    ledger_close(l);
}

static void test_a_message_fits_as_a_whole_or_not_at_all(void **state)
{
    struct ledger *l = open_memory(1 << 16);
    struct addr home = addr("192.0.2.7");

    logs_in(l, &home, T0);
    assert_false(sends(l, &usual, &home, T0, 201));
    assert_true(sends(l, &usual, &home, T0, 199));
    assert_false(sends(l, &usual, &home, T0, 2));
    assert_true(sends(l, &usual, &home, T0, 1));
    ledger_close(l);
}

/* The administrator gives an account more, or less, while its bucket is full. */
static void test_another_allowance_counts_at_once_and_what_was_sent_stays(void **state)
{
    struct ledger *l = open_memory(1 << 16);
    struct allowance_rules list = {50000, 90000, false}, small = {10, 20, false};
    struct addr home = addr("192.0.2.7");

    logs_in(l, &home, T0);
    assert_int_equal(sends_of(l, &usual, &home, T0, 300), 200);
    assert_true(sends(l, &list, &home, T0 + SECOND, 49000));
    assert_false(sends(l, &list, &home, T0 + SECOND, 1100));
    assert_false(sends(l, &small, &home, T0 + 2 * SECOND, 1));
    assert_true(sends(l, &small, &home, T0 + DAY + 2 * HOUR, 10)); /* not after 2450 days */
    ledger_close(l);
}

static void test_a_clock_that_was_set_back_locks_nobody_out(void **state)
{
    struct ledger *l = open_memory(1 << 16);
    struct addr home = addr("192.0.2.7");
    uint64_t wrong = T0 + 400 * (uint64_t)DAY;

    logs_in(l, &home, wrong);
    assert_int_equal(sends_of(l, &usual, &home, wrong, 300), 200);
    assert_int_equal(sends_of(l, &usual, &home, wrong - 4 * SECOND, 300), 0); /* a little */
    assert_int_equal(sends_of(l, &usual, &home, T0, 300), 200);
    assert_int_equal(sends_of(l, &usual, &home, T0, 300), 0);
    ledger_close(l);
}

/* ---- properties ---- */

struct sent {
    uint64_t at;
    uint32_t n;
};
enum { SENT_MAX = 20000 };

/* In any window of w, at most most * (1 + w / period); rounding aside. */
static void assert_bounded(const struct sent *s, size_t count, uint32_t most, uint64_t period)
{
    /* The sum of all before i, less what has leaked by then, may rise by `most` at most. */
    double least = 0, sum = 0;
    for (size_t i = 0; i < count; i++) {
        double leaked = (double)most * (double)(s[i].at - s[0].at) / (double)period;
        if (sum - leaked < least)
            least = sum - leaked;
        sum += s[i].n;
        assert_true(sum - leaked - least <= most * 1.001 + 0.1);
    }
}

static void test_no_history_goes_beyond_allowance_and_burst(void **state)
{
    static struct sent sent[SENT_MAX];

    for (unsigned seed = 1; seed <= 60; seed++) {
        srandom(seed);
        struct ledger *l = open_memory(1 << 16);
        struct allowance_rules r = {1 + (uint32_t)random() % 500, 1 + (uint32_t)random() % 3000, 0};
        struct addr home = addr("192.0.2.7");
        uint64_t now = T0 + (uint64_t)random() % DAY;
        size_t count = 0;

        logs_in(l, &home, now);
        for (int i = 0; i < 4000; i++) {
            uint32_t n = 1 + (uint32_t)random() % (random() % 9 ? 3 : 100);
            now += (uint64_t)random() % (random() % 50 ? 30 * SECOND : 2 * HOUR);
            if (!sends(l, &r, &home, now, n))
                continue;
            if (random() % 3 == 0)
                allowance_give(l, &r, SPAN("joe"), false, now, n);
            else
                sent[count++] = (struct sent){now, n};
        }
        assert_true(count > 0);
        assert_bounded(sent, count, r.per_hour, HOUR);
        assert_bounded(sent, count, r.per_day, DAY);
        ledger_close(l);
    }
}

/* An owner that stays within an hour's and a day's allowance hears no refusal, whatever a thief
 * does from new networks meanwhile. */
static void test_an_owner_within_the_allowance_is_never_refused(void **state)
{
    for (unsigned seed = 1; seed <= 40; seed++) {
        srandom(seed);
        struct ledger *l = open_memory(1 << 18);
        struct allowance_rules r = {20 + (uint32_t)random() % 300, 0, seed % 2};
        struct addr home = addr("192.0.2.7");
        uint64_t now = T0;
        uint32_t in_hour = 0;

        r.per_day = r.per_hour * (1 + (uint32_t)random() % 8);
        logs_in(l, &home, now);
        for (uint64_t h = 0; h < 72; h++) { /* each hour what is left of day and hour */
            uint32_t most = r.per_day / 24 < r.per_hour ? r.per_day / 24 : r.per_hour;
            for (in_hour = 0; in_hour < most; in_hour++) {
                now = T0 + h * HOUR + (uint64_t)in_hour * HOUR / (most + 1);
                struct addr thief = network((unsigned)random() % 200);
                struct allowance_who w = who(&thief);
                if (allowance_may_log_in(l, &r, &w, now))
                    allowance_logged_in(l, &w, now);
                if (h < 24 && !sends(l, &r, &thief, now, 1))
                    allowance_refused(l, &w, now);
                assert_true(sends(l, &r, &home, now, 1));
            }
        }
        ledger_close(l);
    }
}

static void test_a_thief_gets_a_tenth_and_a_burst_from_a_hundred_networks(void **state)
{
    static const struct allowance_rules rules[] = {
        {200, 1000, false}, {200, 1000, true}, {1000, 5000, false}, {35, 50, false}, {7, 0, false}};

    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        struct ledger *l = open_memory(1 << 18);
        struct addr home = addr("192.0.2.7");
        const struct allowance_rules *r = &rules[i];
        unsigned sent = 0, tenth = (r->per_hour + 9) / 10;
        uint64_t took = 40 * MINUTE;

        logs_in(l, &home, T0 - 2 * HOUR);
        for (uint64_t t = 0; t < took; t += SECOND) {
            struct addr from = network((unsigned)(t / SECOND) % 100);
            struct allowance_who w = who(&from);
            if (allowance_may_log_in(l, r, &w, T0 + t))
                allowance_logged_in(l, &w, T0 + t);
            if (sends(l, r, &from, T0 + t, 1))
                sent++;
            else
                allowance_refused(l, &w, T0 + t);
        }
        assert_true(sent >= 1 && sent <= tenth + tenth * took / HOUR + 1);
        assert_int_equal(sends_of(l, r, &home, T0 + took, 5000), r->per_hour);
        ledger_close(l);
    }
}

/* ---- networks ---- */

static bool is_new(const struct ledger *l, const struct addr *from, uint64_t now)
{
    struct allowance_who w = who(from);
    return allowance_ask(l, &usual, &w, now, 1).is_new;
}

static void test_the_first_network_is_known_at_once_and_others_after_a_day(void **state)
{
    struct ledger *l = open_memory(1 << 16);
    struct addr home = addr("192.0.2.7"), phone = addr("198.51.100.1"), far = addr("203.0.113.1");

    logs_in(l, &home, T0);
    logs_in(l, &phone, T0 + MINUTE);
    assert_false(is_new(l, &home, T0));
    assert_true(is_new(l, &phone, T0 + 2 * MINUTE));
    assert_true(is_new(l, &far, T0 + 2 * MINUTE)); /* never logged in from */
    logs_in(l, &phone, T0 + 23 * HOUR);            /* no new beginning */
    assert_true(is_new(l, &phone, T0 + DAY));
    assert_false(is_new(l, &phone, T0 + DAY + 2 * MINUTE));
    ledger_close(l);
}

static void test_networks_are_24_and_48_whatever_form_an_address_has(void **state)
{
    struct ledger *l = open_memory(1 << 16);
    struct addr home = addr("192.0.2.7"), six = addr("2001:db8:7:1::5");
    struct addr same[] = {addr("192.0.2.200"), addr("::ffff:192.0.2.9"), addr("64:ff9b::192.0.2.7"),
                          addr("2001:db8:7:ffff::1")};
    struct addr other[] = {addr("192.0.3.7"), addr("64:ff9b::192.0.3.7"), addr("2001:db8:8::5")};

    logs_in(l, &home, T0);
    logs_in(l, &six, T0);
    for (size_t i = 0; i < 4; i++)
        assert_false(is_new(l, &same[i], T0 + DAY + 1));
    for (size_t i = 0; i < 3; i++)
        assert_true(is_new(l, &other[i], T0 + DAY + 1));
    ledger_close(l);
}

static void test_a_listed_network_is_never_new(void **state)
{
    struct ledger *l = open_memory(1 << 16);
    struct addr home = addr("192.0.2.7"), office = addr("198.51.100.1");
    struct allowance_who w = who(&office);

    logs_in(l, &home, T0);
    w.trusted = true;
    assert_false(allowance_ask(l, &usual, &w, T0, 1).is_new);
    ledger_close(l);
}

static void test_spelling_does_not_multiply_the_allowance(void **state)
{
    struct ledger *l = open_memory(1 << 16);
    struct addr home = addr("192.0.2.7");
    struct allowance_who w = {SPAN("Joe"), &home, false};
    unsigned n = 0;

    allowance_logged_in(l, &w, T0);
    for (int i = 0; i < 500; i++) {
        w.account = i % 2 ? SPAN("JOE") : SPAN("joe");
        n += allowance_take(l, &usual, &w, T0, 1).limit == ALLOWANCE_FITS;
    }
    assert_int_equal(n, 200);
    ledger_close(l);
}

/* Entries of an earlier version: known, without a time and without the network. */
static void test_networks_of_an_earlier_version_are_known(void **state)
{
    struct ledger *l = open_memory(1 << 16);
    struct addr home = addr("192.0.2.7"), found;
    struct ledger_key k = ledger_key_account_network(l, SPAN("joe"), &home), old = k, at;
    struct ledger_entry e;
    struct addr ignored;
    uint64_t place = 0;
    bool seen = false;

    old.label = 0;
    ledger_set_flags(l, &old, T0, LEDGER_KNOWN, 0);
    assert_false(is_new(l, &home, T0));
    assert_false(ledger_key_is_login(l, &old, SPAN("joe"), &found));
    logs_in(l, &home, T0 + 1);
    assert_false(is_new(l, &home, T0 + 1));
    while (ledger_next(l, &place, &never, T0, &at, &ignored, &e))
        if (ledger_key_is_login(l, &at, SPAN("JOE"), &found)) {
            struct addr expected = addr("192.0.2.0");
            assert_true(addr_equal(&found, &expected));
            assert_false(ledger_key_is_login(l, &at, SPAN("jo"), &found));
            seen = true;
        }
    assert_true(seen);
    ledger_close(l);
}

/* ---- looks stolen ---- */

static unsigned refused(struct ledger *l, unsigned first, unsigned count, uint64_t now)
{
    unsigned told = 0;
    for (unsigned i = first; i < first + count; i++) {
        struct addr from = network(i);
        struct allowance_who w = who(&from);
        told += allowance_refused(l, &w, now);
    }
    return told;
}

static bool is_stolen(const struct ledger *l, uint64_t now)
{
    return allowance_state(l, &usual, SPAN("joe"), now).stolen;
}

static void test_refusals_in_several_new_networks_look_stolen_and_are_told_once(void **state)
{
    struct ledger *l = open_memory(1 << 16);
    struct addr home = addr("192.0.2.7");
    struct allowance_who at_home = who(&home);

    logs_in(l, &home, T0);
    for (int i = 0; i < 50; i++) /* at home, and on one telephone: no sign of a thief */
        assert_false(allowance_refused(l, &at_home, T0 + i));
    assert_int_equal(refused(l, 1, 1, T0 + MINUTE) + refused(l, 1, 1, T0 + 2 * MINUTE), 0);
    assert_false(is_stolen(l, T0 + 2 * MINUTE));
    assert_int_equal(refused(l, 1, 40, T0 + 3 * MINUTE), 1);
    assert_int_equal(refused(l, 1, 40, T0 + DAY), 0); /* it goes on */
    assert_true(is_stolen(l, T0 + DAY));
    assert_false(is_stolen(l, T0 + 9 * (uint64_t)DAY));
    assert_int_equal(refused(l, 1, 40, T0 + 20 * (uint64_t)DAY), 1);
    ledger_close(l);
}

static void test_three_networks_in_as_many_hours_do_not(void **state)
{
    struct ledger *l = open_memory(1 << 16);
    struct addr home = addr("192.0.2.7");

    logs_in(l, &home, T0);
    for (unsigned i = 0; i < 9; i++)
        assert_int_equal(refused(l, i, 2, T0 + i * (uint64_t)HOUR), 0);
    assert_false(is_stolen(l, T0 + 9 * HOUR));
    ledger_close(l);
}

static void test_a_thiefs_networks_stay_new_while_the_account_looks_stolen(void **state)
{
    struct ledger *l = open_memory(1 << 16);
    struct allowance_rules strict = {200, 1000, true};
    struct addr home = addr("192.0.2.7"), hers = addr("198.51.100.1"), thief = network(5);
    struct allowance_who w = who(&thief), phone = who(&hers), at_home = who(&home);
    uint64_t stolen = T0 + 10 * (uint64_t)DAY, over = stolen + ALLOWANCE_STOLEN_MS;

    logs_in(l, &home, T0);
    logs_in(l, &hers, T0 + DAY);
    logs_in(l, &thief, stolen - HOUR);
    assert_int_equal(refused(l, 1, 40, stolen), 1);
    assert_true(is_new(l, &thief, stolen + 3 * (uint64_t)DAY));
    assert_true(is_new(l, &thief, over + HOUR));
    assert_false(is_new(l, &thief, over + DAY + HOUR));
    assert_false(is_new(l, &hers, stolen + 1));
    assert_false(allowance_may_log_in(l, &strict, &w, stolen + DAY));
    assert_true(allowance_may_log_in(l, &usual, &w, stolen + DAY));
    assert_true(allowance_may_log_in(l, &strict, &phone, stolen + 1));
    assert_true(allowance_may_log_in(l, &strict, &at_home, stolen + 1));
    assert_int_equal(allowance_ask(l, &strict, &w, stolen + 1, 1).limit, ALLOWANCE_STOLEN);
    assert_int_equal(allowance_ask(l, &strict, &at_home, stolen + 1, 1).limit, ALLOWANCE_FITS);
    ledger_close(l);
}

static void test_a_release_forgets_what_was_sent_and_that_it_looked_stolen(void **state)
{
    struct ledger *l = open_memory(1 << 16);
    struct addr home = addr("192.0.2.7"), far = network(70);

    logs_in(l, &home, T0);
    assert_int_equal(sends_of(l, &usual, &home, T0, 300), 200);
    refused(l, 1, 40, T0);
    allowance_forget(l, SPAN("joe"), T0 + 1, true);
    assert_false(is_stolen(l, T0 + 2));
    assert_int_equal(sends_of(l, &usual, &home, T0 + 2, 300), 200);
    logs_in(l, &far, T0 + 3); /* it is at home already: no other network becomes its first */
    assert_true(is_new(l, &far, T0 + 4));
    ledger_close(l);
}

struct look {
    struct ledger *l;
    _Atomic bool ends;
    unsigned unsettled;
};

static void *looks(void *arg)
{
    struct look *look = arg;
    struct ledger_key k = ledger_key_allowance(look->l, SPAN("joe"));

    while (!look->ends)
        look->unsettled += !ledger_signs(look->l, &k, T0).settled;
    return NULL;
}

/* A login of that moment would make its network the account's first, which is known at once. */
static void test_an_account_that_is_at_home_is_so_while_it_is_released(void **state)
{
    struct look look = {open_memory(1 << 16)};
    struct addr home = addr("192.0.2.7");
    pthread_t other;

    logs_in(look.l, &home, T0);
    assert_int_equal(pthread_create(&other, NULL, looks, &look), 0);
    for (int i = 0; i < 200000; i++)
        allowance_forget(look.l, SPAN("joe"), T0, true);
    look.ends = true;
    assert_int_equal(pthread_join(other, NULL), 0);
    assert_int_equal(look.unsettled, 0);
    ledger_close(look.l);
}

/* ---- floods ---- */

static void test_neither_strangers_nor_a_thiefs_logins_push_an_allowance_out(void **state)
{
    struct ledger *l = open_memory(1 << 16); /* 1024 entries */
    struct addr home = addr("192.0.2.7");

    logs_in(l, &home, T0);
    assert_int_equal(sends_of(l, &usual, &home, T0, 300), 200);
    for (unsigned i = 0; i < 20000; i++) {
        struct addr from = {.family = ADDR_IP4, .octets = {1, (uint8_t)(i >> 8), (uint8_t)i, 1}};
        struct ledger_key stranger = ledger_key_client(l, &from);
        ledger_add_offences(l, &stranger, &never, T0 + i, 50);
        logs_in(l, &from, T0 + i);
    }
    assert_int_equal(sends_of(l, &usual, &home, T0 + 20 * SECOND, 300), 1);
    ledger_close(l);
}

/* ---- processes ---- */

static void take_many(struct ledger *l, uint32_t *taken)
{
    struct allowance_rules r = {5000, 0, false};
    struct addr home = addr("192.0.2.7");

    for (int i = 0; i < 20000; i++)
        *taken += sends(l, &r, &home, T0, 1);
}

static void test_processes_together_take_what_there_is_and_no_more(void **state)
{
    enum { CHILDREN = 4 };
    struct ledger *l = open_memory(1 << 16);
    struct addr home = addr("192.0.2.7");
    uint32_t *taken = mmap(NULL, CHILDREN * sizeof *taken, PROT_READ | PROT_WRITE,
                           MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint32_t sum = 0;
    pid_t pid[CHILDREN];

    assert_true(taken != MAP_FAILED);
    logs_in(l, &home, T0);
    for (int i = 0; i < CHILDREN; i++) {
        pid[i] = fork();
        assert_true(pid[i] >= 0);
        if (pid[i] == 0) {
            take_many(l, &taken[i]);
            _exit(0);
        }
    }
    for (int i = 0; i < CHILDREN; i++) {
        int status;
        waitpid(pid[i], &status, 0);
        assert_int_equal(status, 0);
        sum += taken[i];
    }
    assert_int_equal(sum, 5000);
    munmap(taken, CHILDREN * sizeof *taken);
    ledger_close(l);
}

/* Children that are killed while they book, over and over: what they had counted is in the ledger,
 * but for one booking each. */
static void test_a_killed_process_loses_at_most_its_one_booking(void **state)
{
    enum { ROUNDS = 40 };
    struct ledger *l = open_memory(1 << 16);
    struct allowance_rules r = {LEDGER_BUCKET_MOST, LEDGER_BUCKET_MOST, false};
    struct addr home = addr("192.0.2.7");
    _Atomic uint32_t *taken =
        mmap(NULL, sizeof *taken, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_true(taken != MAP_FAILED);
    logs_in(l, &home, T0);
    for (int i = 0; i < ROUNDS; i++) {
        uint32_t before = atomic_load(taken);
        pid_t pid = fork();
        assert_true(pid >= 0);
        while (pid == 0)
            if (sends(l, &r, &home, T0, 1))
                atomic_fetch_add(taken, 1);
        while (atomic_load(taken) < before + 50 + (uint32_t)i * 7)
            usleep(10);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    struct allowance_state s = allowance_state(l, &r, SPAN("joe"), T0);
    for (enum ledger_bucket b = BUCKET_HOUR; b <= BUCKET_DAY; b++)
        assert_in_range((uint32_t)lround(s.used[b]), atomic_load(taken),
                        atomic_load(taken) + ROUNDS);
    munmap((void *)taken, sizeof *taken);
    ledger_close(l);
}

static void test_a_file_keeps_all_of_it(void **state)
{
    char path[] = "/tmp/mired-allowance-XXXXXX";
    struct addr home = addr("192.0.2.7");
    struct ledger *l;
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    close(fd);
    unlink(path);
    assert_int_equal(ledger_open(&l, path, 1 << 16), 0);
    logs_in(l, &home, T0);
    assert_int_equal(sends_of(l, &usual, &home, T0, 300), 200);
    refused(l, 1, 40, T0);
    ledger_close(l);
    assert_int_equal(ledger_open(&l, path, 1 << 16), 0);
    assert_int_equal(sends_of(l, &usual, &home, T0 + 1, 300), 0);
    assert_true(is_stolen(l, T0 + 1));
    assert_false(is_new(l, &home, T0 + 1));
    ledger_close(l);
    unlink(path);
}

static void test_what_another_ledger_knows_raises_and_never_lowers(void **state)
{
    struct ledger *l = open_memory(1 << 16);
    struct ledger_key k = ledger_key_allowance(l, SPAN("joe"));
    struct ledger_rate rate = {200, HOUR};

    assert_true(ledger_bucket_take(l, &k, BUCKET_HOUR, rate, T0, 50));
    ledger_bucket_raise(l, &k, BUCKET_HOUR, rate, T0, 20);
    assert_true(fabs(ledger_bucket_level(l, &k, BUCKET_HOUR, rate, T0) - 50) < 0.01);
    ledger_bucket_raise(l, &k, BUCKET_HOUR, rate, T0, 120);
    ledger_bucket_raise(l, &k, BUCKET_HOUR, rate, T0, 120);
    assert_true(fabs(ledger_bucket_level(l, &k, BUCKET_HOUR, rate, T0) - 120) < 0.01);
    ledger_close(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_hours_allowance_and_then_no_more),
        cmocka_unit_test(test_a_day_allows_five_full_hours),
        cmocka_unit_test(test_off_is_no_limit_and_books_nothing),
        cmocka_unit_test(test_what_was_refused_is_given_back),
        cmocka_unit_test(test_a_message_fits_as_a_whole_or_not_at_all),
        cmocka_unit_test(test_another_allowance_counts_at_once_and_what_was_sent_stays),
        cmocka_unit_test(test_a_clock_that_was_set_back_locks_nobody_out),
        cmocka_unit_test(test_no_history_goes_beyond_allowance_and_burst),
        cmocka_unit_test(test_an_owner_within_the_allowance_is_never_refused),
        cmocka_unit_test(test_a_thief_gets_a_tenth_and_a_burst_from_a_hundred_networks),
        cmocka_unit_test(test_the_first_network_is_known_at_once_and_others_after_a_day),
        cmocka_unit_test(test_networks_are_24_and_48_whatever_form_an_address_has),
        cmocka_unit_test(test_a_listed_network_is_never_new),
        cmocka_unit_test(test_spelling_does_not_multiply_the_allowance),
        cmocka_unit_test(test_networks_of_an_earlier_version_are_known),
        cmocka_unit_test(test_refusals_in_several_new_networks_look_stolen_and_are_told_once),
        cmocka_unit_test(test_three_networks_in_as_many_hours_do_not),
        cmocka_unit_test(test_a_thiefs_networks_stay_new_while_the_account_looks_stolen),
        cmocka_unit_test(test_a_release_forgets_what_was_sent_and_that_it_looked_stolen),
        cmocka_unit_test(test_an_account_that_is_at_home_is_so_while_it_is_released),
        cmocka_unit_test(test_neither_strangers_nor_a_thiefs_logins_push_an_allowance_out),
        cmocka_unit_test(test_processes_together_take_what_there_is_and_no_more),
        cmocka_unit_test(test_a_killed_process_loses_at_most_its_one_booking),
        cmocka_unit_test(test_a_file_keeps_all_of_it),
        cmocka_unit_test(test_what_another_ledger_knows_raises_and_never_lowers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
