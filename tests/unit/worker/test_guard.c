/* R17: held connections never crowd out clients without debt, and the deepest in debt goes first.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fake.h"
#include "worker/conn.h"
#include "worker/guard.h"

static struct fake f;

static int setup(void **state)
{
    fake_open(&f);
    f.w->tarpit.rules.pace = false; /* each client waits for its own offence only */
    return 0;
}

static int teardown(void **state)
{
    fake_close(&f);
    return 0;
}

/* A client with so many offences, held for one more. */
static struct fake_client held(const char *address, double offences)
{
    if (offences > 0)
        fake_owe(&f, address, offences);
    struct fake_client client = fake_connect(&f, address);
    if (client.c)
        fake_say(&f, &client, "NONSENSE\r\n");
    return client;
}

static bool is_held(const struct fake_client *client)
{
    return fake_is_open(&f, client) && client->c->phase == CONN_HELD;
}

static bool heard_421(const struct fake_client *client)
{
    return strstr(fake_heard(client), "421 ") != NULL;
}

static void test_the_deepest_in_debt_makes_room_and_the_oldest_of_them_first(void **state)
{
    f.w->held_max = 5;
    struct fake_client small = held("192.0.2.1", 0), deep = held("192.0.2.2", 9),
                       older = held("192.0.2.3", 20), newer = held("192.0.2.4", 20),
                       middle = held("192.0.2.5", 4);

    struct fake_client sixth = held("192.0.2.6", 2);
    assert_false(fake_is_open(&f, &older));
    assert_true(heard_421(&older));
    assert_true(is_held(&newer) && is_held(&sixth));
    struct fake_client seventh = held("192.0.2.7", 2);
    assert_false(fake_is_open(&f, &newer));
    struct fake_client eighth = held("192.0.2.8", 2);
    assert_false(fake_is_open(&f, &deep));
    assert_true(is_held(&small) && is_held(&middle) && is_held(&sixth) && is_held(&seventh));
    assert_true(is_held(&eighth));
    assert_int_equal(f.w->guard.held, 5);
}

static void test_a_newcomer_deeper_in_debt_than_all_is_itself_the_one_to_go(void **state)
{
    f.w->held_max = 2;
    struct fake_client one = held("192.0.2.1", 1), two = held("192.0.2.2", 2);
    struct fake_client worst = held("192.0.2.3", 30);

    assert_false(fake_is_open(&f, &worst));
    assert_true(heard_421(&worst));
    assert_true(is_held(&one) && is_held(&two));
}

static void test_a_client_without_offence_gets_in_when_all_places_are_taken(void **state)
{
    f.w->open_max = 4;
    f.w->open_reserve_from = 3;
    struct fake_client one = held("192.0.2.1", 1), two = held("192.0.2.2", 7),
                       good = fake_connect(&f, "198.51.100.1"),
                       also = fake_connect(&f, "198.51.100.2");

    assert_true(is_held(&one) && is_held(&two));
    struct fake_client third = fake_connect(&f, "198.51.100.3");
    assert_false(fake_is_open(&f, &two));
    assert_true(is_held(&one) && fake_is_open(&f, &third));
    struct fake_client fourth = fake_connect(&f, "198.51.100.4");
    assert_false(fake_is_open(&f, &one));
    assert_true(fake_is_open(&f, &fourth) && fake_is_open(&f, &good) && fake_is_open(&f, &also));
    assert_non_null(strstr(fake_heard(&good), "220 "));
}

static void test_the_reserve_is_not_for_clients_in_debt(void **state)
{
    f.w->open_max = 10;
    f.w->open_reserve_from = 1;
    struct fake_client good = fake_connect(&f, "198.51.100.1");
    fake_owe(&f, "192.0.2.1", 1);
    struct fake_client bad = fake_connect(&f, "192.0.2.1");

    assert_null(bad.c);
    assert_true(heard_421(&bad));
    assert_true(fake_is_open(&f, &good));
}

/* With nobody held, and all of them busy, the newcomer is the one that hears 421. */
static void test_no_client_without_offence_is_closed_for_another(void **state)
{
    f.w->open_max = f.w->open_reserve_from = 3;
    struct fake_client good[3];

    for (int i = 0; i < 3; i++) {
        char address[32];
        snprintf(address, sizeof address, "198.51.100.%d", i + 1);
        good[i] = fake_connect(&f, address);
    }
    struct fake_client more = fake_connect(&f, "198.51.100.9");
    assert_null(more.c);
    assert_true(heard_421(&more));
    for (int i = 0; i < 3; i++)
        assert_true(fake_is_open(&f, &good[i]));
}

static void deliver(const char *address)
{
    struct addr a;
    uint64_t mailbox = 1;

    assert_true(addr_parse(span_of(address), &a));
    struct tarpit_who who = tarpit_who(&f.w->tarpit, &a, false);
    tarpit_good(&f.w->tarpit, &who, &mailbox, 1, f.w->loop.wall);
}

/* Strangers who keep talking: none of them is in debt, held or silent. */
static void talk(const struct fake_client *client, int count)
{
    for (int i = 0; i < count; i++) {
        fake_say(&f, &client[i], "EHLO x\r\n");
        assert_non_null(strstr(fake_heard(&client[i]), "250 "));
    }
}

static void test_a_client_with_good_mail_takes_the_place_of_a_stranger(void **state)
{
    struct fake_client stranger[4];
    static const char *const from[] = {"192.0.2.1", "203.0.113.1", "203.0.113.1", "192.0.2.3"};

    f.w->open_max = f.w->open_reserve_from = 4;
    deliver("198.51.100.1");
    deliver("198.51.100.2");
    for (int i = 0; i < 4; i++)
        stranger[i] = fake_connect(&f, from[i]);
    talk(stranger, 4);
    struct fake_client good = fake_connect(&f, "198.51.100.1");
    assert_non_null(strstr(fake_heard(&good), "220 "));
    assert_int_equal(f.w->open, 4);
    /* of the one with most connections */
    assert_true(fake_is_open(&f, &stranger[0]) && fake_is_open(&f, &stranger[3]));
    assert_true(fake_is_open(&f, &stranger[1]) != fake_is_open(&f, &stranger[2]));
    assert_true(heard_421(&stranger[fake_is_open(&f, &stranger[1]) ? 2 : 1]));

    /* Strangers cannot do that, and good mail in debt is none. */
    fake_owe(&f, "198.51.100.2", 9);
    struct fake_client more = fake_connect(&f, "192.0.2.9"),
                       owes = fake_connect(&f, "198.51.100.2");
    assert_true(heard_421(&more) && heard_421(&owes));
    assert_true(fake_is_open(&f, &good));
}

/* A bounce that it sends at the moment does not make a stranger of it. */
static void test_a_client_with_good_mail_gives_way_to_none_of_its_kind(void **state)
{
    struct fake_client good[3];

    f.w->open_max = f.w->open_reserve_from = 3;
    for (int i = 0; i < 3; i++) {
        deliver("198.51.100.1");
        good[i] = fake_connect(&f, "198.51.100.1");
        fake_say(&f, &good[i], "EHLO x\r\nMAIL FROM:<>\r\n");
    }
    deliver("203.0.113.1");
    struct fake_client other = fake_connect(&f, "203.0.113.1");
    assert_true(heard_421(&other));
    for (int i = 0; i < 3; i++)
        assert_true(fake_is_open(&f, &good[i]));
}

/* Who takes all places with few addresses makes room for one who has none, with good mail or not. */
static void test_a_client_with_many_connections_makes_room(void **state)
{
    enum { MANY = 40 };

    for (int proven = 0; proven < 2; proven++) {
        struct fake_client many[MANY];
        fake_close(&f);
        fake_open(&f);
        f.w->open_max = f.w->open_reserve_from = MANY;
        for (int i = 0; i < MANY; i++) {
            const char *address = i % 2 ? "192.0.2.1" : "203.0.113.1";
            if (proven)
                deliver(address);
            many[i] = fake_connect(&f, address);
        }
        talk(many, MANY);
        if (proven) {
            struct fake_client stranger = fake_connect(&f, "198.51.100.1");
            assert_true(heard_421(&stranger));
            deliver("198.51.100.1");
        }
        struct fake_client one = fake_connect(&f, "198.51.100.1");
        assert_non_null(strstr(fake_heard(&one), "220 "));
        assert_int_equal(f.w->open, MANY);
    }
}

/* A handshake that does not come, and a last reply that is not taken, are silence too. */
static void test_a_client_that_is_waited_for_in_any_phase_makes_room(void **state)
{
    static const enum conn_phase phases[] = {CONN_READING, CONN_SHAKING, CONN_CLOSING};

    for (size_t i = 0; i < sizeof phases / sizeof phases[0]; i++) {
        fake_close(&f);
        fake_open(&f);
        f.w->open_max = f.w->open_reserve_from = 1;
        struct fake_client silent = fake_connect(&f, "192.0.2.1");
        conn_phase(f.w, silent.c, phases[i], f.config.timeout_ms);
        fake_pass(&f, 9999);
        struct fake_client early = fake_connect(&f, "198.51.100.1");
        assert_true(heard_421(&early));
        assert_true(fake_is_open(&f, &silent));
        fake_pass(&f, 1);
        struct fake_client good = fake_connect(&f, "198.51.100.2");
        if (!strstr(fake_heard(&good), "220 "))
            fail_msg("%s: it makes no room", conn_phase_name(phases[i]));
        assert_false(fake_is_open(&f, &silent));
        assert_int_equal(f.w->open, 1);
        assert_true(heard_421(&silent) == (phases[i] == CONN_READING));
    }
}

/* Whatever the order in which they come: none without offence is closed while one with is held. */
static void test_the_innocent_are_never_closed_before_the_guilty(void **state)
{
    for (unsigned order = 0; order < 64; order++) {
        struct fake_client client[8];
        char address[32];
        fake_close(&f);
        fake_open(&f);
        f.w->tarpit.rules.pace = false;
        f.w->open_max = f.w->open_reserve_from = 5;
        for (unsigned i = 0; i < 8; i++) {
            bool guilty = i < 6 ? order >> i & 1 : false;
            snprintf(address, sizeof address, "%s.%u", guilty ? "192.0.2" : "198.51.100", i);
            client[i] = guilty ? held(address, i) : fake_connect(&f, address);
            bool closed = false, still_held = f.w->guard.held > 0;
            for (unsigned k = 0; k <= i; k++)
                closed |= !(k < 6 && order >> k & 1) && !fake_is_open(&f, &client[k]);
            if (closed && still_held)
                fail_msg("order %u, client %u: a client without offence had to go", order, i);
        }
    }
}

static void test_one_client_holds_so_many_and_no_more(void **state)
{
    f.w->held_per_client = 2;
    struct fake_client one = held("192.0.2.1", 0), two = held("192.0.2.1", 0),
                       three = held("192.0.2.1", 0), other = held("192.0.2.9", 0);

    assert_true(is_held(&one) && is_held(&two) && is_held(&other));
    assert_false(fake_is_open(&f, &three));
    fake_hang_up(&f, &one);
    struct fake_client four = held("192.0.2.1", 0);
    assert_true(is_held(&four));
}

static void test_counters_grow_with_what_is_held_and_lose_nothing(void **state)
{
    enum { MANY = 2300 };
    static struct fake_client many[MANY];
    char address[32];
    struct network all, ten;
    unsigned bits = f.w->guard.client_bits;

    f.w->held_max = f.w->open_max = f.w->open_reserve_from = 10 * MANY;
    for (int i = 0; i < MANY; i++) {
        snprintf(address, sizeof address, "10.%d.%d.%d", i % 2, i / 250, i % 250);
        many[i] = held(address, 0);
        assert_true(is_held(&many[i]));
    }
    assert_int_equal(f.w->guard.client_bits, bits + 1);
    assert_true(network_parse(SPAN("10.0.0.0/8"), &all));
    assert_true(network_parse(SPAN("10.1.0.0/16"), &ten));
    assert_int_equal(guard_count(f.w, &all), MANY);
    assert_int_equal(guard_count(f.w, &ten), MANY / 2);
    for (int i = 0; i < MANY; i++)
        fake_hang_up(&f, &many[i]);
    assert_int_equal(f.w->guard.held, 0);
    for (unsigned i = 0; i < 1U << f.w->guard.client_bits; i++)
        assert_int_equal(f.w->guard.client[i], 0);
}

static void test_what_is_gathered_leaves_as_it_would_leave_the_guard(void **state)
{
    struct fake_client one = held("192.0.2.1", 1), two = held("192.0.2.2", 5),
                       other = held("198.51.100.1", 3);
    struct network n;
    struct ring theirs;

    assert_true(network_parse(SPAN("192.0.2.0/24"), &n));
    ring_init(&theirs);
    guard_gather(f.w, &n, &theirs);
    assert_false(ring_is_empty(&theirs));
    fake_hang_up(&f, &one);
    fake_hang_up(&f, &two);
    assert_true(ring_is_empty(&theirs));
    assert_int_equal(f.w->guard.held, 1);
    assert_true(is_held(&other));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_the_deepest_in_debt_makes_room_and_the_oldest_of_them_first),
        TEST(test_a_newcomer_deeper_in_debt_than_all_is_itself_the_one_to_go),
        TEST(test_a_client_without_offence_gets_in_when_all_places_are_taken),
        TEST(test_the_reserve_is_not_for_clients_in_debt),
        TEST(test_no_client_without_offence_is_closed_for_another),
        TEST(test_a_client_with_good_mail_takes_the_place_of_a_stranger),
        TEST(test_a_client_with_good_mail_gives_way_to_none_of_its_kind),
        TEST(test_a_client_with_many_connections_makes_room),
        TEST(test_a_client_that_is_waited_for_in_any_phase_makes_room),
        TEST(test_the_innocent_are_never_closed_before_the_guilty),
        TEST(test_one_client_holds_so_many_and_no_more),
        TEST(test_counters_grow_with_what_is_held_and_lose_nothing),
        TEST(test_what_is_gathered_leaves_as_it_would_leave_the_guard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
