/* The table of accounts that workers share: the system may stop a worker between its change and its
 * proposal, and what it has taken is known to the others all the same. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "config/config.h"
#include "tarpit/allowance.h"
#include "tarpit/ledger_accounts.h"
#include "tarpit/ledger_disposal.h"

#include "ledger_fixture.h"

#define T0 UINT64_C(1800000000000)
enum { WORKERS = 3, SOON = 100, LATER = 1000 };

static void *page(size_t size)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(at != MAP_FAILED);
    return at;
}

static struct ledger_key account(const struct ledger *l, unsigned n)
{
    char name[32];
    snprintf(name, sizeof name, "joe%u", n);
    return ledger_key_allowance(l, span_of(name));
}

/* The keeper has nothing to do. */
static void round_of_the_keeper(struct accounts *a)
{
    atomic_store(&a->done, atomic_fetch_add(&a->round, 1) + 1);
}

static void set(struct ledger_slot *slot, const struct ledger_key *k, uint64_t value)
{
    atomic_store(&slot->word[WORD_OFFENCES], ledger_tag(k->hash) | value);
}

static uint64_t value(const struct ledger_slot *slot, const struct ledger_key *k)
{
    return ledger_payload(slot, WORD_OFFENCES, k->hash);
}

struct table {
    struct ledger *l;
    struct accounts *a;
};

static int setup(void **state)
{
    struct table *t = calloc(1, sizeof *t);
    t->l = open_memory(1 << 16);
    t->a = page(sizeof *t->a);
    for (int i = 0; i < 5; i++)
        round_of_the_keeper(t->a);
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    struct table *t = *state;
    ledger_close(t->l);
    munmap(t->a, sizeof *t->a);
    free(t);
    return 0;
}

static void test_a_change_that_is_not_yet_proposed_outlasts_rounds(void **state)
{
    struct table *t = *state;
    struct ledger_key k = account(t->l, 0);
    struct ledger_slot *slot = accounts_claim(t->a, t->l, &k, T0);

    assert_non_null(slot);
    set(slot, &k, 7);
    for (int i = 0; i < 100; i++)
        round_of_the_keeper(t->a);
    /* Another worker, before and after the first one proposes. */
    assert_ptr_equal(accounts_claim(t->a, t->l, &k, T0 + SOON), slot);
    assert_int_equal(value(slot, &k), 7);
    accounts_changed(t->a, k.hash);
    assert_ptr_equal(accounts_find(t->a, t->l, k.hash), slot);
    assert_ptr_equal(accounts_claim(t->a, t->l, &k, T0 + SOON), slot);
    assert_int_equal(value(slot, &k), 7);
}

static void test_later_the_ledger_is_read_again(void **state)
{
    struct table *t = *state;
    struct ledger_key k = account(t->l, 0);
    struct ledger_slot *slot = accounts_claim(t->a, t->l, &k, T0);

    set(slot, &k, 7);
    accounts_changed(t->a, k.hash);
    assert_int_equal(value(accounts_claim(t->a, t->l, &k, T0 + LATER), &k), 7); /* no round since */
    round_of_the_keeper(t->a);
    assert_null(accounts_find(t->a, t->l, k.hash));
    assert_int_equal(value(accounts_claim(t->a, t->l, &k, T0 + 2 * LATER), &k), 0);
}

static void test_a_release_ends_it_at_once(void **state)
{
    struct table *t = *state;
    struct ledger_key k = account(t->l, 0), other = account(t->l, 1);

    set(accounts_claim(t->a, t->l, &k, T0), &k, 7);
    ledger_settle(t->l, &other, T0);
    ledger_forget(t->l, &other);
    assert_int_equal(value(accounts_claim(t->a, t->l, &k, T0), &k), 0);
}

/* As the clock may be set by any step. */
static void test_a_claim_from_the_future_holds_nothing(void **state)
{
    struct table *t = *state;
    struct ledger_key k = account(t->l, 0);

    set(accounts_claim(t->a, t->l, &k, T0 + 24 * 3600 * UINT64_C(1000)), &k, 7);
    round_of_the_keeper(t->a);
    assert_int_equal(value(accounts_claim(t->a, t->l, &k, T0), &k), 0);
}

static void test_a_place_that_is_held_goes_to_no_other_account(void **state)
{
    struct table *t = *state;
    struct ledger_slot *slot[ACCOUNT_WAYS];
    struct ledger_key first = account(t->l, 0), k[ACCOUNT_WAYS + 1] = {first};
    unsigned found = 1;

    for (unsigned n = 1; found <= ACCOUNT_WAYS; n++) { /* of one set */
        k[found] = account(t->l, n);
        found += (k[found].hash >> 24) % ACCOUNT_SETS == (first.hash >> 24) % ACCOUNT_SETS;
    }
    for (unsigned i = 0; i < ACCOUNT_WAYS; i++) {
        slot[i] = accounts_claim(t->a, t->l, &k[i], T0);
        set(slot[i], &k[i], i + 1);
    }
    round_of_the_keeper(t->a);
    assert_null(accounts_claim(t->a, t->l, &k[ACCOUNT_WAYS], T0 + SOON));
    for (unsigned i = 0; i < ACCOUNT_WAYS; i++)
        assert_int_equal(value(slot[i], &k[i]), i + 1);
    assert_non_null(accounts_claim(t->a, t->l, &k[ACCOUNT_WAYS], T0 + LATER));
}

/* The system may stop it for as long as it likes. */
static void test_a_known_account_waits_for_no_worker_that_fills_a_place(void **state)
{
    struct table *t = *state;
    struct ledger_key k = account(t->l, 0);
    struct ledger_slot *slot = accounts_claim(t->a, t->l, &k, T0);

    set(slot, &k, 7);
    accounts_changed(t->a, k.hash);
    round_of_the_keeper(t->a);
    atomic_store(&t->a->filling[(k.hash >> 24) % ACCOUNT_SETS], T0 + LATER - 1);
    assert_ptr_equal(accounts_claim(t->a, t->l, &k, T0 + LATER), slot);
    assert_int_equal(value(slot, &k), 0);
    set(slot, &k, 1);
    round_of_the_keeper(t->a);
    assert_int_equal(value(accounts_claim(t->a, t->l, &k, T0 + LATER + SOON), &k), 1);
}

static void test_each_word_is_compared_with_the_ledgers_now_and_then(void **state)
{
    struct table *t = *state;
    struct ledger_key k = account(t->l, 0);

    ledger_settle(t->l, &k, T0);
    struct ledger_slot *slot = accounts_claim(t->a, t->l, &k, T0);
    for (enum ledger_word w = WORD_OFFENCES; w < WORD_COUNT; w++) {
        assert_null(accounts_compare(t->a, t->l, slot, w, k.hash, T0 + SOON - 1));
        assert_non_null(accounts_compare(t->a, t->l, slot, w, k.hash, T0 + SOON));
        assert_null(accounts_compare(t->a, t->l, slot, w, k.hash, T0 + SOON));
    }
}

/* ---- true processes, which the system stops where it likes ---- */

enum { ACCOUNTS = 400, MOST = 500 };

struct office {
    _Atomic unsigned begun, ended; /* accounts; and workers that are done with theirs */
    _Atomic uint32_t taken[ACCOUNTS];
};

static void send_all(struct office *o, struct ledger *l)
{
    struct allowance_rules r = {MOST, 0, false};
    struct addr home = addr("192.0.2.7");
    char name[32];

    for (unsigned n = 0; n < ACCOUNTS; n++) {
        struct allowance_who who = {.from = &home, .trusted = true};
        snprintf(name, sizeof name, "joe%u", n);
        who.account = span_of(name);
        while (atomic_load(&o->begun) <= n)
            sched_yield();
        while (allowance_take(l, &r, &who, clock_wall_ms(), 1).limit == ALLOWANCE_FITS)
            atomic_fetch_add(&o->taken[n], 1);
        atomic_fetch_add(&o->ended, 1);
    }
}

static void keep(struct ledger *book, struct proposals *const ring[WORKERS], struct turns *turns)
{
    static struct disposal desk[WORKERS];
    struct disposal_rules rules = {.tarpit = config_default_rules()};
    struct turns_round round = turns_begin_round(turns, 0);
    struct proposal p;

    for (int i = 0; i < WORKERS; i++) {
        while (proposals_read(ring[i], &p))
            dispose(&desk[i], book, &rules, &p, clock_wall_ms());
        proposals_finish(ring[i]);
    }
    turns_end_round(turns, round);
}

static void test_workers_on_a_busy_machine_never_exceed_an_allowance(void **state)
{
    char path[] = "/tmp/mired-accounts-XXXXXX";
    struct office *o = page(sizeof *o);
    struct turns *turns = page(turns_size());
    struct proposals *ring[WORKERS];
    struct ledger *book;
    pid_t pid[WORKERS];
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    close(fd);
    unlink(path);
    assert_int_equal(ledger_open(&book, path, 1 << 22), 0);
    for (int i = 0; i < WORKERS; i++) {
        struct ledger *l;
        ring[i] = page(proposals_size());
        assert_int_equal(ledger_open(&l, path, 1 << 22), 0);
        assert_int_equal(ledger_read_only(l), 0);
        assert_int_equal(ledger_propose_to(l, ring[i], turns), 0);
        pid[i] = fork();
        assert_true(pid[i] >= 0);
        if (pid[i] == 0) {
            send_all(o, l);
            _exit(0);
        }
        ledger_close(l);
    }
    for (unsigned n = 0; n < ACCOUNTS; n++) {
        atomic_store(&o->begun, n + 1);
        while (atomic_load(&o->ended) < WORKERS * (n + 1)) {
            keep(book, ring, turns);
            usleep(20);
        }
    }
    for (int i = 0; i < WORKERS; i++) {
        int status;
        waitpid(pid[i], &status, 0);
        assert_int_equal(status, 0);
    }
    for (unsigned n = 0; n < ACCOUNTS; n++)
        assert_int_equal(atomic_load(&o->taken[n]), MOST);
    ledger_close(book);
    unlink(path);
    munmap(o, sizeof *o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_change_that_is_not_yet_proposed_outlasts_rounds,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_later_the_ledger_is_read_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_release_ends_it_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_claim_from_the_future_holds_nothing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_place_that_is_held_goes_to_no_other_account, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_known_account_waits_for_no_worker_that_fills_a_place,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_each_word_is_compared_with_the_ledgers_now_and_then,
                                        setup, teardown),
        cmocka_unit_test(test_workers_on_a_busy_machine_never_exceed_an_allowance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
