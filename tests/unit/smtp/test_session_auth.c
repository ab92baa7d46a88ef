/* session_auth.c: PLAIN, LOGIN, when AUTH may be said and when not. The user is a, the password
 * right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "expect.h"

#define PLAIN_RIGHT "AGEAcmlnaHQ=" /* NUL a NUL right */
#define PLAIN_WRONG "AGEAd3Jvbmc=" /* NUL a NUL wrong */
#define USER        "YQ=="         /* a */
#define PASSWORD    "cmlnaHQ="     /* right */

/* On loopback, so that it may. */
static void local(struct talk *t)
{
    talk_restart(t, true);
    greet(t);
}

static void test_plain_with_initial_response(void **state)
{
    struct talk *t = *state;
    local(t);
    expect(t, "AUTH PLAIN " PLAIN_WRONG "\r\n", "535 5.7.8 Authentication failed\r\n");
    assert_int_equal(t->offences, 1);
    expect(t, "auth plain " PLAIN_RIGHT "\r\n", "235 2.7.0 Authentication successful\r\n");
    expect_asked(t, "password a wrong\npassword a right\n");
    assert_true(t->session.flags & SMTP_AUTHENTICATED);
}

static void test_plain_without_initial_response(void **state)
{
    struct talk *t = *state;
    local(t);
    expect(t, "AUTH PLAIN\r\n", "334 \r\n");
    expect(t, PLAIN_RIGHT "\r\n", "235 2.7.0 Authentication successful\r\n");
    expect_asked(t, "password a right\n");
}

static void test_login_asks_for_user_and_password(void **state)
{
    struct talk *t = *state;
    local(t);
    expect(t, "AUTH LOGIN\r\n", "334 VXNlcm5hbWU6\r\n");
    expect(t, USER "\r\n", "334 UGFzc3dvcmQ6\r\n");
    expect(t, PASSWORD "\r\n", "235 2.7.0 Authentication successful\r\n");
    expect_asked(t, "password a right\n");
}

static void test_login_with_the_user_at_once(void **state)
{
    struct talk *t = *state;
    local(t);
    expect(t, "AUTH LOGIN " USER "\r\n", "334 UGFzc3dvcmQ6\r\n");
    expect(t, PASSWORD "\r\nNOOP\r\n", "235 2.7.0 Authentication successful\r\n250 2.0.0 Ok\r\n");
    expect_asked(t, "password a right\n");
    expect_span(envelope_note(&t->session.envelope), "");
}

static void test_a_verifier_that_is_down_is_454_and_no_offence(void **state)
{
    struct talk *t = *state;
    local(t);
    expect(t, "AUTH PLAIN AGEAbGF0ZXI=\r\n", "454 4.7.0 Temporary authentication failure\r\n");
    assert_int_equal(t->offences, 0);
    assert_false(t->session.flags & SMTP_AUTHENTICATED);
}

static void test_a_star_cancels(void **state)
{
    struct talk *t = *state;
    local(t);
    expect(t, "AUTH PLAIN\r\n*\r\n", "334 \r\n501 5.7.0 Authentication cancelled\r\n");
    codes(t, "AUTH LOGIN " USER "\r\n*\r\nNOOP\r\n", "334 501 250");
    expect_asked(t, "");
}

static void test_what_is_not_base64_is_501(void **state)
{
    static const char *const wrong[] = {"AUTH PLAIN AGEAcmlnaHQ\r\n", "AUTH PLAIN ====\r\n",
                                        "AUTH PLAIN A===\r\n", "AUTH PLAIN AGE!\r\n",
                                        "AUTH PLAIN AG=AcmlnaHQ=\r\n"};
    struct talk *t = *state;
    local(t);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        expect_octets(t, span_of(wrong[i]), "501 5.5.2 Not base64\r\n");
    codes(t, "AUTH PLAIN\r\nNOOP?\r\nNOOP\r\n", "334 501 250");
}

static void test_no_name_or_no_password_is_no_login(void **state)
{
    static const char *const wrong[] = {
        "AUTH PLAIN =\r\n",
        "AUTH PLAIN YQ==\r\n",
        "AUTH PLAIN AAByaWdodA==\r\n",
        "AUTH PLAIN AGEA\r\n",
        "AUTH PLAIN YgBhAHJpZ2h0\r\n", /* b for a */
        "AUTH PLAIN AGEAcmkAZ2h0\r\n", /* NUL in the password */
    };
    struct talk *t = *state;
    local(t);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        expect_octets(t, span_of(wrong[i]), "535 5.7.8 Authentication failed\r\n");
    codes(t, "AUTH LOGIN\r\n\r\n", "334 535");
    codes(t, "AUTH LOGIN " USER "\r\n\r\n", "334 535");
    expect_asked(t, "");
    codes(t, "AUTH PLAIN YQBhAHJpZ2h0\r\n", "235"); /* a for a */
}

static void test_a_response_of_12288_octets_is_read_and_one_more_swallowed(void **state)
{
    struct talk *t = *state;
    static char line[SMTP_AUTH_LINE_MAX + 100];
    memset(line, 'A', sizeof line);
    local(t);
    for (size_t n = SMTP_AUTH_LINE_MAX - 1; n <= SMTP_AUTH_LINE_MAX + 5; n += 3) {
        codes(t, "AUTH PLAIN\r\n", "334");
        bool fits = n <= SMTP_AUTH_LINE_MAX;
        size_t at = n - 2;
        talk_send(t, (struct span){line, at}, 1000);
        assert_true(t->input.len <= SMTP_AUTH_LINE_MAX);
        codes(t, "\r\n", !fits ? "500" : at % 4 ? "501" : "535");
        codes(t, "NOOP\r\n", "250");
    }
}

static void test_auth_from_afar_needs_tls(void **state)
{
    struct talk *t = *state;
    greet(t);
    expect(t, "AUTH PLAIN " PLAIN_RIGHT "\r\n",
           "538 5.7.11 Encryption required for authentication\r\n");
    expect_asked(t, "");
    codes(t, "STARTTLS\r\n", "220");
    greet(t);
    codes(t, "AUTH PLAIN " PLAIN_RIGHT "\r\n", "235");
}

static void test_auth_from_afar_without_tls_can_be_allowed(void **state)
{
    struct talk *t = *state;
    t->service.auth_plain_from_afar = true;
    greet(t);
    codes(t, "AUTH PLAIN " PLAIN_RIGHT "\r\n", "235");
}

static void test_unknown_mechanisms_are_504(void **state)
{
    struct talk *t = *state;
    local(t);
    expect(t, "AUTH CRAM-MD5\r\n", "504 5.5.4 No such authentication mechanism\r\n");
    codes(t, "AUTH\r\n", "501");
    t->service.auth = false;
    codes(t, "AUTH PLAIN " PLAIN_RIGHT "\r\n", "504");
    expect_asked(t, "");
}

static void test_auth_once_and_not_within_a_transaction_and_after_ehlo(void **state)
{
    struct talk *t = *state;
    talk_restart(t, true);
    codes(t, "AUTH PLAIN " PLAIN_RIGHT "\r\n", "503");
    codes(t, "HELO c\r\nAUTH PLAIN " PLAIN_RIGHT "\r\n", "250 503");
    greet(t);
    codes(t, "MAIL FROM:<>\r\nAUTH PLAIN " PLAIN_RIGHT "\r\n", "250 503");
    codes(t, "RSET\r\nAUTH PLAIN " PLAIN_RIGHT "\r\nAUTH PLAIN " PLAIN_RIGHT "\r\n", "250 235 503");
    codes(t, "EHLO c\r\n", "250");
    assert_true(t->session.flags & SMTP_AUTHENTICATED);
}

static void test_the_session_keeps_no_password(void **state)
{
    struct talk *t = *state;
    struct smtp_step step;
    size_t used;
    local(t);
    codes(t, "AUTH LOGIN " USER "\r\n", "334");
    assert_int_equal(smtp_step(&t->session, &t->service, SPAN(PASSWORD "\r\n"), &used, &step),
                     SMTP_PASSWORD);
    assert_string_equal(step.login.user, "a");
    assert_string_equal(step.login.password, "right");
    assert_int_equal(used, sizeof PASSWORD "\r\n" - 1);
    const struct buf *text = &t->session.envelope.text;
    assert_null(memmem(text->at, text->cap, "right", 5));
    assert_null(memmem(text->at, text->cap, PASSWORD, 8));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TALK_TEST(test_plain_with_initial_response),
        TALK_TEST(test_plain_without_initial_response),
        TALK_TEST(test_login_asks_for_user_and_password),
        TALK_TEST(test_login_with_the_user_at_once),
        TALK_TEST(test_a_verifier_that_is_down_is_454_and_no_offence),
        TALK_TEST(test_a_star_cancels),
        TALK_TEST(test_what_is_not_base64_is_501),
        TALK_TEST(test_no_name_or_no_password_is_no_login),
        TALK_TEST(test_a_response_of_12288_octets_is_read_and_one_more_swallowed),
        TALK_TEST(test_auth_from_afar_needs_tls),
        TALK_TEST(test_auth_from_afar_without_tls_can_be_allowed),
        TALK_TEST(test_unknown_mechanisms_are_504),
        TALK_TEST(test_auth_once_and_not_within_a_transaction_and_after_ehlo),
        TALK_TEST(test_the_session_keeps_no_password),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
