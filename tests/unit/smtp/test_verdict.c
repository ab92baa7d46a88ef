/* What replies of servers are about (R24): the tables below are wordings of real servers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "smtp/reader.h"
#include "smtp/verdict.h"

/* Reads `text` as a server would send it; arg is the reader's until it is freed. */
static struct reply read_reply(struct reply_reader *reader, const char *text)
{
    struct reply r;
    struct span in = span_of(text), end = SPAN("\r\n");

    reader_take(reader, &in, &r);
    assert_int_equal(reader_take(reader, &end, &r), READER_REPLY);
    return r;
}

static enum reply_about about(enum reply_stage stage, enum reply_speaker speaker, const char *text)
{
    struct reply_reader reader = {0};
    struct reply r = read_reply(&reader, text);
    enum reply_about a = reply_about(stage, speaker, &r);

    reader_free(&reader);
    return a;
}

/* field notes 5: never final for a stranger, whichever client the server takes us for */
static void test_what_is_said_of_our_conversation_is_about_us(void **state)
{
    static const char *const replies[] = {
        "500 5.5.2 Error: command not recognized",
        "500 what",
        "501 Syntax error in parameters",
        "501 5.5.4 Syntax: MAIL FROM:<address>",
        "502 5.5.1 Command not implemented",
        "503 EHLO first",
        "503 5.5.1 Error: send HELO/EHLO first",
        "504 5.5.4 Command parameter not implemented",
        "523 Encryption needed",
        "530 Must issue a STARTTLS command first",
        "530 5.7.0 Must issue a STARTTLS command first",
        "530 5.7.1 Client was not authenticated",
        "530 5.5.1 Authentication Required",
        "534 5.7.9 Authentication mechanism is too weak",
        "535 5.7.8 Error: authentication failed",
        "538 5.7.11 Encryption required for requested authentication mechanism",
        "550 5.7.11 Encryption required",
        "550 5.7.51 TenantInboundAttribution; There is a partner connector configured that matched",
        "550 5.7.64 TenantAttribution; Relay Access Denied",
        "550 5.3.5 System incorrectly configured",
        "553 5.3.5 system config error",
        "554 5.3.5 Local configuration error",
        "554 5.5.1 Error: no valid recipients",
        "554 5.5.0 Transaction failed",
        "550 authentication required",
        "555 MAIL FROM/RCPT TO parameters not recognized or not implemented",
        "555 5.5.4 Unsupported option: SIZE=1000",
        "554 Too many connections",
        "334 VXNlcm5hbWU6",
        "354 go on",
        "421 4.7.0 mx Error: too many errors",
        "421 Service not available",
    };
    static const enum reply_stage stages[] = {STAGE_MAIL, STAGE_RCPT, STAGE_DATA};

    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++)
        for (size_t k = 0; k < sizeof stages / sizeof *stages; k++)
            for (int speaker = 0; speaker < SPEAKER_COUNT; speaker++) {
                if (about(stages[k], (enum reply_speaker)speaker, replies[i]) != REPLY_ABOUT_US)
                    fail_msg("\"%s\" at stage %d", replies[i], stages[k]);
            }
}

/* field notes 5: nothing that a server says before MAIL is about a client's mail */
static void test_no_refusal_before_mail_is_about_the_mail(void **state)
{
    static const char *const replies[] = {"550 5.7.1 refused", "554 5.1.1 no such user",
                                          "450 4.7.1 not now", "554 No SMTP service here",
                                          "521 mx does not accept mail"};
    static const enum reply_stage stages[] = {STAGE_GREETING, STAGE_HELLO, STAGE_TLS,
                                              STAGE_XCLIENT};

    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++)
        for (size_t k = 0; k < sizeof stages / sizeof *stages; k++)
            for (int speaker = 0; speaker < SPEAKER_COUNT; speaker++)
                assert_int_equal(about(stages[k], (enum reply_speaker)speaker, replies[i]),
                                 REPLY_ABOUT_US);
}

/* About the host that connects: that is us, unless the server has been told of the client. */
static void test_a_refused_host_is_the_one_that_the_server_sees(void **state)
{
    static const char *const replies[] = {
        "554 Client host [127.0.0.1] blocked",
        "550 5.7.606 Access denied, banned sending IP [192.0.2.11]. To request removal",
        "550 5.7.1 [192.0.2.11] Our system has detected an unusual rate of unsolicited mail "
        "originating from your IP address",
        "554 5.7.1 Service unavailable; Client host [127.0.0.1] blocked using zen.example",
        "554 5.7.1 <localhost[127.0.0.1]>: Client host rejected: Access denied",
        "550 5.7.1 Client host rejected: cannot find your reverse hostname, [192.0.2.1]",
        "550 5.7.25 The IP address sending this message does not have a PTR record",
        "550 5.7.1 <mx.example>: Helo command rejected: Host not found",
        "504 5.5.2 <mx>: Helo command rejected: need fully-qualified hostname",
        "501 5.5.2 <mx_1>: Helo command rejected: Invalid name",
        "550 Access denied",
        "550 5.7.1 Access denied",
        "550 Administrative prohibition",
        "550 5.7.1 Relaying denied",
        "554 5.7.1 <alice@example.test>: Relay access denied",
        "550 relay not permitted",
        "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)",
        "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain",
        "521 mx.example does not accept mail from you",
        "550 Your host is not welcome",
        "550 You are not authorized to send mail",
    };

    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
        if (about(STAGE_RCPT, SPEAKER_PROBE, replies[i]) != REPLY_ABOUT_US ||
            about(STAGE_RCPT, SPEAKER_RELAY, replies[i]) != REPLY_ABOUT_US ||
            about(STAGE_RCPT, SPEAKER_CLIENT, replies[i]) != REPLY_ABOUT_MAIL)
            fail_msg("%s", replies[i]);
    }
}

/* About the sender: that is ours when we ask, and the client's when its mail goes out. */
static void test_a_refused_sender_is_ours_in_a_probe(void **state)
{
    static const char *const replies[] = {
        "553 5.1.8 <>: Sender address rejected: Domain not found",
        "553 5.1.7 <>: Sender address rejected: not logged in",
        "550 Sender verify failed",
        "550 5.7.1 <>: Sender address rejected: Access denied",
        "550 5.7.1 We do not accept bounces",
        "554 null sender is not taken here",
        "504 5.5.2 <root>: Sender address rejected: need fully-qualified address",
    };

    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
        if (about(STAGE_RCPT, SPEAKER_PROBE, replies[i]) != REPLY_ABOUT_US ||
            about(STAGE_RCPT, SPEAKER_RELAY, replies[i]) != REPLY_ABOUT_MAIL)
            fail_msg("%s", replies[i]);
    }
    assert_int_equal(about(STAGE_MAIL, SPEAKER_PROBE, "550 5.1.1 no"), REPLY_ABOUT_US);
    assert_int_equal(about(STAGE_MAIL, SPEAKER_RELAY, "550 5.1.0 no"), REPLY_ABOUT_MAIL);
}

static void expect_at_rcpt(const char *text, bool nobody, bool offence)
{
    struct reply_reader reader = {0};
    struct reply r = read_reply(&reader, text);

    for (int speaker = 0; speaker < SPEAKER_COUNT; speaker++)
        if (reply_about(STAGE_RCPT, (enum reply_speaker)speaker, &r) != REPLY_ABOUT_MAIL ||
            reply_means_nobody(&r) != nobody ||
            reply_is_offence(STAGE_RCPT, (enum reply_speaker)speaker, &r) != offence)
            fail_msg("%s", text);
    reader_free(&reader);
}

static void test_unknown_recipients_are_recognised_in_the_words_of_many_servers(void **state)
{
    static const char *const replies[] = {
        ("550 5.1.1 <alicia@example.test>: Recipient address rejected: User unknown in local "
         "recipient table"),
        "550 5.1.1 <alicia@example.test>... User unknown",
        "550 5.1.1 <alicia@example.test> User doesn't exist: alicia@example.test",
        "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup",
        "550 5.4.1 Recipient address rejected: No such user here",
        "550 5.4.1 Recipient address rejected: Access denied. AS(201806281)",
        "550 5.4.1 [alicia@example.test]: Recipient address rejected: Access denied",
        "524 5.2.4 Mailing list expansion problem: <alicia@example.test>",
        "550 Invalid recipient: <alicia@example.test>",
        "550 Unrouteable address",
        "550 Unknown user",
        "550 No Such User Here",
        "550 No such person at this address.",
        "550 sorry, no mailbox here by that name. (#5.1.1)",
        "550-Mailbox unknown.  Either there is no mailbox associated with this\r\n550 name",
        "550 Requested action not taken: mailbox unavailable",
        "551 User not local; please try <alice@example.org>",
        "553 5.1.3 Invalid address",
        "556 5.1.10 Recipient address has null MX",
        "550 5.1.2 <x@foreign.test>: no mail to other domains from here", /* our own store */
        "550 <client host@example.test>: user unknown", /* what is quoted decides nothing */
        "550 relay@example.test: unknown user",
        "550 <bounces@example.test>: User unknown",
    };

    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
        bool booked =
            replies[i][0] == '5' && !strstr(replies[i], " 5.4.1") && !strstr(replies[i], " 5.2.4");
        expect_at_rcpt(replies[i], true, booked);
    }
}

static void test_a_refused_recipient_is_not_an_unknown_one(void **state)
{
    expect_at_rcpt("504 5.5.2 <bob>: Recipient address rejected: need fully-qualified address",
                   false, false);
    expect_at_rcpt("552 5.2.2 <bob@example.test>: mailbox is full", false, false);
    expect_at_rcpt("552 Mailbox full", false, false);
    expect_at_rcpt("550 5.2.1 The account is disabled", false, true);
    expect_at_rcpt("554 5.7.1 <bob@example.test>: Recipient address rejected: Access denied", false,
                   true);
    expect_at_rcpt("550 5.7.1 <bob@example.test>... for members of the list", false, true);
    expect_at_rcpt("552 5.3.4 Message size exceeds fixed limit", false, false);
    expect_at_rcpt("550 Gesperrt", false, true);
    expect_at_rcpt("553 5.6.7 Non-ASCII address", false, false);
    expect_at_rcpt("452 4.2.2 Mailbox full", false, false);
    expect_at_rcpt("450 4.1.1 unknown as yet: user unknown", false, false);
}

/* A filter's reason names hosts that it found in the message: no word of ours. */
static void test_what_a_filter_says_of_a_message_is_about_the_message(void **state)
{
    static const char *const replies[] = {
        "554 5.7.1 Message rejected: your IP address is blacklisted",
        "550 Client host in the header is listed in a blocklist",
        "550 5.7.1 relay in Received: is an open relay",
        "554 5.6.0 Bad MIME",
        "550 5.7.26 Unauthenticated email is not accepted due to DMARC policy",
    };

    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++)
        for (int speaker = 0; speaker < SPEAKER_COUNT; speaker++)
            assert_int_equal(about(STAGE_MESSAGE, (enum reply_speaker)speaker, replies[i]),
                             REPLY_ABOUT_MAIL);
    assert_int_equal(about(STAGE_MESSAGE, SPEAKER_CLIENT, "503 5.5.1 DATA first"), REPLY_ABOUT_US);
    assert_int_equal(about(STAGE_MESSAGE, SPEAKER_CLIENT, "354 go on"), REPLY_ABOUT_US);
    assert_int_equal(about(STAGE_MESSAGE, SPEAKER_CLIENT, "530 5.7.0 STARTTLS"), REPLY_ABOUT_US);
    assert_int_equal(about(STAGE_MESSAGE, SPEAKER_RELAY, "550 5.7.51 TenantInboundAttribution"),
                     REPLY_ABOUT_US);
}

static void test_only_a_wrong_password_is_about_the_login(void **state)
{
    assert_int_equal(about(STAGE_LOGIN, SPEAKER_RELAY, "235 2.7.0 ok"), REPLY_ABOUT_MAIL);
    assert_int_equal(about(STAGE_LOGIN, SPEAKER_RELAY, "535 5.7.8 no"), REPLY_ABOUT_MAIL);
    assert_int_equal(about(STAGE_LOGIN, SPEAKER_RELAY, "535 no"), REPLY_ABOUT_MAIL);
    assert_int_equal(about(STAGE_LOGIN, SPEAKER_RELAY, "525 5.7.13 disabled"), REPLY_ABOUT_MAIL);
    static const char *const of_us[] = {"250 ok",
                                        "334 ",
                                        "454 4.7.0 later",
                                        "500 what",
                                        "503 no AUTH",
                                        "504 5.5.4 PLAIN",
                                        "530 5.7.0 TLS first",
                                        "534 5.7.9 x",
                                        "538 5.7.11 x",
                                        "550 5.7.1 denied"};
    for (size_t i = 0; i < sizeof of_us / sizeof *of_us; i++)
        assert_int_equal(about(STAGE_LOGIN, SPEAKER_RELAY, of_us[i]), REPLY_ABOUT_US);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_said_of_our_conversation_is_about_us),
        cmocka_unit_test(test_no_refusal_before_mail_is_about_the_mail),
        cmocka_unit_test(test_a_refused_host_is_the_one_that_the_server_sees),
        cmocka_unit_test(test_a_refused_sender_is_ours_in_a_probe),
        cmocka_unit_test(test_unknown_recipients_are_recognised_in_the_words_of_many_servers),
        cmocka_unit_test(test_a_refused_recipient_is_not_an_unknown_one),
        cmocka_unit_test(test_what_a_filter_says_of_a_message_is_about_the_message),
        cmocka_unit_test(test_only_a_wrong_password_is_about_the_login),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
