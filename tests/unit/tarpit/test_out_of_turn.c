/* R14: passwords out of turn, from a network that the account knows. The table of buckets; what
 * a guesser at the same address gains and sees; and an office with a guesser in it, a day in
 * figures. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/config.h"
#include "tarpit/policy.h"
#include "tarpit/tarpit.h"
#include "tarpit/tries.h"

#include "ledger_fixture.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR };
#define T0 UINT64_C(1800000000000)

static uint32_t seed;

static uint32_t dice(uint32_t n)
{
    seed = seed * 1664525 + 1013904223;
    return (uint32_t)(((uint64_t)(seed >> 4) * n) >> 28);
}

/* ---- buckets ---- */

static const struct ledger_rate six = {6, HOUR};
#define KEY   (UINT64_C(7) << 42 | 7 << 8)
#define OTHER (UINT64_C(8) << 42 | 7 << 8)

static struct tries *table(void)
{
    struct tries *t = calloc(1, tries_size());
    assert_non_null(t);
    return t;
}

static unsigned take_all(struct tries *t, uint64_t key, uint64_t now)
{
    unsigned n = 0;

    while (tries_take(t, key, six, now))
        assert_true(++n <= 6);
    return n;
}

static void test_a_bucket_has_room_for_six_and_runs_empty_in_an_hour(void **state)
{
    struct tries *t = table();

    assert_int_equal(tries_left(t, KEY, six, T0), 6);
    assert_int_equal(take_all(t, KEY, T0), 6);
    assert_int_equal(tries_left(t, KEY, six, T0), 0);
    assert_int_equal(tries_left(t, OTHER, six, T0), 6);
    assert_int_equal(take_all(t, KEY, T0 + 10 * MINUTE - 1), 0);
    assert_int_equal(take_all(t, KEY, T0 + 10 * MINUTE), 1);
    assert_int_equal(take_all(t, KEY, T0 + 70 * MINUTE), 6);
    assert_false(tries_take(t, KEY, (struct ledger_rate){0, HOUR}, T0 + DAY));
    free(t);
}

static void test_what_is_given_back_can_be_taken_again_and_no_more(void **state)
{
    struct tries *t = table();

    assert_int_equal(take_all(t, KEY, T0), 6);
    tries_give(t, KEY, six, T0 + SECOND);
    assert_int_equal(take_all(t, KEY, T0 + SECOND), 1);
    for (int i = 0; i < 100; i++)
        tries_give(t, KEY, six, T0 + SECOND);
    assert_int_equal(take_all(t, KEY, T0 + SECOND), 6);
    tries_give(t, OTHER, six, T0); /* of a key that has no place */
    assert_int_equal(tries_left(t, OTHER, six, T0), 6);
    free(t);
}

/* In any window of w, 6 x (1 + w / 1 h). */
static void test_no_window_has_more_than_the_bound(void **state)
{
    enum { MANY = 4000 };
    static uint64_t taken[MANY];

    for (uint32_t run = 1; run <= 20; run++) {
        seed = run;
        struct tries *t = table();
        uint64_t now = T0;
        unsigned n = 0;
        while (n < 400) {
            now += dice(2) ? dice(20 * MINUTE) : dice(SECOND);
            if (!tries_take(t, KEY, six, now))
                continue;
            if (dice(3) == 0)
                tries_give(t, KEY, six, now + dice(2 * SECOND)); /* a right one */
            else
                taken[n++] = now;
        }
        for (unsigned from = 0; from < n; from++)
            for (unsigned to = from; to < n; to++)
                assert_true(to - from + 1 <=
                            6 * (1 + (double)(taken[to] - taken[from]) / HOUR) + 1e-6);
        free(t);
    }
}

static void test_a_clock_that_is_set_back_locks_nobody_out(void **state)
{
    struct tries *t = table();

    assert_int_equal(take_all(t, KEY, T0 + DAY), 6);
    assert_int_equal(take_all(t, KEY, T0), 6);
    free(t);
}

/* 8,192 places, in sets of 8. A full set takes nothing, and its places come back within an hour. */
static void test_a_full_table_refuses_and_forgets_nobody(void **state)
{
    struct tries *t = table();
    uint64_t key[9];
    int n = 0;

    for (uint64_t i = 1; n < 9; i++)
        key[n++] = i << 42 | 5 << 8;
    for (int i = 0; i < 8; i++)
        assert_int_equal(take_all(t, key[i], T0), 6);
    assert_int_equal(take_all(t, key[8], T0 + MINUTE), 0);
    for (int i = 0; i < 8; i++)
        assert_int_equal(tries_left(t, key[i], six, T0 + MINUTE), 0);
    assert_int_equal(take_all(t, key[8], T0 + HOUR), 6);
    free(t);
}

static struct tries *shared;

static void *take_some(void *arg)
{
    unsigned *n = arg;

    for (int i = 0; i < 100000; i++)
        if (tries_take(shared, KEY, six, T0)) {
            if (i % 2)
                ++*n;
            else
                tries_give(shared, KEY, six, T0);
        }
    return NULL;
}

static void test_workers_together_never_take_more_than_one_alone(void **state)
{
    enum { WORKERS = 4 };
    unsigned n[WORKERS] = {0}, all = 0;
    pthread_t thread[WORKERS];

    shared = table();
    for (int i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, take_some, &n[i]), 0);
    for (int i = 0; i < WORKERS; i++) {
        pthread_join(thread[i], NULL);
        all += n[i];
    }
    assert_int_equal(all + tries_left(shared, KEY, six, T0), 6);
    free(shared);
}

/* ---- the tarpit ---- */

static struct tarpit pit(uint32_t tries)
{
    struct tarpit t = {.rules = config_default_rules(), .tries = table()};

    t.rules.login_tries = tries;
    assert_int_equal(ledger_open(&t.ledger, NULL, 1 << 20), 0);
    return t;
}

static void shut(struct tarpit *t)
{
    ledger_close(t->ledger);
    free(t->tries);
}

static struct tarpit_who who(const struct tarpit *t, const char *text)
{
    struct addr a = addr(text);
    return tarpit_who(t, &a, false);
}

static void knows(struct tarpit *t, const char *user, const char *from, uint64_t now)
{
    struct addr a = addr(from);
    struct tarpit_who w = tarpit_who(t, &a, false);
    tarpit_logged_in(t, &w, &a, span_of(user), now);
}

static void owe(struct tarpit *t, const struct tarpit_who *w, double offences, uint64_t now)
{
    struct ledger_key k = {w->client, w->client_label, 0, LEDGER_CLIENT};
    struct ledger_decay d = {t->rules.half_life, t->rules.good_half_life};
    ledger_raise_offences(t->ledger, &k, &d, now, offences);
}

/* As login.c does. *fast: the client would know at once if the password were right. */
static struct tarpit_hold try(struct tarpit *t, const struct tarpit_who *w, const char *user,
                              bool right, uint64_t now, bool *fast)
{
    struct tarpit_permit p = tarpit_ask_password(t, w, span_of(user), now);

    if (fast)
        *fast = p.tried;
    if (p.masked && !p.tried)
        return p.hold;
    return tarpit_verdict(t, w, span_of(user), &p, right ? OFFENCE_NONE : OFFENCE_AUTH, now);
}

static void test_a_user_who_shares_the_address_of_a_guesser_logs_in_at_once(void **state)
{
    static const double debts[] = {1, 3.5, 10, 60};

    for (size_t i = 0; i < sizeof debts / sizeof debts[0]; i++) {
        struct tarpit t = pit(6);
        struct tarpit_who w = who(&t, "192.0.2.7");
        knows(&t, "bob", "192.0.2.99", T0); /* of the same network */
        owe(&t, &w, debts[i] - 0.9, T0);
        tarpit_offence(&t, &w, OFFENCE_AUTH, T0);
        for (int k = 0; k < 40; k++) { /* right ones take nothing */
            struct tarpit_hold h = try(&t, &w, "Bob", true, T0 + (uint64_t)k * SECOND, NULL);
            assert_int_equal(h.ms, 0);
            assert_false(h.masked);
        }
        struct tarpit_hold other = try(&t, &w, "alice", true, T0 + 40 * SECOND, NULL);
        assert_true(debts[i] > 1 || other.ms == 0 || other.ms <= 20 * SECOND);
        if (debts[i] > 50)
            assert_true(other.masked);
        shut(&t);
    }
}

static void test_six_wrong_passwords_an_hour_are_checked_and_then_all_wait(void **state)
{
    struct tarpit t = pit(6);
    struct tarpit_who w = who(&t, "192.0.2.7");
    bool fast;

    knows(&t, "bob", "192.0.2.7", T0);
    owe(&t, &w, 60, T0);
    for (int i = 0; i < 10; i++) {
        assert_true(try(&t, &w, "bob", false, T0, &fast).masked);
        assert_int_equal(fast, i < 6);
    }
    assert_true(try(&t, &w, "bob", true, T0, NULL).masked);
    assert_true(tarpit_ask_password(&t, &w, SPAN("bob"), T0).no_try);
    /* another network of the account has tries of its own */
    struct tarpit_who elsewhere = who(&t, "198.51.100.1");
    knows(&t, "bob", "198.51.100.1", T0);
    owe(&t, &elsewhere, 60, T0);
    assert_false(try(&t, &elsewhere, "bob", true, T0, NULL).masked);
    assert_false(try(&t, &w, "bob", true, T0 + 10 * MINUTE, NULL).masked);
    shut(&t);
}

static void test_none_of_it_is_on_with_0_or_without_a_table(void **state)
{
    for (int i = 0; i < 2; i++) {
        struct tarpit t = pit(i ? 6 : 0);
        struct tries *kept = t.tries;
        if (i)
            t.tries = NULL;
        struct tarpit_who w = who(&t, "192.0.2.7");
        knows(&t, "bob", "192.0.2.7", T0);
        owe(&t, &w, 60, T0);
        assert_true(try(&t, &w, "bob", true, T0, NULL).masked);
        assert_false(tarpit_ask_password(&t, &w, SPAN("bob"), T0).no_try);
        t.tries = kept;
        shut(&t);
    }
}

/* However many accounts know the network: a guesser that has all their names. */
static void test_all_accounts_of_a_network_have_sixty_together(void **state)
{
    struct tarpit t = pit(6);
    struct tarpit_who w = who(&t, "192.0.2.7");
    unsigned n = 0;
    char name[16];

    owe(&t, &w, 60, T0);
    for (int i = 0; i < 1000; i++) {
        bool fast;
        snprintf(name, sizeof name, "user%d", i);
        knows(&t, name, "192.0.2.7", T0);
        try(&t, &w, name, false, T0, &fast);
        n += fast;
    }
    assert_int_equal(n, 60);
    shut(&t);
}

/* The attacker: a wrong password sounds the same, whether the account knows the network or not.
 * Both ledgers hear the same guesses at the same times; in one the account knows the network. */
static void test_wrong_passwords_do_not_tell_which_accounts_know_the_network(void **state)
{
    unsigned masked = 0, told = 0, fast = 0;

    for (uint32_t run = 1; run <= 200; run++) {
        seed = run;
        struct tarpit t[2] = {pit(6), pit(6)};
        struct tarpit_who w[2] = {who(&t[0], "192.0.2.7"), who(&t[1], "192.0.2.7")};
        uint64_t now = T0;

        knows(&t[1], "bob", "192.0.2.7", T0);
        for (int i = 0; i < 60; i++) {
            struct tarpit_hold h[2], wait[2];
            bool checked;
            now += dice(3) ? dice(10 * SECOND) : dice(20 * MINUTE);
            if (dice(20) == 0)
                for (int k = 0; k < 2; k++)
                    owe(&t[k], &w[k], 30, now);
            if (dice(30) == 0)
                for (int k = 0; k < 2; k++)
                    tarpit_gave_up(&t[k], &w[k], 7 * SECOND, now);
            for (int k = 0; k < 2; k++) {
                wait[k] = tarpit_greet(&t[k], &w[k], now);
                h[k] = try(&t[k], &w[k], "bob", false, now, &checked);
            }
            assert_int_equal(wait[0].ms, wait[1].ms);
            assert_int_equal(h[0].ms, h[1].ms);
            assert_int_equal(h[0].masked, h[1].masked);
            assert_int_equal(h[0].drip_at_ms, h[1].drip_at_ms);
            assert_int_equal(h[0].freeze, h[1].freeze);
            masked += h[1].masked;
            told += !h[1].masked;
            fast += checked;
        }
        shut(&t[0]);
        shut(&t[1]);
    }
    printf("%u masked, %u told, %u of both looked up out of turn\n", masked, told, fast);
    assert_true(masked > 1000 && told > 1000 && fast > 1000); /* all of it has happened */
}

/* ---- an office ---- */

/* 20 users behind one address with a guesser in it. Each user logs in 40 times between 8 and 18
 * h, as mail programs do that log in for each message; the guesser asks every 8.64 s, day and
 * night. A mail program gives up after a minute. */
enum { USERS = 20, LOGINS = 40, GUESSES = 10000, GIVES_UP_MS = MINUTE };

enum guesses { OTHERS, ONE, OURS };

struct day {
    unsigned at_once, late, shut_out, fast, fast_of_one;
    double mean_s; /* of those that came in */
};

static void name_of(enum guesses g, unsigned i, char name[static 24])
{
    if (g == OTHERS)
        snprintf(name, 24, "guess%u", i % 500);
    else
        snprintf(name, 24, "user%u", g == ONE ? 3 : i % USERS);
}

static int by_time(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static struct day office(enum guesses g, uint32_t tries, bool submission)
{
    static uint64_t login[USERS * LOGINS];
    struct tarpit t = pit(tries);
    struct tarpit_who w = who(&t, "192.0.2.7");
    struct day d = {0};
    unsigned n = 0;
    char name[24];

    seed = 7;
    for (unsigned i = 0; i < USERS; i++) {
        snprintf(name, sizeof name, "user%u", i);
        knows(&t, name, "192.0.2.7", T0);
    }
    for (unsigned i = 0; i < USERS * LOGINS; i++)
        login[i] = T0 + 8 * HOUR + dice(10 * HOUR);
    qsort(login, USERS * LOGINS, sizeof login[0], by_time);
    for (unsigned i = 0; i < GUESSES; i++) {
        uint64_t now = T0 + (uint64_t)i * DAY / GUESSES;
        for (; n < USERS * LOGINS && login[n] <= now; n++) {
            snprintf(name, sizeof name, "user%u", dice(USERS));
            uint64_t wait = submission ? 0 : tarpit_greet(&t, &w, login[n]).ms;
            struct tarpit_hold h = try(&t, &w, name, true, login[n], NULL);
            wait += h.ms;
            d.at_once += wait == 0 && !h.masked;
            if (h.masked || wait > GIVES_UP_MS) {
                d.shut_out++;
                continue;
            }
            d.late += wait > 0;
            d.mean_s += (double)wait / SECOND;
        }
        bool fast;
        name_of(g, i, name);
        try(&t, &w, name, false, now, &fast);
        d.fast += fast;
        d.fast_of_one += fast && strcmp(name, "user3") == 0;
    }
    d.mean_s /= d.at_once + d.late ? d.at_once + d.late : 1;
    shut(&t);
    return d;
}

static struct day show(const char *what, struct day d)
{
    printf(
        "%-34s at once %3u, late %3u (mean %4.1f s), shut out %3u of %u; fast guesses %4u, of one "
        "account %3u\n",
        what, d.at_once, d.late, d.mean_s, d.shut_out, USERS * LOGINS, d.fast, d.fast_of_one);
    return d;
}

static void test_an_office_with_a_guesser_in_it_sends_its_mail(void **state)
{
    struct day first = show("before, with a greeting that waits", office(OTHERS, 0, false));
    struct day before = show("before", office(OTHERS, 0, true));
    struct day others = show("guesses at other names", office(OTHERS, 6, true));
    struct day one = show("guesses at one user", office(ONE, 6, true));
    struct day ours = show("guesses at all users", office(OURS, 6, true));

    assert_true(before.shut_out > 700 && first.shut_out >= before.shut_out);
    assert_int_equal(others.at_once, USERS * LOGINS);
    assert_int_equal(others.fast, 0);
    /* only the one whose name is guessed waits as before */
    assert_true(one.at_once >= USERS * LOGINS - 60);
    assert_true(one.fast <= 6 * 25 && one.fast_of_one == one.fast);
    assert_true(ours.fast <= 60 * 25);
    assert_true(ours.fast_of_one <= 6 * 25);
    assert_true(ours.shut_out <= before.shut_out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_bucket_has_room_for_six_and_runs_empty_in_an_hour),
        cmocka_unit_test(test_what_is_given_back_can_be_taken_again_and_no_more),
        cmocka_unit_test(test_no_window_has_more_than_the_bound),
        cmocka_unit_test(test_a_clock_that_is_set_back_locks_nobody_out),
        cmocka_unit_test(test_a_full_table_refuses_and_forgets_nobody),
        cmocka_unit_test(test_workers_together_never_take_more_than_one_alone),
        cmocka_unit_test(test_a_user_who_shares_the_address_of_a_guesser_logs_in_at_once),
        cmocka_unit_test(test_six_wrong_passwords_an_hour_are_checked_and_then_all_wait),
        cmocka_unit_test(test_none_of_it_is_on_with_0_or_without_a_table),
        cmocka_unit_test(test_all_accounts_of_a_network_have_sixty_together),
        cmocka_unit_test(test_wrong_passwords_do_not_tell_which_accounts_know_the_network),
        cmocka_unit_test(test_an_office_with_a_guesser_in_it_sends_its_mail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
