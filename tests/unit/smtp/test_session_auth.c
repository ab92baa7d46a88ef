/* session_auth.c: PLAIN, LOGIN, SCRAM, when AUTH may be said and when not. The user is a, the
 * password right. */
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

/* SCRAM's messages, in base64; dialogue.h has the other side. */
#define SCRAM_FIRST   "biwsbj1hLHI9eA=="                 /* n,,n=a,r=x */
#define SCRAM_FIRST_Y "eSwsbj1hLHI9eA=="                 /* y,,n=a,r=x */
#define SCRAM_PLUS    "cD10bHMtZXhwb3J0ZXIsLG49YSxyPXg=" /* p=tls-exporter,,n=a,r=x */
#define SCRAM_END_POINT                                                                            \
    "cD10bHMtc2VydmVyLWVuZC1wb2ludCwsbj1hLHI9eA=="       /* p=tls-server-end-point,,n=a,r=x */
#define SCRAM_UNIQUE  "cD10bHMtdW5pcXVlLCxuPWEscj14"     /* p=tls-unique,,n=a,r=x */
#define SCRAM_LATER   "biwsbj1sYXRlcixyPXg="             /* n,,n=later,r=x */
#define SCRAM_AUTHZID "bixhPWEsbj1hLHI9eA=="             /* n,a=a,n=a,r=x */
#define SCRAM_OTHER   "bixhPWIsbj1hLHI9eA=="             /* n,a=b,n=a,r=x */
#define SCRAM_PROOF   "Yz1iaXdzLHI9eHkscD1jbWxuYUhRPQ==" /* c=biws,r=xy,p=cmlnaHQ= */
#define SCRAM_NOT     "Yz1iaXdzLHI9eHkscD1lQT09"         /* c=biws,r=xy,p=eA== */
#define SCRAM_BAD     "Yz1iaXdz"                         /* c=biws */
#define CHALLENGE     "334 cj14eSxzPWVBPT0saT0x\r\n"
#define SIGNATURE     "334 dj1lQT09\r\n"

/* On loopback, so that it may. */
static void local(struct dialogue *t)
{
    dialogue_restart(t, true);
    greet(t);
}

static void test_plain_with_initial_response(void **state)
{
    struct dialogue *t = *state;
    local(t);
    expect(t, "AUTH PLAIN " PLAIN_WRONG "\r\n", "535 5.7.8 Authentication failed\r\n");
    assert_int_equal(t->offences, 1);
    expect(t, "auth plain " PLAIN_RIGHT "\r\n", "235 2.7.0 Authentication successful\r\n");
    expect_asked(t, "password a wrong\npassword a right\n");
    assert_true(t->session.flags & SMTP_AUTHENTICATED);
}

static void test_plain_without_initial_response(void **state)
{
    struct dialogue *t = *state;
    local(t);
    expect(t, "AUTH PLAIN\r\n", "334 \r\n");
    expect(t, PLAIN_RIGHT "\r\n", "235 2.7.0 Authentication successful\r\n");
    expect_asked(t, "password a right\n");
}

static void test_login_asks_for_user_and_password(void **state)
{
    struct dialogue *t = *state;
    local(t);
    expect(t, "AUTH LOGIN\r\n", "334 VXNlcm5hbWU6\r\n");
    expect(t, USER "\r\n", "334 UGFzc3dvcmQ6\r\n");
    expect(t, PASSWORD "\r\n", "235 2.7.0 Authentication successful\r\n");
    expect_asked(t, "password a right\n");
}

static void test_login_with_the_user_at_once(void **state)
{
    struct dialogue *t = *state;
    local(t);
    expect(t, "AUTH LOGIN " USER "\r\n", "334 UGFzc3dvcmQ6\r\n");
    expect(t, PASSWORD "\r\nNOOP\r\n", "235 2.7.0 Authentication successful\r\n250 2.0.0 Ok\r\n");
    expect_asked(t, "password a right\n");
    expect_span(envelope_note(&t->session.envelope), "");
}

static void test_a_verifier_that_is_down_is_454_and_no_offence(void **state)
{
    struct dialogue *t = *state;
    local(t);
    expect(t, "AUTH PLAIN AGEAbGF0ZXI=\r\n", "454 4.7.0 Temporary authentication failure\r\n");
    assert_int_equal(t->offences, 0);
    assert_false(t->session.flags & SMTP_AUTHENTICATED);
}

static void test_a_star_cancels(void **state)
{
    struct dialogue *t = *state;
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
    struct dialogue *t = *state;
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
    struct dialogue *t = *state;
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
    struct dialogue *t = *state;
    static char line[SMTP_AUTH_LINE_MAX + 100];
    memset(line, 'A', sizeof line);
    local(t);
    for (size_t n = SMTP_AUTH_LINE_MAX - 1; n <= SMTP_AUTH_LINE_MAX + 5; n += 3) {
        codes(t, "AUTH PLAIN\r\n", "334");
        bool fits = n <= SMTP_AUTH_LINE_MAX;
        size_t at = n - 2;
        dialogue_send(t, (struct span){line, at}, 1000);
        assert_true(t->input.len <= SMTP_AUTH_LINE_MAX);
        if (fits)
            codes(t, "\r\n", at % 4 ? "501" : "535");
        else /* field notes 35: RFC 4954 4 */
            expect(t, "\r\n", "500 5.5.6 Authentication exchange line is too long\r\n");
        codes(t, "NOOP\r\n", "250");
    }
}

static void test_auth_from_afar_needs_tls(void **state)
{
    struct dialogue *t = *state;
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
    struct dialogue *t = *state;
    t->service.auth_plain_from_afar = true;
    greet(t);
    codes(t, "AUTH PLAIN " PLAIN_RIGHT "\r\n", "235");
}

static void test_unknown_mechanisms_are_504(void **state)
{
    struct dialogue *t = *state;
    local(t);
    expect(t, "AUTH CRAM-MD5\r\n", "504 5.5.4 No such authentication mechanism\r\n");
    codes(t, "AUTH\r\n", "501");
    t->service.auth = 0;
    codes(t, "AUTH PLAIN " PLAIN_RIGHT "\r\n", "504");
    expect_asked(t, "");
}

static void test_auth_once_and_not_within_a_transaction_and_after_ehlo(void **state)
{
    struct dialogue *t = *state;
    dialogue_restart(t, true);
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
    struct dialogue *t = *state;
    struct smtp_step step;
    size_t used;
    local(t);
    codes(t, "AUTH LOGIN " USER "\r\n", "334");
    assert_int_equal(smtp_step(&t->session, &t->service, SPAN(PASSWORD "\r\n"), &used, &step),
                     SMTP_PASSWORD);
    assert_string_equal(step.login.user, "a");
    assert_string_equal(step.login.response, "right");
    assert_int_equal(used, sizeof PASSWORD "\r\n" - 1);
    const struct buf *text = &t->session.envelope.text;
    assert_null(memmem(text->at, text->cap, "right", 5));
    assert_null(memmem(text->at, text->cap, PASSWORD, 8));
}

static void test_scram_in_two_messages_and_an_empty_one(void **state)
{
    struct dialogue *t = *state;
    local(t);
    expect(t, "AUTH SCRAM-SHA-256 " SCRAM_FIRST "\r\n", CHALLENGE);
    assert_true(smtp_in_scram(&t->session));
    expect(t, SCRAM_PROOF "\r\n", SIGNATURE);
    assert_false(t->session.flags & SMTP_AUTHENTICATED);
    expect(t, "\r\n", "235 2.7.0 Authentication successful\r\n");
    assert_true(t->session.flags & SMTP_AUTHENTICATED);
    assert_false(smtp_in_scram(&t->session));
    assert_int_equal(t->offences, 0);
    expect_asked(t, "scram a n,,n=a,r=x\nscram proof c=biws,r=xy,p=cmlnaHQ=\n");
}

static void test_scram_without_initial_response(void **state)
{
    struct dialogue *t = *state;
    local(t);
    expect(t, "AUTH SCRAM-SHA-256\r\n", "334 \r\n");
    expect(t, SCRAM_AUTHZID "\r\n" SCRAM_PROOF "\r\n\r\nNOOP\r\n",
           CHALLENGE SIGNATURE "235 2.7.0 Authentication successful\r\n250 2.0.0 Ok\r\n");
}

static void test_a_wrong_proof_is_an_offence_and_a_verifier_that_is_down_is_none(void **state)
{
    struct dialogue *t = *state;
    local(t);
    codes(t, "AUTH SCRAM-SHA-256 " SCRAM_FIRST "\r\n" SCRAM_NOT "\r\nNOOP\r\n", "334 535 250");
    assert_int_equal(t->offences, 1);
    codes(t, "AUTH SCRAM-SHA-256 " SCRAM_LATER "\r\nNOOP\r\n", "454 250");
    assert_int_equal(t->offences, 1);
    assert_false(t->session.flags & SMTP_AUTHENTICATED);
}

static void test_scram_can_be_cancelled_at_each_step(void **state)
{
    struct dialogue *t = *state;
    local(t);
    codes(t, "AUTH SCRAM-SHA-256\r\n*\r\n", "334 501");
    codes(t, "AUTH SCRAM-SHA-256 " SCRAM_FIRST "\r\n*\r\n", "334 501");
    assert_false(smtp_in_scram(&t->session));
    codes(t, "AUTH SCRAM-SHA-256 " SCRAM_FIRST "\r\n" SCRAM_PROOF "\r\n*\r\nNOOP\r\n",
          "334 334 501 250");
    assert_false(t->session.flags & SMTP_AUTHENTICATED);
}

static void test_what_is_no_scram_is_refused_before_anyone_is_asked(void **state)
{
    struct dialogue *t = *state;
    local(t);
    codes(t, "AUTH SCRAM-SHA-256 " SCRAM_OTHER "\r\n", "535"); /* for somebody else */
    codes(t, "AUTH SCRAM-SHA-256 " SCRAM_PLUS "\r\n", "535");
    codes(t, "AUTH SCRAM-SHA-256 " PLAIN_RIGHT "\r\n", "535");
    codes(t, "AUTH SCRAM-SHA-256 =\r\n", "535");
    expect_asked(t, "");
    codes(t, "AUTH SCRAM-SHA-256 " SCRAM_FIRST "\r\n" SCRAM_BAD "\r\n", "334 535");
    codes(t, "AUTH SCRAM-SHA-256 " SCRAM_FIRST "\r\n" SCRAM_PROOF "\r\n" USER "\r\n",
          "334 334 535");
    assert_false(t->session.flags & SMTP_AUTHENTICATED);
}

static void test_plus_binds_to_tls_and_a_downgrade_is_noticed(void **state)
{
    struct dialogue *t = *state;
    local(t);
    codes(t, "AUTH SCRAM-SHA-256-PLUS " SCRAM_PLUS "\r\n", "504"); /* without TLS */
    codes(t, "AUTH SCRAM-SHA-256 " SCRAM_FIRST_Y "\r\n*\r\n", "334 501");
    codes(t, "STARTTLS\r\n", "220");
    greet(t);
    buf_free(&t->asked);
    codes(t, "AUTH SCRAM-SHA-256 " SCRAM_FIRST_Y "\r\n", "535"); /* who has hidden it? */
    codes(t, "AUTH SCRAM-SHA-256-PLUS " SCRAM_FIRST "\r\n", "535");
    codes(t, "AUTH SCRAM-SHA-256-PLUS " SCRAM_UNIQUE "\r\n", "535");
    expect_asked(t, "");
    codes(t, "AUTH SCRAM-SHA-256-PLUS " SCRAM_END_POINT "\r\n*\r\n", "334 501");
    codes(t, "AUTH SCRAM-SHA-256-PLUS " SCRAM_PLUS "\r\n" SCRAM_PROOF "\r\n\r\n", "334 334 235");
    expect_asked(t,
                 "scram a p=tls-server-end-point,,n=a,r=x end-point\n"
                 "scram a p=tls-exporter,,n=a,r=x exporter\nscram proof c=biws,r=xy,p=cmlnaHQ=\n");
}

static void test_only_what_is_offered_may_be_used(void **state)
{
    struct dialogue *t = *state;
    t->service.auth = SMTP_AUTH_PLAIN | SMTP_AUTH_SCRAM;
    local(t);
    expect(t, "AUTH LOGIN\r\n", "504 5.5.4 No such authentication mechanism\r\n");
    codes(t, "AUTH SCRAM-SHA-256 " SCRAM_FIRST "\r\n*\r\n", "334 501");
    t->service.auth = SMTP_AUTH_LOGIN;
    codes(t, "AUTH SCRAM-SHA-256 " SCRAM_FIRST "\r\n", "504");
    codes(t, "AUTH PLAIN " PLAIN_RIGHT "\r\n", "504");
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
        TALK_TEST(test_scram_in_two_messages_and_an_empty_one),
        TALK_TEST(test_scram_without_initial_response),
        TALK_TEST(test_a_wrong_proof_is_an_offence_and_a_verifier_that_is_down_is_none),
        TALK_TEST(test_scram_can_be_cancelled_at_each_step),
        TALK_TEST(test_what_is_no_scram_is_refused_before_anyone_is_asked),
        TALK_TEST(test_plus_binds_to_tls_and_a_downgrade_is_noticed),
        TALK_TEST(test_only_what_is_offered_may_be_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
