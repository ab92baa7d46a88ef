/* Steady good mail: a delivery that changes nothing of an entry but its age is booked once a minute
 * (ledger_delivered(), ledger_earn()). So most messages of a busy sender cost neither a proposal nor
 * the keeper anything, and nothing that good mail has earned is lost for it. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config/config.h"
#include "tarpit/ledger_disposal.h"
#include "tarpit/ledger_proposals.h"
#include "tarpit/tarpit.h"

#include "ledger_fixture.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR, WORKERS = 2 };
#define T0 UINT64_C(1800000000000)

/* A keeper with its ledger, and two workers. */
struct keeping {
    char path[64];
    struct ledger *book;
    struct tarpit of[WORKERS];
    struct proposals *ring[WORKERS];
    struct disposal disposal[WORKERS];
    struct disposal_rules rules;
    struct tarpit_who who;
};

static int open_keeping(void **state)
{
    struct keeping *k = calloc(1, sizeof *k);
    struct addr a = addr("192.0.2.7");
    int fd;

    snprintf(k->path, sizeof k->path, "/tmp/mired-steady-XXXXXX");
    fd = mkstemp(k->path);
    assert_true(fd >= 0);
    close(fd);
    unlink(k->path);
    k->rules.tarpit = config_default_rules();
    assert_int_equal(ledger_open(&k->book, k->path, 1 << 20), 0);
    for (int i = 0; i < WORKERS; i++) {
        struct ledger *l;
        k->ring[i] =
            mmap(NULL, proposals_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        assert_true(k->ring[i] != MAP_FAILED);
        assert_int_equal(ledger_open(&l, k->path, 1 << 20), 0);
        assert_int_equal(ledger_read_only(l), 0);
        assert_int_equal(ledger_propose_to(l, k->ring[i], NULL), 0);
        k->of[i] = (struct tarpit){.rules = k->rules.tarpit, .ledger = l};
    }
    k->who = tarpit_who(&k->of[0], &a, false);
    tarpit_sender(&k->of[0], &k->who, SPAN("example.org"));
    *state = k;
    return 0;
}

static int teardown(void **state)
{
    struct keeping *k = *state;

    for (int i = 0; i < WORKERS; i++) {
        ledger_close(k->of[i].ledger);
        munmap(k->ring[i], proposals_size());
    }
    ledger_close(k->book);
    unlink(k->path);
    free(k);
    return 0;
}

/* Days of sketches begin at another time in each ledger. Here T0 is amid all of them. */
static bool is_midday(const struct keeping *k)
{
    struct addr a = addr("192.0.2.7");
    uint64_t hash[] = {ledger_key_mailboxes(k->book, &a).hash, k->who.pair};

    for (int i = 0; i < 2; i++) {
        uint64_t since = (T0 + hash[i] % DAY) % DAY;
        if (since < 2 * HOUR || since > 22 * HOUR)
            return false;
    }
    return true;
}

static int setup(void **state)
{
    int error = open_keeping(state);

    while (!error && !is_midday(*state)) {
        teardown(state);
        error = open_keeping(state);
    }
    return error;
}

/* The keeper does what there is; `lost`: it has read it and dies. */
static void keep(struct keeping *k, uint64_t now, bool lost)
{
    struct proposal p;

    for (int i = 0; i < WORKERS; i++) {
        while (proposals_read(k->ring[i], &p))
            if (!lost)
                assert_int_equal(dispose(&k->disposal[i], k->book, &k->rules, &p, now),
                                 DISPOSAL_DONE);
        proposals_finish(k->ring[i]);
    }
}

/* A message for this mailbox passes through a worker. Returns how many proposals it made. */
static uint64_t deliver(struct keeping *k, int worker, unsigned mailbox, uint64_t now)
{
    char text[32];
    struct span folded = {text, (size_t)snprintf(text, sizeof text, "box%u@example.net", mailbox)};
    uint64_t hash = tarpit_mailbox(&k->of[worker], folded);
    uint64_t before = proposals_waiting(k->ring[worker]);

    tarpit_good(&k->of[worker], &k->who, &hash, 1, now);
    return proposals_waiting(k->ring[worker]) - before;
}

static struct ledger_entry entry(const struct keeping *k, const struct ledger_key *of, uint64_t now)
{
    struct ledger_decay d = {k->rules.tarpit.half_life, k->rules.tarpit.good_half_life};
    struct ledger_entry e;

    ledger_get(k->book, of, &d, now, &e);
    return e;
}

static struct ledger_key client(const struct keeping *k)
{
    return (struct ledger_key){k->who.client, k->who.client_label, 0, LEDGER_CLIENT};
}

static struct ledger_key network(const struct keeping *k)
{
    return (struct ledger_key){k->who.network, k->who.network_label, 0, LEDGER_NETWORK};
}

static void test_the_next_message_for_a_mailbox_is_not_booked_again(void **state)
{
    struct keeping *k = *state;

    assert_true(deliver(k, 0, 1, T0) > 3);
    assert_int_equal(deliver(k, 0, 1, T0), 0); /* the keeper has not booked the first one yet */
    keep(k, T0, false);
    for (int s = 0; s < 59; s++)
        for (int i = 0; i < WORKERS; i++)
            assert_int_equal(deliver(k, i, 1, T0 + (uint64_t)s * SECOND), 0);
    uint64_t other = 0; /* mailboxes earn their credit; two of them may share a bit of the sketch */
    for (unsigned mailbox = 2; mailbox < 6; mailbox++)
        other += deliver(k, 1, mailbox, T0 + 59 * SECOND);
    assert_true(other > 0);
    keep(k, T0 + 59 * SECOND, false);
    struct ledger_key c = client(k);
    assert_true(entry(k, &c, T0 + 59 * SECOND).good > 1.9);
}

/* Nothing of what depends on an entry's age begins to fade more than a minute too early: neither
 * its strength, nor the last delivery. */
static void test_an_entry_looks_a_minute_older_at_most(void **state)
{
    static const uint32_t gap[] = {1, 700, 20 * SECOND, 59 * SECOND, 61 * SECOND, 9 * MINUTE, HOUR};
    struct keeping *k = *state;
    struct ledger_key c = client(k), n = network(k);
    uint64_t now = T0;

    for (unsigned i = 0; i < 20000; i++) {
        now += gap[i * 7 / 5 % (sizeof gap / sizeof *gap)] * (i % 3 ? 1 : 0);
        deliver(k, (int)(i % WORKERS), i % 5, now);
        if (i % 4)
            continue;
        keep(k, now, false);
        for (int j = 0; j < 2; j++) {
            struct ledger_entry e = entry(k, j ? &n : &c, now);
            assert_true(e.seen_ms + LEDGER_RECENT_MS + SECOND > now);
            assert_true(e.delivered_ms + 512 * SECOND >= now);
            assert_true(e.delivered_ms <= now);
        }
    }
}

static void test_a_delivery_is_booked_again_when_it_matters(void **state)
{
    struct keeping *k = *state;
    struct ledger_key c = client(k);
    uint64_t now = T0;

    deliver(k, 0, 1, now);
    keep(k, now, true); /* the keeper dies */
    assert_true(deliver(k, 0, 1, now) > 3);
    keep(k, now, false);
    assert_int_equal(deliver(k, 0, 1, now), 0);
    ledger_forget(k->book, &c); /* `mirectl forget` */
    assert_int_equal(deliver(k, 0, 1, now), 1);
    keep(k, now, false);
    assert_true(entry(k, &c, now).delivered_ms > 0);
    now += MINUTE;
    assert_int_equal(deliver(k, 0, 1, now), 3); /* the age of all three entries */
    keep(k, now, false);
    assert_int_equal(deliver(k, 0, 1, now), 0);
    now -= HOUR; /* the clock was set back */
    assert_true(deliver(k, 0, 1, now) > 0);
    keep(k, now, false);
    assert_int_equal(deliver(k, 0, 1, now), 0);
    now += DAY; /* another day of the sketch */
    assert_true(deliver(k, 0, 1, now) > 3);
}

/* The sketch of a busy sender's mailboxes is kept to the end of its day, although its age lags: what
 * begins the day is booked at once. */
static void test_no_mailbox_earns_twice_a_day(void **state)
{
    struct keeping *k = *state;
    struct ledger_key c = client(k);
    struct addr a = addr("192.0.2.7");
    struct ledger_key today = ledger_key_mailboxes(k->book, &a);
    uint64_t day = DAY, begins = T0 - (T0 + today.hash % day) % day + day;
    double good = 0;

    for (uint64_t now = begins; now < begins + DAY; now += 20 * SECOND) {
        deliver(k, 0, 1, now);
        keep(k, now, false);
        if (now == begins)
            good = entry(k, &c, now).good;
        assert_true(entry(k, &c, now).good <= good);
    }
    deliver(k, 0, 1, begins + DAY);
    keep(k, begins + DAY, false);
    assert_true(entry(k, &c, begins + DAY).good > good);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_the_next_message_for_a_mailbox_is_not_booked_again),
        TEST(test_an_entry_looks_a_minute_older_at_most),
        TEST(test_a_delivery_is_booked_again_when_it_matters),
        TEST(test_no_mailbox_earns_twice_a_day),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
