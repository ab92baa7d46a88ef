/* P8: members' ledgers converge, whatever order, loss, repetition, duplication, partition and
 * restart with an older state file their messages meet. Five members in virtual time: the ledger,
 * the table, the book and the octets on the wire are the serving ones; only the transport is made
 * up, and it is hostile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alone.h"
#include "config/config.h"
#include "fleet/mirror.h"
#include "property.h"
#include "tarpit/ledger_allowance.h"
#include "tarpit/policy.h"
#include "tarpit/tarpit.h"

enum { MEMBERS = 5, CLIENTS = 12, PLACES = 1024, LEDGER_SIZE = 65536, FLIGHT = 4096 };
#define START UINT64_C(1700000000000)

struct message {
    bool used;
    uint8_t from, to, len;
    uint64_t due;
    uint8_t octets[SHARE_NAME + 1 + SHARE_VALUE_MOST];
};

struct member {
    struct mirror mirror;
    struct tarpit tarpit;
    char path[64];
    int64_t clock; /* its wall clock's error; it knows it, as a member measures it with Redis */
    uint64_t read;
    uint8_t of_key[CLIENTS * 4][1 + SHARE_VALUE_MOST]; /* Redis' field of it, a key each */
};

static struct member member[MEMBERS];
static struct message flight[FLIGHT];
static uint64_t now;
static uint32_t cut;

static struct addr client(unsigned n)
{
    return (struct addr){.family = ADDR_IP4, .octets = {192, 0, (uint8_t)(n / 4), (uint8_t)n}};
}

static uint64_t clock_of(const struct member *m)
{
    return (uint64_t)((int64_t)now + m->clock);
}

static void open_member(struct member *m)
{
    size_t size = others_size(PLACES);
    void *mapping = aligned_alloc(64, (size + 63) / 64 * 64);

    memset(mapping, 0, size);
    m->mirror =
        (struct mirror){.others = others_open(mapping, size), .rules = config_default_rules()};
    assert_int_equal(ledger_open(&m->mirror.ledger, m->path, LEDGER_SIZE), 0);
    assert_int_equal(book_open(&m->mirror.book, PLACES), 0);
    ledger_share(m->mirror.ledger, m->mirror.others);
    others_activate(m->mirror.others, &fleet_key, 1);
    m->read = others_next(m->mirror.others);
    m->tarpit = (struct tarpit){.rules = m->mirror.rules, .ledger = m->mirror.ledger};
    m->mirror.skew = -m->clock;
}

static void close_member(struct member *m)
{
    ledger_close(m->mirror.ledger);
    book_close(m->mirror.book);
    free(m->mirror.others);
}

/* The skew is measured again all the time, and differs a little each time. */
static void measure(struct member *m)
{
    m->mirror.skew = -m->clock + (int64_t)dice(5) - 2;
}

/* ---- transport ---- */

static void post(uint8_t from, uint8_t to, const uint8_t *octets, size_t len, uint64_t due)
{
    for (unsigned i = 0; i < FLIGHT; i++) {
        if (flight[i].used)
            continue;
        flight[i] = (struct message){true, from, to, (uint8_t)len, due, {0}};
        memcpy(flight[i].octets, octets, len);
        return;
    }
}

static void send_share(uint8_t from, const struct share *s, bool surely)
{
    uint8_t octets[SHARE_NAME + 1 + SHARE_VALUE_MOST];
    size_t len = share_put(s, member[from].mirror.skew, octets);

    for (uint8_t to = 0; to < MEMBERS; to++) {
        if (to == from || (!surely && (dice(4) == 0 || is_cut(cut, from, to))))
            continue;
        post(from, to, octets, len, surely ? now : now + dice(60000));
        if (dice(3) == 0)
            post(from, to, octets, len, now + dice(600000));
    }
}

static void deliver(const struct message *msg)
{
    struct member *m = &member[msg->to];
    struct span batch = {(const char *)msg->octets, msg->len}, value;
    struct share s;

    assert_int_equal(share_next(&batch, &s.name, &value), 1);
    measure(m);
    assert_int_equal(share_read(&s, value, &m->mirror.rules, m->mirror.skew, clock_of(m)), 0);
    mirror_take(&m->mirror, msg->from + 1, &s, clock_of(m));
}

static void deliver_due(void)
{
    for (unsigned i = 0; i < FLIGHT; i++)
        if (flight[i].used && flight[i].due <= now) {
            flight[i].used = false;
            deliver(&flight[i]);
        }
}

static void send_changes(uint8_t from)
{
    struct member *m = &member[from];
    struct others_event e;
    struct share s;
    uint64_t seen;

    measure(m);
    mirror_turn(&m->mirror, clock_of(m));
    while (others_read(m->mirror.others, 1, &m->read, &e) == 1) {
        if (e.what != OTHERS_CHANGED)
            continue;
        mirror_own(&m->mirror, &e.name, e.hash, clock_of(m), &s, &seen);
        send_share(from, &s, false);
    }
}

/* ---- what happens at members ---- */

static void something_happens(void)
{
    struct member *m = &member[dice(MEMBERS)];
    struct addr a = client(dice(CLIENTS));
    struct tarpit_who who = tarpit_who(&m->tarpit, &a, false);
    uint64_t t = clock_of(m), mailbox = dice(1000) * UINT64_C(0x10001000100013);

    switch (dice(9)) {
    case 0: tarpit_good(&m->tarpit, &who, &mailbox, 1, t); break;
    case 1: tarpit_trapped(&m->tarpit, &who, t); break;
    case 2: {
        tarpit_sender(&m->tarpit, &who, SPAN("sender.example"));
        tarpit_good(&m->tarpit, &who, &mailbox, 1, t);
        break;
    }
    case 8: tarpit_greeted(&m->tarpit, &who, t); break;
    case 3: {
        struct tarpit_permit p = tarpit_ask(&m->tarpit, &who, SPAN(""), t);
        tarpit_verdict(&m->tarpit, &who, SPAN(""), &p, OFFENCE_RECIPIENT, t);
        break;
    }
    default: tarpit_offence(&m->tarpit, &who, OFFENCE_SYNTAX, t);
    }
}

static void each_key(void (*fn)(const struct ledger_name *n, void *arg), void *arg)
{
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct addr a = client(i);
        struct ledger_key k = ledger_key_client(member[0].mirror.ledger, &a);
        fn(&(struct ledger_name){k.label, LEDGER_CLIENT}, arg);
        k = ledger_key_network(member[0].mirror.ledger, &a);
        fn(&(struct ledger_name){k.label, LEDGER_NETWORK}, arg);
    }
}

static void send_whole(const struct ledger_name *n, void *arg)
{
    uint8_t from = *(uint8_t *)arg;
    struct share s;
    uint64_t seen;

    mirror_own(&member[from].mirror, n, 0, clock_of(&member[from]), &s, &seen);
    send_share(from, &s, true);
}

/* The ledger has it in steps of an hour. One member's clock may be at the end of a step when
 * another's, which is up to 4 s ahead, is in the next one. */
static bool is_same_pass(uint64_t a, uint64_t b)
{
    return !a == !b && labs((long)(a - b)) <= 3600000 + 4000;
}

static void compare(const struct ledger_name *n, void *arg)
{
    struct ledger_entry first = {0};

    for (unsigned i = 0; i < MEMBERS; i++) {
        struct member *m = &member[i];
        struct ledger_decay d = {m->mirror.rules.half_life, m->mirror.rules.good_half_life};
        struct ledger_key k = ledger_key_named(m->mirror.ledger, n);
        struct ledger_entry e;
        ledger_get(m->mirror.ledger, &k, &d, clock_of(m), &e);
        if (e.debt_ms)
            e.debt_ms -= (uint64_t)m->clock;
        if (i == 0) {
            first = e;
            continue;
        }
        bool same = near(e.offences, first.offences) && near(e.good, first.good) &&
                    (labs((long)(e.debt_ms - first.debt_ms)) < 10 ||
                     (e.debt_ms <= now && first.debt_ms <= now)) &&
                    ((e.flags ^ first.flags) & LEDGER_TRAPPED) == 0 &&
                    is_same_pass(e.pass_ms, first.pass_ms);
        if (!same)
            print_error("seed %lu, member %u, kind %u: offences %g and %g, good %g and %g, "
                        "debt %+ld and %+ld, flags %x and %x, pass %+ld and %+ld\n",
                        (unsigned long)*(uint64_t *)arg, i, n->kind, e.offences, first.offences,
                        e.good, first.good, (long)(e.debt_ms - now), (long)(first.debt_ms - now),
                        e.flags, first.flags, (long)(e.pass_ms - now), (long)(first.pass_ms - now));
        assert_true(same);
    }
}

static void run(uint64_t with, const char *folder)
{
    uint64_t began = with;
    char older[80];

    now = START + dice(100000);
    cut = 0;
    memset(flight, 0, sizeof flight);
    for (unsigned i = 0; i < MEMBERS; i++) {
        snprintf(member[i].path, sizeof member[i].path, "%s/%u", folder, i);
        unlink(member[i].path);
        member[i].clock = (int64_t)dice(4000) - 2000;
        open_member(&member[i]);
    }
    snprintf(older, sizeof older, "%s/older", folder);
    unsigned victim = dice(MEMBERS), steps = 400, copied = dice(200), restarts = 200 + dice(150);
    for (unsigned i = 0; i < steps; i++) {
        now += dice(8) ? dice(3000) : dice(120000);
        something_happens();
        if (dice(3) == 0)
            send_changes((uint8_t)dice(MEMBERS));
        if (dice(40) == 0)
            cut = dice(1 << MEMBERS);
        if (i == copied)
            copy(member[victim].path, older);
        if (i == restarts) {
            close_member(&member[victim]);
            copy(older, member[victim].path);
            open_member(&member[victim]);
        }
        deliver_due();
    }
    /* All can hear each other again, and each says of each key what it has: once, and after all
     * that was on its way has come, late and in any order. */
    cut = 0;
    for (uint8_t i = 0; i < MEMBERS; i++) {
        mirror_turn(&member[i].mirror, clock_of(&member[i]));
        each_key(send_whole, &i);
    }
    while (dice(50)) /* out of order */
        for (unsigned k = 0, at = dice(FLIGHT); k < 8; k++, at = (at + 1) % FLIGHT)
            if (flight[at].used) {
                flight[at].used = false;
                deliver(&flight[at]);
            }
    now += 600000;
    deliver_due();
    each_key(compare, &began);
    for (unsigned i = 0; i < MEMBERS; i++)
        close_member(&member[i]);
}

static void test_members_converge_whatever_happens_to_their_messages(void **state)
{
    over_seeds(60, run);
}

/* ---- what one member can do to the others ---- */

static void begin_alone(void)
{
    now = START;
    member[0].path[0] = 0;
    member[0].clock = 0;
    member[0].read = 0;
    alone_open(&member[0].mirror);
    member[0].tarpit =
        (struct tarpit){.rules = member[0].mirror.rules, .ledger = member[0].mirror.ledger};
}

static int say(uint16_t from, const struct share *lie)
{
    return alone_say(&member[0].mirror, from, lie, now);
}

static struct ledger_entry known_of(const struct ledger_key *k)
{
    return alone_known(&member[0].mirror, k, now);
}

/* At a reload. What others have said counts all the time, until the last process rests. */
static void test_the_next_process_takes_the_table_over(void **state)
{
    begin_alone(); /* the first process has the table */
    struct ledger_others *o = member[0].mirror.others;
    struct addr a = client(1);
    struct ledger_key k = ledger_key_client(member[0].mirror.ledger, &a);
    struct share s = {.name = {k.label, LEDGER_CLIENT}, .at_ms = now, .is = {.offences = 3}};

    assert_int_equal(say(1, &s), 0);
    others_take_over(o, 2);
    others_rest(o, 1);
    assert_true(near(known_of(&k).offences, 3));
    others_rest(o, 2);
    assert_true(near(known_of(&k).offences, 0));
    others_take_over(o, 3); /* nobody has it: it is not used */
    assert_false(others_is_active(o));
    close_member(&member[0]);
}

/* R16: the same list gives every member the same first offences. */
static void test_what_a_list_says_counts_once_in_the_fleet(void **state)
{
    begin_alone();
    struct addr a = client(1);
    struct tarpit_who who = tarpit_who(&member[0].tarpit, &a, false);
    struct ledger_key k = ledger_key_client(member[0].mirror.ledger, &a);

    tarpit_listed(&member[0].tarpit, &who, 3, now);
    for (uint16_t from = 1; from < 9; from++) {
        struct share s = {.name = {k.label, LEDGER_CLIENT},
                          .at_ms = now,
                          .is = {.offences = 3, .flags = LEDGER_SUSPECT}};
        assert_int_equal(say(from, &s), 0);
    }
    assert_true(near(known_of(&k).offences, 3));
    close_member(&member[0]);
}

/* R8: what was earned at another member pays here, once. */
static void test_good_mail_of_another_member_is_spent_and_not_only_looked_at(void **state)
{
    begin_alone();
    struct addr a = client(1);
    struct ledger_key k = ledger_key_client(member[0].mirror.ledger, &a);
    struct ledger_name n = {k.label, LEDGER_CLIENT};
    struct ledger_decay d = {member[0].mirror.rules.half_life,
                             member[0].mirror.rules.good_half_life};
    struct share s = {.name = n, .at_ms = now, .is = {.good = 25}}, own;
    uint64_t seen;

    assert_int_equal(say(1, &s), 0);
    assert_true(near(ledger_spend_good(member[0].mirror.ledger, &k, &d, now, 0, 10), 10));
    assert_true(near(known_of(&k).good, 15));
    mirror_own(&member[0].mirror, &n, k.hash, now, &own, &seen);
    assert_true(near(own.is.spent, 10));
    s.at_ms = now + 1; /* the member says the same again */
    assert_int_equal(say(1, &s), 0);
    assert_true(near(ledger_spend_good(member[0].mirror.ledger, &k, &d, now, 0, 100), 15));
    assert_true(ledger_spend_good(member[0].mirror.ledger, &k, &d, now, 0, 100) < 1e-3);
    close_member(&member[0]);
}

/* R22: the pass of the latest member counts; and a lie about one opens nothing else. */
static void test_a_greeting_is_passed_once_in_the_fleet(void **state)
{
    begin_alone();
    struct addr a = client(1);
    struct ledger_key k = ledger_key_client(member[0].mirror.ledger, &a);
    struct share s = {.name = {k.label, LEDGER_CLIENT}, .at_ms = now};

    for (uint64_t hours = 50; hours > 20; hours -= 20) {
        s.at_ms = ++now;
        s.is.pass_ms = now - hours * 3600000;
        assert_int_equal(say((uint16_t)hours, &s), 0);
    }
    assert_true(is_same_pass(known_of(&k).pass_ms, now - UINT64_C(30) * 3600000));
    assert_true(known_of(&k).delivered_ms == 0 && !(known_of(&k).good > 0));
    ledger_pass(member[0].mirror.ledger, &k, now, now);
    assert_true(is_same_pass(known_of(&k).pass_ms, now));
    now += member[0].mirror.rules.greet_pass; /* its time is over at all at once */
    assert_true(known_of(&k).pass_ms + member[0].mirror.rules.greet_pass <= now + 3600000);
    close_member(&member[0]);
}

/* R23: the earliest first login counts, so a network is new to the fleet for one day only. */
static void test_a_network_of_an_account_is_as_old_as_at_its_first_member(void **state)
{
    begin_alone();
    struct addr a = client(1);
    struct ledger *l = member[0].mirror.ledger;
    struct ledger_key k = ledger_key_account_network(l, SPAN("alice"), &a);
    struct share s = {.name = {k.common, LEDGER_ACCOUNT_NETWORK},
                      .at_ms = now,
                      .is = {.flags = LEDGER_KNOWN, .pass_ms = now - 5000000}};

    assert_true(ledger_login_since(l, &k) == 0);
    assert_int_equal(say(1, &s), 0);
    assert_true(labs((long)(ledger_login_since(l, &k) - (now - 5000000))) < 1000);
    s.is.pass_ms = now - 4000000;
    assert_int_equal(say(2, &s), 0);
    ledger_login(l, &k, now, now);
    assert_true(labs((long)(ledger_login_since(l, &k) - (now - 5000000))) < 1000);
    s.is.pass_ms = 1;
    assert_int_equal(say(3, &s), 0);
    assert_true(ledger_login_since(l, &k) <= 1000);
    close_member(&member[0]);
}

/* R4, P1: with n members that have turns of a client, each gives one in n times its length. */
static void test_members_share_the_pace_of_a_client(void **state)
{
    begin_alone();
    struct addr a = client(1);
    struct ledger_key k = ledger_key_client(member[0].mirror.ledger, &a);
    struct ledger *l = member[0].mirror.ledger;

    assert_int_equal(ledger_take_turn(l, &k, now, 20000, now + 90000), now);
    for (uint16_t from = 1; from < 3; from++) {
        struct share s = {.name = {k.label, LEDGER_CLIENT},
                          .at_ms = now,
                          .is = {.offences = 5, .turn_ms = now + 20000}};
        assert_int_equal(say(from, &s), 0);
    }
    /* Three turns were given at the same time. */
    assert_int_equal(ledger_take_turn(l, &k, now, 20000, now + 90000), now + 60000);
    assert_int_equal(ledger_take_turn(l, &k, now, 20000, now + 90000), 0); /* now + 120 s */
    now += 25000; /* the others' have ended */
    assert_int_equal(ledger_take_turn(l, &k, now, 20000, now + 200000), now + 95000);
    assert_int_equal(ledger_take_turn(l, &k, now, 20000, now + 200000), now + 115000);
    close_member(&member[0]);
}

/* In a fleet of 60 an n-th of the pace would be a turn that ends beyond the ledger's horizon, and
 * counts for nothing. A client still waits for each of its turns. */
static void test_a_client_has_a_pace_in_a_large_fleet(void **state)
{
    begin_alone();
    struct addr a = client(1);
    struct ledger *l = member[0].mirror.ledger;
    struct ledger_key k = ledger_key_client(l, &a);

    for (uint64_t length = 90000; length <= POLICY_TIME_MAX; length += 170000) {
        unsigned turns = 0;
        for (uint16_t from = 1; from < 60; from++) {
            struct share s = {
                .name = {k.label, LEDGER_CLIENT}, .at_ms = now, .is = {.turn_ms = now + 900000}};
            assert_int_equal(say(from, &s), 0);
        }
        for (uint64_t end = now + 600000; now < end; now += 1000)
            turns += ledger_take_turn(l, &k, now, length, now + 195000) != 0;
        assert_true(turns <= 1);
    }
    close_member(&member[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members_converge_whatever_happens_to_their_messages),
        cmocka_unit_test(test_the_next_process_takes_the_table_over),
        cmocka_unit_test(test_what_a_list_says_counts_once_in_the_fleet),
        cmocka_unit_test(test_good_mail_of_another_member_is_spent_and_not_only_looked_at),
        cmocka_unit_test(test_members_share_the_pace_of_a_client),
        cmocka_unit_test(test_a_client_has_a_pace_in_a_large_fleet),
        cmocka_unit_test(test_a_greeting_is_passed_once_in_the_fleet),
        cmocka_unit_test(test_a_network_of_an_account_is_as_old_as_at_its_first_member),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
