/* The ledger between processes: nothing is booked twice or lost, no two turns overlap, and a
 * process that is killed in the middle of a booking leaves nothing that another one would have to
 * wait for. */
#include <math.h>
#include <sched.h>
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

#include "tarpit/ledger_table.h"

#define T0 UINT64_C(1800000000000)
enum { HOUR = 3600000, CHILDREN_MAX = 4 };

static const struct ledger_decay never = {0, 0};

static void *shared(size_t size)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(at != MAP_FAILED);
    return at;
}

static struct ledger_key numbered(const struct ledger *l, uint32_t n)
{
    struct addr a = {.family = ADDR_IP4};
    memcpy(a.octets, &n, 4);
    return ledger_key_client(l, &a);
}

typedef void child_fn(struct ledger *l, void *arg, int which);

static pid_t start(child_fn *fn, struct ledger *l, void *arg, int which)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        fn(l, arg, which);
        _exit(0);
    }
    return pid;
}

static void run_together(child_fn *fn, struct ledger *l, void *arg, int count)
{
    pid_t pid[CHILDREN_MAX];
    for (int i = 0; i < count; i++)
        pid[i] = start(fn, l, arg, i);
    for (int i = 0; i < count; i++) {
        int status;
        assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
        assert_int_equal(status, 0);
    }
}

/* ---- turns ---- */

enum { TURNS = 5000, TURN_MS = 20, TURN_CHILDREN = 4 };

static void take_turns(struct ledger *l, void *arg, int which)
{
    uint64_t *begin = (uint64_t *)arg + (size_t)which * TURNS;
    struct ledger_key k = numbered(l, 7);
    for (int i = 0; i < TURNS; i++)
        begin[i] = ledger_take_turn(l, &k, T0, TURN_MS, T0 + HOUR);
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void test_p1_turns_taken_by_several_processes_follow_each_other_without_overlap(void **state)
{
    enum { ALL = TURNS * TURN_CHILDREN };
    struct ledger *l;
    uint64_t *begin = shared(ALL * sizeof *begin);
    assert_int_equal(ledger_open(&l, NULL, 1 << 16), 0);
    run_together(take_turns, l, begin, TURN_CHILDREN);
    qsort(begin, ALL, sizeof *begin, by_value);
    for (uint64_t i = 0; i < ALL; i++)
        assert_int_equal(begin[i], T0 + i * TURN_MS);
    munmap(begin, ALL * sizeof *begin);
    ledger_close(l);
}

/* ---- sums ---- */

enum { BOOKINGS = 20000, BOOKED_KEYS = 50 };

static void book_many(struct ledger *l, void *arg, int which)
{
    for (uint32_t i = 0; i < BOOKINGS; i++) {
        struct ledger_key k = numbered(l, (i * 7 + (uint32_t)which) % BOOKED_KEYS);
        ledger_add_offences(l, &k, &never, T0, 1);
        ledger_add_good(l, &k, &never, T0, 0.5);
    }
}

static void test_no_booking_of_several_processes_is_lost(void **state)
{
    struct ledger *l;
    struct ledger_entry e;
    double offences = 0, good = 0;
    assert_int_equal(ledger_open(&l, NULL, 1 << 16), 0);
    for (uint32_t i = 0; i < BOOKED_KEYS; i++) { /* claimed beforehand: claims race below */
        struct ledger_key k = numbered(l, i);
        ledger_set_patience(l, &k, T0, 1);
    }
    run_together(book_many, l, NULL, 4);
    for (uint32_t i = 0; i < BOOKED_KEYS; i++) {
        struct ledger_key k = numbered(l, i);
        assert_true(ledger_get(l, &k, &never, T0, &e));
        offences += e.offences;
        good += e.good;
    }
    assert_true(offences == 4.0 * BOOKINGS);
    assert_true(good == 2.0 * BOOKINGS);
    ledger_close(l);
}

/* ---- racing for a slot ---- */

enum { ROUNDS = 20000, RACERS = 2 };

struct race {
    _Atomic int at[RACERS];
    _Atomic int marks;
};

static void race_for_slots(struct ledger *l, void *arg, int which)
{
    struct race *race = arg;
    for (int i = 0; i < ROUNDS; i++) {
        struct ledger_key k = numbered(l, (uint32_t)i);
        atomic_store(&race->at[which], i + 1);
        while (atomic_load(&race->at[!which]) < i + 1)
            sched_yield();
        if (ledger_mark(l, &k, T0, LEDGER_SUSPECT, HOUR))
            atomic_fetch_add(&race->marks, 1);
        ledger_add_offences(l, &k, &never, T0, 1);
    }
}

/* Two slots for one key come about only when a claimer is off the processor in the middle of its
 * claim for longer than another one waits for it: hardly ever, and it costs a booking at most. */
static void test_two_processes_that_begin_the_same_entry_share_it(void **state)
{
    struct ledger *l;
    struct race *race = shared(sizeof *race);
    int lost = 0;
    assert_int_equal(ledger_open(&l, NULL, 32 << 20), 0);
    run_together(race_for_slots, l, race, RACERS);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        struct ledger_key k = numbered(l, i);
        struct ledger_entry e;
        assert_true(ledger_get(l, &k, &never, T0, &e));
        assert_true(e.offences <= RACERS);
        lost += e.offences < RACERS;
    }
    assert_true(lost <= ROUNDS / 1000);
    assert_true(atomic_load(&race->marks) >= ROUNDS);
    assert_true(atomic_load(&race->marks) <= ROUNDS + ROUNDS / 1000);
    assert_true(ledger_stats(l).entries <= ROUNDS + (uint64_t)lost);
    munmap(race, sizeof *race);
    ledger_close(l);
}

/* ---- kills ---- */

enum { KILLS = 1000, KILL_KEYS = 24, KILL_TURN_MS = 1 };

struct tally {
    _Atomic uint32_t begun[KILL_KEYS], done[KILL_KEYS];
    _Atomic uint32_t turns_begun[KILL_KEYS], turns_done[KILL_KEYS];
    _Atomic uint32_t running;
};

/* Books until it is killed: on keys of its own that stay, and through a crowd of others that are
 * evicted all the time, so that kills fall into claims as well. */
static void book_until_killed(struct ledger *l, void *arg, int which)
{
    struct tally *tally = arg;
    for (uint32_t i = (uint32_t)which * 7919;; i++) {
        uint32_t n = i % KILL_KEYS;
        struct ledger_key k = numbered(l, n), passing = numbered(l, 1000 + i % 4096);
        atomic_fetch_add(&tally->begun[n], 1);
        ledger_add_offences(l, &k, &never, T0, 1);
        atomic_fetch_add(&tally->done[n], 1);
        atomic_fetch_add(&tally->turns_begun[n], 1);
        ledger_take_turn(l, &k, T0, KILL_TURN_MS, T0 + HOUR);
        atomic_fetch_add(&tally->turns_done[n], 1);
        ledger_add_offences(l, &passing, &never, T0, 0.01);
        ledger_forget(l, &passing);
        atomic_store(&tally->running, 1);
    }
}

static void kill_at_random(struct ledger *l, struct tally *tally, int i)
{
    atomic_store(&tally->running, 0);
    pid_t pid = start(book_until_killed, l, tally, i);
    while (atomic_load(&tally->running) == 0)
        sched_yield();
    for (volatile int spin = rand() % 5000; spin > 0;)
        spin--;
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_a_thousand_kills_lose_one_booking_each_at_most(void **state)
{
    struct ledger *l;
    struct tally *tally = shared(sizeof *tally);
    assert_int_equal(ledger_open(&l, NULL, 8 * LEDGER_WAYS * 64), 0);
    for (uint32_t n = 0; n < KILL_KEYS; n++) {
        struct ledger_key k = numbered(l, n);
        ledger_exempt(l, &k, T0, 0); /* pins it: what is counted must not be evicted */
    }
    srand(4);
    for (int i = 0; i < KILLS; i++)
        kill_at_random(l, tally, i);
    for (uint32_t n = 0; n < KILL_KEYS; n++) {
        struct ledger_key k = numbered(l, n);
        struct ledger_entry e;
        if (!ledger_get(l, &k, &never, T0, &e))
            continue; /* more pinned ones than ways fell into its set */
        assert_true(e.offences >= atomic_load(&tally->done[n]));
        assert_true(e.offences <= atomic_load(&tally->begun[n]));
        assert_true(e.turn_ms >= T0 + (uint64_t)atomic_load(&tally->turns_done[n]) * KILL_TURN_MS);
        assert_true(e.turn_ms <= T0 + (uint64_t)atomic_load(&tally->turns_begun[n]) * KILL_TURN_MS);
    }
    munmap(tally, sizeof *tally);
    ledger_close(l);
}

/* Only claims: one set, every booking an eviction. */
static void claim_until_killed(struct ledger *l, void *arg, int which)
{
    struct tally *tally = arg;
    for (uint32_t i = (uint32_t)which * 7919;; i++) {
        struct ledger_key k = numbered(l, i);
        ledger_add_offences(l, &k, &never, T0, 1);
        atomic_store(&tally->running, 1);
    }
}

static void test_no_kill_leaves_a_lock(void **state)
{
    struct ledger *l;
    struct tally *tally = shared(sizeof *tally);
    int marks = 0;
    assert_int_equal(ledger_open(&l, NULL, LEDGER_WAYS * 64), 0);
    for (int i = 0; i < KILLS; i++) {
        atomic_store(&tally->running, 0);
        pid_t pid = start(claim_until_killed, l, tally, i);
        /* A child that finds all slots marked by the dead (time stands still here) goes on, too. */
        while (atomic_load(&tally->running) == 0)
            sched_yield();
        for (volatile int spin = rand() % 5000; spin > 0;)
            spin--;
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
    }
    for (int i = 0; i < LEDGER_WAYS; i++)
        marks += !ledger_in_use(atomic_load(&l->slot[i].word[WORD_KEY]));
    for (uint32_t i = 0; i < 100; i++) { /* a second later every slot is to be had again */
        struct ledger_key k = numbered(l, i);
        struct ledger_entry e;
        ledger_add_offences(l, &k, &never, T0 + LEDGER_CLAIM_MS + 1 + i, 1);
        assert_true(ledger_get(l, &k, &never, T0, &e));
        assert_true(e.offences == 1);
    }
    for (int i = 0; i < LEDGER_WAYS; i++)
        assert_true(ledger_in_use(atomic_load(&l->slot[i].word[WORD_KEY])));
    print_message("%d of %d slots were marked by killed claimers\n", marks, LEDGER_WAYS);
    munmap(tally, sizeof *tally);
    ledger_close(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            test_p1_turns_taken_by_several_processes_follow_each_other_without_overlap),
        cmocka_unit_test(test_no_booking_of_several_processes_is_lost),
        cmocka_unit_test(test_two_processes_that_begin_the_same_entry_share_it),
        cmocka_unit_test(test_a_thousand_kills_lose_one_booking_each_at_most),
        cmocka_unit_test(test_no_kill_leaves_a_lock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
