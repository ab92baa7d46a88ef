/* session_hello.c: EHLO's offers, names, STARTTLS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "expect.h"

static bool offers(struct dialogue *t, const char *keyword)
{
    buf_free(&t->replies);
    dialogue_send(t, SPAN("EHLO c\r\n"), 0);
    bool there = memmem(t->replies.at, t->replies.len, keyword, strlen(keyword)) != NULL;
    buf_free(&t->replies);
    return there;
}

static void test_auth_is_offered_only_where_it_may_be_used(void **state)
{
    struct dialogue *t = *state;
    assert_false(offers(t, "AUTH"));
    dialogue_restart(t, true);
    assert_true(offers(t, "AUTH PLAIN LOGIN SCRAM-SHA-256\r\n"));
    codes(t, "AUTH PLAIN AGEAcmlnaHQ=\r\n", "235");
    assert_false(offers(t, "AUTH"));
    t->service.auth = 0;
    dialogue_restart(t, true);
    assert_false(offers(t, "AUTH"));
    t->service.auth = SMTP_AUTH_ALL;
    dialogue_restart(t, false);
    greet(t);
    codes(t, "STARTTLS\r\n", "220");
    assert_true(offers(t, "AUTH PLAIN LOGIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS\r\n"));
    t->tls_12 = true;
    dialogue_restart(t, false);
    greet(t);
    codes(t, "STARTTLS\r\n", "220");
    assert_true(offers(t, "AUTH PLAIN LOGIN SCRAM-SHA-256\r\n"));
}

static void test_what_the_backend_has_not_is_not_offered(void **state)
{
    struct dialogue *t = *state;
    assert_true(offers(t, "8BITMIME\r\n"));
    t->service.offer = SMTP_OFFER_DSN;
    assert_false(offers(t, "8BITMIME\r\n"));
    assert_false(offers(t, "SMTPUTF8\r\n"));
    assert_true(offers(t, "DSN\r\n"));
    assert_true(offers(t, "CHUNKING\r\n"));
    t->service.size_max = 0;
    assert_true(offers(t, "SIZE\r\n"));
}

static void test_names_are_taken_when_they_can_be_shown(void **state)
{
    struct dialogue *t = *state;
    char line[300];
    codes(t, "EHLO [192.0.2.1]\r\nEHLO not_a-name\r\nHELO my computer\r\n", "250 250 250");
    expect_span(envelope_helo(&t->session.envelope), "my");
    codes(t, "EHLO\r\nEHLO \r\nHELO\r\nEHLO a\x1b[0m\r\nEHLO \xff\r\n", "501 501 501 501 501");
    for (int n = 255; n <= 256; n++) {
        int len = snprintf(line, sizeof line, "EHLO %0*d\r\n", n, 0);
        expect_codes(t, (struct span){line, (size_t)len}, n == 255 ? "250" : "501");
    }
}

static void test_a_refused_ehlo_changes_nothing(void **state)
{
    struct dialogue *t = *state;
    greet(t);
    begin_mail(t);
    codes(t, "EHLO\r\nDATA\r\n.\r\n", "501 354 250");
}

static void test_starttls_resets_everything_but_the_connection(void **state)
{
    struct dialogue *t = *state;
    dialogue_restart(t, true);
    greet(t);
    codes(t, "AUTH PLAIN AGEAcmlnaHQ=\r\n", "235");
    begin_mail(t);
    codes(t, "STARTTLS\r\n", "220");
    expect_asked(t, "tls\n");
    assert_int_equal(t->session.flags, SMTP_LOCAL | SMTP_TLS_ON | SMTP_TLS_BINDS);
    assert_int_equal(t->session.envelope.text.len, 0);
    codes(t, "MAIL FROM:<>\r\n", "503");
    assert_false(offers(t, "STARTTLS"));
    codes(t, "STARTTLS\r\n", "503");
}

static void test_tls_may_be_there_before_the_greeting(void **state)
{
    struct dialogue *t = *state;
    smtp_free(&t->session);
    smtp_start(&t->session, false);
    smtp_tls_is_on(&t->session, true);
    dialogue_go_on(t);
    expect_span(buf_span(&t->replies), "220 mx.example.org ESMTP mired\r\n");
    assert_false(offers(t, "STARTTLS"));
    assert_true(offers(t, "AUTH"));
    smtp_tls_is_on(&t->session, true); /* which it was, and nothing comes of it */
    codes(t, "MAIL FROM:<>\r\n", "250");
}

/* field notes 35: and the session ends, for the rest of it may yet come. */
static void test_what_is_pipelined_behind_starttls_ends_the_session(void **state)
{
    static const char *const behind[] = {
        "EHLO evil\r\nMAIL FROM:<evil@example.net>\r\n",
        "QUIT\r\n",
        "N",
        "NOOP",
        "\n",
        "\r\n",
        "STARTTLS\r\n",
        "\x16\x03\x01\x02",
        "AUTH PLAIN AGEAYg==\r\n",
        "RSET\r\nSTARTTLS\r\n",
    };
    struct dialogue *t = *state;
    for (size_t i = 0; i < sizeof behind / sizeof *behind; i++) {
        char octets[128];
        dialogue_restart(t, false);
        greet(t);
        snprintf(octets, sizeof octets, "STARTTLS\r\n%s", behind[i]);
        expect_octets(t, span_of(octets), "554 5.5.1 Commands pipelined behind STARTTLS\r\n");
        expect_asked(t, "");
        assert_false(t->session.flags & SMTP_TLS_ON);
        assert_true(t->ended);
    }
}

/* field notes 10: what needs EHLO says so behind HELO. */
static void test_behind_helo_the_refusal_says_ehlo_first(void **state)
{
    struct dialogue *t = *state;
    codes(t, "HELO c\r\n", "250");
    expect(t, "AUTH PLAIN AGEAYg==\r\n", "503 5.5.1 EHLO first\r\n");
    expect(t, "AUTH\r\n", "503 5.5.1 EHLO first\r\n");
    expect(t, "STARTTLS\r\n", "503 5.5.1 EHLO first\r\n");
    expect(t, "BDAT 0 LAST\r\n", "503 5.5.1 MAIL first\r\n");
    begin_mail(t);
    expect(t, "BDAT 3 LAST\r\nabc", "503 5.5.1 EHLO first\r\n");
    expect(t, "AUTH PLAIN AGEAYg==\r\n", "503 5.5.1 Not in a transaction\r\n");
    codes(t, "DATA\r\nx\r\n.\r\n", "354 250");
}

static void test_what_comes_between_the_220_and_the_handshake_is_thrown_away(void **state)
{
    struct dialogue *t = *state;
    struct smtp_step step;
    size_t used;
    greet(t);
    assert_int_equal(smtp_step(&t->session, &t->service, SPAN("STARTTLS\r\n"), &used, &step),
                     SMTP_REPLY);
    assert_int_equal(smtp_step(&t->session, &t->service, SPAN("NOOP\r\n"), &used, &step),
                     SMTP_START_TLS);
    assert_int_equal(used, 6);
    assert_int_equal(smtp_step(&t->session, &t->service, SPAN("x"), &used, &step), SMTP_INPUT);
    assert_int_equal(used, 0);
    smtp_tls_is_on(&t->session, true);
    codes(t, "NOOP\r\n", "250");
}

static void test_starttls_needs_ehlo_and_a_certificate(void **state)
{
    struct dialogue *t = *state;
    codes(t, "STARTTLS\r\nHELO c\r\nSTARTTLS\r\n", "503 250 503");
    greet(t);
    codes(t, "STARTTLS now\r\n", "501");
    t->service.tls = false;
    codes(t, "STARTTLS\r\n", "500");
    assert_false(offers(t, "STARTTLS"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TALK_TEST(test_auth_is_offered_only_where_it_may_be_used),
        TALK_TEST(test_what_the_backend_has_not_is_not_offered),
        TALK_TEST(test_names_are_taken_when_they_can_be_shown),
        TALK_TEST(test_a_refused_ehlo_changes_nothing),
        TALK_TEST(test_starttls_resets_everything_but_the_connection),
        TALK_TEST(test_tls_may_be_there_before_the_greeting),
        TALK_TEST(test_what_is_pipelined_behind_starttls_ends_the_session),
        TALK_TEST(test_behind_helo_the_refusal_says_ehlo_first),
        TALK_TEST(test_what_comes_between_the_220_and_the_handshake_is_thrown_away),
        TALK_TEST(test_starttls_needs_ehlo_and_a_certificate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
