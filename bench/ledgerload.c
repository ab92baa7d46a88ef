/* ledgerload: what a look-up and a booking cost in a full ledger that other processes write to as
 * well.
 *
 *   ledgerload [-n ENTRIES] [-j PROCESSES] [-t SECONDS] [-s SIZE_FACTOR]
 *
 * Fills a ledger (memory only) with clients, then lets PROCESSES do one kind of operation at a
 * time, each on clients drawn at random, for SECONDS. Keys are made beforehand, as a connection
 * makes its own once; their making is measured apart. Prints one line of JSON: ns for each, on the
 * wall clock of one process. */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/loop.h"
#include "options.h"
#include "tarpit/ledger.h"
#include "tarpit/ledger_proposals.h"

/* LOOK_UP and BOOK go as in a worker whose loop has a group of events: each wants two entries, a
 * client's and its network's, and all are expected before the first is handled. LOOK_UP_PAIR and
 * BOOK_PROPOSED: as a worker books, by a proposal, which a keeper carries out meanwhile. BOOK_PAIR:
 * an event alone. The others: one entry after the other, none expected. */
enum operation {
    LOOK_UP,
    BOOK,
    BOOK_PROPOSED,
    LOOK_UP_PAIR,
    BOOK_PAIR,
    LOOK_UP_ALONE,
    BOOK_ALONE,
    TAKE_TURN,
    MAKE_KEY,
    READ_LINE,
    CHANGE_LINE,
    OPERATIONS
};

enum { RINGS_MOST = 256 };
enum { GROUP = 2 * LOOP_GROUP, AT_ONCE = 128 * GROUP, WARMING_UP = 125000 * GROUP };

static struct {
    long entries, processes, seconds;
    double size_factor;
} o = {.entries = 10000000, .processes = 2, .seconds = 3, .size_factor = 2};

static const struct ledger_decay decay = {.half_life = 3600000, .good_half_life = 7 * 86400000ull};
static struct ledger *ledger;
static struct ledger_key *keys;
static uint64_t size; /* of the ledger */
static _Atomic uint64_t *plain;
static uint64_t now;
static struct proposals *ring[RINGS_MOST];
static volatile uint64_t sink; /* keeps what is measured from being optimised away */

struct result {
    _Atomic uint64_t operations, nanoseconds;
};

static struct addr client(uint64_t i)
{
    struct addr a = {.family = ADDR_IP4};
    uint32_t number = 0x0b000000u + (uint32_t)i;

    for (int k = 0; k < 4; k++)
        a.octets[k] = (uint8_t)(number >> (24 - 8 * k));
    return a;
}

static void shuffle_keys(void)
{
    uint64_t seed = 0x9e3779b97f4a7c15;

    for (uint64_t i = o.entries - 1; i > 0; i--) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        struct ledger_key key = keys[i];
        keys[i] = keys[seed % (i + 1)];
        keys[seed % (i + 1)] = key;
    }
}

static uint64_t cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* The place in plain memory of the ledger's size that stands for the key's entry. */
static _Atomic uint64_t *line_of(const struct ledger_key *key)
{
    return plain + (key->hash >> 8) % (size / 64) * (64 / sizeof *plain);
}

static void do_one(enum operation what, uint64_t i)
{
    struct ledger_entry entry;
    struct addr a;

    switch (what) {
    case LOOK_UP:
    case LOOK_UP_PAIR:
    case LOOK_UP_ALONE: ledger_get(ledger, &keys[i], &decay, now, &entry); break;
    case BOOK:
    case BOOK_PAIR:
    case BOOK_PROPOSED:
    case BOOK_ALONE: ledger_add_offences(ledger, &keys[i], &decay, now, 1.0); break;
    case TAKE_TURN: ledger_take_turn(ledger, &keys[i], now, 1, UINT64_MAX); break;
    case READ_LINE: sink = *line_of(&keys[i + sink]); break; /* a zero, but one to wait for */
    case CHANGE_LINE: atomic_fetch_add(line_of(&keys[i]), 1); break;
    default:
        a = client(i);
        sink = ledger_key_client(ledger, &a).hash;
        break;
    }
}

static uint64_t after(uint64_t at, uint64_t n)
{
    uint64_t entries = (uint64_t)o.entries;
    return at + n < entries ? at + n : at + n - entries;
}

/* The two entries of the event that begins with client `at`. */
static void expect(uint64_t at)
{
    ledger_prefetch(ledger, &keys[at]);
    ledger_prefetch(ledger, &keys[after(at, 1)]);
}

static void do_two(enum operation what, uint64_t at)
{
    do_one(what, at);
    do_one(what, after(at, 1));
}

/* Does `n` operations (whole groups) from client `at` on, and returns where it stopped. */
static uint64_t do_some(enum operation what, uint64_t at, uint64_t n)
{
    bool together = what == LOOK_UP || what == BOOK || what == BOOK_PROPOSED;
    bool in_pairs = what == LOOK_UP_PAIR || what == BOOK_PAIR;

    for (; n; n -= GROUP) {
        for (uint64_t i = 0; together && i < GROUP; i += 2)
            expect(after(at, i));
        for (uint64_t i = 0; i < GROUP; i += 2) {
            if (in_pairs)
                expect(after(at, i));
            do_two(what, after(at, i));
        }
        at = after(at, GROUP);
    }
    return at;
}

/* Carries out what the processes propose, until it is killed. */
static void keep(void)
{
    struct proposal p;

    for (;;)
        for (int i = 0; i < o.processes; i++) {
            while (proposals_read(ring[i], &p))
                ledger_add_offences(ledger, &(struct ledger_key){p.hash, p.label, p.common, p.kind},
                                    &decay, p.now, p.x);
            proposals_finish(ring[i]);
        }
}

static void work_with_keeper(int index, struct result *result)
{
    uint64_t at = o.entries / (uint64_t)o.processes * (uint64_t)index, end;

    if (ledger_propose_to(ledger, ring[index], NULL) < 0)
        return;
    end = clock_mono_us() + (uint64_t)o.seconds * 1000000;
    while (clock_mono_us() < end) {
        uint64_t begin = cpu_ns();
        at = do_some(BOOK_PROPOSED, at, AT_ONCE);
        result->nanoseconds += cpu_ns() - begin;
        result->operations += AT_ONCE;
        while (!proposals_are_done(ring[index])) /* the keeper, which others wait for too */
            usleep(100);
    }
}

static void work(enum operation what, int index, struct result *result)
{
    uint64_t at = o.entries / (uint64_t)o.processes * (uint64_t)index, n = 0;

    /* A new process has to map each page first; workers live long and have them all. */
    at = do_some(what, at, o.entries < WARMING_UP ? o.entries / GROUP * GROUP : WARMING_UP);
    uint64_t begin = cpu_ns(), end = clock_mono_us() + (uint64_t)o.seconds * 1000000;
    for (; clock_mono_us() < end; n += AT_ONCE)
        at = do_some(what, at, AT_ONCE);
    result->operations += n;
    result->nanoseconds += cpu_ns() - begin;
}

/* All processes at once; the mean time of one operation in one of them. */
static double measure(enum operation what, struct result *result)
{
    for (int i = 0; i < o.processes; i++) {
        if (fork() == 0) {
            if (what == BOOK_PROPOSED) {
                work_with_keeper(i, &result[what]);
                _exit(0);
            }
            work(what, i, &result[what]);
            _exit(0);
        }
    }
    pid_t keeper = what == BOOK_PROPOSED ? fork() : -1;
    if (keeper == 0)
        keep();
    for (int i = 0; i < o.processes; i++)
        if (wait(NULL) == keeper)
            i--;
    if (keeper > 0) {
        kill(keeper, SIGKILL);
        waitpid(keeper, NULL, 0);
    }
    return (double)result[what].nanoseconds / (double)result[what].operations;
}

static const struct option_row rows[] = {{'n', OPTION_COUNT, "ENTRIES", &o.entries, 1},
                                         {'j', OPTION_COUNT, "PROCESSES", &o.processes, 1},
                                         {'t', OPTION_COUNT, "SECONDS", &o.seconds, 1},
                                         {'s', OPTION_NUMBER, "SIZE_FACTOR", &o.size_factor, 0.01},
                                         {0}};

int main(int argc, char **argv)
{
    struct result *result = mmap(NULL, OPERATIONS * sizeof *result, PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (!options_read(argc, argv, rows, NULL))
        return 2;
    size = (uint64_t)((double)o.entries * 64 * o.size_factor);
    plain = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    keys = malloc(o.entries * sizeof *keys);
    for (int i = 0; i < o.processes && i < RINGS_MOST; i++)
        ring[i] =
            mmap(NULL, proposals_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int error = ledger_open(&ledger, NULL, size);
    if (result == MAP_FAILED || plain == MAP_FAILED || !keys || error) {
        fprintf(stderr, "ledgerload: no memory\n");
        return 1;
    }
    now = clock_wall_ms();
    for (long i = 0; i < o.entries; i++) {
        struct addr a = client(i);
        keys[i] = ledger_key_client(ledger, &a);
        ledger_add_offences(ledger, &keys[i], &decay, now, 1.0);
    }
    shuffle_keys();
    struct ledger_stats stats = ledger_stats(ledger);
    double ns[OPERATIONS];
    for (int what = 0; what < OPERATIONS; what++)
        ns[what] = measure((enum operation)what, result);
    printf("{\"asked\":%ld,\"entries\":%lu,\"evictions\":%lu,\"capacity\":%lu,\"bytes\":%lu,"
           "\"processes\":%ld,"
           "\"look_up_ns\":%.1f,\"book_ns\":%.1f,\"propose_ns\":%.1f,\"look_up_pair_ns\":%.1f,"
           "\"book_pair_ns\":%.1f,"
           "\"look_up_alone_ns\":%.1f,\"book_alone_ns\":%.1f,"
           "\"turn_ns\":%.1f,\"key_ns\":%.1f,"
           "\"read_line_ns\":%.1f,\"change_line_ns\":%.1f}\n",
           o.entries, stats.entries, stats.evictions, stats.capacity, size, o.processes,
           ns[LOOK_UP], ns[BOOK], ns[BOOK_PROPOSED], ns[LOOK_UP_PAIR], ns[BOOK_PAIR],
           ns[LOOK_UP_ALONE], ns[BOOK_ALONE], ns[TAKE_TURN], ns[MAKE_KEY], ns[READ_LINE],
           ns[CHANGE_LINE]);
    ledger_close(ledger);
    return 0;
}
