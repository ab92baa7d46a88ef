/* session_mail.c: MAIL and RCPT, their paths and parameters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "expect.h"

static void test_a_sender_and_recipients_are_kept_as_written(void **state)
{
    struct dialogue *t = *state;
    struct envelope_recipient r = {0};
    greet(t);
    codes(t, "MAIL FROM:<Alice@Example.NET> SIZE=5 BODY=8BITMIME RET=hdrs ENVID=a+2Bb\r\n", "250");
    codes(t, "RCPT TO:<Bob@Example.ORG> NOTIFY=success,DELAY ORCPT=rfc822;bob+40x.org\r\n", "250");
    codes(t, "RCPT TO:<\"c d\"@example.org>\r\n", "250");
    expect_asked(t, "recipient Bob@Example.ORG\nrecipient \"c d\"@example.org\n");
    const struct envelope *e = &t->session.envelope;
    expect_span(envelope_sender(e), "Alice@Example.NET");
    expect_span(envelope_sender_params(e), "RET=hdrs ENVID=a+2Bb");
    assert_true(envelope_next(e, &r));
    expect_span(r.address, "Bob@Example.ORG");
    expect_span(r.params, "NOTIFY=success,DELAY ORCPT=rfc822;bob+40x.org");
    assert_true(envelope_next(e, &r));
    expect_span(r.address, "\"c d\"@example.org");
    expect_span(r.params, "");
    assert_false(envelope_next(e, &r));
    assert_true(t->session.flags & SMTP_8BIT);
    assert_false(t->session.flags & (SMTP_UTF8 | SMTP_NULL_SENDER));
}

static void test_the_null_sender_is_a_sender(void **state)
{
    struct dialogue *t = *state;
    greet(t);
    codes(t, "MAIL FROM:<>\r\n", "250");
    assert_true(t->session.flags & SMTP_NULL_SENDER);
    assert_true(envelope_has_sender(&t->session.envelope));
    codes(t, "RSET\r\nMAIL FROM: <a@example.net>\r\n", "250 250");
    assert_false(t->session.flags & SMTP_NULL_SENDER);
}

static void test_bad_paths_are_501(void **state)
{
    static const char *const lines[] = {
        "MAIL FROM:a@example.net\r\n",
        "MAIL FROM:<a@example.net\r\n",
        "MAIL a@example.net\r\n",
        "MAIL\r\n",
        "MAIL FROM:\r\n",
        "MAIL FROM:<a>\r\n",
        "MAIL FROM:<postmaster>\r\n",
        "MAIL FROM:<a@example.net>x\r\n",
        "MAIL TO:<a@b.net>\r\n",
        "MAIL FROM:<a@b.net><c@d.net>\r\n",
    };
    struct dialogue *t = *state;
    greet(t);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        expect_octets(t, span_of(lines[i]), "501 5.1.7 Bad sender address\r\n");
    codes(t, "MAIL FROM:<a@example.net>\r\n", "250");
    expect(t, "RCPT TO:<>\r\n", "501 5.1.3 Bad recipient address\r\n");
    expect(t, "RCPT FROM:<a@b.net>\r\n", "501 5.1.3 Bad recipient address\r\n");
}

static void test_verdicts_become_replies(void **state)
{
    struct dialogue *t = *state;
    greet(t);
    codes(t, "MAIL FROM:<a@example.net>\r\n", "250");
    expect(t, "RCPT TO:<nobody@example.org>\r\n",
           "550 5.1.1 <nobody@example.org>: user unknown\r\n");
    expect(t, "RCPT TO:<foreign@a.test>\r\n", "550 5.7.1 <foreign@a.test>: relaying denied\r\n");
    expect(t, "RCPT TO:<trap@example.org>\r\n", "550 5.7.1 <trap@example.org>: refused\r\n");
    assert_int_equal(t->offences, 3);
    expect(t, "RCPT TO:<down@example.org>\r\n",
           "451 4.3.0 Cannot look up the recipient now, try again\r\n");
    expect(t, "RCPT TO:<masked@example.org>\r\n", "450 4.7.1 Try again later\r\n");
    assert_int_equal(t->offences, 3);
    expect(t, "RCPT TO:<other@example.org>\r\n",
           "552-5.2.2 Mailbox full\r\n552 5.2.2 for a week now\r\n");
    assert_int_equal(t->offences, 4);
    assert_int_equal(envelope_recipients(&t->session.envelope), 0);
    expect(t, "DATA\r\n", "554 5.5.1 No valid recipients\r\n");
}

static void test_a_refused_recipient_costs_little_memory(void **state)
{
    struct dialogue *t = *state;
    struct smtp_step step;
    size_t used;
    greet(t);
    codes(t, "MAIL FROM:<a@example.net>\r\n", "250");
    struct span in = SPAN("RCPT TO:<nobody@example.org> ORCPT=rfc822;nobody@example.org\r\n");
    assert_int_equal(smtp_step(&t->session, &t->service, in, &used, &step), SMTP_RECIPIENT);
    smtp_recipient_is(&t->session, RECIPIENT_UNKNOWN, step.address, NULL);
    assert_int_equal(smtp_step(&t->session, &t->service, SPAN(""), &used, &step), SMTP_REPLY);
    smtp_fit(&t->session);
    /* HELO's name, the sender, the refused address: nothing else. */
    assert_int_equal(t->session.envelope.text.cap, 3 * 4 + 18 + 13 + 18);
}

static void test_postmaster_needs_no_domain(void **state)
{
    struct dialogue *t = *state;
    struct smtp_step step;
    size_t used;
    greet(t);
    codes(t, "MAIL FROM:<a@example.net>\r\n", "250");
    assert_int_equal(
        smtp_step(&t->session, &t->service, SPAN("RCPT TO:<PostMaster>\r\n"), &used, &step),
        SMTP_RECIPIENT);
    expect_span(step.box.local, "PostMaster");
    expect_span(step.box.domain, "");
    expect_span(step.address, "PostMaster");
    smtp_recipient_is(&t->session, RECIPIENT_TAKE, SPAN("PostMaster"), NULL);
    dialogue_go_on(t);
    assert_int_equal(envelope_recipients(&t->session.envelope), 1);
}

static void test_source_routes_are_skipped(void **state)
{
    struct dialogue *t = *state;
    greet(t);
    codes(t, "MAIL FROM:<@one.test,@two.test:a@example.net>\r\n", "250");
    expect_span(envelope_sender(&t->session.envelope), "a@example.net");
    codes(t, "RCPT TO:<@one.test:b@example.org>\r\n", "250");
    expect_asked(t, "recipient b@example.org\n");
}

static void test_a_size_over_the_limit_is_refused_early(void **state)
{
    struct dialogue *t = *state;
    greet(t);
    expect(t, "MAIL FROM:<a@example.net> SIZE=1000001\r\n",
           "552 5.3.4 Message exceeds the size limit\r\n");
    codes(t, "MAIL FROM:<a@example.net> SIZE=99999999999999999999\r\n", "501");
    codes(t, "MAIL FROM:<a@example.net> SIZE=\r\n", "501");
    codes(t, "MAIL FROM:<a@example.net> SIZE\r\n", "501");
    codes(t, "MAIL FROM:<a@example.net> SIZE=1 SIZE=1\r\n", "501");
    codes(t, "MAIL FROM:<a@example.net> size=1000000\r\n", "250");
    t->service.size_max = 0;
    codes(t, "RSET\r\nMAIL FROM:<a@example.net> SIZE=1000001\r\n", "250 250");
}

static void test_parameters_that_are_not_offered_are_555(void **state)
{
    struct dialogue *t = *state;
    greet(t);
    expect(t, "MAIL FROM:<a@example.net> FROB=1\r\n",
           "555 5.5.4 Parameter not known or not allowed: FROB\r\n");
    codes(t, "MAIL FROM:<a@example.net> NOTIFY=NEVER\r\n", "555");
    t->service.offer = 0;
    codes(t, "EHLO c\r\nMAIL FROM:<a@example.net> BODY=8BITMIME\r\n", "250 555");
    codes(t, "MAIL FROM:<a@example.net> SMTPUTF8\r\n", "555");
    codes(t, "MAIL FROM:<a@example.net> RET=FULL\r\n", "555");
    codes(t, "MAIL FROM:<a@example.net> SIZE=1 AUTH=<>\r\n", "250");
    codes(t, "RCPT TO:<b@example.org> NOTIFY=NEVER\r\n", "555");
    t->service.offer = SMTP_OFFER_ALL;
    codes(t, "RCPT TO:<b@example.org> RET=FULL\r\n", "555");
    codes(t, "HELO c\r\nMAIL FROM:<a@example.net> SIZE=1\r\n", "250 555");
}

/* A word between processes of mired: a client that says it would make the store look for a copy. */
static void test_xagain_is_known_only_where_the_caller_takes_it(void **state)
{
    struct dialogue *t = *state;
    greet(t);
    codes(t, "MAIL FROM:<a@example.net> XAGAIN\r\nMAIL FROM:<a@example.net> XAGAIN=1\r\n",
          "555 555");
    t->service.again = true;
    codes(t, "MAIL FROM:<a@example.net> XAGAIN=1\r\nMAIL FROM:<a@example.net> XAGAIN XAGAIN\r\n",
          "501 501");
    codes(t, "MAIL FROM:<a@example.net> SIZE=5 xagain RET=FULL\r\n", "250");
    expect_span(envelope_sender_params(&t->session.envelope), "xagain RET=FULL");
    codes(t, "RCPT TO:<b@example.org> XAGAIN\r\nHELO c\r\nMAIL FROM:<a@example.net> XAGAIN\r\n",
          "555 250 555");
}

/* field notes 33: 555 to a keyword that has just been offered */
static void test_what_was_offered_is_not_taken_back_within_the_session(void **state)
{
    static const struct {
        const char *parameter;
        uint32_t needs;
    } table[] = {{"BODY=8BITMIME", SMTP_OFFER_8BITMIME},
                 {"SMTPUTF8", SMTP_OFFER_SMTPUTF8},
                 {"RET=FULL", SMTP_OFFER_DSN},
                 {"ENVID=x", SMTP_OFFER_DSN},
                 {"body=7bit", SMTP_OFFER_8BITMIME}};
    struct dialogue *t = *state;
    char line[100];
    greet(t);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        snprintf(line, sizeof line, "RSET\r\nMAIL FROM:<a@example.net> %s\r\n", table[i].parameter);
        t->service.offer = 0; /* a backend without it has come up beside one with it */
        expect_codes(t, span_of(line), "250 250");
        t->service.able = SMTP_OFFER_ALL & ~table[i].needs; /* nobody has it any more */
        expect_codes(t, span_of(line), "250 451");
        t->service.able = SMTP_OFFER_ALL;
        expect_codes(t, span_of(line), "250 250");
        t->service.offer = SMTP_OFFER_ALL;
    }
    t->service.able = 0;
    codes(t, "RSET\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org> NOTIFY=NEVER\r\n",
          "250 250 451");
}

static void test_a_parameter_is_repeated_sanitised(void **state)
{
    struct dialogue *t = *state;
    greet(t);
    expect(t, "MAIL FROM:<a@example.net> \x1b[31m\xff\t\r\n",
           "555 5.5.4 Parameter not known or not allowed: ?[31m?\r\n");
}

static void test_parameter_values_are_checked(void **state)
{
    static const char *const wrong[] = {
        "MAIL FROM:<a@b.net> BODY=BINARYMIME\r\n",
        "MAIL FROM:<a@b.net> BODY\r\n",
        "MAIL FROM:<a@b.net> SMTPUTF8=1\r\n",
        "MAIL FROM:<a@b.net> RET=SOME\r\n",
        "MAIL FROM:<a@b.net> ENVID=a+2b\r\n",
        "MAIL FROM:<a@b.net> ENVID=\r\n",
        "MAIL FROM:<a@b.net> ENVID=a=b\r\n",
        "MAIL FROM:<a@b.net> AUTH=\r\n",
        "MAIL FROM:<a@b.net> RET=FULL RET=HDRS\r\n",
        "RCPT TO:<b@c.org> NOTIFY=NEVER,DELAY\r\n",
        "RCPT TO:<b@c.org> NOTIFY=\r\n",
        "RCPT TO:<b@c.org> NOTIFY=SUCCESS,\r\n",
        "RCPT TO:<b@c.org> NOTIFY=DELAY,DELAY,DELAY,DELAY\r\n", /* field notes 26 */
        "RCPT TO:<b@c.org> ORCPT=b@c.org\r\n",
        "RCPT TO:<b@c.org> ORCPT=;b\r\n",
        "RCPT TO:<b@c.org> ORCPT=rfc822;\r\n",
        "RCPT TO:<b@c.org> ORCPT=rfc822;\xc3\xa4@c.org\r\n",
        "RCPT TO:<b@c.org> ORCPT=utf-8;\xc3\xa4@c.org\r\n", /* SMTPUTF8 was not asked for */
    };
    struct dialogue *t = *state;
    greet(t);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        codes(t, "RSET\r\n", "250");
        if (wrong[i][0] == 'R')
            codes(t, "MAIL FROM:<>\r\n", "250");
        expect_codes(t, span_of(wrong[i]), "501");
    }
}

static void test_envid_is_at_most_100_octets_and_orcpt_500(void **state)
{
    struct dialogue *t = *state;
    char line[700];
    greet(t);
    for (int n = 100; n <= 101; n++) {
        int len = snprintf(line, sizeof line, "MAIL FROM:<> ENVID=%0*d\r\n", n, 0);
        expect_codes(t, (struct span){line, (size_t)len}, n == 100 ? "250" : "501");
        codes(t, "RSET\r\n", "250");
    }
    codes(t, "MAIL FROM:<>\r\n", "250");
    for (int n = 493; n <= 494; n++) {
        int len = snprintf(line, sizeof line, "RCPT TO:<b@c.org> ORCPT=rfc822;%0*d\r\n", n, 0);
        expect_codes(t, (struct span){line, (size_t)len}, n == 493 ? "250" : "501");
    }
}

static void test_non_ascii_addresses_need_smtputf8(void **state)
{
    struct dialogue *t = *state;
    greet(t);
    expect(t, "MAIL FROM:<j\xc3\xb6rg@example.net>\r\n",
           "553 5.6.7 Non-ASCII address needs SMTPUTF8\r\n");
    codes(t, "MAIL FROM:<a@example.net>\r\nRCPT TO:<j\xc3\xb6rg@example.org>\r\n", "250 553");
    codes(t,
          "RSET\r\nMAIL FROM:<j\xc3\xb6rg@b\xc3\xbc"
          "cher.example> SMTPUTF8\r\n",
          "250 250");
    assert_true(t->session.flags & SMTP_UTF8);
    codes(t, "RCPT TO:<j\xc3\xb6rg@example.org> ORCPT=utf-8;j\xc3\xb6rg@example.org\r\n", "250");
    codes(t, "RSET\r\n", "250");
    assert_false(t->session.flags & SMTP_UTF8);
    codes(t, "MAIL FROM:<j\xff@example.net> SMTPUTF8\r\n", "501");
    assert_false(t->session.flags & SMTP_UTF8);
}

static void test_a_refused_mail_leaves_no_flags(void **state)
{
    struct dialogue *t = *state;
    greet(t);
    codes(t, "MAIL FROM:<a@b.net> SMTPUTF8 BODY=8BITMIME FROB\r\n", "555");
    codes(t, "MAIL FROM:<a@b.net>\r\n", "250");
    assert_false(t->session.flags & (SMTP_UTF8 | SMTP_8BIT));
}

/* RFC 9422: what EHLO says of limits is what the session enforces, with whatever numbers. */
static void test_limits_in_ehlo_are_those_that_are_enforced(void **state)
{
    static const uint32_t cases[][2] = {{1, 1}, {3, 7}, {1000, 50000}, {5000, 0}};
    struct dialogue *t = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t recipients = cases[i][0] < 1000 ? cases[i][0] : 1000, mails = cases[i][1];
        char line[80], max[24] = "";
        t->service.recipients_max = cases[i][0];
        t->service.mails_max = (uint16_t)mails;
        dialogue_restart(t, true);
        buf_free(&t->replies);
        dialogue_send(t, SPAN("EHLO c\r\n"), 0);
        if (mails)
            snprintf(max, sizeof max, " MAILMAX=%u", mails);
        snprintf(line, sizeof line, "-LIMITS%s RCPTMAX=%u\r\n", max, recipients);
        assert_non_null(memmem(t->replies.at, t->replies.len, line, strlen(line)));
        buf_free(&t->replies);

        codes(t, "MAIL FROM:<a@b.net>\r\n", "250"); /* 1 */
        for (uint32_t n = 0; n < recipients; n++)
            codes(t, "RCPT TO:<c@d.org>\r\n", "250");
        codes(t, "RCPT TO:<c@d.org>\r\nRSET\r\n", "452 250");
        for (uint32_t n = 1; n < mails; n++) /* refused ones count, too */
            if (n % 2)
                codes(t, "MAIL FROM:<a@b.net>\r\nRSET\r\n", "250 250");
            else
                codes(t, "MAIL FROM:<\r\nRSET\r\n", "501 250");
        if (mails)
            expect(t, "MAIL FROM:<a@b.net>\r\nNOOP\r\n",
                   "421 4.7.0 mx.example.org Enough messages for one session, connect again\r\n");
        assert_int_equal(t->ended, mails != 0);
    }
}

static void test_more_recipients_than_allowed_get_452(void **state)
{
    struct dialogue *t = *state;
    t->service.recipients_max = 3;
    greet(t);
    begin_mail(t);
    codes(t, "RCPT TO:<c@d.org>\r\nRCPT TO:<nobody@d.org>\r\nRCPT TO:<c@d.org>\r\n", "250 550 250");
    expect(t, "RCPT TO:<c@d.org>\r\n", "452 4.5.3 Too many recipients\r\n");
    expect_asked(t, "recipient c@d.org\nrecipient nobody@d.org\nrecipient c@d.org\n");
    codes(t, "DATA\r\n.\r\n", "354 250");
    t->service.recipients_max = 0;
    codes(t, "MAIL FROM:<>\r\n", "250");
    for (int i = 0; i < ENVELOPE_RECIPIENTS_MAX; i++)
        codes(t, "RCPT TO:<c@d.org>\r\n", "250");
    codes(t, "RCPT TO:<c@d.org>\r\n", "452");
}

/* Field notes 26: a thousand recipients with all that may stand behind them are no megabyte; and a
 * hundred of the longest are taken (RFC 5321 4.5.3.1.8). */
static void test_an_envelope_takes_so_many_octets(void **state)
{
    struct dialogue *t = *state;
    char line[1100], local[65], original[401];
    int taken = 0;

    memset(local, 'l', 64);
    memset(original, 'o', 400);
    local[64] = original[400] = '\0';
    snprintf(line, sizeof line,
             "RCPT TO:<%s@d.org> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;%s\r\n", local,
             original);
    greet(t);
    begin_mail(t);
    for (; taken < ENVELOPE_RECIPIENTS_MAX; taken++) {
        t->replies.len = 0;
        dialogue_send(t, span_of(line), 0);
        assert_true(t->replies.len > 3);
        if (memcmp(t->replies.at, "452", 3) == 0)
            break;
        assert_memory_equal(t->replies.at, "250", 3);
    }
    t->replies.len = 0;
    assert_in_range(taken, ENVELOPE_RECIPIENTS_LEAST, ENVELOPE_RECIPIENTS_MAX - 1);
    assert_true(envelope_block(&t->session.envelope).len < ENVELOPE_OCTETS_MAX + sizeof line);
    codes(t, "DATA\r\n.\r\n", "354 250");
}

static void test_submission_needs_auth_before_mail(void **state)
{
    struct dialogue *t = *state;
    t->service.submission = true;
    greet(t);
    expect(t, "MAIL FROM:<a@b.net>\r\n", "530 5.7.0 Issue STARTTLS first\r\n");
    t->service.tls = false;
    expect(t, "MAIL FROM:nonsense\r\n", "530 5.7.0 Authentication required\r\n");
    dialogue_restart(t, true);
    greet(t);
    codes(t, "MAIL FROM:<a@b.net>\r\nAUTH PLAIN AGEAcmlnaHQ=\r\nMAIL FROM:<a@b.net>\r\n",
          "530 235 250");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TALK_TEST(test_a_sender_and_recipients_are_kept_as_written),
        TALK_TEST(test_the_null_sender_is_a_sender),
        TALK_TEST(test_bad_paths_are_501),
        TALK_TEST(test_verdicts_become_replies),
        TALK_TEST(test_a_refused_recipient_costs_little_memory),
        TALK_TEST(test_postmaster_needs_no_domain),
        TALK_TEST(test_source_routes_are_skipped),
        TALK_TEST(test_a_size_over_the_limit_is_refused_early),
        TALK_TEST(test_parameters_that_are_not_offered_are_555),
        TALK_TEST(test_a_parameter_is_repeated_sanitised),
        TALK_TEST(test_what_was_offered_is_not_taken_back_within_the_session),
        TALK_TEST(test_xagain_is_known_only_where_the_caller_takes_it),
        TALK_TEST(test_parameter_values_are_checked),
        TALK_TEST(test_envid_is_at_most_100_octets_and_orcpt_500),
        TALK_TEST(test_non_ascii_addresses_need_smtputf8),
        TALK_TEST(test_a_refused_mail_leaves_no_flags),
        TALK_TEST(test_limits_in_ehlo_are_those_that_are_enforced),
        TALK_TEST(test_more_recipients_than_allowed_get_452),
        TALK_TEST(test_an_envelope_takes_so_many_octets),
        TALK_TEST(test_submission_needs_auth_before_mail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
