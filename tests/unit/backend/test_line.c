/* In which order messages get a connection to a busy backend: clients take turns. Messages here end
 * as soon as they begin, because the backend lacks what they need; so one free connection serves all
 * of them in their order. */
#include "backends.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "base/container.h"

enum { MAILS = 512 };

struct mail {
    struct delivery delivery;
    int client, number; /* whose, and which of its own */
    bool dropped;
};

static struct mail mails[MAILS], *ended[MAILS];
static size_t used, over;
static struct envelope envelope;
static const char *more_of; /* its next message is there when one of its messages ends */

static struct mail *mail_of(struct delivery *d)
{
    return container_of(d, struct mail, delivery);
}

static void due(struct loop *loop, struct alarm *a)
{
    struct delivery *d = container_of(a, struct delivery, alarm);

    mail_of(d)->dropped = true;
    pool_drop(d);
}

static struct mail *put(struct backends *t, int client, const char *address)
{
    struct mail *m = &mails[used++];

    assert_true(used <= MAILS);
    *m = (struct mail){.client = client};
    for (size_t i = 0; i + 1 < used; i++)
        m->number += mails[i].client == client;
    m->delivery.alarm.due = due;
    m->delivery.job.utf8 = true;
    m->delivery.job.envelope = &envelope;
    assert_true(addr_parse(span_of(address), &m->delivery.client));
    assert_true(pool_put(&t->b, &m->delivery));
    return m;
}

static void note_end(struct delivery *d)
{
    struct backends *t = container_of(d->backend, struct backends, b);

    assert_true(d->job.lacking);
    ended[over++] = mail_of(d);
    if (more_of && used < 8)
        put(t, mail_of(d)->client, more_of);
}

static int setup(void **state)
{
    used = over = 0;
    more_of = NULL;
    if (backends_setup(state) < 0)
        return -1;
    struct backends *t = *state;
    t->pool.params.over = note_end;
    t->b.open_max = 1;
    backends_link(t, false);
    return 0;
}

/* The connection is free: all that wait get it, one after the other. */
static void serve(struct backends *t)
{
    struct link *l = t->b.links;

    l->outbound.state = OUTBOUND_IDLE;
    pool_link_ready(&t->loop, &l->watch, 0);
}

/* The place of a message in the order in which they ended. */
static size_t place_of(const struct mail *m)
{
    size_t i = 0;

    while (i < over && ended[i] != m)
        i++;
    assert_true(i < over);
    return i;
}

static const struct enemy {
    const char *about, *address; /* %d: another one for each message */
} enemies[] = {
    {"one client with many messages", "192.0.2.1"},
    {"all clients of a network", "192.0.2.%d"},
    {"an IPv6 client with many addresses", "2001:db8:1:1::%d"},
    {"an IPv6 network with many clients", "2001:db8:1:%d::1"},
};

static void attack(struct backends *t, const struct enemy *e)
{
    char address[64];

    for (int n = 1; n <= 200; n++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(address, sizeof address, e->address, n);
#pragma GCC diagnostic pop
        put(t, 1, address);
    }
}

static void test_one_message_waits_for_no_more_than_one_of_another_client(void **state)
{
    for (size_t i = 0; i < sizeof enemies / sizeof enemies[0]; i++)
        for (int first = 0; first < 2; first++) {
            print_message("%s, %s\n", enemies[i].about, first ? "later" : "earlier");
            struct mail *good = NULL;
            backends_teardown(state);
            assert_int_equal(setup(state), 0);
            struct backends *t = *state;
            if (first)
                good = put(t, 2, "203.0.113.1");
            attack(t, &enemies[i]);
            if (!first)
                good = put(t, 2, "203.0.113.1");
            serve(t);
            assert_int_equal(over, 201);
            assert_int_equal(place_of(good), first ? 0 : 1);
        }
}

static void test_a_client_s_own_messages_keep_their_order(void **state)
{
    struct backends *t = *state;
    int next[3] = {0};

    for (int n = 0; n < 20; n++) {
        put(t, 0, "192.0.2.1");
        if (n % 2)
            put(t, 1, "192.0.2.2");
        if (n % 5 == 0)
            put(t, 2, "2001:db8::1");
    }
    serve(t);
    assert_int_equal(over, used);
    for (size_t i = 0; i < over; i++)
        assert_int_equal(ended[i]->number, next[ended[i]->client]++);
}

/* As many good clients as there may be: each waits for one message of each other, and for one of the
 * enemy. */
static void test_many_clients_wait_for_one_turn_of_each(void **state)
{
    struct backends *t = *state;
    struct mail *good[50];

    attack(t, &enemies[0]);
    for (int n = 0; n < 50; n++) {
        char address[64];
        snprintf(address, sizeof address, "198.51.%d.1", n);
        good[n] = put(t, 2 + n, address);
    }
    serve(t);
    for (int n = 0; n < 50; n++)
        assert_int_equal(place_of(good[n]), n + 1);
}

static void test_each_backend_has_a_line_of_its_own(void **state)
{
    struct backends *t = *state;
    void *second;

    assert_int_equal(backends_setup(&second), 0);
    struct backends *u = second;
    u->pool.params.over = note_end;
    u->b.open_max = 1;
    backends_link(u, false);
    attack(t, &enemies[0]);
    struct mail *here = put(t, 2, "203.0.113.1"), *there = put(u, 2, "203.0.113.1");
    put(u, 1, "192.0.2.1");
    serve(u);
    assert_int_equal(over, 2);
    assert_int_equal(place_of(there), 0);
    serve(t);
    assert_int_equal(place_of(here), 3);
    backends_teardown(&second);
}

static void test_what_is_cancelled_costs_nobody_the_turn(void **state)
{
    struct backends *t = *state;

    attack(t, &enemies[1]);
    struct mail *gone = put(t, 2, "203.0.113.1"), *next = put(t, 2, "203.0.113.1"),
                *neighbour = put(t, 3, "203.0.113.2");
    for (int n = 0; n < 200; n += 2)
        pool_drop(&mails[n].delivery);
    pool_drop(&gone->delivery);
    pool_drop(&gone->delivery); /* it waits no more */
    serve(t);
    assert_int_equal(over, 102);
    assert_int_equal(place_of(next), 1);
    assert_int_equal(place_of(neighbour), 3);
    for (size_t i = 0; i < over; i++)
        assert_true(ended[i] != gone && (ended[i]->client != 1 || (ended[i] - mails) % 2));
}

/* The enemy's neighbour, who cannot be told from it by network. Messages that come and go do not keep
 * the network at the end of the line. */
static void test_messages_that_give_up_do_not_hold_up_their_network(void **state)
{
    struct backends *t = *state;

    put(t, 1, "192.0.2.1");
    put(t, 3, "198.51.100.1");
    put(t, 3, "198.51.100.1");
    struct mail *good = put(t, 2, "192.0.2.2");
    pool_drop(&mails[0].delivery);
    for (int n = 0; n < 20; n++)
        pool_drop(&put(t, 1, "192.0.2.1")->delivery);
    serve(t);
    assert_int_equal(place_of(good), 0);
}

static void test_a_client_s_next_message_goes_behind_those_that_wait(void **state)
{
    struct backends *t = *state;

    put(t, 1, "192.0.2.1");
    struct mail *good = put(t, 2, "203.0.113.1");
    more_of = "192.0.2.1"; /* each end brings the next at once */
    serve(t);
    assert_int_equal(over, 8);
    assert_int_equal(place_of(good), 1);
}

static void test_each_message_keeps_the_end_of_its_wait(void **state)
{
    struct backends *t = *state;
    uint64_t begun = t->loop.now;
    struct mail *early = put(t, 1, "192.0.2.1");

    t->loop.now += 1000;
    struct mail *late = put(t, 1, "192.0.2.1"), *other = put(t, 2, "203.0.113.1");
    assert_int_equal(early->delivery.alarm.timer.at, begun + POOL_WAIT_MS);
    assert_int_equal(late->delivery.alarm.timer.at, begun + 1000 + POOL_WAIT_MS);
    t->loop.now = begun + POOL_WAIT_MS;
    loop_alarm_off(&t->loop, &early->delivery.alarm);
    due(&t->loop, &early->delivery.alarm);
    assert_int_equal(other->delivery.alarm.timer.at, begun + 1000 + POOL_WAIT_MS);
    serve(t);
    assert_int_equal(over, 2);
    assert_int_equal(place_of(late), 0); /* in the place of the client's first */
    assert_int_equal(place_of(other), 1);
}

/* With a PROXY header each message has a connection of its own. */
static void test_a_message_keeps_its_turn_if_no_connection_can_be_opened_now(void **state)
{
    struct backends *t = *state;
    struct rlimit usual, none;

    backends_listen(t);
    t->one.proxy_protocol = 2;
    struct mail *first = put(t, 1, "192.0.2.1");
    put(t, 2, "203.0.113.1");
    struct link *idle = backends_link(t, true);
    t->b.open_max = 2;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &usual), 0);
    none = usual;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    pool_link_due(&t->loop, &idle->alarm); /* it ends, and leaves a place */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &usual), 0);
    assert_int_equal(t->b.open, 1);
    assert_ptr_equal(pool_line_first(&t->b), &first->delivery);
}

static bool taken_again;

static void put_again(struct delivery *d, bool started)
{
    taken_again = pool_put(d->backend, d);
}

static bool looked;

static void look(struct loop *loop, struct alarm *a)
{
    looked = true;
}

/* On the only link of a backend that gets one connection for each message; another message waits. */
static struct mail *runs_while_one_waits(struct backends *t)
{
    struct mail *m = &mails[used++];

    backends_listen(t);
    t->one.proxy_protocol = 2;
    struct link *l = t->b.links;
    *m = (struct mail){.client = 1};
    m->delivery.alarm.due = due;
    m->delivery.job.envelope = &envelope;
    assert_true(addr_parse(span_of("192.0.2.1"), &m->delivery.client));
    l->delivery = &m->delivery;
    m->delivery.link = l;
    m->delivery.backend = &t->b;
    put(t, 2, "203.0.113.1");
    return m;
}

/* The backend restarts: the message tries again behind the one that waits, and is not given up. */
static void test_a_single_connection_that_breaks_is_opened_again_for_those_that_wait(void **state)
{
    struct backends *t = *state;
    struct mail *m = runs_while_one_waits(t);

    t->pool.params.broke = put_again;
    pool_link_due(&t->loop, &m->delivery.link->alarm);
    assert_true(taken_again);
    assert_null(m->delivery.link);
    loop_turn(&t->loop, 0);
    assert_int_equal(t->b.open, 1);
    assert_ptr_equal(t->b.links->delivery, &mails[1].delivery);
}

/* Its client has hung up, and another message comes before the loop opens a connection. */
static void test_a_message_that_comes_between_waits_its_turn(void **state)
{
    struct backends *t = *state;
    struct mail *m = runs_while_one_waits(t);

    pool_drop(&m->delivery);
    put(t, 3, "198.51.100.1");
    looked = false;
    t->b.retry.due = look; /* pool.c opens a connection then */
    loop_turn(&t->loop, 0);
    assert_true(looked);
    assert_ptr_equal(pool_line_first(&t->b), &mails[1].delivery);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, backends_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_one_message_waits_for_no_more_than_one_of_another_client),
        TEST(test_a_client_s_own_messages_keep_their_order),
        TEST(test_many_clients_wait_for_one_turn_of_each),
        TEST(test_each_backend_has_a_line_of_its_own),
        TEST(test_what_is_cancelled_costs_nobody_the_turn),
        TEST(test_messages_that_give_up_do_not_hold_up_their_network),
        TEST(test_a_client_s_next_message_goes_behind_those_that_wait),
        TEST(test_each_message_keeps_the_end_of_its_wait),
        TEST(test_a_message_keeps_its_turn_if_no_connection_can_be_opened_now),
        TEST(test_a_single_connection_that_breaks_is_opened_again_for_those_that_wait),
        TEST(test_a_message_that_comes_between_waits_its_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
