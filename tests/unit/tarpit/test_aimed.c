/* How many addresses does an attacker need to push one client out of the ledger? In virtual time, with
 * fixed keys.
 *
 * The attackers are stronger than real ones: they hear after each address whether the victim's entry
 * is still there. A real one sees that of its own entry only, by how long its replies are held. What
 * they cannot know is the key (tests/unit/test_collisions.c has what they can choose without it). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "config/config.h"
#include "tarpit/ledger_disposal.h"
#include "tarpit/ledger_reserve.h"
#include "tarpit/policy.h"

#include "effort.h"
#include "ledger_fixture.h"

enum { SECOND = 1000, HOUR = 3600 * SECOND, DAY = 24 * HOUR, KEYS = 24, WORKERS = 2 };

/* Of the ledger. AIMED_SETS=131072 in the environment: as many as the default size has. */
static uint32_t sets = 512;
#define T0 UINT64_C(1800000000000)

static const struct ledger_decay decay = {HOUR, 30 * (uint64_t)DAY};

static unsigned keys(void)
{
    return effort_of(KEYS);
}

static uint64_t mixed(uint64_t z)
{
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static uint64_t key_number;

/* In place of the C library's: each key has a number. */
ssize_t getrandom(void *out, size_t len, unsigned flags)
{
    uint8_t *at = out;

    for (size_t i = 0; i < len; i++)
        at[i] = (uint8_t)mixed(key_number * 1000 + i + 1);
    return (ssize_t)len;
}

struct town {
    struct ledger *book;
    struct disposal disposal[WORKERS];
    struct disposal_rules rules;
    uint64_t now;
};

static struct town *open_town(uint64_t key)
{
    struct town *t = calloc(1, sizeof *t);

    key_number = key;
    t->book = open_memory((uint64_t)sets * LEDGER_WAYS * sizeof(struct ledger_slot));
    t->rules.tarpit = config_default_rules();
    t->rules.raise_most = policy_most_trap(&t->rules.tarpit);
    for (unsigned i = 0; i < WORKERS; i++)
        t->disposal[i].maker = i + 1;
    t->now = T0;
    return t;
}

static void close_town(struct town *t)
{
    ledger_close(t->book);
    free(t);
}

/* The n-th /48 of a /16, which is more than an attacker has. */
static struct addr address(uint32_t n)
{
    struct addr a = {.family = ADDR_IP6, .octets = {0x2a, 0x0d}};

    for (int i = 0; i < 4; i++)
        a.octets[2 + i] = (uint8_t)(n >> (24 - 8 * i));
    a.octets[15] = 1;
    return a;
}

#define VICTIM UINT32_MAX

static void say(struct town *t, unsigned worker, const struct ledger_key *k, struct proposal p)
{
    p.now = t->now;
    p.hash = k->hash;
    p.label = k->label;
    p.kind = k->kind;
    (void)dispose(&t->disposal[worker], t->book, &t->rules, &p, t->now);
}

/* Mail to so many mailboxes arrives through that worker. */
static void deliver(struct town *t, unsigned worker, const struct addr *a, unsigned mailboxes)
{
    struct ledger_key client = ledger_key_client(t->book, a),
                      network = ledger_key_network(t->book, a),
                      today = ledger_key_mailboxes(t->book, a),
                      pair = ledger_key_pair(t->book, a, SPAN("example.org"));
    const struct ledger_key *const of[] = {&client, &network, &pair};

    for (uint64_t i = 0; i < mailboxes; i++) {
        say(t, worker, &today, (struct proposal){.op = PROPOSE_EARN, .a = (i + 1) << 16});
        say(t, worker, &pair, (struct proposal){.op = PROPOSE_EARN, .a = (i + 1) << 16});
    }
    for (int i = 0; i < 3; i++) {
        say(t, worker, of[i], (struct proposal){.op = PROPOSE_GOOD, .x = mailboxes * 2});
        if (i < 2)
            say(t, worker, of[i], (struct proposal){.op = PROPOSE_DELIVERED});
    }
}

/* A stranger asks for so many unknown recipients, and its replies are held. */
static void offend(struct town *t, const struct addr *a, double offences)
{
    struct ledger_key k = ledger_key_client(t->book, a);

    ledger_add_offences(t->book, &k, &decay, t->now, offences);
    ledger_set_debt(t->book, &k, t->now, t->now + 600 * SECOND);
}

static bool is_there(const struct town *t, const struct addr *a)
{
    struct ledger_key k = ledger_key_client(t->book, a);
    return ledger_find_kept(t->book, k.hash) != NULL;
}

static uint64_t set_of(const struct town *t, const struct addr *a)
{
    return ledger_set_index(ledger_key_client(t->book, a).hash, t->book->sets);
}

/* The next address from *n on that shares the victim's set: what no attacker knows without the key. */
static struct addr colliding(const struct town *t, uint32_t *n)
{
    struct addr victim = address(VICTIM), a;

    do
        a = address((*n)++);
    while (set_of(t, &a) != set_of(t, &victim));
    return a;
}

/* ---- victims with good mail ---- */

/* Also when the attacker knows the key. */
static void test_strangers_never_push_out_a_good_client(void **state)
{
    enum { STRANGERS = 2000 };

    for (uint64_t key = 1; key <= keys(); key++) {
        struct town *t = open_town(key);
        struct addr victim = address(VICTIM);
        uint32_t next = 0;
        deliver(t, 0, &victim, 1);
        for (int i = 0; i < STRANGERS; i++) {
            struct addr a = colliding(t, &next);
            t->now += SECOND;
            offend(t, &a, 8);
        }
        assert_true(is_there(t, &victim));
        close_town(t);
    }
}

enum outcome { STAYS, WAITS, GONE };

static enum outcome state_of(const struct town *t)
{
    struct addr victim = address(VICTIM);
    struct ledger_key k = ledger_key_client(t->book, &victim);

    if (!is_there(t, &victim))
        return GONE;
    return ledger_reserve_state(t->book, &k, t->now) == RESERVE_HAS ? STAYS : WAITS;
}

/* The attacker's addresses deliver mail to so many mailboxes, once each, through a worker that the
 * kernel picks. Returns how many it takes until the victim has no reserved place; 0: all do not do
 * it. */
static unsigned good_mail_until_it_waits(uint64_t key, unsigned of_victim, unsigned mailboxes,
                                         unsigned workers, bool knows_key, unsigned most)
{
    struct town *t = open_town(key);
    struct addr victim = address(VICTIM);
    uint32_t next = 0;
    unsigned n = 0;

    deliver(t, 0, &victim, of_victim);
    while (n++ < most && state_of(t) == STAYS) {
        struct addr a = knows_key ? colliding(t, &next) : address(next++);
        t->now += SECOND;
        deliver(t, (unsigned)(mixed(key << 32 | n) % workers), &a, mailboxes);
    }
    bool waits = state_of(t) != STAYS;
    close_town(t);
    return waits ? n - 1 : 0;
}

static int by_number(const void *a, const void *b)
{
    const unsigned *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Of all keys; those that did not do it are sorted in as the most. */
struct tries {
    unsigned n[KEYS], failed;
};

static struct tries try_all_keys(unsigned of_victim, unsigned mailboxes, unsigned workers,
                                 bool knows_key)
{
    unsigned most = knows_key ? 100 : 16 * sets;
    struct tries all = {0};

    for (unsigned i = 0; i < keys(); i++) {
        unsigned n =
            good_mail_until_it_waits(i + 1, of_victim, mailboxes, workers, knows_key, most);
        all.failed += n == 0;
        all.n[i] = n ? n : most + 1;
    }
    qsort(all.n, keys(), sizeof all.n[0], by_number);
    print_message(
        "victim %2u mailboxes, attackers %2u, %u worker%s, %s: %u to %u, half of the keys "
        "%u; %u of %u keys: not with %u\n",
        of_victim, mailboxes, workers, workers > 1 ? "s" : "",
        knows_key ? "key known" : "key secret", all.n[0], all.n[keys() - 1], all.n[keys() / 2],
        all.failed, keys(), most);
    return all;
}

/* Each of the attacker's addresses delivers good mail to more mailboxes than the victim has: about as
 * many as the ledger has sets do it. */
static void test_good_mail_must_come_from_as_many_addresses_as_there_are_sets(void **state)
{
    for (unsigned workers = 1; workers <= WORKERS; workers++) {
        struct tries all = try_all_keys(1, 5, workers, false);
        assert_true(all.n[0] > sets / 8);
        assert_true(all.n[keys() / 2] > sets / 2);
    }
}

/* So it is the key that makes it so many. */
static void test_with_the_key_four_such_addresses_are_enough(void **state)
{
    for (unsigned workers = 1; workers <= WORKERS; workers++)
        assert_true(try_all_keys(1, 5, workers, true).n[keys() / 2] <= 6);
}

/* From LEDGER_LITTLE_GOOD on an entry makes no room for others of its worker, whatever they have. */
static void test_a_client_with_some_good_mail_stays_with_one_worker(void **state)
{
    assert_int_equal(try_all_keys(25, 5, 1, false).failed, keys());
    assert_int_equal(try_all_keys(25, 25, 1, false).failed, keys());
}

static void test_a_client_with_some_good_mail_stays_with_the_key_too(void **state)
{
    assert_int_equal(try_all_keys(25, 25, 1, true).failed, keys());
    try_all_keys(25, 25, 2, true);
}

static void test_a_client_with_some_good_mail_seldom_goes_with_two_workers(void **state)
{
    struct tries less = try_all_keys(25, 5, 2, false), same = try_all_keys(25, 25, 2, false);

    assert_true(less.n[0] > sets / 8 && less.failed >= keys() / 2);
    assert_true(same.n[0] > sets / 8);
}

/* ---- victims without good mail ---- */

enum { LEARNT = 16 };

/* A new client that has made a mistake, or comes back. */
static void enter(struct town *t, const struct addr *victim)
{
    if (!is_there(t, victim)) {
        struct ledger_key k = ledger_key_client(t->book, victim);
        ledger_add_offences(t->book, &k, &decay, t->now, 1);
    }
}

/* Feedback: the attacker comes with new addresses until the victim is gone, and then with the same
 * ones again to see which of them did it. Then it has some that collide, and needs few. */
static void test_feedback_takes_as_many_addresses_as_there_are_places(void **state)
{
    unsigned first[KEYS], learning[KEYS], again[KEYS];

    for (unsigned i = 0; i < keys(); i++) {
        struct town *t = open_town(i + 1);
        struct addr victim = address(VICTIM), learnt[LEARNT];
        unsigned n = 0, tries, known = 0;
        enter(t, &victim);
        for (n = 0; is_there(t, &victim); n++) {
            struct addr a = address(n);
            t->now += SECOND / 100;
            offend(t, &a, 2);
        }
        first[i] = n;
        for (tries = 0; tries < 4 * n && known < LEARNT; tries++) {
            struct addr a = address(tries % n);
            enter(t, &victim);
            t->now += SECOND / 100;
            offend(t, &a, 1);
            if (!is_there(t, &victim))
                learnt[known++] = a;
        }
        learning[i] = n + tries;
        unsigned gone = 0, used = 0;
        for (; gone < 10 && used < 1000; used++) {
            enter(t, &victim);
            t->now += SECOND / 100;
            offend(t, &learnt[used % known], 1);
            gone += !is_there(t, &victim);
        }
        again[i] = gone < 10 ? 1000 : used;
        close_town(t);
    }
    qsort(first, keys(), sizeof first[0], by_number);
    qsort(learning, keys(), sizeof learning[0], by_number);
    qsort(again, keys(), sizeof again[0], by_number);
    print_message(
        "of %u places: gone after %u to %u addresses, half of the keys %u; then learning, "
        "%u to %u in all, half %u; then 10 times with %u to %u\n",
        sets * LEDGER_WAYS, first[0], first[keys() - 1], first[keys() / 2], learning[0],
        learning[keys() - 1], learning[keys() / 2], again[0], again[keys() - 1]);
    assert_true(first[0] > sets * LEDGER_WAYS / 8);
    assert_true(first[keys() / 2] > sets * LEDGER_WAYS * 2 / 3);
}

/* ---- the attacker's own debts ---- */

/* Also when the attacker knows the key: what pushes out a debt is in as much debt itself. */
static void test_an_attacker_does_not_push_out_its_own_debt(void **state)
{
    for (uint64_t key = 1; key <= keys(); key++) {
        struct town *t = open_town(key);
        struct addr debtor = address(VICTIM);
        uint32_t next = 0;
        offend(t, &debtor, 3);
        for (int i = 0; i < 200; i++) {
            struct addr a = colliding(t, &next);
            t->now += SECOND;
            offend(t, &a, 2);
        }
        assert_true(is_there(t, &debtor));
        close_town(t);
    }
}

int main(void)
{
    const struct CMUnitTest without[] = {
        cmocka_unit_test(test_good_mail_must_come_from_as_many_addresses_as_there_are_sets),
        cmocka_unit_test(test_a_client_with_some_good_mail_stays_with_one_worker),
        cmocka_unit_test(test_a_client_with_some_good_mail_seldom_goes_with_two_workers),
        cmocka_unit_test(test_feedback_takes_as_many_addresses_as_there_are_places),
    };
    const struct CMUnitTest with[] = {
        cmocka_unit_test(test_strangers_never_push_out_a_good_client),
        cmocka_unit_test(test_with_the_key_four_such_addresses_are_enough),
        cmocka_unit_test(test_a_client_with_some_good_mail_stays_with_the_key_too),
        cmocka_unit_test(test_an_attacker_does_not_push_out_its_own_debt),
    };
    if (getenv("AIMED_SETS")) { /* it takes long to find what collides in a large ledger */
        sets = (uint32_t)strtoul(getenv("AIMED_SETS"), NULL, 10);
        return cmocka_run_group_tests_name("without the key", without, NULL, NULL);
    }
    return cmocka_run_group_tests_name("without the key", without, NULL, NULL) +
           cmocka_run_group_tests_name("with the key", with, NULL, NULL);
}
