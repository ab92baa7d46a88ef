/* A Dovecot that hangs, floods or lies, in virtual time: each connection is one end of a pair, and the
 * test plays Dovecot at the other end. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "auth/remote.h"
#include "base/base64.h"
#include "config/config.h"
#include "played_dovecot.h"
#include "smtp/session.h"

#define HELLO                                                                                      \
    "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tSCRAM-SHA-"                                      \
    "256\nSPID\t7\nCUID\t3\nCOOKIE\tx\nDONE\n"

enum { LOGINS = 1400, SLOTS = 4 };

static const struct addr client = {.family = ADDR_IP4};

/* A login and its answer. The first request has number 1. */
struct login {
    int result, answers;
    char text[600], name[64];
};

static struct login logins[LOGINS];

static void answered(void *arg, enum answer_result result, struct span text, struct span name)
{
    struct login *l = arg;

    l->answers++;
    l->result = (int)result;
    snprintf(l->text, sizeof l->text, "%.*s", (int)text.len, text.len ? text.at : "");
    snprintf(l->name, sizeof l->name, "%.*s", (int)name.len, name.len ? name.at : "");
}

struct state {
    struct config_auth config;
    struct dovecot_auth *d;
    uint64_t now;
};

static int setup(void **state)
{
    static char path[] = "/run/none";
    struct state *s = calloc(1, sizeof *s);

    for (int i = 0; i < LOGINS; i++)
        logins[i] = (struct login){0};
    connections = 0;
    refuses = false;
    server = -1;
    s->config.path = path;
    s->now = 5000;
    s->d = dovecot_auth_open(&s->config, SLOTS);
    *state = s;
    return s->d ? 0 : -1;
}

static int teardown(void **state)
{
    struct state *s = *state;

    dovecot_auth_close(s->d);
    close_server();
    free(s);
    return 0;
}

/* Dovecot says this, and mired reads all of it. */
static void say(struct state *s, const char *text)
{
    size_t len = strlen(text);

    while (len && dovecot_auth_fd(s->d) >= 0) {
        ssize_t n = send(server, text, len, MSG_NOSIGNAL);
        assert_true(n > 0 || errno == EAGAIN || errno == EPIPE);
        text += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
        dovecot_auth_read(s->d, s->now);
    }
    for (int i = 0; i < 3; i++)
        dovecot_auth_read(s->d, s->now);
}

static void connect_it(struct state *s)
{
    (void)dovecot_auth_look(s->d, s->now);
    assert_true(dovecot_auth_is_connecting(s->d));
    say(s, HELLO);
    assert_false(dovecot_auth_is_connecting(s->d));
}

static struct dovecot_request request(int i, uint32_t slot, uint32_t patience_ms)
{
    return (struct dovecot_request){answered, &logins[i], slot, patience_ms};
}

static bool ask(struct state *s, int i, uint32_t slot)
{
    struct dovecot_request r = request(i, slot, 9000);

    return dovecot_auth_ask(s->d, &r, SPAN("alice"), SPAN("secret"), &client, s->now);
}

static struct dovecot_login scram(struct state *s, int i)
{
    struct dovecot_request r = request(i, 0, 9000);
    struct dovecot_login login = {0};

    assert_true(
        dovecot_scram_begin(s->d, &r, SPAN("n,,n=alice,r=fyko+d2lbb"), &client, &login, s->now));
    return login;
}

/* The time goes on, as the clerk's loop does. */
static void pass(struct state *s, uint64_t ms)
{
    for (uint64_t end = s->now + ms; s->now < end;) {
        uint32_t step = dovecot_auth_look(s->d, s->now);
        assert_true(step > 0);
        s->now = s->now + step < end ? s->now + step : end;
    }
    (void)dovecot_auth_look(s->d, s->now);
}

/* What mired has sent so far. */
static const char *heard(void)
{
    static char text[200000];
    ssize_t n = recv(server, text, sizeof text - 1, MSG_DONTWAIT);

    text[n > 0 ? n : 0] = '\0';
    return text;
}

/* ---- what is right ---- */

static void test_passwords_are_right_and_wrong_in_any_order(void **state)
{
    struct state *s = *state;
    connect_it(s);
    for (int i = 0; i < 3; i++)
        assert_true(ask(s, i, 1));
    say(s, "FAIL\t3\tuser=carol\nOK\t1\tuser=alice@example.test\nFAIL\t2\ttemp\n");
    assert_int_equal(logins[0].result, ANSWER_YES);
    assert_string_equal(logins[0].name, "alice@example.test");
    assert_int_equal(logins[1].result, ANSWER_LATER);
    assert_int_equal(logins[2].result, ANSWER_NO);
    assert_string_equal(logins[2].name, "carol");
    assert_int_equal(dovecot_auth_offers(s->d), SMTP_AUTH_PLAIN | SMTP_AUTH_SCRAM);
}

static void test_a_request_waits_for_the_greeting(void **state)
{
    struct state *s = *state;
    assert_true(ask(s, 0, 0));
    assert_null(strstr(heard(), "AUTH"));
    say(s, HELLO);
    assert_non_null(strstr(heard(), "AUTH\t1\tPLAIN\tservice=smtp\trip="));
    say(s, "OK\t1\n");
    assert_int_equal(logins[0].result, ANSWER_YES);
}

#define CHALLENGE "r=fyko+d2lbbFgONRvTh9,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
#define SIGNATURE "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

/* A line with a message for the client. */
static const char *line(const char *before, struct span message)
{
    static char text[3000];
    char coded[2000];
    size_t n = base64_encode(message, coded);

    snprintf(text, sizeof text, "%s%.*s\n", before, (int)n, coded);
    return text;
}

static void test_a_scram_login_goes_through(void **state)
{
    struct state *s = *state;
    connect_it(s);
    struct dovecot_login login = scram(s, 0);
    say(s, line("CONT\t1\t", SPAN(CHALLENGE)));
    assert_int_equal(logins[0].result, ANSWER_MORE);
    assert_string_equal(logins[0].text, CHALLENGE);
    struct dovecot_request r = request(1, 0, 9000);
    assert_true(dovecot_scram_end(s->d, &r, &login, SPAN("c=biws,r=x,p=eA=="), s->now));
    assert_non_null(strstr(heard(), "\nCONT\t1\tYz1iaXdzLHI9eCxwPWVBPT0=\n"));
    say(s, line("OK\t1\tuser=alice\tresp=", SPAN(SIGNATURE)));
    assert_int_equal(logins[1].result, ANSWER_YES);
    assert_string_equal(logins[1].text, SIGNATURE);
    assert_int_equal(logins[0].answers, 1);
}

/* ---- "OK", but ---- */

/* What Dovecot 2.3 says for passdb fields; the password is right, or nobody has checked it. */
static const struct {
    const char *fields;
    enum answer_result result;
} oks[] = {
    {"", ANSWER_YES},
    {"\tnodelay=y", ANSWER_YES},
    {"\t\toriginal_user=alice@example.test", ANSWER_YES},
    {"\thost=127.0.0.9", ANSWER_YES},
    {"\tnologin", ANSWER_NO},
    {"\tnologin\treason=Gone_away", ANSWER_NO},
    {"\thost=127.0.0.9\tnologin", ANSWER_NO},
    {"\tnologin=y", ANSWER_NO},
    {"\tproxy\thost=127.0.0.9", ANSWER_LATER},
    {"\tnologin\tproxy\thost=127.0.0.9", ANSWER_LATER},
    {"\tproxy=y", ANSWER_LATER},
    {"\tproxy_maybe=y\thost=127.0.0.1", ANSWER_LATER},
    {"\tproxy_timeout=5\treason=nologin proxy", ANSWER_YES}, /* neither is a field */
};
enum { OKS = sizeof oks / sizeof *oks };

static void test_an_ok_may_let_nobody_in(void **state)
{
    struct state *s = *state;
    char text[200];

    connect_it(s);
    for (int i = 0; i < OKS; i++) {
        assert_true(ask(s, i, 0));
        snprintf(text, sizeof text, "OK\t%d\tuser=alice%s\n", i + 1, oks[i].fields);
        say(s, text);
        if (logins[i].result != (int)oks[i].result)
            fail_msg("%s: %d", oks[i].fields, logins[i].result);
        assert_string_equal(logins[i].name, "alice");
    }
}

/* The n-th login by SCRAM; Dovecot says OK to its proof, with these fields and this last message. */
static void prove(struct state *s, int n, const char *fields, struct span last)
{
    struct dovecot_login login = scram(s, 2 * n);
    struct dovecot_request r = request(2 * n + 1, 0, 9000);
    char before[200];

    snprintf(before, sizeof before, "CONT\t%d\t", n + 1);
    say(s, line(before, SPAN(CHALLENGE)));
    assert_true(dovecot_scram_end(s->d, &r, &login, SPAN("c=biws,r=x,p=eA=="), s->now));
    snprintf(before, sizeof before, "OK\t%d\tuser=alice%s\tresp=", n + 1, fields);
    say(s, line(before, last));
}

static void test_an_ok_to_a_proof_may_let_nobody_in(void **state)
{
    struct state *s = *state;

    connect_it(s);
    for (int i = 0; i < OKS; i++) {
        prove(s, i, oks[i].fields, SPAN(SIGNATURE));
        if (logins[2 * i + 1].result != (int)oks[i].result)
            fail_msg("%s: %d", oks[i].fields, logins[2 * i + 1].result);
        assert_string_equal(logins[2 * i + 1].text, oks[i].result == ANSWER_YES ? SIGNATURE : "");
    }
}

/* ---- lies ---- */

static void test_first_messages_that_no_client_should_get(void **state)
{
    static const char *const bad[] = {
        "",
        "r=other+nonceFgONRvTh9,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", /* not the client's */
        "r=fyko+d2lbb,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",           /* nothing of Dovecot's own */
        "r=fyko+d2lb,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        "s=W22ZaJ0SNY7soEsUEjb6gQ==,r=fyko+d2lbbFgON,i=4096",
        "r=fyko+d2lbbFg\x7fN,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        "r=fyko+d2lbbFgON,s=,i=4096",
        "r=fyko+d2lbbFgON,s=!!!!,i=4096",
        "r=fyko+d2lbbFgON,s=W22ZaJ0SNY7soEsUEjb6gQ=,i=4096",
        "r=fyko+d2lbbFgON,i=4096",
        "r=fyko+d2lbbFgON,s=W22Z",
        "r=fyko+d2lbbFgON,s=W22Z,i=",
        "r=fyko+d2lbbFgON,s=W22Z,i=0",
        "r=fyko+d2lbbFgON,s=W22Z,i=-1",
        "r=fyko+d2lbbFgON,s=W22Z,i=4096x",
        "r=fyko+d2lbbFgON,s=W22Z,i=10000001",
        "r=fyko+d2lbbFgON,s=W22Z,i=1000000000",
        "r=fyko+d2lbbFgON,s=W22Z,i=2147483648",
        "r=fyko+d2lbbFgON,s=W22Z,i=99999999999999999999",
        "m=must,r=fyko+d2lbbFgON,s=W22Z,i=4096",
        "r=fyko+d2lbbFgON,s=W22Z,i=4096,m=must",
        "e=other-error",
        SIGNATURE,
    };
    enum { BAD = sizeof bad / sizeof *bad };
    struct state *s = *state;
    char before[32];

    connect_it(s);
    for (int i = 0; i < BAD; i++) {
        scram(s, i);
        snprintf(before, sizeof before, "CONT\t%d\t", i + 1);
        say(s, line(before, span_of(bad[i])));
        assert_int_equal(logins[i].answers, 1);
        if (logins[i].result != ANSWER_LATER || logins[i].text[0])
            fail_msg("%s: %d %s", bad[i], logins[i].result, logins[i].text);
    }
    scram(s, BAD); /* others go on */
    snprintf(before, sizeof before, "CONT\t%d\t", BAD + 1);
    say(s, line(before, SPAN("r=fyko+d2lbbFgON,s=W22Z,i=10000000,x=may")));
    assert_int_equal(logins[BAD].result, ANSWER_MORE);
    assert_int_equal(connections, 1);
}

static void test_a_giant_salt_and_what_is_no_base64(void **state)
{
    struct state *s = *state;
    char giant[900];
    connect_it(s);
    scram(s, 0);
    memset(giant, 'A', sizeof giant);
    memcpy(giant, "r=fyko+d2lbbFgON,s=", 19);
    memcpy(giant + 819, ",i=4096", 8);
    say(s, line("CONT\t1\t", span_of(giant)));
    assert_int_equal(logins[0].result, ANSWER_LATER);
    scram(s, 1);
    say(s, "CONT\t2\t*not base64*\n");
    assert_int_equal(logins[1].result, ANSWER_LATER);
    scram(s, 2);
    say(s, "CONT\t3\n");
    assert_int_equal(logins[2].result, ANSWER_LATER);
    scram(s, 3);
    say(s, line("CONT\t4\t", (struct span){CHALLENGE "\0x", sizeof CHALLENGE + 1}));
    assert_int_equal(logins[3].result, ANSWER_LATER);
}

static void test_last_messages_without_a_signature_let_nobody_in(void **state)
{
    static const char *const bad[] = {"",
                                      "e=invalid-proof",
                                      "v=",
                                      "v=AAAA",
                                      "v=!",
                                      "x=" SIGNATURE,
                                      SIGNATURE ",e=other-error",
                                      "e=other-error," SIGNATURE};
    enum { BAD = sizeof bad / sizeof *bad };
    struct state *s = *state;

    connect_it(s);
    for (int i = 0; i < BAD; i++) {
        prove(s, i, "", span_of(bad[i]));
        assert_int_equal(logins[2 * i].result, ANSWER_MORE);
        if (logins[2 * i + 1].result != ANSWER_LATER || logins[2 * i + 1].text[0])
            fail_msg("%s: %d %s", bad[i], logins[2 * i + 1].result, logins[2 * i + 1].text);
    }
}

static void test_answers_where_none_is_due(void **state)
{
    struct state *s = *state;
    connect_it(s);
    say(s, "OK\t1\tuser=alice\nOK\t0\nOK\t\nOK\nOK\tx\nFAIL\t7\nCONT\t9\teA==\n");
    assert_true(ask(s, 0, 0)); /* number 1: what was said before it was asked does not count */
    assert_true(ask(s, 1, 2));
    assert_int_equal(logins[0].answers, 0);
    say(s, "OK\t4294967297\nOK\t-1\nOK\t+1\nOK\t1x\nok\t1\nOK 1\nFAIL\t4294967298\n");
    assert_int_equal(logins[0].answers + logins[1].answers, 0);
    say(s, "CONT\t1\teA==\n"); /* a password needs no more */
    assert_int_equal(logins[0].result, ANSWER_LATER);
    say(s, "FAIL\t2\nOK\t2\nOK\t2\nOK\t1\n"); /* the first one counts */
    assert_int_equal(logins[1].result, ANSWER_NO);
    assert_int_equal(logins[0].answers, 1);
    assert_int_equal(logins[1].answers, 1);
    assert_true(ask(s, 2, 1));
    say(s, "OK\t3\nFAIL\t3\n");
    assert_int_equal(logins[2].result, ANSWER_YES);
    assert_int_equal(logins[2].answers, 1);
}

static void test_a_first_message_lets_nobody_in(void **state)
{
    struct state *s = *state;
    connect_it(s);
    struct dovecot_login login = scram(s, 0);
    say(s, line("OK\t1\tuser=alice\tresp=", SPAN(SIGNATURE)));
    assert_int_equal(logins[0].result, ANSWER_LATER);
    struct dovecot_request r = request(1, 0, 9000);
    assert_true(dovecot_scram_end(s->d, &r, &login, SPAN("c=biws,r=x,p=eA=="), s->now));
    say(s, line("CONT\t1\t", SPAN(CHALLENGE))); /* once more */
    assert_int_equal(logins[1].result, ANSWER_LATER);
    assert_int_equal(logins[0].answers, 1);
}

static void test_a_login_ends_with_its_connection(void **state)
{
    struct state *s = *state;
    connect_it(s);
    struct dovecot_login login = scram(s, 0);
    say(s, line("CONT\t1\t", SPAN(CHALLENGE)));
    close_server();
    dovecot_auth_read(s->d, s->now);
    s->now += 3000;
    connect_it(s);
    struct dovecot_request r = request(1, 0, 9000);
    assert_false(dovecot_scram_end(s->d, &r, &login, SPAN("c=biws,r=x,p=eA=="), s->now));
    assert_true(ask(s, 2, 0));
    say(s, "OK\t1\nOK\t2\n"); /* number 1 was another connection's */
    assert_int_equal(logins[2].result, ANSWER_YES);
    assert_int_equal(logins[1].answers, 0);
}

/* ---- hanging ---- */

static void test_a_password_that_hangs_defers_no_other_login(void **state)
{
    struct state *s = *state;
    connect_it(s);
    assert_true(ask(s, 0, 0)); /* its database hangs */
    for (int i = 1; i < 60; i++) {
        char text[32];
        assert_true(ask(s, i, (uint32_t)i % SLOTS));
        snprintf(text, sizeof text, i % 2 ? "OK\t%d\n" : "FAIL\t%d\n", i + 1);
        say(s, text);
        assert_int_equal(logins[i].result, i % 2 ? ANSWER_YES : ANSWER_NO);
        pass(s, 400);
    }
    assert_int_equal(logins[0].result, ANSWER_LATER);
    assert_non_null(strstr(heard(), "CANCEL\t1\n"));
    say(s, "OK\t1\n"); /* too late */
    assert_int_equal(logins[0].answers, 1);
    assert_int_equal(connections, 1);
}

static void test_a_request_ends_in_its_time(void **state)
{
    struct state *s = *state;
    connect_it(s);
    struct dovecot_request r = request(0, 0, 700), longer = request(1, 0, 1900);
    assert_true(dovecot_auth_ask(s->d, &longer, SPAN("a"), SPAN("b"), &client, s->now));
    assert_true(dovecot_auth_ask(s->d, &r, SPAN("a"), SPAN("b"), &client, s->now));
    pass(s, 699);
    assert_int_equal(logins[0].answers, 0);
    pass(s, 1);
    assert_int_equal(logins[0].result, ANSWER_LATER);
    assert_int_equal(logins[1].answers, 0);
    pass(s, 1200);
    assert_int_equal(logins[1].result, ANSWER_LATER);
}

static void test_without_a_greeting_logins_are_later_and_then_at_once(void **state)
{
    struct state *s = *state;
    assert_true(ask(s, 0, 0));
    pass(s, 1999);
    assert_int_equal(logins[0].answers, 0);
    pass(s, 1);
    assert_int_equal(logins[0].result, ANSWER_LATER);
    assert_int_equal(dovecot_auth_fd(s->d), -1);
    s->now += 1999;
    assert_false(ask(s, 1, 0)); /* it rests */
    s->now += 1;
    assert_true(ask(s, 1, 0));
    say(s, HELLO "OK\t2\n");
    assert_int_equal(logins[1].result, ANSWER_YES);
    assert_int_equal(connections, 2);
}

static void test_a_greeting_without_end_is_cut(void **state)
{
    struct state *s = *state;
    assert_true(ask(s, 0, 0));
    for (int i = 0; i < 3000 && dovecot_auth_fd(s->d) >= 0; i++)
        say(s, "MECH\tPLAIN\tone more mechanism\n");
    assert_int_equal(dovecot_auth_fd(s->d), -1);
    assert_int_equal(logins[0].result, ANSWER_LATER);
}

static void test_half_a_line_ends_the_connection_and_the_next_one_serves(void **state)
{
    struct state *s = *state;
    connect_it(s);
    assert_true(ask(s, 0, 0));
    say(s, "OK\t");
    for (int i = 0; i < 60; i++) { /* an octet now and then, and never a line */
        say(s, "x");
        pass(s, 160);
    }
    assert_int_equal(connections, 1);
    assert_int_equal(logins[0].result, ANSWER_LATER); /* after its 9 s */
    pass(s, 401);
    assert_int_equal(dovecot_auth_fd(s->d), -1);
    pass(s, 2000);
    assert_int_equal(connections, 2);
    say(s, HELLO);
    assert_true(ask(s, 1, 0));
    say(s, "OK\t2\n");
    assert_int_equal(logins[1].result, ANSWER_YES);
}

static void test_a_line_that_comes_in_pieces_is_one(void **state)
{
    struct state *s = *state;
    connect_it(s);
    for (int i = 0; i < 40; i++) { /* longer in all than a line may take */
        char number[32];
        assert_true(ask(s, i, 0));
        say(s, "O");
        pass(s, 300);
        snprintf(number, sizeof number, "K\t%d\nSPID", i + 1);
        say(s, number);
        pass(s, 300);
        say(s, "\t1\n");
        assert_int_equal(logins[i].result, ANSWER_YES);
    }
    assert_int_equal(connections, 1);
}

static void test_a_line_longer_than_any_is_cut(void **state)
{
    struct state *s = *state;
    static char text[9000];
    connect_it(s);
    assert_true(ask(s, 0, 0));
    memset(text, 'x', sizeof text - 1);
    say(s, text);
    assert_int_equal(dovecot_auth_fd(s->d), -1);
    assert_int_equal(logins[0].result, ANSWER_LATER);
}

static void test_lines_that_answer_nothing_end_the_connection(void **state)
{
    struct state *s = *state;
    int sent = 0;
    connect_it(s);
    assert_true(ask(s, 0, 0));
    for (; dovecot_auth_fd(s->d) >= 0 && sent < 100000; sent += 17)
        say(s, "NOISE\t1234567890\n");
    assert_in_range(sent, 60000, 70000);
    assert_int_equal(logins[0].result, ANSWER_LATER);
    pass(s, 1999);
    assert_int_equal(connections, 1); /* it rests */
    pass(s, 1);
    assert_int_equal(connections, 2);
}

static void test_one_turn_reads_one_buffer(void **state)
{
    struct state *s = *state;
    char text[4000];
    connect_it(s);
    assert_true(ask(s, 0, 0));
    memset(text, '\n', sizeof text);
    for (int i = 0; i < 4; i++)
        assert_int_equal(send(server, text, sizeof text, 0), sizeof text);
    assert_int_equal(send(server, "OK\t1\n", 5, 0), 5);
    dovecot_auth_read(s->d, s->now); /* 8,192 octets of 16,005 */
    assert_int_equal(logins[0].answers, 0);
    dovecot_auth_read(s->d, s->now);
    assert_int_equal(logins[0].result, ANSWER_YES);
}

static void test_late_answers_are_no_noise(void **state)
{
    struct state *s = *state;
    char text[200];
    connect_it(s);
    for (int i = 0; i < 1000; i++)
        assert_true(ask(s, i, 1) && heard());
    pass(s, 9000);
    for (int i = 0; i < 1000; i++) { /* its database is back */
        snprintf(text, sizeof text,
                 "FAIL\t%d\tuser=somebody.with.a.name.of.sixty.octets.and.more@example."
                 "test\treason=none\n",
                 i + 1);
        say(s, text);
    }
    assert_true(ask(s, 1000, 1));
    say(s, "OK\t1001\n");
    assert_int_equal(logins[1000].result, ANSWER_YES);
    assert_int_equal(connections, 1);
}

static void test_a_dovecot_that_reads_nothing_is_left(void **state)
{
    struct state *s = *state;
    int i = 0, small = 4096;
    connect_it(s);
    assert_int_equal(setsockopt(dovecot_auth_fd(s->d), SOL_SOCKET, SO_SNDBUF, &small, sizeof small),
                     0);
    while (i < 1024 && ask(s, i, 0))
        i++;
    assert_in_range(i, 100, 1023); /* until the buffer is full; nothing has waited */
    assert_int_equal(dovecot_auth_events(s->d), EPOLLIN | EPOLLOUT);
    assert_int_equal(logins[0].answers, 0);
    pass(s, 10000);
    assert_int_equal(logins[0].result, ANSWER_LATER);
    assert_int_equal(logins[i - 1].result, ANSWER_LATER);
    assert_int_equal(dovecot_auth_fd(s->d), -1);
}

static void test_what_dovecot_did_not_read_at_once_is_sent_whole(void **state)
{
    struct state *s = *state;
    int n = 0, small = 4096, sent = 0;
    connect_it(s);
    (void)heard();
    assert_int_equal(setsockopt(dovecot_auth_fd(s->d), SOL_SOCKET, SO_SNDBUF, &small, sizeof small),
                     0);
    while (n < 1024 && ask(s, n, 0))
        n++;
    for (int i = 0; i < 1000 && dovecot_auth_events(s->d) & EPOLLOUT; i++) {
        for (const char *at = heard(); (at = strstr(at, "AUTH\t")); at++)
            sent++;
        dovecot_auth_read(s->d, s->now);
    }
    for (const char *at = heard(); (at = strstr(at, "AUTH\t")); at++)
        sent++;
    assert_in_range(sent, n * 9 / 10, n); /* but those that a read cut in two */
    for (int i = 0; i < n; i++) {
        char text[32];
        snprintf(text, sizeof text, "OK\t%d\n", i + 1);
        say(s, text);
    }
    for (int i = 0; i < n; i++)
        assert_int_equal(logins[i].result, ANSWER_YES);
}

static void test_another_version_and_a_refused_connection_are_later(void **state)
{
    struct state *s = *state;
    assert_true(ask(s, 0, 0));
    say(s, "VERSION\t2\t0\nMECH\tPLAIN\n");
    assert_int_equal(logins[0].result, ANSWER_LATER);
    s->now += 2000;
    refuses = true;
    assert_false(ask(s, 1, 0));
    refuses = false;
    assert_true(ask(s, 1, 0)); /* a refused connection takes no time, and no rest */
}

/* ---- slots ---- */

static void test_a_slot_that_floods_loses_its_own_requests(void **state)
{
    struct state *s = *state;
    connect_it(s);
    for (int i = 0; i < 30; i++)
        assert_true(ask(s, i, 2));
    for (int i = 30; i < LOGINS; i++) {
        assert_true(ask(s, i, 3) && heard());
    }
    int lost = 0;
    for (int i = 0; i < LOGINS; i++) {
        assert_true(logins[i].answers == 0 || (i >= 30 && logins[i].result == ANSWER_LATER));
        lost += logins[i].answers;
    }
    assert_int_equal(lost, LOGINS - 1024);
    assert_int_equal(logins[30].answers, 1); /* its oldest */
    assert_int_equal(logins[LOGINS - 1].answers, 0);
    say(s, "OK\t1\nOK\t31\nOK\t1400\n");
    assert_int_equal(logins[0].result, ANSWER_YES);
    assert_int_equal(logins[30].result, ANSWER_LATER); /* given up already */
    assert_int_equal(logins[LOGINS - 1].result, ANSWER_YES);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_passwords_are_right_and_wrong_in_any_order),
        TEST(test_a_request_waits_for_the_greeting),
        TEST(test_a_scram_login_goes_through),
        TEST(test_an_ok_may_let_nobody_in),
        TEST(test_an_ok_to_a_proof_may_let_nobody_in),
        TEST(test_first_messages_that_no_client_should_get),
        TEST(test_a_giant_salt_and_what_is_no_base64),
        TEST(test_last_messages_without_a_signature_let_nobody_in),
        TEST(test_answers_where_none_is_due),
        TEST(test_a_first_message_lets_nobody_in),
        TEST(test_a_login_ends_with_its_connection),
        TEST(test_a_password_that_hangs_defers_no_other_login),
        TEST(test_a_request_ends_in_its_time),
        TEST(test_without_a_greeting_logins_are_later_and_then_at_once),
        TEST(test_a_greeting_without_end_is_cut),
        TEST(test_half_a_line_ends_the_connection_and_the_next_one_serves),
        TEST(test_a_line_that_comes_in_pieces_is_one),
        TEST(test_a_line_longer_than_any_is_cut),
        TEST(test_lines_that_answer_nothing_end_the_connection),
        TEST(test_one_turn_reads_one_buffer),
        TEST(test_late_answers_are_no_noise),
        TEST(test_a_dovecot_that_reads_nothing_is_left),
        TEST(test_what_dovecot_did_not_read_at_once_is_sent_whole),
        TEST(test_another_version_and_a_refused_connection_are_later),
        TEST(test_a_slot_that_floods_loses_its_own_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
