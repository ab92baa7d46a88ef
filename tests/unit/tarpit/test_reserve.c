/* The reserved places of the ledger, in virtual time: a worker that was taken over claims whatever
 * has such a place, as fast as the keeper takes it, for a minute and for five weeks. Those that have
 * delivered through the other worker stay known, and so do those that come meanwhile, also when a
 * million strangers come after it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "tarpit/ledger_allowance.h"
#include "tarpit/ledger_disposal.h"
#include "tarpit/ledger_reserve.h"
#include "tarpit/policy.h"

#include "effort.h"
#include "ledger_fixture.h"

enum { SECOND = 1000, HOUR = 3600 * SECOND, DAY = 24 * HOUR, DAYS = 35 };
enum { LEDGER_SIZE = 64 << 20, INNOCENTS = 2000, CREDIT = 50, STRANGERS = 1000000 };
enum { TAKEN_OVER, HONEST, WORKERS };
#define T0 UINT64_C(1800000000000)

struct office {
    struct ledger *book;
    struct disposal disposal[WORKERS];
    struct disposal_rules rules;
    uint64_t done, wrong;
    uint64_t seed; /* of what the attacker invents */
};

static struct office *open_office(void)
{
    struct office *o = calloc(1, sizeof *o);

    o->book = open_memory(LEDGER_SIZE);
    o->rules.tarpit = config_default_rules();
    o->rules.raise_most = policy_most_trap(&o->rules.tarpit);
    for (unsigned i = 0; i < WORKERS; i++)
        o->disposal[i].maker = i + 1;
    o->seed = 7;
    return o;
}

static void close_office(struct office *o)
{
    ledger_close(o->book);
    free(o);
}

static enum disposal_result say(struct office *o, int worker, const struct ledger_key *k,
                                struct proposal p, uint64_t now)
{
    p.now = now;
    p.hash = k->hash;
    p.label = k->label;
    p.kind = k->kind;
    enum disposal_result r = dispose(&o->disposal[worker], o->book, &o->rules, &p, now);
    o->done += r == DISPOSAL_DONE;
    o->wrong += r == DISPOSAL_WRONG;
    return r;
}

static uint64_t dice(struct office *o)
{
    uint64_t z = o->seed += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static struct addr address(uint32_t n)
{
    struct addr a = {.family = ADDR_IP4};

    for (int i = 0; i < 4; i++)
        a.octets[i] = (uint8_t)(n >> (24 - 8 * i));
    return a;
}

/* ---- good clients ---- */

/* Each in a network of its own. */
static struct addr innocent(unsigned n)
{
    return address(0x0a000000 + n * 257);
}

/* What a worker proposes for mail to so many mailboxes, whatever the keeper says. True if all of it was
 * booked. */
static bool deliver(struct office *o, int worker, const struct addr *a, unsigned mailboxes,
                    uint64_t now)
{
    struct ledger_key client = ledger_key_client(o->book, a),
                      network = ledger_key_network(o->book, a),
                      today = ledger_key_mailboxes(o->book, a),
                      pair = ledger_key_pair(o->book, a, SPAN("example.org"));
    const struct ledger_key *const of[] = {&client, &network, &pair};
    bool all = true;

    for (uint64_t i = 0; i < mailboxes; i++) {
        struct proposal earn = {.op = PROPOSE_EARN, .a = (i + 1) << 16};
        all = say(o, worker, &today, earn, now) == DISPOSAL_DONE && all;
        all = say(o, worker, &pair, earn, now) == DISPOSAL_DONE && all;
    }
    for (int i = 0; i < 3; i++) {
        struct proposal good = {.op = PROPOSE_GOOD, .x = mailboxes * 2},
                        delivered = {.op = PROPOSE_DELIVERED};
        all = say(o, worker, of[i], good, now) == DISPOSAL_DONE && all;
        if (of[i] != &pair)
            all = say(o, worker, of[i], delivered, now) == DISPOSAL_DONE && all;
    }
    return all;
}

static unsigned known(const struct office *o, unsigned first, unsigned n, uint64_t now)
{
    const struct ledger_decay d = {0};
    unsigned found = 0;

    for (unsigned i = first; i < first + n; i++) {
        struct addr a = innocent(i);
        struct ledger_key k = ledger_key_client(o->book, &a);
        struct ledger_entry e;
        ledger_get(o->book, &k, &d, now, &e);
        found += e.good >= CREDIT * 0.9 && e.delivered_ms;
    }
    return found;
}

/* Strangers, who are in debt just now. No worker limits them. */
static void come(struct office *o, uint32_t first, unsigned n, uint64_t now)
{
    const struct ledger_decay d = {HOUR, 30 * (uint64_t)DAY};

    for (uint32_t i = 0; i < n; i++) {
        struct addr a = address(0x80000000 + first + i);
        struct ledger_key k = ledger_key_client(o->book, &a);
        ledger_add_offences(o->book, &k, &d, now, 8);
        ledger_set_debt(o->book, &k, now, now + 1800 * SECOND);
    }
}

/* ---- attacks ---- */

static struct ledger_key invented(struct office *o, enum ledger_kind kind)
{
    struct addr a = address((uint32_t)dice(o) | 0xe0000000);

    switch (kind) {
    case LEDGER_CLIENT: return ledger_key_client(o->book, &a);
    case LEDGER_NETWORK: return ledger_key_network(o->book, &a);
    case LEDGER_ALLOWANCE:
        return (struct ledger_key){(dice(o) & ~(uint64_t)(LEDGER_KIND_BITS | LEDGER_KIND_IP6)) |
                                       LEDGER_ALLOWANCE,
                                   0, 0, LEDGER_ALLOWANCE};
    default:
        return (struct ledger_key){(dice(o) & ~(uint64_t)(LEDGER_KIND_BITS | LEDGER_KIND_IP6)) |
                                       kind,
                                   0, 0, (uint8_t)kind};
    }
}

enum attack { ALLOWANCES, SIGNS, DELIVERIES, STRONG, MAILBOXES, LOGINS, ATTACKS };
static const char *const names[] = {"allowances", "signs",     "deliveries",
                                    "strong",     "mailboxes", "logins"};

static enum attack attacks(void)
{
    return effort_is_whole() ? ATTACKS : SIGNS;
}

/* One invention, with up to five proposals. */
static void invent(struct office *o, enum attack attack, uint64_t now)
{
    static struct ledger_key earning;
    static unsigned earned;
    struct ledger_key k;

    switch (attack) {
    case ALLOWANCES:
        k = invented(o, LEDGER_ALLOWANCE);
        say(o, TAKEN_OVER, &k,
            (struct proposal){
                .op = PROPOSE_TAKE, .a = BUCKET_HOUR | 1 << 8, .b = UINT64_C(1000) << 32 | 3600},
            now);
        return;
    case SIGNS:
        k = invented(o, LEDGER_ALLOWANCE);
        say(o, TAKEN_OVER, &k, (struct proposal){.op = PROPOSE_STOLEN, .a = now + DAY}, now);
        say(o, TAKEN_OVER, &k, (struct proposal){.op = PROPOSE_REFUSED, .a = dice(o)}, now);
        say(o, TAKEN_OVER, &k, (struct proposal){.op = PROPOSE_SETTLE}, now);
        return;
    case DELIVERIES:
        k = invented(o, dice(o) % 4 ? LEDGER_CLIENT : LEDGER_NETWORK);
        say(o, TAKEN_OVER, &k, (struct proposal){.op = PROPOSE_DELIVERED}, now);
        say(o, TAKEN_OVER, &k, (struct proposal){.op = PROPOSE_TURN, .a = now + HOUR}, now);
        return;
    case STRONG: /* 512 mailboxes of one client pay for another one that is worth as much */
        if (earned++ % 128 == 0)
            earning = invented(o, LEDGER_MAILBOXES);
        for (int i = 0; i < 4; i++)
            say(o, TAKEN_OVER, &earning, (struct proposal){.op = PROPOSE_EARN, .a = dice(o)}, now);
        k = invented(o, LEDGER_CLIENT);
        if (earned % 128 == 0)
            say(o, TAKEN_OVER, &k, (struct proposal){.op = PROPOSE_GOOD, .x = 1e6}, now);
        return;
    case MAILBOXES:
        k = invented(o, LEDGER_MAILBOXES);
        say(o, TAKEN_OVER, &k, (struct proposal){.op = PROPOSE_EARN, .a = dice(o)}, now);
        return;
    default: /* with a right password, again and again */
        k = invented(o, LEDGER_ACCOUNT_NETWORK);
        say(o, TAKEN_OVER, &k, (struct proposal){.op = PROPOSE_LOGIN, .a = now}, now);
    }
}

static void test_a_minute_pushes_out_no_good_client(void **state)
{
    enum { AT_ONCE = 200000, A_SECOND = 10000, SECONDS = 60 };

    for (enum attack attack = 0; attack < attacks(); attack++) {
        struct office *o = open_office();
        for (unsigned i = 0; i < INNOCENTS; i++) {
            struct addr a = innocent(i);
            assert_true(deliver(o, HONEST, &a, CREDIT, T0 - (INNOCENTS - i) * HOUR / INNOCENTS));
        }
        o->done = o->wrong = 0;
        for (unsigned i = 0; i < AT_ONCE; i++)
            invent(o, attack, T0);
        for (unsigned s = 1; s <= SECONDS; s++)
            for (unsigned i = 0; i < A_SECOND; i++)
                invent(o, attack, T0 + s * SECOND);
        uint64_t now = T0 + SECONDS * SECOND;
        uint64_t told = o->disposal[TAKEN_OVER].rate[DISPOSAL_KEPT].refused, done = o->done;
        unsigned before = known(o, 0, INNOCENTS, now);
        come(o, 0, STRANGERS, now);
        unsigned after = known(o, 0, INNOCENTS, now);
        print_message("%s: %lu bookings; of %d good clients %u stay, and %u with strangers; %lu "
                      "told\n",
                      names[attack], (unsigned long)done, INNOCENTS, before, after,
                      (unsigned long)told);
        assert_true(done > 10000); /* it is an attack */
        assert_int_equal(o->wrong, 0);
        assert_true(before >= INNOCENTS * 99 / 100);
        assert_true(after >= INNOCENTS * 98 / 100);
        if (attack == ALLOWANCES || attack == DELIVERIES || attack == MAILBOXES)
            assert_true(told > 0);
        assert_int_equal(o->disposal[HONEST].rate[DISPOSAL_KEPT].refused, 0);
        close_office(o);
    }
}

/* Those of before deliver every third day. As many come meanwhile. */
static void test_five_weeks_keep_no_good_client_out(void **state)
{
    enum { A_DAY = 40000, NEW_A_DAY = INNOCENTS / DAYS };

    for (enum attack attack = 0; attack < attacks(); attack++) {
        struct office *o = open_office();
        uint64_t now = T0;
        unsigned came = 0;
        for (unsigned i = 0; i < INNOCENTS; i++) {
            struct addr a = innocent(i);
            assert_true(deliver(o, HONEST, &a, CREDIT, T0 - (INNOCENTS - i) * HOUR / INNOCENTS));
        }
        for (unsigned day = 0; day < DAYS; day++, now += DAY) {
            for (unsigned i = 0; i < A_DAY; i++)
                invent(o, attack, now + i * (uint64_t)DAY / A_DAY);
            come(o, day * (STRANGERS / DAYS), STRANGERS / DAYS, now + DAY);
            for (unsigned i = day % 3; i < INNOCENTS; i += 3) {
                struct addr a = innocent(i);
                deliver(o, HONEST, &a, CREDIT, now + DAY);
            }
            for (unsigned i = 0; i < NEW_A_DAY; i++, came++) {
                struct addr a = innocent(INNOCENTS + came);
                assert_true(deliver(o, HONEST, &a, CREDIT, now + DAY));
            }
        }
        unsigned before = known(o, 0, INNOCENTS, now), new = known(o, INNOCENTS, came, now);
        come(o, STRANGERS, STRANGERS, now);
        unsigned after = known(o, 0, INNOCENTS, now), new_after = known(o, INNOCENTS, came, now);
        print_message("%s: of %d good clients %u stay, and %u with strangers; of %u new ones %u, "
                      "and %u\n",
                      names[attack], INNOCENTS, before, after, came, new, new_after);
        assert_true(after >= INNOCENTS * 98 / 100);
        assert_true(new_after >= came * 98 / 100);
        assert_int_equal(o->disposal[HONEST].rate[DISPOSAL_KEPT].refused, 0);
        close_office(o);
    }
}

/* ---- an honest worker ---- */

/* The first day of a large site, through one worker and at one moment: each booking is made, and all
 * are remembered. Then once more, a day later. */
static void test_a_first_day_of_50000_clients_is_booked_whole(void **state)
{
    enum { CLIENTS = 50000 };
    struct office *o = open_office();
    const struct ledger_decay d = {0};
    unsigned found = 0;

    for (unsigned day = 0; day < 2; day++)
        for (unsigned i = 0; i < CLIENTS; i++) {
            struct addr a = innocent(i);
            uint64_t now = T0 + day * (uint64_t)DAY + i / 5000 * SECOND;
            assert_true(deliver(o, HONEST, &a, 1, now));
        }
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct addr a = innocent(i);
        struct ledger_key k = ledger_key_client(o->book, &a);
        struct ledger_entry e;
        ledger_get(o->book, &k, &d, T0 + DAY, &e);
        found += e.good >= 1 && e.delivered_ms;
    }
    for (int i = 0; i < DISPOSAL_RATE_COUNT; i++)
        assert_int_equal(o->disposal[HONEST].rate[i].refused, 0);
    print_message("of %d clients %u are known\n", CLIENTS, found);
    assert_true(found >= CLIENTS - CLIENTS / 1000);
    close_office(o);
}

/* ---- one set ---- */

static struct ledger_key nth_client(const struct office *o, uint32_t n)
{
    struct addr a = address(n);
    return ledger_key_client(o->book, &a);
}

static struct office *open_set(void)
{
    struct office *o = calloc(1, sizeof *o);

    o->book = open_memory(sizeof(struct ledger_slot) * LEDGER_WAYS);
    o->rules.tarpit = config_default_rules();
    for (unsigned i = 0; i < WORKERS; i++)
        o->disposal[i].maker = i + 1;
    return o;
}

static bool has_place(const struct office *o, const struct ledger_key *k, uint64_t now)
{
    return ledger_reserve_state(o->book, k, now) == RESERVE_HAS;
}

static void test_the_worker_with_most_places_makes_room(void **state)
{
    struct office *o = open_set();
    struct ledger_key k[8];
    unsigned of_taken_over = 0, of_honest = 0;
    uint64_t now = T0;

    for (uint32_t i = 0; i < 8; i++)
        k[i] = nth_client(o, 0x0a000000 + i * 257);
    for (int i = 0; i < 5; i++) /* the fifth finds none, and its booking is made all the same */
        assert_int_equal(say(o, TAKEN_OVER, &k[i], (struct proposal){.op = PROPOSE_DELIVERED}, now),
                         DISPOSAL_DONE);
    for (int i = 0; i < 5; i++)
        assert_int_equal(has_place(o, &k[i], now), i < 4);
    for (int i = 5; i < 8; i++) /* until both have two */
        say(o, HONEST, &k[i], (struct proposal){.op = PROPOSE_DELIVERED}, now);
    for (int i = 0; i < 8; i++) {
        struct ledger_entry e;
        of_taken_over += i < 5 && has_place(o, &k[i], now);
        of_honest += i >= 5 && has_place(o, &k[i], now);
        assert_true(ledger_get_alone(o->book, &k[i], &(struct ledger_decay){0}, now, &e));
        assert_true(e.delivered_ms);
    }
    assert_int_equal(of_taken_over, 2);
    assert_int_equal(of_honest, 2);
    /* One that waits has a place as soon as there is one. */
    now += 29 * (uint64_t)DAY;
    for (int i = 0; i < 4; i++)
        say(o, HONEST, &k[4 + i], (struct proposal){.op = PROPOSE_DELIVERED}, now);
    for (int i = 4; i < 8; i++)
        assert_true(has_place(o, &k[i], now));
    close_office(o);
}

/* Entries of before an upgrade have no maker. */
static void test_old_clients_make_no_room_for_those_who_wrote_once(void **state)
{
    struct office *o = open_set();
    struct ledger_key old[4];

    for (uint32_t i = 0; i < 4; i++) {
        old[i] = nth_client(o, 0x0a000000 + i * 257);
        ledger_add_good(o->book, &old[i], &(struct ledger_decay){0}, T0, CREDIT);
    }
    for (uint32_t i = 0; i < 20; i++) {
        struct ledger_key k = nth_client(o, 0x0b000000 + i * 257);
        say(o, HONEST, &k, (struct proposal){.op = PROPOSE_DELIVERED}, T0 + i);
    }
    for (int i = 0; i < 4; i++)
        assert_true(has_place(o, &old[i], T0 + 60));
    close_office(o);
}

/* Pairs, because they need no other entry. */
static void test_who_wrote_once_makes_room_for_who_writes_often(void **state)
{
    static const unsigned mailboxes[] = {20, 1, 20, 20, 3, 9, 30};
    enum { PAIRS = sizeof mailboxes / sizeof mailboxes[0] };
    struct office *o = open_set();
    struct ledger_key k[PAIRS];

    for (uint32_t i = 0; i < PAIRS; i++) {
        struct addr a = address(0x0a000000 + i * 257);
        k[i] = ledger_key_pair(o->book, &a, SPAN("example.org"));
        for (uint64_t m = 1; m <= mailboxes[i]; m++)
            say(o, HONEST, &k[i], (struct proposal){.op = PROPOSE_EARN, .a = m << 16}, T0);
        say(o, HONEST, &k[i], (struct proposal){.op = PROPOSE_GOOD, .x = 100}, T0);
        if (i == 3) /* the places are taken */
            assert_true(has_place(o, &k[1], T0));
    }
    /* 1 made room for 3, and 3 for 9; those with more keep their places, also beside 30. */
    static const bool has[PAIRS] = {true, false, true, true, false, true, false};
    for (int i = 0; i < PAIRS; i++)
        assert_int_equal(has_place(o, &k[i], T0), has[i]);
    close_office(o);
}

/* Whatever a worker says of an exempt client: it stays exempt, and has its place. */
static void test_an_exemption_has_no_marks(void **state)
{
    struct office *o = open_set();
    struct ledger_decay d = {0};
    struct ledger_key k[7];
    struct ledger_entry e;

    for (uint32_t i = 0; i < 7; i++)
        k[i] = nth_client(o, 0x0a000000 + i * 257);
    for (int i = 0; i < 6; i++) /* the last two wait */
        say(o, TAKEN_OVER, &k[i], (struct proposal){.op = PROPOSE_DELIVERED}, T0);
    ledger_exempt(o->book, &k[5], T0, 0);
    ledger_exempt(o->book, &k[0], T0, T0 + DAY);
    for (int i = 0; i < 6; i++)
        for (int worker = 0; worker < WORKERS; worker++)
            say(o, worker, &k[i], (struct proposal){.op = PROPOSE_DELIVERED}, T0 + HOUR);
    assert_true(has_place(o, &k[5], T0 + HOUR) && has_place(o, &k[0], T0 + HOUR));
    ledger_get_alone(o->book, &k[5], &d, T0 + HOUR, &e);
    assert_true(e.flags & LEDGER_EXEMPT && e.exempt_until_ms == 0);
    ledger_get_alone(o->book, &k[0], &d, T0 + HOUR, &e);
    assert_true(e.flags & LEDGER_EXEMPT && e.exempt_until_ms >= T0 + DAY);
    ledger_get_alone(o->book, &k[1], &d, T0 + HOUR, &e);
    assert_int_equal(e.flags, 0);
    assert_int_equal(e.exempt_until_ms, 0);
    close_office(o);
}

/* The marks are beside what the entry says of the account, and change nothing of it. */
static void test_an_account_keeps_what_it_has_beside_its_marks(void **state)
{
    struct office *o = open_set();
    struct ledger_key k[6];

    for (int i = 0; i < 6; i++) {
        char name[16];
        k[i] = ledger_key_allowance(
            o->book, (struct span){name, (size_t)snprintf(name, sizeof name, "user%d", i)});
        say(o, TAKEN_OVER, &k[i], (struct proposal){.op = PROPOSE_SETTLE}, T0);
        say(o, TAKEN_OVER, &k[i], (struct proposal){.op = PROPOSE_STOLEN, .a = T0 + DAY}, T0);
        assert_int_equal(has_place(o, &k[i], T0), i < 4);
        struct ledger_signs s = ledger_signs(o->book, &k[i], T0);
        assert_true(s.settled && s.stolen_till >= T0 + DAY && s.stolen_till < T0 + 2 * DAY);
    }
    /* Unused for half a year, they keep nobody out. */
    uint64_t later = T0 + 190 * (uint64_t)DAY;
    assert_false(has_place(o, &k[0], later));
    close_office(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_minute_pushes_out_no_good_client),
        cmocka_unit_test(test_five_weeks_keep_no_good_client_out),
        cmocka_unit_test(test_a_first_day_of_50000_clients_is_booked_whole),
        cmocka_unit_test(test_the_worker_with_most_places_makes_room),
        cmocka_unit_test(test_old_clients_make_no_room_for_those_who_wrote_once),
        cmocka_unit_test(test_who_wrote_once_makes_room_for_who_writes_often),
        cmocka_unit_test(test_an_exemption_has_no_marks),
        cmocka_unit_test(test_an_account_keeps_what_it_has_beside_its_marks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
