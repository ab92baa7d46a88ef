/* Workers propose, the keeper disposes: a worker that only proposes decides like one that changes
 * the ledger itself; two workers never get one turn; and what a worker that was taken over can do is
 * bounded. The worker's ledger is mapped read-only here too, so any other write would be a fault. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config/config.h"
#include "tarpit/allowance.h"
#include "tarpit/ledger_amount.h"
#include "tarpit/ledger_disposal.h"
#include "tarpit/ledger_table.h"
#include "tarpit/policy.h"
#include "tarpit/tarpit.h"

#include "ledger_fixture.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, WORKERS = 2 };
#define T0 UINT64_C(1800000000000)

/* A keeper and its workers. */
struct office {
    char path[64];
    struct ledger *book;
    struct ledger *of[WORKERS];
    struct proposals *ring[WORKERS];
    struct turns *turns;
    struct disposal disposal[WORKERS];
    struct disposal_rules rules;
    uint64_t refused[3];
};

static void *page(size_t size)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(at != MAP_FAILED);
    return at;
}

static struct office *open_office_of(uint64_t size)
{
    struct office *o = calloc(1, sizeof *o);
    struct turns *turns = page(turns_size());
    int fd;

    o->turns = turns;

    snprintf(o->path, sizeof o->path, "/tmp/mired-proposals-XXXXXX");
    fd = mkstemp(o->path);
    assert_true(fd >= 0);
    close(fd);
    unlink(o->path);
    assert_int_equal(ledger_open(&o->book, o->path, size), 0);
    for (int i = 0; i < WORKERS; i++) {
        o->ring[i] = page(proposals_size());
        assert_int_equal(ledger_open(&o->of[i], o->path, size), 0);
        assert_int_equal(ledger_read_only(o->of[i]), 0);
        assert_int_equal(ledger_propose_to(o->of[i], o->ring[i], turns), 0);
    }
    o->rules.tarpit = config_default_rules();
    o->rules.raise_most = policy_most_trap(&o->rules.tarpit);
    return o;
}

static struct office *open_office(void)
{
    return open_office_of(1 << 22);
}

static void close_office(struct office *o)
{
    for (int i = 0; i < WORKERS; i++)
        ledger_close(o->of[i]);
    ledger_close(o->book);
    unlink(o->path);
    free(o);
}

/* The keeper does what there is. */
static void keep(struct office *o, uint64_t now)
{
    struct turns_round round = turns_begin_round(o->turns, 0);
    struct proposal p;

    for (int i = 0; i < WORKERS; i++) {
        while (proposals_read(o->ring[i], &p))
            o->refused[dispose(&o->disposal[i], o->book, &o->rules, &p, now)]++;
        proposals_finish(o->ring[i]);
    }
    turns_end_round(o->turns, round);
}

static struct ledger_decay decay(const struct office *o)
{
    return (struct ledger_decay){o->rules.tarpit.half_life, o->rules.tarpit.good_half_life};
}

static struct ledger_entry entry(const struct office *o, const struct ledger_key *k, uint64_t now)
{
    struct ledger_decay d = decay(o);
    struct ledger_entry e;
    ledger_get(o->book, k, &d, now, &e);
    return e;
}

/* What an attacker in worker 0 writes into its ring. */
static void say(struct office *o, const struct ledger_key *k, struct proposal p, uint64_t now)
{
    p.now = now;
    p.hash = k->hash;
    p.label = k->label;
    p.kind = k->kind;
    if (!proposals_write(o->ring[0], &p)) {
        keep(o, now);
        assert_true(proposals_write(o->ring[0], &p));
    }
}

static struct ledger_key client(const struct office *o, uint32_t n)
{
    struct addr a = {.family = ADDR_IP4};
    for (int i = 0; i < 4; i++)
        a.octets[i] = (uint8_t)(n >> (24 - 8 * i));
    return ledger_key_client(o->book, &a);
}

/* ---- the same as without a keeper ---- */

static uint32_t dice(uint64_t *seed, uint32_t sides)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33) % sides;
}

static const struct span users[] = {{"alice", 5}, {"bob", 3}, {"carol", 5}};

/* One thing that a worker does, by the dice; returns what it decided. */
static struct tarpit_hold act(struct tarpit *t, uint64_t *seed, uint64_t now)
{
    char text[32];
    snprintf(text, sizeof text, "192.0.2.%u", dice(seed, 6));
    struct addr a = addr(text);
    struct tarpit_who who = tarpit_who(t, &a, false);
    struct span user = dice(seed, 4) ? (struct span){0} : users[dice(seed, 3)];
    uint64_t mailbox = dice(seed, 40) * UINT64_C(0x9e3779b97f4a7c15);
    enum offence offence = dice(seed, 3) ? OFFENCE_RECIPIENT : OFFENCE_NONE;
    struct allowance_rules rules = {.per_hour = 50, .per_day = 200};
    struct allowance_who sender = {users[dice(seed, 3)], &a, false};

    if (dice(seed, 2))
        tarpit_sender(t, &who, dice(seed, 3) ? SPAN("example.org") : (struct span){0});
    switch (dice(seed, 10)) {
    case 0: tarpit_good(t, &who, &mailbox, 1, now); break;
    case 1: tarpit_gave_up(t, &who, 1000 + dice(seed, 90000), now); break;
    case 2:
        allowance_logged_in(t->ledger, &sender, now);
        tarpit_logged_in(t, &who, &a, sender.account, now);
        break;
    case 3: tarpit_greeted(t, &who, now); break;
    case 4: tarpit_suspect(t, &who, 3, now); break;
    case 5: {
        struct allowance_answer answer = allowance_take(t->ledger, &rules, &sender, now, 7);
        if (answer.limit == ALLOWANCE_FITS && dice(seed, 3) == 0)
            allowance_give(t->ledger, &rules, sender.account, answer.is_new, now, 2);
        return (struct tarpit_hold){.ms = answer.limit};
    }
    case 6:
        if (dice(seed, 20) == 0)
            offence = OFFENCE_TRAP; /* fall through */
    default: {
        struct tarpit_permit permit = tarpit_ask(t, &who, user, now);
        return tarpit_verdict(t, &who, user, &permit, offence, now);
    }
    }
    return (struct tarpit_hold){0};
}

static void same_entries(const struct office *o, const struct ledger *direct, uint64_t now)
{
    struct ledger_decay d = decay(o);
    struct ledger_key k;
    struct ledger_entry a, b;
    struct addr who;
    unsigned n = 0;

    for (uint64_t at = 0; ledger_next(direct, &at, &d, now, &k, &who, &a); n++) {
        ledger_get(o->book, &k, &d, now, &b);
        assert_true(fabs(a.offences - b.offences) < 1e-3 * (1 + a.offences));
        assert_true(fabs(a.good - b.good) < 1e-3 * (1 + a.good));
        assert_int_equal(a.turn_ms, b.turn_ms);
        assert_int_equal(a.debt_ms, b.debt_ms);
        assert_int_equal(a.delivered_ms, b.delivered_ms);
        assert_int_equal(a.pass_ms, b.pass_ms);
        assert_int_equal(a.patience_ms, b.patience_ms);
        assert_int_equal(a.flags, b.flags);
        assert_int_equal(a.paced, b.paced);
    }
    assert_true(n > 10);
    assert_int_equal(ledger_stats(direct).entries, ledger_stats(o->book).entries);
}

/* `together`: how many acts the keeper lets pass before it comes. */
static void compare(uint64_t seed, unsigned together, unsigned step_ms)
{
    struct office *o = open_office();
    struct ledger *direct = open_memory(1 << 22);
    uint64_t now = T0, a = seed, b = seed;

    direct->file.key = o->book->file.key;
    for (int i = 0; i < WORKERS; i++)
        o->of[i]->file.key = o->book->file.key;
    struct tarpit itself = {.rules = o->rules.tarpit, .ledger = direct};
    struct tarpit worker = {.rules = o->rules.tarpit, .ledger = o->of[0]};
    for (unsigned i = 0; i < 3000; i++) {
        struct tarpit_hold x = act(&itself, &a, now), y = act(&worker, &b, now);
        assert_int_equal(x.ms, y.ms);
        assert_int_equal(x.masked, y.masked);
        assert_int_equal(x.rule, y.rule);
        if (i % together == 0)
            keep(o, now);
        now += dice(&seed, step_ms);
    }
    keep(o, now);
    assert_int_equal(o->refused[DISPOSAL_WRONG], 0);
    assert_int_equal(o->refused[DISPOSAL_TOO_MANY], 0);
    same_entries(o, direct, now);
    ledger_close(direct);
    close_office(o);
}

static void test_a_worker_that_proposes_decides_like_one_that_writes(void **state)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        compare(seed, 1, 20 * SECOND);
        compare(seed + 100, 20, 4); /* the keeper is late: the worker knows what it has proposed */
    }
}

/* ---- turns ---- */

static void test_two_workers_never_get_the_same_turn(void **state)
{
    struct office *o = open_office();
    struct addr a = addr("192.0.2.7");
    uint64_t end = 0, n = 0;

    for (int i = 0; i < 40; i++) { /* at one moment, and the keeper sleeps */
        struct ledger *l = o->of[i % WORKERS];
        struct ledger_key k = ledger_key_client(l, &a);
        uint64_t begin = ledger_take_turn(l, &k, T0, 7000, T0 + 200 * SECOND);
        if (begin == 0)
            continue;
        assert_true(begin >= end);
        end = begin + 7000;
        n++;
    }
    assert_int_equal(n, 29); /* 0 s, 7 s, ... 196 s */
    keep(o, T0);
    struct ledger_key k = client(o, 0xc0000207);
    assert_int_equal(entry(o, &k, T0).turn_ms, end);
    /* ... and one that has a turn from the book alone */
    struct ledger_key other = client(o, 0xc0000208);
    ledger_take_turn(o->book, &other, T0, 9000, T0);
    assert_int_equal(ledger_take_turn(o->of[1], &other, T0, 9000, T0 + MINUTE), T0 + 9000);
    close_office(o);
}

/* Two workers deliver to one mailbox, and spend the same credit, before they see each other: no
 * reason to warn of them, and it counts once. */
static void test_two_true_workers_at_one_moment_are_no_attack(void **state)
{
    struct office *o = open_office();
    struct ledger_decay d = decay(o);
    struct addr a = addr("192.0.2.7");
    struct ledger_key k = client(o, 0xc0000207);
    uint64_t mailbox = UINT64_C(0x123456789abc);

    for (int i = 0; i < WORKERS; i++) {
        struct tarpit t = {.rules = o->rules.tarpit, .ledger = o->of[i]};
        struct tarpit_who who = tarpit_who(&t, &a, false);
        tarpit_good(&t, &who, &mailbox, 1, T0);
    }
    keep(o, T0);
    assert_true(fabs(entry(o, &k, T0).good - 1) < 0.01);
    ledger_add_good(o->book, &k, &d, T0, 9);
    for (int i = 0; i < WORKERS; i++) {
        ledger_add_offences_to(o->of[i], &k, &d, T0, 1, 60);
        assert_true(ledger_spend_good(o->of[i], &k, &d, T0, 0, 10) > 9.9);
        ledger_add_offences(o->of[i], &k, &d, T0, -1);
    }
    keep(o, T0);
    assert_true(entry(o, &k, T0).good < 0.01);
    assert_int_equal(o->refused[DISPOSAL_TOO_MANY] + o->refused[DISPOSAL_WRONG], 0);
    close_office(o);
}

/* ---- allowances ---- */

/* At one moment, while the keeper has booked nothing of it, or a part. */
static void test_two_workers_never_exceed_an_allowance(void **state)
{
    const struct ledger_rate rate = {100, HOUR};

    for (int often = 1; often <= 64; often *= 4) {
        struct office *o = open_office();
        struct ledger_key k = ledger_key_allowance(o->book, SPAN("alice"));
        int taken = 0;
        if (often > 1) { /* a worker that was taken over has written there */
            memset(o->turns, often > 4 ? 0xff : 0x5a, turns_size());
            keep(o, T0);
        }
        for (int i = 0; i < 400; i++) {
            taken += ledger_bucket_take(o->of[i * 7 / 3 % WORKERS], &k, BUCKET_HOUR, rate, T0, 1);
            if (i % often == often - 1 && i < 350)
                keep(o, T0);
        }
        assert_int_equal(taken, 100);
        ledger_bucket_give(o->of[0], &k, BUCKET_HOUR, rate, T0, 30);
        assert_true(ledger_bucket_take(o->of[1], &k, BUCKET_HOUR, rate, T0, 30));
        assert_false(ledger_bucket_take(o->of[0], &k, BUCKET_HOUR, rate, T0, 1));
        keep(o, T0);
        keep(o, T0);
        assert_true(fabs(ledger_bucket_level(o->book, &k, BUCKET_HOUR, rate, T0) - 100) < 0.1);
        assert_int_equal(o->refused[DISPOSAL_TOO_MANY] + o->refused[DISPOSAL_WRONG], 0);
        close_office(o);
    }
}

static void test_of_two_workers_one_finds_that_an_account_looks_stolen(void **state)
{
    struct office *o = open_office();
    struct ledger_key k = ledger_key_allowance(o->book, SPAN("alice"));
    unsigned networks = 0, found = 0, settled = 0;

    for (int i = 0; i < WORKERS; i++)
        settled += ledger_settle(o->of[i], &k, T0);
    assert_int_equal(settled, 1);
    for (uint64_t i = 0; i < 5000;
         i++) /* each network comes again and again: no flood of reports */
        networks = ledger_refused_from(o->of[i % WORKERS], &k, T0, i % 5 << 16);
    assert_int_equal(networks, 5);
    for (int i = 0; i < WORKERS; i++)
        found += ledger_looks_stolen(o->of[i], &k, T0, T0 + 7 * 24 * HOUR);
    assert_int_equal(found, 1);
    keep(o, T0);
    keep(o, T0);
    assert_true(ledger_signs(o->book, &k, T0).stolen_till > T0);
    assert_int_equal(o->refused[DISPOSAL_TOO_MANY] + o->refused[DISPOSAL_WRONG], 0);
    close_office(o);
}

/* After a power cut of a whole town. An account whose first network was not recorded would find that
 * network new for a day. */
static void test_each_of_many_first_logins_is_known_at_once(void **state)
{
    struct office *o = open_office_of(1 << 26); /* no set of it is full, whatever the key */
    _Atomic uint32_t logins = 0;
    struct addr a = addr("192.0.2.7");
    int known = 0, half = 0;

    o->disposal[0].logins = &logins;
    for (int i = 0; i < 7000; i++) {
        char name[32];
        struct allowance_who who = {
            {name, (size_t)snprintf(name, sizeof name, "user%d@example.org", i)}, &a, false};
        logins++;
        allowance_logged_in(o->of[0], &who, T0);
        if (i % 100 == 99)
            keep(o, T0);
    }
    for (int i = 0; i < 7000; i++) {
        char name[32];
        struct allowance_who who = {
            {name, (size_t)snprintf(name, sizeof name, "user%d@example.org", i)}, &a, false};
        struct ledger_key k = ledger_key_allowance(o->book, who.account);
        uint64_t from = allowance_known_from(o->book, &who, T0);
        known += from != 0 && from <= T0;
        half += ledger_signs(o->book, &k, T0).settled && (from == 0 || from > T0);
    }
    assert_true(known >= 5000); /* the others when they log in again */
    assert_int_equal(half, 0);
    close_office(o);
}

/* Workers use the account all the time, so the keeper is never done with it. */
static void test_a_busy_account_sees_a_release_and_the_fleet(void **state)
{
    const struct ledger_rate rate = {100, HOUR};
    struct office *o = open_office();
    struct ledger_key k = ledger_key_allowance(o->book, SPAN("alice"));
    uint64_t now = T0;

    assert_true(ledger_bucket_take(o->of[0], &k, BUCKET_HOUR, rate, now, 60));
    keep(o, now);
    assert_true(ledger_bucket_take(o->of[1], &k, BUCKET_HOUR, rate, now, 40));
    assert_false(ledger_bucket_take(o->of[0], &k, BUCKET_HOUR, rate, now, 1));
    ledger_forget(o->book, &k);
    assert_true(ledger_bucket_take(o->of[0], &k, BUCKET_HOUR, rate, now, 50));
    ledger_bucket_raise(o->book, &k, BUCKET_HOUR, rate, now, 80); /* as the fleet does */
    now += 200;
    assert_false(ledger_bucket_take(o->of[1], &k, BUCKET_HOUR, rate, now, 30));
    assert_true(ledger_bucket_take(o->of[0], &k, BUCKET_HOUR, rate, now, 20));
    close_office(o);
}

/* ---- the keeper is away ---- */

/* A process that claims has its mark from a clock that is up to date. A keeper that is 4 s behind
 * carries out what is 4 s old; to the mark this is no reason to be one of long ago, or of the
 * future. */
static void test_a_late_keeper_takes_no_place_that_another_process_claims(void **state)
{
    struct office *o = open_office_of(LEDGER_WAYS * 64);
    struct addr a = addr("192.0.2.7");
    struct ledger_key k = ledger_key_client(o->of[0], &a);
    struct ledger_decay d = decay(o);
    const uint64_t since = T0 + 5500, mark = since << 4 | 15;

    ledger_add_offences(o->of[0], &k, &d, T0, 2);
    for (uint64_t i = 0; i < o->book->sets * LEDGER_WAYS; i++)
        atomic_store(&o->book->slot[i].word[WORD_KEY], mark);
    keep(o, T0 + 4 * SECOND);
    for (uint64_t i = 0; i < o->book->sets * LEDGER_WAYS; i++)
        assert_int_equal(atomic_load(&o->book->slot[i].word[WORD_KEY]), mark);
    close_office(o);
}

static void test_without_a_keeper_nothing_is_booked_and_nothing_breaks(void **state)
{
    struct office *o = open_office();
    struct tarpit t = {.rules = o->rules.tarpit, .ledger = o->of[0]};
    uint64_t seed = 5;

    for (int i = 0; i < 60000; i++)
        act(&t, &seed, T0 + (uint64_t)i);
    assert_true(proposals_waiting(o->ring[0]) > 10000);
    keep(o, T0 + MINUTE);
    assert_int_equal(proposals_waiting(o->ring[0]), 0);
    assert_int_equal(o->refused[DISPOSAL_WRONG], 0);
    struct ledger_key k = client(o, 0xc6336401);
    struct ledger_decay d = decay(o);
    ledger_add_offences(o->of[0], &k, &d, T0 + MINUTE, 1); /* it is back */
    keep(o, T0 + MINUTE);
    assert_true(entry(o, &k, T0 + MINUTE).offences > 0.9);
    close_office(o);
}

/* A keeper that is late, as on a busy machine, makes no worker forget what it has booked. */
static void test_while_the_keeper_is_away_a_worker_knows_its_own_bookings(void **state)
{
    struct office *o = open_office();
    struct ledger_key k = client(o, 0xc6336402);
    struct ledger_decay d = decay(o);
    struct ledger_entry e;
    uint64_t now = T0;

    ledger_add_offences(o->of[0], &k, &d, now, 1);
    keep(o, now);
    for (int i = 2; i <= 30; i++) {
        now += 70;
        ledger_add_offences(o->of[0], &k, &d, now, 1);
        ledger_get(o->of[0], &k, &d, now, &e);
        assert_true(e.offences > i - 0.1);
    }
    keep(o, now);
    ledger_get(o->of[0], &k, &d, now, &e);
    assert_true(e.offences > 29.9 && entry(o, &k, now).offences > 29.9);
    /* Once it works again, what another worker books is seen after a moment. */
    ledger_add_offences(o->of[0], &k, &d, now, 1);
    ledger_add_offences(o->of[1], &k, &d, now, 5);
    keep(o, now);
    ledger_add_offences(o->of[0], &k, &d, now, 1);
    keep(o, now);
    ledger_get(o->of[0], &k, &d, now, &e);
    assert_true(e.offences > 36.8);
    close_office(o);
}

/* A record that stays says of the next message with the same octets that it was delivered. So its
 * withdrawal finds a place in the ring after any number of bookings, and is always done. */
static void test_a_flood_loses_no_withdrawal_of_a_record(void **state)
{
    struct office *o = open_office();
    struct ledger_key k = client(o, 0xc0000207);
    struct proposal record = {.op = PROPOSE_ELSE, .b = T0 + HOUR},
                    withdrawal = {.op = PROPOSE_ELSE};
    struct proposal booking = {
        .op = PROPOSE_TURN, .now = T0, .hash = k.hash, .label = k.label, .kind = k.kind};
    struct ledger_decay d = decay(o);

    while (proposals_write(o->ring[0], &booking))
        continue;
    ledger_add_offences(o->of[0], &k, &d, T0, 1); /* claims no place either */
    for (int i = 0; i < 2000; i++)
        assert_true(proposals_write(o->ring[0], &withdrawal));
    keep(o, T0);
    assert_int_equal(o->refused[DISPOSAL_TOO_MANY] + o->refused[DISPOSAL_WRONG], 0);

    for (unsigned i = 0; i < 50000; i++) {
        record.hash = withdrawal.hash = i + 1;
        dispose(&o->disposal[0], o->book, &o->rules, &record, T0);
        assert_int_equal(dispose(&o->disposal[0], o->book, &o->rules, &withdrawal, T0),
                         DISPOSAL_DONE);
    }
    close_office(o);
}

/* A keeper that hangs: no worker believes what one has withdrawn, until it is done. */
static void test_no_worker_believes_what_the_keeper_may_not_have_removed(void **state)
{
    struct office *o = open_office();
    struct proposal withdrawal = {.op = PROPOSE_ELSE};
    unsigned believed = 0;

    keep(o, T0);
    for (uint64_t key = 1; key <= 1000; key++)
        assert_true(turns_may_believe(o->turns, key));
    for (uint64_t key = 1; key <= 50; key++) {
        withdrawal.hash = key;
        assert_true(proposals_write(o->ring[key % WORKERS], &withdrawal));
        turns_withdraw(o->turns, 0, o->ring[key % WORKERS], key, false);
    }
    for (uint64_t key = 1; key <= 50; key++)
        assert_false(turns_may_believe(o->turns, key));
    for (uint64_t key = 51; key <= 1050; key++)
        believed += turns_may_believe(o->turns, key);
    assert_true(believed > 900);
    /* a round that had passed the ring before does not count */
    struct turns_round round = turns_begin_round(o->turns, 0);
    withdrawal.hash = 77777;
    assert_true(proposals_write(o->ring[0], &withdrawal));
    turns_withdraw(o->turns, 0, o->ring[0], 77777, false);
    turns_end_round(o->turns, round);
    assert_false(turns_may_believe(o->turns, 77777));
    keep(o, T0);
    for (uint64_t key = 1; key <= 50; key++)
        assert_true(turns_may_believe(o->turns, key));
    assert_true(turns_may_believe(o->turns, 77777));
    turns_withdraw(o->turns, 0, o->ring[0], 9, true); /* one that never came into the ring */
    keep(o, T0);
    assert_false(turns_may_believe(o->turns, 9));
    assert_true(turns_may_believe(NULL, 9));
    close_office(o);
}

/* After a reload, while workers of the generation before still end their messages. */
static void test_only_the_keeper_of_a_worker_removes_what_it_withdraws(void **state)
{
    struct office *o = open_office();
    struct proposal withdrawal = {.op = PROPOSE_ELSE, .hash = 7};
    enum { MANY = 100 };

    for (uint32_t before = 1; before < 8; before++)
        for (uint32_t after = before + 1; after < before + 8; after++) {
            assert_true(proposals_write(o->ring[0], &withdrawal));
            turns_withdraw(o->turns, before, o->ring[0], 7, false);
            for (int i = 0; i < MANY; i++)
                turns_end_round(o->turns, turns_begin_round(o->turns, after));
            assert_false(turns_may_believe(o->turns, 7));
            struct turns_round round = turns_begin_round(o->turns, before);
            while (proposals_read(o->ring[0], &withdrawal))
                continue;
            proposals_finish(o->ring[0]);
            turns_end_round(o->turns, round);
            assert_true(turns_may_believe(o->turns, 7));
        }
    close_office(o);
}

/* It has read a withdrawal and is killed. */
static void test_the_next_keeper_reads_again_what_the_last_had_read(void **state)
{
    struct office *o = open_office();
    struct proposal p = {.op = PROPOSE_ELSE};
    uint32_t at = 0;

    for (p.hash = 1; p.hash <= 5; p.hash++)
        assert_true(proposals_write(o->ring[0], &p));
    for (int i = 0; i < 3; i++)
        assert_true(proposals_read(o->ring[0], &p));
    for (uint64_t key = 1; key <= 3; key++) {
        assert_true(proposals_read_again(o->ring[0], &at, &p));
        assert_int_equal(p.hash, key);
    }
    assert_false(proposals_read_again(o->ring[0], &at, &p));
    proposals_finish(o->ring[0]);
    assert_true(proposals_read(o->ring[0], &p) && p.hash == 4);
    close_office(o);
}

/* It goes on without them; those that it writes later it waits for. */
static void test_the_keeper_knows_what_the_worker_waits_for(void **state)
{
    struct office *o = open_office();
    struct proposal p = {.op = PROPOSE_ELSE};

    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 3; i++)
            assert_true(proposals_write(o->ring[0], &p));
        for (int i = 0; i < 2; i++) {
            assert_true(proposals_read(o->ring[0], &p));
            assert_false(proposals_are_given_up(o->ring[0]));
        }
        proposals_give_up(o->ring[0]);
        assert_true(proposals_are_given_up(o->ring[0]));
        assert_true(proposals_write(o->ring[0], &p));
        assert_true(proposals_read(o->ring[0], &p));
        assert_true(proposals_are_given_up(o->ring[0]));
        assert_true(proposals_read(o->ring[0], &p));
        assert_false(proposals_are_given_up(o->ring[0]));
        proposals_finish(o->ring[0]);
    }
    close_office(o);
}

/* A worker with backends for two domains delivers 150 messages of 10 recipients a second: each
 * recipient is marked, recorded and forgotten. */
static void test_messages_for_several_backends_are_no_attack(void **state)
{
    struct office *o = open_office();

    for (uint64_t now = T0; now < T0 + MINUTE; now += SECOND)
        for (int i = 0; i < 150 * 10 * 3; i++)
            assert_int_equal(dispose(&o->disposal[0], o->book, &o->rules,
                                     &(struct proposal){.op = PROPOSE_ELSE,
                                                        .hash = (uint64_t)i + 1,
                                                        .b = i % 3 ? now + HOUR : 0},
                                     now),
                             DISPOSAL_DONE);
    close_office(o);
}

/* ---- a worker that was taken over ---- */

static void test_it_cannot_write_the_ledger(void **state)
{
    struct office *o = open_office();

    assert_int_equal(mprotect(o->of[0]->file.body, 4096, PROT_READ | PROT_WRITE), -1);
    close_office(o);
}

static void test_it_exempts_nobody_and_forgives_nothing(void **state)
{
    struct office *o = open_office();
    struct ledger_decay d = decay(o);
    struct ledger_key k = client(o, 0xc0000207), network, pair;
    struct addr a = addr("192.0.2.7");

    network = ledger_key_network(o->book, &a);
    pair = ledger_key_pair(o->book, &a, SPAN("example.org"));
    ledger_add_offences(o->book, &k, &d, T0, 30);
    const struct ledger_key *const keys[] = {&k, &network, &pair};
    for (size_t i = 0; i < 3; i++) {
        for (uint32_t set = 0; set < 256; set++)
            if (set & LEDGER_EXEMPT || set & LEDGER_KNOWN)
                say(o, keys[i], (struct proposal){.op = PROPOSE_FLAGS, .a = set}, T0);
        say(o, keys[i], (struct proposal){.op = PROPOSE_MARK, .a = LEDGER_EXEMPT}, T0);
        say(o, keys[i], (struct proposal){.op = PROPOSE_OFFENCES, .x = -30, .y = 100}, T0);
        say(o, keys[i], (struct proposal){.op = PROPOSE_OFFENCES, .x = NAN, .y = 100}, T0);
        say(o, keys[i], (struct proposal){.op = PROPOSE_RAISE, .x = -100}, T0);
        say(o, keys[i], (struct proposal){.op = PROPOSE_SPEND, .x = 1e9}, T0);
        say(o, keys[i], (struct proposal){.op = PROPOSE_GOOD, .x = 1e6}, T0);
        say(o, keys[i], (struct proposal){.op = PROPOSE_OFFENCES, .x = -30, .y = 100}, T0);
    }
    keep(o, T0);
    struct ledger_entry e = entry(o, &k, T0);
    assert_true(fabs(e.offences - 30) < 0.01);
    assert_int_equal(e.flags, 0);
    assert_true(e.good == 0);
    assert_int_equal(entry(o, &network, T0).flags, 0);
    assert_true(o->refused[DISPOSAL_WRONG] > 500);
    close_office(o);
}

/* Credit that one client has earned pays for nobody else's offences. */
static void test_credit_of_others_pays_for_nothing(void **state)
{
    struct office *o = open_office();
    struct ledger_decay d = decay(o);
    struct ledger_key rich = client(o, 0xcb007101), poor = client(o, 0xc0000207);

    ledger_add_good(o->book, &rich, &d, T0, 500);
    ledger_add_offences(o->book, &poor, &d, T0, 30);
    say(o, &rich, (struct proposal){.op = PROPOSE_SPEND, .x = 500}, T0);
    say(o, &poor, (struct proposal){.op = PROPOSE_OFFENCES, .x = -30, .y = 100}, T0);
    keep(o, T0);
    assert_true(fabs(entry(o, &poor, T0).offences - 30) < 0.01);
    close_office(o);
}

static unsigned in_debt(const struct office *o, uint32_t first, unsigned n, uint64_t now)
{
    unsigned in = 0;
    for (unsigned i = 0; i < n; i++) {
        struct ledger_key k = client(o, first + i);
        in += entry(o, &k, now).offences >= 0.5;
    }
    return in;
}

/* Everything that a liar can say of `n` innocents, for `seconds`. */
static void slander(struct office *o, uint32_t first, unsigned n, unsigned seconds)
{
    for (unsigned round = 0; round < 3; round++)
        for (unsigned i = 0; i < n; i++) {
            struct ledger_key k = client(o, first + i);
            uint64_t now = T0 + (uint64_t)(round * n + i) * seconds * SECOND / (3 * n);
            say(o, &k, (struct proposal){.op = PROPOSE_OFFENCES, .x = 8, .y = 1e9}, now);
            say(o, &k, (struct proposal){.op = PROPOSE_SPEND, .x = 1e9}, now);
            say(o, &k, (struct proposal){.op = PROPOSE_RAISE, .x = 1e9}, now);
            say(o, &k, (struct proposal){.op = PROPOSE_FLAGS, .a = LEDGER_TRAPPED}, now);
            say(o, &k, (struct proposal){.op = PROPOSE_DEBT, .a = now + HOUR}, now);
        }
    keep(o, T0 + seconds * SECOND);
}

struct harm {
    unsigned debt, shielded, trapped;
    double offences;
};

static struct harm harm_of(const struct office *o, uint32_t first, unsigned n, uint64_t now)
{
    struct harm h = {0};

    for (unsigned i = 0; i < n; i++) {
        struct ledger_key k = client(o, first + i);
        struct ledger_entry e = entry(o, &k, now);
        double debt = policy_debt(&o->rules.tarpit, e.offences, e.good);
        h.debt += debt >= 0.5;
        h.shielded += policy_shielded(&o->rules.tarpit, debt);
        h.trapped += (e.flags & LEDGER_TRAPPED) != 0;
        h.offences += e.offences;
        assert_true(e.debt_ms <= now + POLICY_TIME_MAX);
    }
    print_message("of %u clients %u are in debt, %u on the shield, %u trapped; %.0f offences\n", n,
                  h.debt, h.shielded, h.trapped, h.offences);
    return h;
}

/* R8: what they have lost is what their offences may cost. */
static void test_a_liar_harms_few_senders_of_good_mail(void **state)
{
    enum { INNOCENTS = 30000, SECONDS = 7 };
    struct office *o = open_office_of(1 << 26);
    struct ledger_decay d = decay(o);

    for (uint32_t i = 0; i < INNOCENTS; i++) {
        struct ledger_key k = client(o, 0x0a000000 + i);
        ledger_add_good(o->book, &k, &d, T0, 5);
        ledger_delivered(o->book, &k, T0);
    }
    slander(o, 0x0a000000, INNOCENTS, SECONDS);
    struct harm h = harm_of(o, 0x0a000000, INNOCENTS, T0 + SECONDS * SECOND);
    assert_true(h.debt <= (20000 + 1000 * SECONDS) / 5 + 1);
    assert_true(h.shielded <= (100000 + 5000 * SECONDS) / 45 + 1);
    assert_int_equal(h.trapped, 0);
    close_office(o);

    o = open_office_of(1 << 26); /* credit keeps a sender whose mail is known from all of it */
    for (uint32_t i = 0; i < 500; i++) {
        struct ledger_key k = client(o, 0x0a000000 + i);
        ledger_add_good(o->book, &k, &d, T0, 200);
        ledger_delivered(o->book, &k, T0);
    }
    for (uint32_t i = 0; i < 500; i++) {
        struct ledger_key k = client(o, 0x0a000000 + i);
        for (int n = 0; n < 20; n++)
            say(o, &k, (struct proposal){.op = PROPOSE_SPEND, .x = 1e9}, T0);
    }
    keep(o, T0);
    for (uint32_t i = 0; i < 500; i++) {
        struct ledger_key k = client(o, 0x0a000000 + i);
        assert_true(entry(o, &k, T0).good > 199);
    }
    close_office(o);
}

/* Offences that credit covers, as a large provider has them, are paid for once; also by an attacker
 * who books nothing more (a limit of 0) and has them paid for again, with the credit of the client or
 * of its correspondent. */
static void test_a_liar_spends_little_credit_without_offences(void **state)
{
    enum { PROVIDERS = 3000, TIMES = 40 };
    struct office *o = open_office_of(1 << 26);
    struct ledger_decay d = decay(o);
    double lost = 0, ratio = o->rules.tarpit.good_ratio;

    for (uint32_t i = 0; i < PROVIDERS; i++) {
        struct ledger_key k = client(o, 0x0a000000 + (i << 8));
        struct addr a = ledger_key_addr(&k);
        struct ledger_key pair = ledger_key_pair(o->book, &a, SPAN("example.org"));
        ledger_add_good(o->book, &k, &d, T0, 3000);
        ledger_add_good(o->book, &pair, &d, T0, 3000);
        ledger_delivered(o->book, &k, T0);
        ledger_add_offences(o->book, &k, &d, T0, 12);
        for (int n = 0; n < TIMES; n++) {
            say(o, &k, (struct proposal){.op = PROPOSE_OFFENCES, .x = 8, .y = 0}, T0);
            say(o, n % 2 ? &k : &pair, (struct proposal){.op = PROPOSE_SPEND, .x = 1e9}, T0);
        }
    }
    keep(o, T0);
    for (uint32_t i = 0; i < PROVIDERS; i++) {
        struct ledger_key k = client(o, 0x0a000000 + (i << 8));
        struct addr a = ledger_key_addr(&k);
        struct ledger_key pair = ledger_key_pair(o->book, &a, SPAN("example.org"));
        lost += 6000 - entry(o, &k, T0).good - entry(o, &pair, T0).good;
        assert_true(fabs(entry(o, &k, T0).offences - 12) < 0.01);
    }
    assert_true(lost > 0 && lost <= 2 * 20000 * ratio + PROVIDERS);
    assert_true(o->disposal[0].rate[DISPOSAL_CREDIT].refused > 0);
    close_office(o);
}

static void test_a_liar_brings_few_unknown_clients_to_the_shield(void **state)
{
    enum { INNOCENTS = 70000, SECONDS = 5 };
    struct office *o = open_office_of(1 << 26);

    slander(o, 0x0a000000, INNOCENTS, SECONDS);
    struct harm h = harm_of(o, 0x0a000000, INNOCENTS, T0 + SECONDS * SECOND);
    assert_true(h.shielded <= (100000 + 5000 * SECONDS) / 45 + 1);
    assert_true(h.trapped <= h.shielded);
    assert_true(h.offences <= DISPOSAL_SHALLOW * INNOCENTS + 100000 + 5000 * SECONDS + 1);
    assert_true(o->disposal[0].rate[DISPOSAL_DEEP].refused > 0);
    assert_int_equal(o->disposal[0].rate[DISPOSAL_NEW].refused, 0);
    close_office(o);
}

/* ---- an attack from outside, by true workers ---- */

/* `bots` clients ask both workers as often as they can, over many connections: at once, and then
 * every 20 s. Returns how many verdicts each of them hears. `direct`: without a keeper. */
static double storm(struct office *o, bool direct, unsigned bots, unsigned proven, unsigned seconds)
{
    enum { AT_ONCE = 8, EVERY_MS = 20 * SECOND };
    struct tarpit t[WORKERS];
    struct ledger_decay d = decay(o);
    uint64_t told = 0, asked = 0;

    for (int i = 0; i < WORKERS; i++)
        t[i] = (struct tarpit){.rules = o->rules.tarpit, .ledger = direct ? o->book : o->of[i]};
    for (uint32_t i = 0; i < proven; i++) {
        struct ledger_key k = client(o, 0x0a000000 + i * 257);
        ledger_delivered(o->book, &k, T0);
        ledger_add_good(o->book, &k, &d, T0, 1);
    }
    for (uint64_t ms = 0; ms < (uint64_t)seconds * SECOND; ms += EVERY_MS)
        for (unsigned round = 0; round < (ms ? 1 : AT_ONCE); round++)
            for (uint32_t i = 0; i < bots; i++) {
                uint64_t now =
                    T0 + ms +
                    (uint64_t)(round * bots + i) * EVERY_MS / ((uint64_t)bots * (ms ? 1 : AT_ONCE));
                struct ledger_key k = client(o, 0x0a000000 + i * 257); /* a network each */
                struct addr a = ledger_key_addr(&k);
                struct tarpit *at = &t[(i + round + ms / EVERY_MS) % WORKERS];
                struct tarpit_who who = tarpit_who(at, &a, false);
                tarpit_sender(at, &who, SPAN("example.org"));
                struct tarpit_permit permit = tarpit_ask(at, &who, (struct span){0}, now);
                struct tarpit_hold h =
                    tarpit_verdict(at, &who, (struct span){0}, &permit, OFFENCE_RECIPIENT, now);
                told += !h.masked;
                if (++asked % 64 == 0 && !direct)
                    keep(o, now);
            }
    return (double)told / bots;
}

/* The flood of a CI run that used up the limit of those days in a second, ten times over and faster:
 * 20,000 verdicts a second. */
static void test_a_flood_of_new_addresses_is_booked_whole(void **state)
{
    enum { BOTS = 50000 };
    struct office *o = open_office_of(1 << 26), *free_of_limits = open_office_of(1 << 26);
    double with = storm(o, false, BOTS, 0, 40), without = storm(free_of_limits, true, BOTS, 0, 40);

    print_message("new bots hear %.2f verdicts, without limits %.2f\n", with, without);
    assert_int_equal(o->refused[DISPOSAL_TOO_MANY] + o->refused[DISPOSAL_WRONG], 0);
    assert_true(with < without * 1.02);
    close_office(free_of_limits);
    close_office(o);

    o = open_office_of(1 << 26); /* through one worker, and all at one moment */
    for (uint32_t i = 0; i < 60000; i++) {
        struct addr a = {.family = ADDR_IP4,
                         .octets = {198, (uint8_t)(i >> 16), (uint8_t)(i >> 8)}};
        a.octets[3] = (uint8_t)i;
        struct tarpit t = {.rules = o->rules.tarpit, .ledger = o->of[0]};
        struct tarpit_who who = tarpit_who(&t, &a, false);
        struct tarpit_permit permit = tarpit_ask(&t, &who, (struct span){0}, T0);
        tarpit_verdict(&t, &who, (struct span){0}, &permit, OFFENCE_RECIPIENT, T0);
        if (i % 1000 == 0)
            keep(o, T0);
    }
    keep(o, T0);
    assert_int_equal(o->refused[DISPOSAL_TOO_MANY] + o->refused[DISPOSAL_WRONG], 0);
    close_office(o);
}

/* Such clients are a limit's price: those that have delivered mail pay a little less, and the keeper
 * tells people. */
static void test_a_flood_of_proven_clients_gains_little(void **state)
{
    enum { BOTS = 50000 };
    struct office *o = open_office_of(1 << 26), *free_of_limits = open_office_of(1 << 26);
    unsigned seconds = getenv("STORM") ? (unsigned)atoi(getenv("STORM")) : 60;
    double with = storm(o, false, BOTS, BOTS, seconds),
           without = storm(free_of_limits, true, BOTS, BOTS, seconds);

    print_message("proven bots hear %.2f verdicts, without limits %.2f\n", with, without);
    assert_int_equal(o->refused[DISPOSAL_WRONG], 0);
    assert_true(with < without + 2);
    close_office(free_of_limits);
    close_office(o);
}

/* A botnet's list has a trap in it. */
static void test_a_flood_into_a_trap_is_no_lie(void **state)
{
    enum { BOTS = 40000 };
    struct office *o = open_office_of(1 << 26);
    struct tarpit t = {.rules = o->rules.tarpit, .ledger = o->of[0]};

    for (uint32_t i = 0; i < BOTS; i++) {
        struct ledger_key k = client(o, 0x0a000000 + i * 257);
        struct addr a = ledger_key_addr(&k);
        struct tarpit_who who = tarpit_who(&t, &a, false);
        uint64_t now = T0 + i * (uint64_t)SECOND / 4000;
        struct tarpit_permit permit = tarpit_ask(&t, &who, (struct span){0}, now);
        tarpit_verdict(&t, &who, (struct span){0}, &permit, OFFENCE_TRAP, now);
        if (i % 100 == 0)
            keep(o, now);
    }
    keep(o, T0 + 10 * SECOND);
    unsigned paced = 0;
    for (uint32_t i = 0; i < BOTS; i++) {
        struct ledger_key k = client(o, 0x0a000000 + i * 257);
        paced += policy_paced(&o->rules.tarpit, entry(o, &k, T0 + 10 * SECOND).offences);
    }
    print_message("%u of %u are paced\n", paced, BOTS);
    assert_int_equal(paced, BOTS);
    for (int i = 0; i < DISPOSAL_RATE_COUNT; i++) {
        bool outside;
        disposal_about((enum disposal_rate)i, &outside);
        assert_true(outside || o->disposal[0].rate[i].refused == 0);
    }
    close_office(o);
}

/* The times in proposals are the worker's, and may go to and fro. */
static void test_no_rate_grows_with_false_times(void **state)
{
    struct office *o = open_office_of(1 << 26);
    const uint64_t now = T0 + MINUTE;

    for (uint32_t i = 0; i < 130000; i++) {
        struct ledger_key k = client(o, 0x0a000000 + i);
        uint64_t says = i % 2 ? now : now - LEDGER_SKEW_MS;
        say(o, &k, (struct proposal){.op = PROPOSE_OFFENCES, .x = 8, .y = 1e9}, says);
        if (i % 1000 == 0)
            keep(o, now);
    }
    keep(o, now);
    unsigned in = in_debt(o, 0x0a000000, 130000, now);
    print_message("of 130000 unknown clients %u are in debt after one moment\n", in);
    assert_true(in <= 100001);
    assert_true(o->disposal[0].rate[DISPOSAL_NEW].refused > 0);
    close_office(o);
}

static void test_false_credit_saturates(void **state)
{
    struct office *o = open_office();
    struct addr a = addr("192.0.2.7");
    struct ledger_key k = client(o, 0xc0000207), today = ledger_key_mailboxes(o->book, &a);

    for (uint64_t i = 0; i < 15000; i++) {
        say(o, &today, (struct proposal){.op = PROPOSE_EARN, .a = i * 0x9e3779b97f4a7c15}, T0);
        say(o, &k, (struct proposal){.op = PROPOSE_GOOD, .x = 1000}, T0);
    }
    keep(o, T0);
    assert_true(entry(o, &k, T0).good <= LEDGER_EARN_MOST);
    close_office(o);
}

/* A login is booked only after a right password; the clerks count these. */
static void test_no_network_is_known_without_a_password(void **state)
{
    struct office *o = open_office();
    _Atomic uint32_t logins = 0;
    struct addr a = addr("192.0.2.7");
    struct ledger_key k = ledger_key_account_network(o->book, SPAN("alice"), &a);

    o->disposal[0].logins = &logins;
    for (int i = 0; i < 100; i++) {
        say(o, &k, (struct proposal){.op = PROPOSE_LOGIN, .a = 1}, T0);
        say(o, &k, (struct proposal){.op = PROPOSE_FLAGS, .a = LEDGER_KNOWN}, T0);
    }
    keep(o, T0);
    assert_int_equal(ledger_login_since(o->book, &k), 0);
    assert_int_equal(o->disposal[0].rate[DISPOSAL_LOGIN].refused, 200); /* so the log tells it */
    logins = 1;
    say(o, &k, (struct proposal){.op = PROPOSE_LOGIN, .a = 1}, T0);
    keep(o, T0);
    assert_int_equal(ledger_login_since(o->book, &k), T0); /* new, not known at once */
    assert_int_equal(logins, 0);
    struct addr b = addr("198.51.100.7");
    struct ledger_key other = ledger_key_account_network(o->book, SPAN("alice"), &b);
    logins = 1;
    say(o, &other, (struct proposal){.op = PROPOSE_FLAGS, .a = LEDGER_KNOWN}, T0);
    keep(o, T0);
    assert_int_equal(ledger_login_since(o->book, &other), T0); /* nor by its flag alone */
    close_office(o);
}

static void test_buckets_are_emptied_by_nobody(void **state)
{
    struct office *o = open_office();
    struct ledger_key k = ledger_key_allowance(o->book, SPAN("alice"));
    struct ledger_rate rate = {100, HOUR};
    uint64_t b = UINT64_C(100) << 32 | 3600;

    ledger_bucket_take(o->book, &k, BUCKET_HOUR, rate, T0, 90);
    say(o, &k, (struct proposal){.op = PROPOSE_GIVE, .a = BUCKET_HOUR | 90 << 8, .b = b}, T0);
    say(o, &k, (struct proposal){.op = PROPOSE_GIVE, .a = 77 | 90 << 8, .b = b}, T0);
    say(o, &k, (struct proposal){.op = PROPOSE_TAKE, .a = BUCKET_HOUR | 1 << 8, .b = 1}, T0);
    keep(o, T0);
    assert_true(ledger_bucket_level(o->book, &k, BUCKET_HOUR, rate, T0) > 89.9);
    close_office(o);
}

/* A key word that is no key would be a claiming mark for ever; a label that is not the key's would
 * tell people and other members a wrong address. */
static void test_a_forged_key_is_no_key(void **state)
{
    struct office *o = open_office();
    struct ledger_key good = client(o, 0xc0000207), k;
    struct proposal p = {.op = PROPOSE_OFFENCES, .x = 1, .y = 10};

    for (uint64_t nibble = 0; nibble < 16; nibble++) {
        k = good;
        k.hash = (k.hash & ~UINT64_C(15)) | nibble;
        if (k.hash != good.hash && nibble != LEDGER_ACCOUNT)
            say(o, &k, p, T0);
    }
    k = good;
    k.label ^= 1;
    say(o, &k, p, T0);
    k = good;
    k.kind = LEDGER_NETWORK;
    say(o, &k, p, T0);
    keep(o, T0);
    assert_int_equal(o->refused[DISPOSAL_DONE], 0);
    assert_int_equal(ledger_stats(o->book).entries, 0);
    close_office(o);
}

static void test_random_octets_change_little(void **state)
{
    struct office *o = open_office();
    _Atomic uint32_t logins = 0;
    uint64_t seed = 99;
    struct proposal p;
    struct ledger_key k;
    struct ledger_entry e;
    struct ledger_decay d = decay(o);
    struct addr who;

    o->disposal[0].logins = &logins;
    for (int i = 0; i < 1000000; i++) {
        for (size_t n = 0; n < sizeof p / 4; n++)
            ((uint32_t *)(void *)&p)[n] = dice(&seed, UINT32_MAX);
        if (dice(&seed, 2))
            p.op = (uint8_t)dice(&seed, PROPOSE_COUNT);
        k = client(o, dice(&seed, 1000));
        if (dice(&seed, 2)) {
            p.hash = k.hash;
            p.label = k.label;
            p.kind = k.kind;
        }
        if (dice(&seed, 2))
            p.now = T0;
        if (p.op != PROPOSE_ELSE)
            dispose(&o->disposal[0], o->book, &o->rules, &p, T0 + (uint64_t)i);
    }
    uint64_t now = T0 + 1000000;
    for (uint64_t at = 0; ledger_next(o->book, &at, &d, now, &k, &who, &e);) {
        assert_int_equal(e.flags & (LEDGER_EXEMPT | LEDGER_KNOWN), 0);
        assert_true(e.offences >= 0 && e.offences <= 2 * policy_most_trap(&o->rules.tarpit) + 600);
        assert_true(e.good <= LEDGER_EARN_MOST * 2);
        assert_true(e.debt_ms <= now + POLICY_TIME_MAX && e.turn_ms <= now + LEDGER_HORIZON_MS);
    }
    close_office(o);
}

/* It may also write the numbers of its ring. The keeper goes on with the others and with it. */
static void test_wrong_numbers_in_a_ring(void **state)
{
    struct office *o = open_office();
    struct ledger_decay d = decay(o);
    struct ledger_key k = client(o, 0xc0000207);
    struct proposal p;
    unsigned n = 0;

    *(uint64_t *)o->ring[0] = UINT64_MAX / 2; /* how many it has written */
    assert_int_equal(proposals_waiting(o->ring[0]), 1 << 14);
    while (proposals_read(o->ring[0], &p))
        n++;
    assert_true(n <= 1 << 14);
    proposals_finish(o->ring[0]);
    *(uint64_t *)o->ring[0] = 3; /* back again */
    while (proposals_read(o->ring[0], &p))
        n++;
    assert_true(n <= 2 << 14);
    proposals_finish(o->ring[0]);
    ledger_add_offences(o->of[1], &k, &d, T0, 1);
    keep(o, T0);
    assert_true(entry(o, &k, T0).offences > 0.9);
    close_office(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_worker_that_proposes_decides_like_one_that_writes),
        cmocka_unit_test(test_two_workers_never_get_the_same_turn),
        cmocka_unit_test(test_two_true_workers_at_one_moment_are_no_attack),
        cmocka_unit_test(test_two_workers_never_exceed_an_allowance),
        cmocka_unit_test(test_of_two_workers_one_finds_that_an_account_looks_stolen),
        cmocka_unit_test(test_each_of_many_first_logins_is_known_at_once),
        cmocka_unit_test(test_a_busy_account_sees_a_release_and_the_fleet),
        cmocka_unit_test(test_without_a_keeper_nothing_is_booked_and_nothing_breaks),
        cmocka_unit_test(test_a_late_keeper_takes_no_place_that_another_process_claims),
        cmocka_unit_test(test_while_the_keeper_is_away_a_worker_knows_its_own_bookings),
        cmocka_unit_test(test_a_flood_loses_no_withdrawal_of_a_record),
        cmocka_unit_test(test_no_worker_believes_what_the_keeper_may_not_have_removed),
        cmocka_unit_test(test_only_the_keeper_of_a_worker_removes_what_it_withdraws),
        cmocka_unit_test(test_the_next_keeper_reads_again_what_the_last_had_read),
        cmocka_unit_test(test_the_keeper_knows_what_the_worker_waits_for),
        cmocka_unit_test(test_messages_for_several_backends_are_no_attack),
        cmocka_unit_test(test_it_cannot_write_the_ledger),
        cmocka_unit_test(test_it_exempts_nobody_and_forgives_nothing),
        cmocka_unit_test(test_credit_of_others_pays_for_nothing),
        cmocka_unit_test(test_a_liar_harms_few_senders_of_good_mail),
        cmocka_unit_test(test_a_liar_spends_little_credit_without_offences),
        cmocka_unit_test(test_a_liar_brings_few_unknown_clients_to_the_shield),
        cmocka_unit_test(test_a_flood_of_new_addresses_is_booked_whole),
        cmocka_unit_test(test_a_flood_of_proven_clients_gains_little),
        cmocka_unit_test(test_a_flood_into_a_trap_is_no_lie),
        cmocka_unit_test(test_no_rate_grows_with_false_times),
        cmocka_unit_test(test_false_credit_saturates),
        cmocka_unit_test(test_no_network_is_known_without_a_password),
        cmocka_unit_test(test_buckets_are_emptied_by_nobody),
        cmocka_unit_test(test_a_forged_key_is_no_key),
        cmocka_unit_test(test_random_octets_change_little),
        cmocka_unit_test(test_wrong_numbers_in_a_ring),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
