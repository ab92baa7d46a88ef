/* What monitors, balancers and probes send, once a minute for a day, leads to no debt, no hold, no
 * mask and no closed connection (docs/monitors.md). tests/integration/test_monitors.py has the real
 * programs; here are their octets and a clock. What goes on under TLS is there only. */
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
#include "tarpit/tarpit.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND, MINUTES_OF_A_DAY = 24 * 60, SAYS_MAX = 6 };
#define WHO      "192.0.2.7"
#define BALANCER "10.0.0.1"

/* How a check ends. */
enum end { CLOSES, ENDS_ITS_SIDE, WAITS_FOR_THE_END };

static const struct check {
    const char *name, *says[SAYS_MAX]; /* each after the reply to the one before */
    enum end end;
    bool at_once;  /* says it without waiting for the greeting */
    bool balancer; /* to the listener that expects a PROXY header */
} checks[] = {
    {.name = "connect and close (HAProxy check, nc -z, Kubernetes tcpSocket, net.tcp.port)"},
    {.name = "connect and FIN (cloud balancers)", .end = ENDS_ITS_SIDE},
    {.name = "reads the greeting and leaves (check_tcp -e 220)", .says = {""}},
    {.name = "QUIT (Zabbix net.tcp.service)", .says = {"", "QUIT\r\n"}, .end = WAITS_FOR_THE_END},
    {.name = "echo QUIT | nc", .says = {"QUIT\n"}, .end = ENDS_ITS_SIDE, .at_once = true},
    {.name = "QUIT at once (check_tcp -s)", .says = {"QUIT\r\n"}, .at_once = true},
    {.name = "EHLO and QUIT at once",
     .says = {"EHLO x\nQUIT\n"},
     .end = WAITS_FOR_THE_END,
     .at_once = true},
    {.name = "HELO and QUIT (HAProxy smtpchk)",
     .says = {"", "HELO localhost\r\n", "QUIT\r\n"},
     .end = WAITS_FOR_THE_END},
    {.name = "EHLO and leaves (blackbox_exporter that finds no STARTTLS)",
     .says = {"", "EHLO prober\r\n"}},
    {.name = "EHLO without a name", .says = {"", "EHLO\r\n", "QUIT\r\n"}},
    {.name = "MAIL (check_smtp -f)",
     .says = {"", "EHLO monitor\r\n", "MAIL FROM:<nagios@monitor.example>\r\n", "QUIT\r\n"}},
    {.name = "RSET, NOOP, HELP",
     .says = {"", "HELO x\r\n", "NOOP\r\n", "HELP\r\n", "RSET\r\n", "QUIT\r\n"}},
    {.name = "an empty line (telnet)", .says = {"", "\r\n", "QUIT\r\n"}},
    {.name = "half a command", .says = {"", "EHLO x"}},
    {.name = "a TLS handshake where none is expected (HAProxy check-ssl, a mail program)",
     .says = {"\x16\x03\x01\x02\x0a\x01\x0d\x0a"},
     .at_once = true},
    {.name = "an HTTP request (a certificate checker)",
     .says = {"", "HEAD / HTTP/1.1\r\nHost: mx.example.org\r\n\r\n"}},
    {.name = "connect and close (a balancer)", .balancer = true},
    {.name = "half a PROXY header", .says = {"PROXY TC"}, .at_once = true, .balancer = true},
    {.name = "PROXY UNKNOWN and leaves",
     .says = {"PROXY UNKNOWN\r\n"},
     .at_once = true,
     .balancer = true},
    {.name = "PROXY, HELO, QUIT (HAProxy send-proxy)",
     .says = {"PROXY TCP4 192.0.2.7 192.0.2.1 1234 25\r\n", "HELO localhost\r\n", "QUIT\r\n"},
     .at_once = true,
     .end = WAITS_FOR_THE_END,
     .balancer = true},
};

static struct fake f;
static struct network balancers;
static struct metrics_row counts;

static int setup(void **state)
{
    memset(&counts, 0, sizeof counts);
    metrics_use(&counts);
    fake_open(&f);
    assert_true(network_parse(SPAN("10.0.0.0/8"), &balancers));
    return 0;
}

static int teardown(void **state)
{
    fake_close(&f);
    metrics_use(NULL);
    return 0;
}

static void say(const struct fake_client *client, const char *text)
{
    (void)!send(client->fd, text, strlen(text), MSG_NOSIGNAL);
    fake_turn(&f);
}

/* One conversation; the next one begins a minute later. */
static void check_once(const struct check *check)
{
    struct fake_client client;
    bool greeted = check->at_once;

    f.listen.proxy_protocol = (struct config_networks){&balancers, check->balancer};
    client = fake_connect(&f, check->balancer ? BALANCER : WHO);
    for (int i = 0; i < SAYS_MAX && check->says[i]; i++) {
        if (!greeted)
            fake_pass(&f, f.w->tarpit.rules.greet); /* waits for what it is told */
        greeted = true;
        say(&client, check->says[i]);
    }
    if (check->end == ENDS_ITS_SIDE)
        shutdown(client.fd, SHUT_WR);
    fake_turn(&f);
    if (check->end == WAITS_FOR_THE_END && strstr(fake_heard(&client), "221 ") == NULL)
        fail_msg("%s: was not answered", check->name);
    close(client.fd);
    fake_turn(&f);
    fake_pass(&f, MINUTE);
}

static void assert_nothing_is_held_against(const char *address, const char *name)
{
    struct addr a;

    assert_true(addr_parse(span_of(address), &a));
    struct tarpit_who who = tarpit_who(&f.w->tarpit, &a, false);
    if (fake_offences(&f, address) != 0 || tarpit_debt(&f.w->tarpit, &who, f.w->loop.wall) != 0)
        fail_msg("%s: %g offences of %s", name, fake_offences(&f, address), address);
}

static void a_day_of_checks(void)
{
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        for (int minute = 0; minute < MINUTES_OF_A_DAY; minute++)
            check_once(&checks[i]);
        assert_nothing_is_held_against(WHO, checks[i].name);
        assert_nothing_is_held_against(BALANCER, checks[i].name);
        assert_int_equal(f.w->open, 0);
        assert_int_equal(f.w->guard.held, 0);
    }
    assert_int_equal(atomic_load(&counts.value[METRIC_EARLY_TALKERS]), 0);
    assert_int_equal(atomic_load(&counts.value[METRIC_GUARD_EVICTIONS]), 0);
    assert_int_equal(atomic_load(&counts.value[METRIC_VERDICT_MASKED]), 0);
}

static void test_a_day_of_each_check_leaves_no_offence_and_waits_for_nothing(void **state)
{
    a_day_of_checks();
    assert_int_equal(atomic_load(&counts.value[METRIC_HOLD_MS]), 0);
}

/* R22: the same with a pause; each client waits once. */
static void test_neither_does_it_when_greetings_pause(void **state)
{
    f.w->tarpit.rules.greet = 5 * SECOND;
    a_day_of_checks();
}

/* What a monitor may not do: it says EHLO at once and waits for the answer. With a pause that is an
 * early talker, and once a minute it ends on the shield. */
static void test_a_check_that_says_ehlo_first_and_waits_is_an_early_talker(void **state)
{
    static const struct check hasty = {
        .name = "EHLO at once", .says = {"EHLO x\r\n"}, .at_once = true};

    f.w->tarpit.rules.greet = 5 * SECOND;
    for (int minute = 0; minute < 120; minute++)
        check_once(&hasty);
    assert_true(fake_offences(&f, WHO) > 10);
    fake_close(&f);
    fake_open(&f);
    f.w->tarpit.rules.greet = 5 * SECOND;
    f.config.exempt = (struct config_networks){&balancers, 1};
    assert_true(network_parse(SPAN("192.0.2.0/24"), &balancers));
    for (int minute = 0; minute < 120; minute++)
        check_once(&hasty);
    assert_true(fake_offences(&f, WHO) == 0);
}

/* A monitor that stays connected hears 421 now and then, connects again, and that is all. */
static void test_a_noop_a_minute_for_a_day_costs_a_connection_now_and_then(void **state)
{
    struct fake_client client = {.fd = -1};
    int connections = 0, closed = 0;

    for (int minute = 0; minute < MINUTES_OF_A_DAY; minute++) {
        if (client.fd < 0) {
            client = fake_connect(&f, WHO);
            connections++;
            say(&client, "EHLO monitor\r\n");
        }
        say(&client, "NOOP\r\n");
        if (strstr(fake_heard(&client), "421 4.7.0 ")) {
            assert_false(fake_is_open(&f, &client));
            close(client.fd);
            client.fd = -1;
            closed++;
        }
        fake_pass(&f, MINUTE);
    }
    assert_int_equal(connections, closed + 1);
    assert_int_equal(closed, MINUTES_OF_A_DAY / (SMTP_JUNK_MAX + 1));
    assert_int_equal(atomic_load(&counts.value[METRIC_SESSIONS_JUNK]), closed);
    assert_nothing_is_held_against(WHO, "NOOP once a minute");
    assert_int_equal(atomic_load(&counts.value[METRIC_HOLD_MS]), 0);
    close(client.fd);
    fake_turn(&f);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_day_of_each_check_leaves_no_offence_and_waits_for_nothing),
        TEST(test_neither_does_it_when_greetings_pause),
        TEST(test_a_noop_a_minute_for_a_day_costs_a_connection_now_and_then),
        TEST(test_a_check_that_says_ehlo_first_and_waits_is_an_early_talker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
