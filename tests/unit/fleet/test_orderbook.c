/* Orders of people: what members have been told stays, reaches members that come later, and ends
 * with its time. P8 for orders: five members, each with a file of its own, over a transport that
 * loses, repeats, delays and reorders. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "property.h"

#include "fleet/orderbook.h"

#define START UINT64_C(1700000000000)

enum { MEMBERS = 5, FLIGHT = 2048, NETWORKS = 6 };

static uint64_t now, last_id;

static struct order_kept order(enum order_verb verb, const char *network, uint64_t until)
{
    struct order_kept o = {.id = ++last_id, .stamp_ms = now, .until_ms = until, .verb = verb};

    assert_true(network_parse(span_of(network), &o.network));
    return o;
}

static struct orderbook *fresh(void)
{
    struct orderbook *b;
    assert_int_equal(orderbook_open(&b, NULL), 0);
    return b;
}

static void test_an_order_survives_the_wire(void **state)
{
    static const char *const networks[] = {"192.0.2.7/32", "192.0.2.0/24", "2001:db8::/64"};
    char text[ORDER_TEXT];
    struct order_kept o, back;

    now = START;
    for (size_t i = 0; i < 3; i++) {
        o = order(ORDER_EXEMPT, networks[i], i ? START + 5000 : 0);
        size_t len = orderbook_write(&o, text);
        assert_true(len < ORDER_TEXT);
        assert_true(orderbook_read((struct span){text, len}, &back));
        assert_true(back.id == o.id && back.stamp_ms == o.stamp_ms && back.verb == o.verb &&
                    back.until_ms == o.until_ms && back.network.bits == o.network.bits &&
                    addr_equal(&back.network.base, &o.network.base));
    }
}

static void test_what_is_no_order_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "0000000000000001 done",
        "0000000000000000 exempt 192.0.2.7/32 0 1",    /* no id */
        "0000000000000001 exempt 192.0.2.7/24 0 1",    /* host bits */
        "0000000000000001 exempt 0.0.0.0/0 0 1",       /* too wide for an exemption */
        "0000000000000001 exempt 192.0.0.0/16 0 1",    /* likewise */
        "0000000000000001 unexempt 2001:db8::/32 0 1", /* likewise */
        "0000000000000001 exempt 192.0.2.7/32 -1 1",
        "0000000000000001 exempt 192.0.2.7/32 0 0", /* no time */
        "0000000000000001 exempt 192.0.2.7/32 0 99999999999999999999",
        "0000000000000001 exempt 192.0.2.7/32 0 1 more",
        "0000000000000001 penalise 192.0.2.7/32 0 1",
    };
    struct order_kept o;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(orderbook_read(span_of(bad[i]), &o));
    assert_true(orderbook_read(SPAN("0000000000000001 release 0.0.0.0/0 0 1"), &o));
    assert_false(orderbook_read((struct span){"1 exempt 192.0.2.7/32 0 1\0x", 27}, &o));
}

static void test_an_accounts_release_survives_the_wire(void **state)
{
    static const char *const names[] = {"alice", "a b@example.test", "o'hara \xc3\xb6", "x"};
    char text[ORDER_ACCOUNT_TEXT], longest[ORDER_ACCOUNT_NAME + 1] = "";
    struct order_account o = {.id = 7, .stamp_ms = START}, back;

    memset(longest, 'y', ORDER_ACCOUNT_NAME);
    for (size_t i = 0; i < 5; i++) {
        strcpy(o.name, i < 4 ? names[i] : longest);
        size_t len = orderbook_write_account(&o, text);
        assert_true(len > 0 && len < sizeof text);
        assert_true(orderbook_read_account((struct span){text, len}, START, &back));
        assert_true(back.id == 7 && back.stamp_ms == START && strcmp(back.name, o.name) == 0);
    }
    strcpy(o.name, "two\nlines");
    assert_int_equal(orderbook_write_account(&o, text), 0);
    strcpy(o.name, "");
    assert_int_equal(orderbook_write_account(&o, text), 0);
}

/* An order that somebody repeats is as good as none after a minute; so is one from the future. */
static void test_what_is_no_accounts_release_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "0000000000000007",
        "0000000000000007 release-account ",
        "0000000000000007 release-account 1700000000000",
        "0000000000000007 release-account 1700000000000 ",
        "0000000000000007 release-account 1700000000000 a\tb",
        "0000000000000007 release-account x1700000000000 alice",
        "0000000000000000 release-account 1700000000000 alice", /* no id */
        "000000000000000G release-account 1700000000000 alice",
        "0000000000000007 release-account 1699999939999 alice", /* a minute old */
        "0000000000000007 release-account 1700000005001 alice", /* from the future */
        "0000000000000007 release-account 99999999999999999999 alice",
        "0000000000000007 release_account 1700000000000 alice",
    };
    struct order_account o;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(orderbook_read_account(span_of(bad[i]), START, &o));
    assert_true(orderbook_read_account(SPAN("0000000000000007 release-account 1699999940000 alice"),
                                       START, &o));
    assert_true(orderbook_read_account(SPAN("0000000000000007 release-account 1700000005000 alice"),
                                       START, &o));
    struct order_kept kept; /* and a member of an earlier version does nothing */
    assert_false(
        orderbook_read(SPAN("0000000000000007 release-account 1700000000000 alice"), &kept));
}

static void test_the_later_order_stays_whatever_arrives_first(void **state)
{
    struct orderbook *b = fresh();
    struct order_kept o, first, second;

    now = START;
    first = order(ORDER_EXEMPT, "192.0.2.7/32", 0);
    now += 1000;
    second = order(ORDER_UNEXEMPT, "192.0.2.7/32", 0);
    assert_int_equal(orderbook_take(b, &second, false, now), ORDER_TAKEN);
    assert_int_equal(orderbook_take(b, &first, false, now), ORDER_KNOWN);
    assert_int_equal(orderbook_take(b, &second, false, now), ORDER_KNOWN);
    assert_true(orderbook_of(b, &first.network, false, now, &o) && o.verb == ORDER_UNEXEMPT);
    orderbook_close(b);
}

/* Redis' clock was ten hours ahead when it was given. */
static void test_an_order_from_the_future_gives_way(void **state)
{
    struct orderbook *b = fresh();
    struct order_kept o, first, second;

    now = START + 36000000;
    first = order(ORDER_EXEMPT, "192.0.2.7/32", 0);
    assert_int_equal(orderbook_take(b, &first, true, now), ORDER_TAKEN);
    now = START;
    second = order(ORDER_UNEXEMPT, "192.0.2.7/32", 0);
    assert_int_equal(orderbook_take(b, &second, true, now), ORDER_TAKEN);
    assert_true(orderbook_of(b, &first.network, false, now, &o) && o.verb == ORDER_UNEXEMPT);
    assert_int_equal(orderbook_take(b, &first, false, now), ORDER_REFUSED);
    orderbook_close(b);
}

/* Its end is remembered, so that an earlier order without an end does not come back. */
static void test_an_exemption_ends_with_its_time(void **state)
{
    struct orderbook *b = fresh();
    struct order_kept o, for_good, e;

    now = START;
    for_good = order(ORDER_EXEMPT, "192.0.2.0/24", 0);
    now++;
    e = order(ORDER_EXEMPT, "192.0.2.0/24", now + 60000);
    assert_int_equal(orderbook_take(b, &e, true, now), ORDER_TAKEN);
    now += 59999;
    assert_true(orderbook_of(b, &e.network, false, now, &o) && orderbook_exempts(&o, now));
    now += 1;
    assert_true(orderbook_of(b, &e.network, false, now, &o) && !orderbook_exempts(&o, now));
    assert_int_equal(orderbook_take(b, &for_good, false, now), ORDER_KNOWN);
    now += UINT64_C(367) * 86400 * 1000;
    assert_false(orderbook_of(b, &e.network, false, now, &o));
    assert_int_equal(orderbook_take(b, &e, false, now), ORDER_KNOWN); /* and is not told again */
    orderbook_close(b);
}

/* What is past makes room for what has an effect. */
static void test_a_full_table_forgets_the_oldest_order_that_is_past(void **state)
{
    struct orderbook *b = fresh();
    struct order_kept o, first = {0};
    char network[32];

    now = START;
    for (unsigned i = 0; i < ORDER_PLACES; i++, now++) {
        snprintf(network, sizeof network, "10.%u.%u.0/24", i >> 8, i & 255);
        o = order(i == 7 || i == 9 ? ORDER_UNEXEMPT : ORDER_EXEMPT, network, 0);
        if (i == 7)
            first = o;
        assert_int_equal(orderbook_take(b, &o, true, now), ORDER_TAKEN);
    }
    for (unsigned i = 0; i < 3; i++) {
        snprintf(network, sizeof network, "192.0.%u.0/24", i);
        struct order_kept more = order(ORDER_EXEMPT, network, 0);
        assert_int_equal(orderbook_take(b, &more, true, now), i < 2 ? ORDER_TAKEN : ORDER_REFUSED);
        assert_false(orderbook_of(b, &first.network, false, now, &o));
    }
    orderbook_close(b);
}

/* What one member can do to the others: it fills no more than its part, wins over nobody by a time
 * of tomorrow, and people's own orders still find room. */
static void test_the_lies_of_other_members_are_bounded(void **state)
{
    struct orderbook *b = fresh();
    char network[32];
    struct order_kept o;
    unsigned taken = 0;

    now = START;
    o = order(ORDER_EXEMPT, "192.0.2.7/32", 0);
    o.stamp_ms = now + ORDER_AHEAD_MS + 1;
    assert_int_equal(orderbook_take(b, &o, false, now), ORDER_REFUSED);
    for (unsigned i = 0; i < 3 * ORDER_PLACES; i++) {
        snprintf(network, sizeof network, "10.%u.%u.0/24", i >> 8, i & 255);
        o = order(ORDER_EXEMPT, network, 0);
        taken += orderbook_take(b, &o, false, now) == ORDER_TAKEN;
    }
    assert_int_equal(taken, ORDER_OF_OTHERS);
    o = order(ORDER_EXEMPT, "192.0.2.7/32", 0);
    assert_int_equal(orderbook_take(b, &o, true, now), ORDER_TAKEN);
    now++; /* and a person ends what a member has planted */
    o = order(ORDER_UNEXEMPT, "10.0.0.0/24", 0);
    assert_int_equal(orderbook_take(b, &o, true, now), ORDER_TAKEN);
    orderbook_close(b);
}

/* With a new file, whose name comes into the template. */
static struct orderbook *open_at(char file[])
{
    struct orderbook *b;

    close(mkstemp(file));
    unlink(file);
    assert_int_equal(orderbook_open(&b, file), 0);
    return b;
}

static void test_orders_are_carried_out_once_and_survive_a_restart(void **state)
{
    char path[] = "/tmp/mired-orders-XXXXXX";
    struct orderbook *b;
    struct order_kept o, first, second;

    now = START;
    b = open_at(path);
    first = order(ORDER_EXEMPT, "192.0.2.7/32", 0);
    now++;
    second = order(ORDER_RELEASE, "192.0.2.7/32", 0);
    orderbook_take(b, &second, false, now);
    orderbook_take(b, &first, false, now);
    assert_true(orderbook_to_do(b, now, &o) && o.id == first.id); /* the earlier one first */
    orderbook_done(b, first.id);
    orderbook_close(b);
    assert_int_equal(orderbook_open(&b, path), 0);
    assert_true(orderbook_to_do(b, now, &o) && o.id == second.id);
    orderbook_done(b, second.id);
    assert_false(orderbook_to_do(b, now, &o));
    assert_true(orderbook_of(b, &first.network, false, now, &o) && o.id == first.id);
    orderbook_close(b);
    unlink(path);
}

/* ---- P8 ---- */

struct message {
    bool used;
    uint8_t to;
    uint64_t due;
    char text[ORDER_TEXT];
};

static struct message flight[FLIGHT];
static struct orderbook *book[MEMBERS];
static char path[MEMBERS][64];
static uint32_t cut;

static void post(uint8_t to, const struct order_kept *o, uint64_t due)
{
    for (unsigned i = 0; i < FLIGHT; i++)
        if (!flight[i].used) {
            flight[i] = (struct message){.used = true, .to = to, .due = due};
            orderbook_write(o, flight[i].text);
            return;
        }
}

static void send_one(uint8_t from, const struct order_kept *o, bool surely)
{
    for (uint8_t to = 0; to < MEMBERS; to++) {
        if (to == from || (!surely && (is_cut(cut, from, to) || dice(3) == 0)))
            continue;
        post(to, o, surely ? now : now + dice(60000));
        if (dice(3) == 0)
            post(to, o, now + dice(600000));
    }
}

static void deliver_due(void)
{
    struct order_kept o;

    for (unsigned i = 0; i < FLIGHT; i++)
        if (flight[i].used && flight[i].due <= now) {
            flight[i].used = false;
            assert_true(orderbook_read(span_of(flight[i].text), &o));
            orderbook_take(book[flight[i].to], &o, false, now);
        }
}

static void somebody_orders(void)
{
    uint8_t at = (uint8_t)dice(MEMBERS);
    char network[32];

    snprintf(network, sizeof network, "192.0.%u.0/24", dice(NETWORKS));
    enum order_verb verb = (enum order_verb)(1 + dice(3));
    struct order_kept o =
        order(verb, network, verb == ORDER_EXEMPT && dice(2) ? now + dice(3600000) + 1 : 0);
    orderbook_take(book[at], &o, true, now);
    send_one(at, &o, false);
}

static void compare(uint64_t with)
{
    for (unsigned n = 0; n < NETWORKS; n++)
        for (int release = 0; release < 2; release++) {
            struct order_kept first = {0}, o;
            char network[32];
            struct network net;
            snprintf(network, sizeof network, "192.0.%u.0/24", n);
            network_parse(span_of(network), &net);
            bool any = orderbook_of(book[0], &net, release, now, &first);
            for (unsigned i = 1; i < MEMBERS; i++) {
                bool same = orderbook_of(book[i], &net, release, now, &o) == any &&
                            (!any || o.id == first.id);
                if (!same)
                    print_error("seed %lu, member %u, %s\n", (unsigned long)with, i, network);
                assert_true(same);
            }
        }
}

static void run(uint64_t with, const char *folder)
{
    char older[80];
    struct order_kept o;

    now = START + dice(100000);
    cut = 0;
    memset(flight, 0, sizeof flight);
    for (unsigned i = 0; i < MEMBERS; i++) {
        snprintf(path[i], sizeof path[i], "%s/%u", folder, i);
        unlink(path[i]);
        assert_int_equal(orderbook_open(&book[i], path[i]), 0);
    }
    snprintf(older, sizeof older, "%s/older", folder);
    unsigned victim = dice(MEMBERS), copied = dice(60), restarts = 60 + dice(50);
    for (unsigned i = 0; i < 120; i++) {
        now += dice(8) ? dice(3000) : dice(600000);
        if (dice(3) == 0)
            somebody_orders();
        if (dice(20) == 0)
            cut = dice(1 << MEMBERS);
        if (i == copied)
            copy(path[victim], older);
        if (i == restarts) {
            orderbook_close(book[victim]);
            copy(older, path[victim]);
            assert_int_equal(orderbook_open(&book[victim], path[victim]), 0);
        }
        deliver_due();
    }
    cut = 0; /* all tell all, as after a start, while old messages still arrive */
    for (uint8_t i = 0; i < MEMBERS; i++)
        for (uint32_t at = 0; orderbook_next(book[i], &at, now, &o);)
            send_one(i, &o, true);
    deliver_due();
    now += 600000;
    deliver_due();
    compare(with);
    for (unsigned i = 0; i < MEMBERS; i++)
        orderbook_close(book[i]);
}

static void test_members_agree_on_orders_whatever_happens_to_their_messages(void **state)
{
    over_seeds(60, run);
}

static bool is_forgotten(const struct orderbook *b, const char *key, uint64_t said)
{
    struct network n;

    assert_true(network_parse(span_of(key), &n));
    return orderbook_forgot(b, &n, said, now) > 0;
}

/* R25: what a member said before a release does not count, also if it is heard after it. */
static void test_a_release_forgets_what_was_said_before_it(void **state)
{
    char file[] = "/tmp/mired-orders-XXXXXX";
    struct orderbook *b;
    struct order_kept o;

    b = open_at(file);
    now = START;
    assert_int_equal(orderbook_last_forgot(b), 0);
    assert_false(is_forgotten(b, "192.0.2.7/32", START));
    o = order(ORDER_RELEASE, "192.0.2.7/32", 0);
    assert_int_equal(orderbook_take(b, &o, false, now), ORDER_TAKEN);
    for (int again = 0; again < 2; again++) { /* and after a restart */
        assert_int_equal(orderbook_last_forgot(b), START);
        assert_true(is_forgotten(b, "192.0.2.7/32", START - 50000));
        assert_true(is_forgotten(b, "192.0.2.7/32", START));
        assert_false(is_forgotten(b, "192.0.2.7/32", START + 1));
        assert_false(is_forgotten(b, "192.0.2.8/32", START - 50000));
        assert_true(is_forgotten(b, "192.0.2.0/24", START - 1)); /* the client's own network */
        assert_false(is_forgotten(b, "192.0.3.0/24", START - 1));
        orderbook_close(b);
        assert_int_equal(orderbook_open(&b, file), 0);
    }
    o = order(ORDER_RELEASE, "2001:db8::/32", 0);
    now += 10;
    orderbook_take(b, &o, true, now);
    assert_true(is_forgotten(b, "2001:db8:5::/48", START));
    assert_true(is_forgotten(b, "2001:db8:5:6::/64", START));
    assert_true(is_forgotten(b, "2001:db8::/40", START));
    assert_false(is_forgotten(b, "2001:db9::/64", START));
    o = order(ORDER_RELEASE, "2001:db8:7::/64", 0); /* of wider levels than its own, nothing */
    now += 10000;
    o.stamp_ms = now;
    orderbook_take(b, &o, true, now);
    assert_true(is_forgotten(b, "2001:db8:7::/48", now));
    assert_false(is_forgotten(b, "2001:db8::/32", now));
    o = order(ORDER_UNEXEMPT, "198.51.100.7/32", 0);
    orderbook_take(b, &o, true, now);
    assert_false(is_forgotten(b, "198.51.100.7/32", now));
    o = order(ORDER_EXEMPT, "198.51.100.7/32", 0); /* an exemption forgets as well */
    o.stamp_ms = now + 1;
    orderbook_take(b, &o, true, now);
    assert_true(is_forgotten(b, "198.51.100.7/32", now));
    now += (ORDER_RELEASE_S + 1) * UINT64_C(1000);
    assert_false(is_forgotten(b, "192.0.2.7/32", START - 50000));
    orderbook_close(b);
    unlink(file);
}

/* In a process of its own that the master has forked, as each fleet process is. */
static int in_process(struct orderbook *b, int (*does)(struct orderbook *))
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0)
        _exit(does(b));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static const char *const released[] = {"192.0.2.7/32", "198.51.100.0/24", "2001:db8::/64"};

static int take_releases(struct orderbook *b)
{
    for (size_t i = 0; i < 3; i++) {
        struct order_kept o = order(ORDER_RELEASE, released[i], 0);
        if (orderbook_take(b, &o, i < 2, now) != ORDER_TAKEN ||
            !is_forgotten(b, released[i], START))
            return 1;
    }
    return 0;
}

static int know_releases(struct orderbook *b)
{
    struct order_kept o;
    unsigned count = 0;

    while (orderbook_hear(b, now, &o)) {
        char network[ADDR_TEXT];
        network_format(&o.network, network);
        for (size_t i = 0; i < 3; i++)
            count += o.verb == ORDER_RELEASE && strcmp(network, released[i]) == 0;
    }
    if (count != 3 || orderbook_last_forgot(b) != now)
        return 1;
    for (size_t i = 0; i < 3; i++)
        if (!is_forgotten(b, released[i], START))
            return 2;
    return is_forgotten(b, "203.0.113.7/32", START) ? 3 : 0;
}

/* R25: the master has opened the table before the release, and forks each fleet process: at a
 * reload, and when one has died. */
static void test_a_later_fleet_process_knows_what_an_earlier_one_has_taken(void **state)
{
    char file[] = "/tmp/mired-orders-XXXXXX";
    struct orderbook *b;
    struct order_kept o;

    b = open_at(file);
    now = START + 1000;
    assert_int_equal(in_process(b, take_releases), 0);
    assert_int_equal(in_process(b, know_releases), 0);
    assert_int_equal(know_releases(b), 0);    /* and one that runs beside it */
    assert_false(orderbook_hear(b, now, &o)); /* once */
    now += 1000;
    o = order(ORDER_RELEASE, "192.0.2.7/32", 0);
    assert_int_equal(orderbook_take(b, &o, false, now), ORDER_TAKEN);
    assert_false(orderbook_hear(b, now, &o)); /* nor of what it has taken itself */
    orderbook_close(b);
    assert_int_equal(orderbook_open(&b, file), 0);
    assert_false(orderbook_hear(b, now, &o));
    orderbook_close(b);
    unlink(file);
}

static int release_account(struct orderbook *b)
{
    enum { DAY_MS = 24 * 3600 * 1000 };
    struct order_kept o;

    orderbook_account_released(b, 0x123a, now - 5000, now);
    orderbook_account_released(b, 0x123a, now - 1000, now);
    orderbook_account_released(b, 0x123a, now - 2000, now); /* the later one stays */
    orderbook_account_released(b, 0x456a, now + DAY_MS,
                               now); /* of a wrong clock: nobody hears it */
    return orderbook_hear(b, now, &o);
}

static int know_account(struct orderbook *b)
{
    struct order_kept o;
    unsigned others = 0;
    bool found = false;

    while (orderbook_hear(b, now, &o)) {
        bool it = o.verb == ORDER_ACCOUNT && o.id == 0x123a && o.stamp_ms == now - 1000;
        found = found || it;
        others += !it;
    }
    return !found || others > 0;
}

/* R23: also one that starts after mired has, and nobody else hears of it. */
static void test_a_later_fleet_process_knows_which_accounts_were_released(void **state)
{
    char file[] = "/tmp/mired-orders-XXXXXX";
    struct orderbook *b;
    struct order_kept o;
    uint32_t at = 0;

    b = open_at(file);
    now = START;
    assert_int_equal(in_process(b, release_account), 0);
    assert_int_equal(in_process(b, know_account), 0);
    orderbook_close(b);
    assert_int_equal(orderbook_open(&b, file), 0);
    assert_int_equal(in_process(b, know_account), 0);
    assert_int_equal(in_process(b, know_account), 0); /* each of them */
    assert_true(know_account(b) == 0 && know_account(b) == 1);
    assert_false(orderbook_next(b, &at, now, &o) || orderbook_to_do(b, now, &o));
    assert_int_equal(orderbook_last_forgot(b), 0);
    orderbook_close(b);
    unlink(file);
}

/* Orders and accounts do not take each other's places, and of accounts the latest stay. */
static void test_accounts_and_orders_leave_each_other_room(void **state)
{
    struct orderbook *b = fresh();
    struct order_kept o;
    char network[32];
    unsigned taken = 0, places = 0;

    now = START;
    for (unsigned i = 0; i < 2 * ORDER_ACCOUNTS; i++)
        orderbook_account_released(b, 0x100a + 16 * i, now + i, now + i);
    now += 1000;
    for (unsigned i = 0; i < ORDER_PLACES; i++) {
        snprintf(network, sizeof network, "10.%u.%u.0/24", i >> 8, i & 255);
        o = order(ORDER_EXEMPT, network, 0);
        taken += orderbook_take(b, &o, true, now) == ORDER_TAKEN;
    }
    assert_int_equal(taken, ORDER_PLACES - ORDER_ACCOUNTS);
    orderbook_account_released(b, 7, now, now); /* in the place of the oldest */
    for (uint32_t at = 0; orderbook_next(b, &at, now, &o);)
        places++;
    assert_int_equal(places, taken);
    now += ORDER_RELEASE_S * UINT64_C(1000); /* and what is past makes room */
    o = order(ORDER_EXEMPT, "192.0.2.7/32", 0);
    assert_int_equal(orderbook_take(b, &o, true, now), ORDER_TAKEN);
    orderbook_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_order_survives_the_wire),
        cmocka_unit_test(test_what_is_no_order_is_refused),
        cmocka_unit_test(test_an_accounts_release_survives_the_wire),
        cmocka_unit_test(test_what_is_no_accounts_release_is_refused),
        cmocka_unit_test(test_the_later_order_stays_whatever_arrives_first),
        cmocka_unit_test(test_an_order_from_the_future_gives_way),
        cmocka_unit_test(test_an_exemption_ends_with_its_time),
        cmocka_unit_test(test_a_full_table_forgets_the_oldest_order_that_is_past),
        cmocka_unit_test(test_the_lies_of_other_members_are_bounded),
        cmocka_unit_test(test_orders_are_carried_out_once_and_survive_a_restart),
        cmocka_unit_test(test_a_release_forgets_what_was_said_before_it),
        cmocka_unit_test(test_a_later_fleet_process_knows_what_an_earlier_one_has_taken),
        cmocka_unit_test(test_a_later_fleet_process_knows_which_accounts_were_released),
        cmocka_unit_test(test_accounts_and_orders_leave_each_other_room),
        cmocka_unit_test(test_members_agree_on_orders_whatever_happens_to_their_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
