/* R22 on a connection: the greeting of an unknown client waits as any hold does; a client that
 * talks before it has offended, a check tool has not; and where nobody pauses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/metrics.h"
#include "fake.h"
#include "worker/guard.h"
#include "worker/hold.h"

enum { SECOND = 1000, GREET = 6 * SECOND, T1 = 20 * SECOND };
#define WHO "192.0.2.7"

static struct fake f;
static struct metrics_row counts;

static int setup(void **state)
{
    memset(&counts, 0, sizeof counts);
    metrics_use(&counts);
    fake_open(&f);
    f.w->tarpit.rules.greet = GREET;
    return 0;
}

static int teardown(void **state)
{
    fake_close(&f);
    metrics_use(NULL);
    return 0;
}

static uint64_t count(enum metric id)
{
    return atomic_load(&counts.value[id]);
}

static void expect(const struct fake_client *client, const char *reply)
{
    const char *heard = fake_heard(client);

    if (strncmp(heard, reply, strlen(reply)) != 0 || (!*reply && *heard))
        fail_msg("heard %s, expected %s", heard, reply);
}

static void test_an_unknown_client_is_greeted_after_the_pause_and_then_is_known(void **state)
{
    struct fake_client client = fake_connect(&f, WHO);

    assert_int_equal(client.c->phase, CONN_HELD);
    assert_null(client.c->work); /* a pause takes no more memory than another hold */
    fake_pass(&f, GREET - 1);
    expect(&client, "");
    fake_pass(&f, 1);
    expect(&client, "220 ");
    assert_int_equal(client.c->held_ms, GREET);
    fake_say(&f, &client, "EHLO client.example\r\n");
    expect(&client, "250");
    struct fake_client again = fake_connect(&f, WHO);
    expect(&again, "220 ");
    struct fake_client neighbour = fake_connect(&f, "192.0.2.8");
    expect(&neighbour, "");
    assert_int_equal(count(METRIC_GREETING_PAUSES), 2);
    assert_int_equal(count(METRIC_EARLY_TALKERS), 0);
    assert_true(fake_offences(&f, WHO) == 0);
}

static void test_a_client_that_talks_first_is_an_offender(void **state)
{
    static const char *const talk[] = {"EHLO early.example\r\n", "GET / HTTP/1.0\r\n\r\n", "x",
                                       "EHLO a\r\nMAIL FROM:<a@b.example>\r\n"};

    for (unsigned i = 0; i < sizeof talk / sizeof talk[0]; i++) {
        teardown(state);
        setup(state);
        struct fake_client client = fake_connect(&f, WHO);
        fake_say(&f, &client, talk[i]);
        assert_float_equal(fake_offences(&f, WHO), 1, 0.01);
        assert_int_equal(client.c->phase, CONN_HELD);
        fake_pass(&f, T1 - 1);
        expect(&client, "");
        fake_pass(&f, 1);
        expect(&client, "554 5.5.0");
        assert_int_equal(count(METRIC_EARLY_TALKERS), 1);
        assert_int_equal(count(METRIC_OFFENCE_EARLY), 1);
        struct fake_client again = fake_connect(&f, WHO); /* it has not passed */
        expect(&again, "");
    }
}

/* `printf ... | nc -N`: the end of its side comes together with what it says. */
static void test_it_is_one_too_when_it_ends_its_side_at_once(void **state)
{
    struct fake_client client = fake_connect(&f, WHO);

    assert_int_equal(send(client.fd, "MAIL FROM:<>\r\n", 14, MSG_NOSIGNAL), 14);
    shutdown(client.fd, SHUT_WR);
    fake_turn(&f);
    assert_float_equal(fake_offences(&f, WHO), 1, 0.01);
    assert_int_equal(count(METRIC_EARLY_TALKERS), 1);
}

static void test_who_hangs_up_in_the_pause_has_not_offended_and_not_passed(void **state)
{
    struct fake_client client = fake_connect(&f, WHO);

    fake_pass(&f, 500);
    fake_hang_up(&f, &client);
    assert_int_equal(f.w->open, 0);
    assert_int_equal(f.w->guard.held, 0);
    assert_true(fake_offences(&f, WHO) == 0);
    client = fake_connect(&f, WHO);
    expect(&client, "");
    shutdown(client.fd, SHUT_WR); /* connect and FIN, as balancers do */
    fake_turn(&f);
    assert_int_equal(f.w->open, 0);
    assert_true(fake_offences(&f, WHO) == 0);
    assert_int_equal(count(METRIC_EARLY_TALKERS), 0);
}

static void test_a_check_that_ends_with_quit_is_answered_at_once_and_is_no_offence(void **state)
{
    static const char *const checks[] = {"QUIT\r\n", "EHLO x\r\nQUIT\r\n", "QUIT\n",
                                         "\x16\x03\x01\x02\x01"};

    for (unsigned i = 0; i < sizeof checks / sizeof checks[0]; i++)
        for (int ends = 0; ends < 2; ends++) {
            struct fake_client client = fake_connect(&f, WHO);
            send(client.fd, checks[i], strlen(checks[i]), MSG_NOSIGNAL);
            if (ends)
                shutdown(client.fd, SHUT_WR);
            fake_turn(&f);
            const char *heard = fake_heard(&client);
            assert_int_equal(strncmp(heard, "220 ", 4), 0);
            assert_non_null(strstr(heard, i < 3 ? "221 " : "554 5.5.1"));
            assert_false(fake_is_open(&f, &client));
            assert_int_equal(f.w->open, 0);
        }
    assert_true(fake_offences(&f, WHO) == 0);
    assert_int_equal(count(METRIC_EARLY_TALKERS), 0);
    struct fake_client client = fake_connect(&f, WHO); /* and it is no pass */
    expect(&client, "");
}

/* A client in debt hears nothing sooner for it. */
static void test_a_check_of_a_client_in_debt_waits_with_its_greeting(void **state)
{
    struct fake_client client = fake_connect(&f, WHO);

    fake_say(&f, &client, "EHLO early.example\r\n");
    struct fake_client check = fake_connect(&f, WHO);
    fake_say(&f, &check, "QUIT\r\n");
    expect(&check, "");
    fake_pass(&f, T1 - 1);
    expect(&check, "");
    fake_pass(&f, 1);
    expect(&check, "220 ");
    assert_float_equal(fake_offences(&f, WHO), 1, 0.01);
}

static void test_where_users_log_in_nobody_pauses(void **state)
{
    f.listen.submission = true;
    struct fake_client client = fake_connect(&f, WHO);
    expect(&client, "220 ");
    f.listen.submission = false;
    f.listen.tls = TLS_IMPLICIT;
    client = fake_connect(&f, WHO); /* which waits for its ClientHello, not for us */
    assert_int_equal(client.c->phase, CONN_SHAKING);
    assert_int_equal(count(METRIC_GREETING_PAUSES), 0);
}

/* The header comes first; the client behind it pauses, the balancer's own check does not. */
static void test_behind_a_balancer_the_client_pauses_and_the_balancers_check_does_not(void **state)
{
    static const char local[] = "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    struct network balancer;

    assert_true(network_parse(SPAN("10.0.0.0/8"), &balancer));
    f.listen.proxy_protocol = (struct config_networks){&balancer, 1};
    struct fake_client client = fake_connect(&f, "10.0.0.1");
    assert_int_equal(client.c->phase, CONN_PROXY);
    fake_say(&f, &client, "PROXY TCP4 192.0.2.7 192.0.2.1 1234 25\r\n");
    assert_int_equal(client.c->phase, CONN_HELD);
    assert_true(fake_offences(&f, WHO) == 0);
    fake_pass(&f, GREET);
    expect(&client, "220 ");

    client = fake_connect(&f, "10.0.0.1");
    fake_say(&f, &client, "PROXY TCP4 192.0.2.9 192.0.2.1 1234 25\r\nEHLO early\r\n");
    assert_float_equal(fake_offences(&f, "192.0.2.9"), 1, 0.01);
    assert_true(fake_offences(&f, "10.0.0.1") == 0);

    client = fake_connect(&f, "10.0.0.1");
    send(client.fd, local, sizeof local - 1, MSG_NOSIGNAL);
    fake_turn(&f);
    expect(&client, "220 ");
}

/* R17: a pause is worth no other client's place. */
static void test_when_there_is_little_room_nobody_pauses(void **state)
{
    struct fake_client paused[3], greeted;

    f.w->held_max = 3;
    for (int i = 0; i < 3; i++) {
        char address[] = "192.0.2.1";
        address[8] += (char)i;
        paused[i] = fake_connect(&f, address);
        expect(&paused[i], "");
    }
    greeted = fake_connect(&f, "198.51.100.1");
    expect(&greeted, "220 ");
    for (int i = 0; i < 3; i++)
        assert_int_equal(paused[i].c->phase, CONN_HELD);
    f.w->held_max = 1000;
    f.w->open_reserve_from = 4;
    greeted = fake_connect(&f, "198.51.100.2");
    expect(&greeted, "220 ");
    f.w->open_reserve_from = 1000;
    for (int i = 0; i < 3; i++) /* one of them may count in the same place as the next client */
        hold_release(f.w, paused[i].c);
    f.w->held_per_client = 1;
    paused[0] = fake_connect(&f, "198.51.100.3");
    expect(&paused[0], "");
    greeted = fake_connect(&f, "198.51.100.3");
    expect(&greeted, "220 ");
}

static void test_observed_nobody_pauses_and_each_client_counts_once(void **state)
{
    f.config.observe = true;
    for (int i = 0; i < 5; i++) {
        struct fake_client client = fake_connect(&f, WHO);
        expect(&client, "220 ");
        fake_pass(&f, GREET);
    }
    assert_int_equal(count(METRIC_WOULD_HOLD_GREET), 1);
    assert_int_equal(count(METRIC_WOULD_HOLD_MS), GREET);
    assert_int_equal(count(METRIC_GREETING_PAUSES), 0);
    f.config.observe = false;
}

static void test_a_release_and_an_exemption_end_the_pause(void **state)
{
    struct fake_client client = fake_connect(&f, WHO);

    hold_release(f.w, client.c);
    expect(&client, "220 ");
    client = fake_connect(&f, WHO); /* a release is no pass */
    expect(&client, "");
    client.c->flags |= CONN_EXEMPT; /* what a dnswl's answer does (lists.c) */
    hold_release(f.w, client.c);
    expect(&client, "220 ");
    assert_int_equal(f.w->guard.held, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_an_unknown_client_is_greeted_after_the_pause_and_then_is_known),
        TEST(test_a_client_that_talks_first_is_an_offender),
        TEST(test_it_is_one_too_when_it_ends_its_side_at_once),
        TEST(test_who_hangs_up_in_the_pause_has_not_offended_and_not_passed),
        TEST(test_a_check_that_ends_with_quit_is_answered_at_once_and_is_no_offence),
        TEST(test_a_check_of_a_client_in_debt_waits_with_its_greeting),
        TEST(test_where_users_log_in_nobody_pauses),
        TEST(test_behind_a_balancer_the_client_pauses_and_the_balancers_check_does_not),
        TEST(test_when_there_is_little_room_nobody_pauses),
        TEST(test_observed_nobody_pauses_and_each_client_counts_once),
        TEST(test_a_release_and_an_exemption_end_the_pause),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
