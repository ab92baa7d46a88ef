/* A hand-over, word by word: what is said to a backend, and what its answers come to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "smtp/client.h"

#define HELLO_ALL                                                                                  \
    "250-mx\r\n250-PIPELINING\r\n250-SIZE\r\n250-8BITMIME\r\n250-DSN\r\n250 SMTPUTF8\r\n"

struct backend_client {
    struct outbound o;
    struct envelope envelope;
    struct job job;
    struct job_recipient recipient[3];
};

static void hear(struct backend_client *t, const char *text)
{
    outbound_input(&t->o, span_of(text));
}

/* What has been said since is exactly this. */
static void said(struct backend_client *t, const char *text)
{
    assert_true(span_equal(buf_span(&t->o.out), span_of(text)));
    buf_free(&t->o.out);
}

static int open_talk(void **state)
{
    struct backend_client *t = calloc(1, sizeof *t);
    envelope_set_sender(&t->envelope, SPAN("a@b.test"), SPAN("RET=HDRS"));
    envelope_add_recipient(&t->envelope, SPAN("x@example.test"), SPAN("NOTIFY=NEVER"));
    envelope_add_recipient(&t->envelope, SPAN("y@example.test"), (struct span){0});
    t->job = (struct job){
        .envelope = &t->envelope, .size = 1234, .recipient = t->recipient, .recipients = 2};
    *state = t;
    return 0;
}

/* The message asks for no extension. */
static void ask_nothing(struct backend_client *t)
{
    envelope_reset(&t->envelope);
    envelope_set_sender(&t->envelope, SPAN("a@b.test"), (struct span){0});
    envelope_add_recipient(&t->envelope, SPAN("x@example.test"), (struct span){0});
    envelope_add_recipient(&t->envelope, SPAN("y@example.test"), (struct span){0});
}

/* Whose message it is, for XCLIENT and XFORWARD. */
static void identify(struct backend_client *t, const char *client, const char *helo)
{
    ask_nothing(t);
    assert_true(addr_parse(span_of(client), &t->job.who.client));
    t->job.who.client.port = 4321;
    t->job.who.helo = span_of(helo);
    t->job.who.esmtp = true;
}

static int close_talk(void **state)
{
    struct backend_client *t = *state;
    for (int i = 0; i < 3; i++)
        kept_free(&t->recipient[i].reply);
    kept_free(&t->job.whole);
    outbound_free(&t->o);
    envelope_free(&t->envelope);
    free(t);
    return 0;
}

static void get_ready(struct backend_client *t, bool lmtp, const char *hello)
{
    outbound_start(&t->o, lmtp, "mired.test", 0);
    hear(t, "220 backend\r\n");
    said(t, lmtp ? "LHLO mired.test\r\n" : "EHLO mired.test\r\n");
    hear(t, hello);
    assert_int_equal(t->o.state, OUTBOUND_IDLE);
}

static void fates(const struct backend_client *t, enum fate first, enum fate second)
{
    assert_int_equal(t->recipient[0].fate, first);
    assert_int_equal(t->recipient[1].fate, second);
}

static void test_a_whole_envelope_goes_out_in_one_burst(void **state)
{
    struct backend_client *t = *state;
    get_ready(t, false, HELLO_ALL);
    assert_int_equal(outbound_begin(&t->o, &t->job), 0);
    said(t, "MAIL FROM:<a@b.test> SIZE=1234 RET=HDRS\r\nRCPT TO:<x@example.test> NOTIFY=NEVER\r\n"
            "RCPT TO:<y@example.test>\r\nDATA\r\n");
    hear(t, "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n");
    assert_int_equal(t->o.state, OUTBOUND_BODY);
    outbound_sent(&t->o);
    hear(t, "250 2.0.0 queued\r\n");
    assert_true(t->o.over);
    assert_int_equal(t->o.state, OUTBOUND_IDLE);
    fates(t, FATE_DONE, FATE_DONE);
    assert_int_equal(t->job.whole.code, 250);
}

static void test_without_pipelining_each_command_waits_for_its_reply(void **state)
{
    struct backend_client *t = *state;
    ask_nothing(t);
    get_ready(t, false, "250 mx\r\n");
    outbound_begin(&t->o, &t->job);
    said(t, "MAIL FROM:<a@b.test>\r\n");
    hear(t, "250 ok\r\n");
    said(t, "RCPT TO:<x@example.test>\r\n");
    hear(t, "250 ok\r\n");
    said(t, "RCPT TO:<y@example.test>\r\n");
    hear(t, "250 ok\r\n");
    said(t, "DATA\r\n");
    hear(t, "354 go\r\n");
    assert_int_equal(t->o.state, OUTBOUND_BODY);
}

static void test_a_backend_without_ehlo_is_spoken_to_by_helo(void **state)
{
    struct backend_client *t = *state;
    outbound_start(&t->o, false, "mired.test", 0);
    hear(t, "220 old\r\n");
    said(t, "EHLO mired.test\r\n");
    hear(t, "502 what?\r\n");
    said(t, "HELO mired.test\r\n");
    hear(t, "250 ok\r\n");
    assert_int_equal(t->o.state, OUTBOUND_IDLE);
    assert_int_equal(t->o.ability.caps, 0);
}

static void test_mixed_answers_end_the_job_before_the_data(void **state)
{
    struct backend_client *t = *state;
    ask_nothing(t);
    get_ready(t, false, "250 mx\r\n");
    outbound_begin(&t->o, &t->job);
    hear(t, "250 ok\r\n250 ok\r\n550 5.1.1 no\r\n");
    assert_true(t->o.over);
    fates(t, FATE_TAKEN, FATE_REFUSED);
    assert_int_equal(t->recipient[1].reply.code, 550);
    assert_false(t->job.sent);
    assert_int_equal(t->o.state, OUTBOUND_RSET);
    hear(t, "250 ok\r\n");
    assert_int_equal(t->o.state, OUTBOUND_IDLE);
}

static void test_a_354_that_is_not_wanted_is_answered_by_hanging_up(void **state)
{
    struct backend_client *t = *state;
    get_ready(t, false, HELLO_ALL);
    outbound_begin(&t->o, &t->job);
    hear(t, "250 ok\r\n250 ok\r\n550 no\r\n354 go\r\n");
    assert_true(t->o.over);
    assert_int_equal(t->o.state, OUTBOUND_DEAD);
    assert_false(t->job.sent);
}

static void test_a_refused_sender_speaks_for_all(void **state)
{
    struct backend_client *t = *state;
    get_ready(t, false, HELLO_ALL);
    outbound_begin(&t->o, &t->job);
    hear(t, "550 5.7.1 not you\r\n503 no\r\n503 no\r\n503 no\r\n");
    assert_true(t->o.over);
    assert_int_equal(t->job.whole.code, 550);
    assert_int_equal(t->o.state, OUTBOUND_RSET);
}

static void test_lmtp_answers_for_each_recipient_that_was_taken(void **state)
{
    struct backend_client *t = *state;
    envelope_add_recipient(&t->envelope, SPAN("z@example.test"), (struct span){0});
    t->job.recipients = 3;
    get_ready(t, true, HELLO_ALL);
    outbound_begin(&t->o, &t->job);
    hear(t, "250 ok\r\n250 ok\r\n450 4.2.1 later\r\n250 ok\r\n354 go\r\n");
    assert_int_equal(t->o.state, OUTBOUND_BODY);
    outbound_sent(&t->o);
    hear(t, "250 ok\r\n");
    assert_false(t->o.over);
    hear(t, "552 5.2.2 full\r\n");
    assert_true(t->o.over);
    fates(t, FATE_DONE, FATE_LATER);
    assert_int_equal(t->recipient[2].fate, FATE_REFUSED);
}

/* y's own reply is the 550. It was taken for nobody's, and y counted as delivered by x's 250. */
static void test_lmtp_replies_behind_a_stray_one_are_for_nobody(void **state)
{
    struct backend_client *t = *state;
    get_ready(t, true, HELLO_ALL);
    outbound_begin(&t->o, &t->job);
    hear(t, "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n");
    outbound_sent(&t->o);
    hear(t, "354 go\r\n250 ok\r\n550 5.2.1 disabled\r\n");
    assert_int_equal(t->o.state, OUTBOUND_DEAD);
    assert_false(t->o.over);
    assert_true(t->job.sent);
    fates(t, FATE_TAKEN, FATE_TAKEN);
}

static void test_who_has_the_message_already_is_left_out(void **state)
{
    struct backend_client *t = *state;
    t->recipient[0].fate = FATE_HAS_IT;
    get_ready(t, false, HELLO_ALL);
    outbound_begin(&t->o, &t->job);
    said(t, "MAIL FROM:<a@b.test> SIZE=1234 RET=HDRS\r\nRCPT TO:<y@example.test>\r\nDATA\r\n");
    hear(t, "250 ok\r\n250 ok\r\n354 go\r\n");
    outbound_sent(&t->o);
    hear(t, "250 ok\r\n");
    fates(t, FATE_HAS_IT, FATE_DONE);
}

static void test_a_421_is_taken_as_the_end_of_the_connection(void **state)
{
    struct backend_client *t = *state;
    get_ready(t, false, HELLO_ALL);
    outbound_begin(&t->o, &t->job);
    hear(t, "250 ok\r\n421 4.3.2 shutting down\r\n");
    assert_int_equal(t->o.state, OUTBOUND_DEAD);
    assert_false(t->o.over);
    assert_false(t->job.sent);
}

static void test_a_421_to_the_data_is_a_451_to_the_client(void **state)
{
    struct backend_client *t = *state;
    get_ready(t, false, HELLO_ALL);
    outbound_begin(&t->o, &t->job);
    hear(t, "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n");
    outbound_sent(&t->o);
    hear(t, "421 4.3.2 shutting down\r\n");
    assert_true(t->o.over);
    assert_int_equal(t->o.state, OUTBOUND_DEAD);
    fates(t, FATE_LATER, FATE_LATER);
    assert_int_equal(t->recipient[0].reply.code, 451);
}

static void test_who_speaks_unasked_is_not_trusted(void **state)
{
    struct backend_client *t = *state;
    get_ready(t, false, HELLO_ALL);
    hear(t, "250 something\r\n");
    assert_int_equal(t->o.state, OUTBOUND_DEAD);
}

static void test_xclient_comes_before_each_message_and_begins_anew(void **state)
{
    struct backend_client *t = *state;

    identify(t, "2001:db8::7", "far.example.net");
    outbound_start(&t->o, false, "mired.test", CAP_XCLIENT | CAP_XFORWARD);
    hear(t, "220 mx\r\n");
    said(t, "EHLO mired.test\r\n");
    hear(t, "250-mx\r\n250-PIPELINING\r\n250-XFORWARD NAME ADDR\r\n"
            "250 XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR\r\n");
    assert_int_equal(outbound_begin(&t->o, &t->job), 0);
    said(t, "XCLIENT NAME=[TEMPUNAVAIL] ADDR=IPV6:2001:db8::7 PORT=4321 PROTO=ESMTP "
            "HELO=far.example.net LOGIN=[UNAVAILABLE]\r\n");
    hear(t, "220 mx\r\n");
    said(t, "EHLO far.example.net\r\n");
    hear(t, "250-mx\r\n250-PIPELINING\r\n250 XCLIENT ADDR\r\n");
    said(t, "MAIL FROM:<a@b.test>\r\nRCPT TO:<x@example.test>\r\nRCPT TO:<y@example.test>\r\n"
            "DATA\r\n");
}

/* In mired's own name it would pass by the backend's rules for the client, and a login
 * would be that of a host which may send as anybody. */
static void test_no_mail_goes_in_our_name_where_the_backend_refuses_the_client(void **state)
{
    static const char *const refusals[] = {
        "550 5.7.0 not from you\r\n",
        "554 5.7.1 <far.example.net[192.0.2.7]>: Client host rejected: Access denied\r\n",
        "521 5.3.2 no\r\n",
        "501 5.5.4 Error: attribute value too long\r\n",
        "502 5.5.1 what?\r\n",
        "450 4.7.1 later\r\n",
        "421 4.7.0 too many\r\n",
        "354 go on\r\n",
        "250 2.0.0 as you like\r\n",
    };
    char user[401];

    for (int n = 0; n < 200; n++)
        memcpy(user + n * 2, "\xc3\xa9", 2);
    user[400] = '\0';
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        for (int login = 0; login < 2; login++) {
            void *fresh;
            open_talk(&fresh);
            struct backend_client *t = fresh;
            identify(t, "192.0.2.7", "far.example.net");
            if (login)
                t->job.who.user = span_of(user);
            outbound_start(&t->o, false, "mired.test", CAP_XCLIENT);
            hear(t, "220 mx\r\n250-mx\r\n250-PIPELINING\r\n250 XCLIENT ADDR HELO LOGIN\r\n");
            buf_free(&t->o.out);
            assert_int_equal(outbound_begin(&t->o, &t->job), 0);
            for (int tries = 0; tries < 3 && t->o.state == OUTBOUND_XCLIENT; tries++)
                hear(t, refusals[i]);
            if (t->o.state != OUTBOUND_DEAD || t->o.over || t->job.sent ||
                memmem(t->o.out.at, t->o.out.len, "MAIL", 4) || t->o.complained_of != STAGE_XCLIENT)
                fail_msg("%s, %d", refusals[i], login);
            assert_int_equal(t->o.complaint.code, strtoul(refusals[i], NULL, 10));
            close_talk(&fresh);
        }
}

/* A client must not come in as mired by a name that the backend does not take. */
static void test_a_client_whose_names_are_refused_is_named_by_its_address(void **state)
{
    static const char bare[] =
        "XCLIENT NAME=[TEMPUNAVAIL] ADDR=192.0.2.7 HELO=[UNAVAILABLE] LOGIN=alice\r\n";
    struct backend_client *t = *state;

    identify(t, "192.0.2.7", "far.example.net");
    t->job.who.user = SPAN("alice");
    outbound_start(&t->o, false, "mired.test", CAP_XCLIENT);
    hear(t, "220 mx\r\n250-mx\r\n250 XCLIENT NAME ADDR HELO LOGIN\r\n");
    said(t, "EHLO mired.test\r\n");
    assert_int_equal(outbound_begin(&t->o, &t->job), 0);
    said(t, "XCLIENT NAME=[TEMPUNAVAIL] ADDR=192.0.2.7 HELO=far.example.net LOGIN=alice\r\n");
    hear(t, "501 5.5.4 Error: attribute value too long\r\n");
    said(t, bare);
    hear(t, "220 mx\r\n");
    said(t, "EHLO far.example.net\r\n");
    assert_true(t->o.as_client);
}

/* Introduces a first client, whose message then goes out; `hello` is what the backend offers it. */
static void first_client(struct backend_client *t, const char *hello)
{
    identify(t, "192.0.2.7", "far.example.net");
    outbound_start(&t->o, false, "mired.test", CAP_XCLIENT);
    hear(t, "220 mx\r\n250-mx\r\n250-PIPELINING\r\n250 XCLIENT ADDR\r\n");
    assert_false(outbound_is_spent(&t->o));
    assert_int_equal(outbound_begin(&t->o, &t->job), 0);
    hear(t, "220 mx\r\n");
    hear(t, hello);
    hear(t, "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n");
    outbound_sent(&t->o);
    hear(t, "250 taken\r\n");
    assert_true(t->o.over);
    assert_int_equal(t->o.state, OUTBOUND_IDLE);
    t->o.over = false;
}

static void test_a_backend_that_takes_xclient_once_gets_one_client_a_connection(void **state)
{
    first_client(*state, "250-mx\r\n250 PIPELINING\r\n");
    assert_true(outbound_is_spent(&((struct backend_client *)*state)->o));
}

static void test_a_message_never_goes_out_as_that_of_the_client_before(void **state)
{
    struct backend_client *t = *state;

    first_client(t, "250-mx\r\n250-PIPELINING\r\n250 XCLIENT ADDR\r\n");
    assert_false(outbound_is_spent(&t->o));
    assert_int_equal(outbound_begin(&t->o, &t->job), 0);
    hear(t, "550 5.7.0 not from you\r\n");
    assert_int_equal(t->o.state, OUTBOUND_DEAD);
}

static void test_xforward_tells_only_what_is_taken_and_nothing_can_be_added_to_it(void **state)
{
    struct backend_client *t = *state;

    identify(t, "192.0.2.7", "a b=c+d SOURCE=LOCAL");
    outbound_start(&t->o, false, "mired.test", CAP_XFORWARD);
    hear(t, "220 mx\r\n250-mx\r\n250-XCLIENT ADDR\r\n250 XFORWARD ADDR HELO SOURCE\r\n");
    said(t, "EHLO mired.test\r\n");
    assert_int_equal(outbound_begin(&t->o, &t->job), 0);
    said(t, "XFORWARD ADDR=192.0.2.7 HELO=a+20b+3Dc+2Bd+20SOURCE+3DLOCAL SOURCE=REMOTE\r\n");
    hear(t, "250 Ok\r\n");
    said(t, "MAIL FROM:<a@b.test>\r\n");
}

/* The conversation so far, up to where these words are the reply to `stage`. */
static void hear_at(struct backend_client *t, enum reply_stage stage, const char *words)
{
    char line[400];

    ask_nothing(t);
    get_ready(t, false, "250-mx\r\n250 SIZE\r\n"); /* without PIPELINING */
    assert_int_equal(outbound_begin(&t->o, &t->job), 0);
    if (stage > STAGE_MAIL)
        hear(t, "250 ok\r\n");
    if (stage > STAGE_RCPT)
        hear(t, "250 ok\r\n250 ok\r\n");
    if (stage > STAGE_DATA) {
        hear(t, "354 go\r\n");
        outbound_sent(&t->o);
    }
    snprintf(line, sizeof line, "%s\r\n", words);
    hear(t, line);
}

/* field notes 5: R24 */
static void test_what_a_backend_says_of_us_is_no_verdict_on_the_mail(void **state)
{
    static const struct {
        enum reply_stage stage;
        const char *words;
    } table[] = {
        {STAGE_MAIL, "530 5.7.0 Must issue a STARTTLS command first"},
        {STAGE_MAIL, "530 Authentication required"},
        {STAGE_MAIL, "503 5.5.1 Error: send HELO/EHLO first"},
        {STAGE_MAIL, "500 what?"},
        {STAGE_MAIL, "501 5.5.4 Syntax"},
        {STAGE_MAIL, "502 5.5.2 Error"},
        {STAGE_MAIL, "555 5.5.4 Unsupported option: SIZE"},
        {STAGE_MAIL, "334 go on"},
        {STAGE_RCPT, "503 5.5.1 Error: need MAIL command"},
        {STAGE_RCPT, "530 5.7.1 Client was not authenticated"},
        {STAGE_RCPT, "538 5.7.11 Encryption required"},
        {STAGE_RCPT, "535 5.7.8 no"},
        {STAGE_RCPT, "504 5.5.2 <x>: Helo command rejected"},
        {STAGE_DATA, "503 5.5.1 Error: need RCPT command"},
        {STAGE_DATA, "500 5.5.1 Command unrecognized"},
        {STAGE_DATA, "250 ok"},
        {STAGE_MESSAGE, "500 5.5.2 Error: bad syntax"},
        {STAGE_MESSAGE, "554 5.5.1 Error"},
        {STAGE_MESSAGE, "354 go on"}, /* field notes 34 */
        {STAGE_MESSAGE, "421 4.3.2 bye"},
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        void *fresh;
        open_talk(&fresh);
        struct backend_client *t = fresh;
        hear_at(t, table[i].stage, table[i].words);
        bool again = t->o.state == OUTBOUND_DEAD && !t->o.over; /* elsewhere, or 451 */
        bool later = t->recipient[0].fate == FATE_LATER && t->recipient[0].reply.code == 451 &&
                     t->recipient[0].reply.offence == OFFENCE_NONE;
        if (!(again || later) || t->job.whole.code >= 500 || t->o.complaint.code == 0 ||
            t->o.complained_of != table[i].stage)
            fail_msg("%s", table[i].words);
        close_talk(&fresh);
    }
}

/* field notes 5, 34: what is about the mail is passed on, an offence only where the client is to
 * blame, and always with an enhanced code. */
static void test_what_a_backend_says_of_the_mail_is_passed_on(void **state)
{
    static const struct {
        enum reply_stage stage;
        const char *words;
        unsigned code;
        uint8_t enhanced[3];
        bool offence;
    } table[] = {
        {STAGE_MAIL, "550 5.7.1 sender refused", 550, {5, 7, 1}, true},
        {STAGE_MAIL, "452 4.3.1 Insufficient system storage", 452, {4, 3, 1}, false},
        {STAGE_MAIL, "552 5.3.4 Message size exceeds limit", 552, {5, 3, 4}, false},
        {STAGE_MAIL, "451 later", 451, {4, 0, 0}, false},
        {STAGE_RCPT, "550 5.1.1 no such user", 550, {5, 1, 1}, true},
        {STAGE_RCPT, "550 User unknown", 550, {5, 0, 0}, true},
        {STAGE_RCPT, "552 5.2.2 full", 552, {5, 2, 2}, false},
        {STAGE_RCPT, "450 4.2.0 greylisted", 450, {4, 2, 0}, false},
        {STAGE_MESSAGE, "554 5.7.1 virus found", 554, {5, 7, 1}, true},
        {STAGE_MESSAGE, "550 spam", 550, {5, 0, 0}, true},
        {STAGE_MESSAGE, "552 too large", 552, {5, 0, 0}, false},
        {STAGE_MESSAGE, "451 4.3.0 queue", 451, {4, 3, 0}, false},
        {STAGE_MESSAGE, "250 queued", 250, {2, 0, 0}, false},
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        void *fresh;
        open_talk(&fresh);
        struct backend_client *t = fresh;
        hear_at(t, table[i].stage, table[i].words);
        struct reply r =
            kept_get(table[i].stage == STAGE_RCPT ? &t->recipient[0].reply : &t->job.whole);
        if (r.code != table[i].code || memcmp(r.enhanced, table[i].enhanced, 3) != 0 ||
            (r.offence == OFFENCE_BACKEND) != table[i].offence || t->o.complaint.code)
            fail_msg("%s", table[i].words);
        close_talk(&fresh);
    }
}

/* field notes 5: each ends the connection, and the log is told why. */
static void test_refusals_of_the_conversation_are_kept_for_the_log(void **state)
{
    static const struct {
        const char *words;
        enum reply_stage stage;
        bool lmtp;
    } table[] = {
        {"554 5.7.1 Client host [127.0.0.1] blocked\r\n", STAGE_GREETING, false},
        {"421 4.7.0 too many connections\r\n", STAGE_GREETING, false},
        {"450 not now\r\n", STAGE_GREETING, true},
        {"220 mx\r\n500 what\r\n550 5.7.1 HELO rejected\r\n", STAGE_HELLO, false},
        {"220 mx\r\n450 4.3.2 later\r\n", STAGE_HELLO, false},
        {"220 mx\r\n502 no LHLO\r\n", STAGE_HELLO, true},
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        void *fresh;
        open_talk(&fresh);
        struct backend_client *t = fresh;
        outbound_start(&t->o, table[i].lmtp, "mired.test", 0);
        hear(t, table[i].words);
        if (t->o.state != OUTBOUND_DEAD || !t->o.complaint.code ||
            t->o.complained_of != table[i].stage)
            fail_msg("%s", table[i].words);
        close_talk(&fresh);
    }
}

/* field notes 5: Postfix with smtpd_delay_reject = no defers a client at XCLIENT, starts the
 * session again, and would say 503 to MAIL. */
static void test_a_client_that_is_put_off_at_xclient_hears_no_503(void **state)
{
    struct backend_client *t = *state;

    identify(t, "192.0.2.7", "far.example.net");
    outbound_start(&t->o, false, "mired.test", CAP_XCLIENT);
    hear(t, "220 mx\r\n250-mx\r\n250 XCLIENT ADDR\r\n");
    assert_int_equal(outbound_begin(&t->o, &t->job), 0);
    hear(t, "450 4.7.1 Client host rejected: cannot find your hostname\r\n");
    assert_int_equal(t->o.state, OUTBOUND_DEAD);
    assert_int_equal(t->o.complaint.code, 450);
}

/* field notes 5: 504 to the EHLO behind XCLIENT. */
static void test_an_ehlo_that_is_refused_behind_xclient_is_told_to_the_log(void **state)
{
    struct backend_client *t = *state;

    identify(t, "192.0.2.7", "far");
    outbound_start(&t->o, false, "mired.test", CAP_XCLIENT);
    hear(t, "220 mx\r\n250-mx\r\n250 XCLIENT ADDR\r\n");
    assert_int_equal(outbound_begin(&t->o, &t->job), 0);
    hear(t, "220 mx\r\n504 5.5.2 <far>: Helo command rejected\r\n");
    assert_int_equal(t->o.state, OUTBOUND_DEAD);
    assert_int_equal(t->o.complaint.code, 504);
    assert_int_equal(t->o.complained_of, STAGE_HELLO);
}

/* field notes 6, 33: a parameter is never left out (RFC 6531 3.2, RFC 6152 3, RFC 3461 5.2). */
static void test_a_backend_without_what_the_message_needs_is_not_sent_it(void **state)
{
    static const struct {
        const char *offered;
        bool utf8, eightbit, dsn, lacking;
    } table[] = {
        {"250 mx\r\n", false, false, false, false},
        {"250 mx\r\n", true, false, false, true},
        {"250 mx\r\n", false, true, false, true},
        {"250 mx\r\n", false, false, true, true},
        {"250-mx\r\n250-8BITMIME\r\n250 DSN\r\n", true, true, true, true},
        {"250-mx\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n", true, true, true, true},
        {"250-mx\r\n250-DSN\r\n250 SMTPUTF8\r\n", true, true, true, true},
        {"250-mx\r\n250-DSN\r\n250 SMTPUTF8\r\n", true, false, true, false},
        {"250-mx\r\n250-8bitmime\r\n250-dsn\r\n250 smtputf8\r\n", true, true, true, false},
        {"250-mx\r\n250 X8BITMIME\r\n", false, true, false, true},
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        for (int pipelining = 0; pipelining < 2; pipelining++) {
            char hello[200];
            void *fresh;
            open_talk(&fresh);
            struct backend_client *t = fresh;
            if (!table[i].dsn)
                ask_nothing(t);
            t->job.utf8 = table[i].utf8;
            t->job.eightbit = table[i].eightbit;
            snprintf(hello, sizeof hello, "%s%s", pipelining ? "250-PIPELINING\r\n" : "",
                     table[i].offered);
            get_ready(t, false, hello);
            assert_int_equal(outbound_begin(&t->o, &t->job), 0);
            if (t->job.lacking != table[i].lacking || t->o.over != table[i].lacking ||
                (t->o.out.len == 0) != table[i].lacking)
                fail_msg("row %zu", i);
            assert_int_equal(t->o.state, table[i].lacking ? OUTBOUND_IDLE : OUTBOUND_MAIL);
            close_talk(&fresh);
        }
}

/* field notes 6: after XCLIENT the session starts again, and the backend may offer that client
 * less. */
static void test_what_is_offered_behind_xclient_counts(void **state)
{
    struct backend_client *t = *state;

    identify(t, "192.0.2.7", "far.example.net");
    t->job.utf8 = true;
    outbound_start(&t->o, false, "mired.test", CAP_XCLIENT);
    hear(t, "220 mx\r\n250-mx\r\n250-SMTPUTF8\r\n250 XCLIENT ADDR\r\n");
    assert_int_equal(outbound_begin(&t->o, &t->job), 0);
    hear(t, "220 mx\r\n250 mx\r\n");
    assert_true(t->job.lacking);
    assert_true(t->o.over);
}

/* A store that may have the message learns it; one that would not understand is not asked. */
static void test_a_message_that_comes_again_says_so(void **state)
{
    struct backend_client *t = *state;

    ask_nothing(t);
    t->job.again = true;
    get_ready(t, true, "250-mx\r\n250-PIPELINING\r\n250 XAGAIN\r\n");
    assert_int_equal(outbound_begin(&t->o, &t->job), 0);
    said(t, "MAIL FROM:<a@b.test> XAGAIN\r\nRCPT TO:<x@example.test>\r\n"
            "RCPT TO:<y@example.test>\r\nDATA\r\n");
    outbound_free(&t->o);
    get_ready(t, true, HELLO_ALL);
    assert_int_equal(outbound_begin(&t->o, &t->job), 0);
    assert_true(t->job.lacking);
    said(t, "");
}

/* field notes 7: 552 amid a body of 30 MB. */
static void test_a_refusal_amid_the_message_is_the_answer_to_it(void **state)
{
    static const struct {
        const char *words;
        unsigned code; /* 0: it is tried elsewhere */
    } table[] = {
        {"552 5.3.4 Message too large\r\n", 552},
        {"552 too much\r\n", 552},
        {"452 4.3.1 disk full\r\n", 452},
        {"554 5.7.1 virus found\r\n", 554},
        {"421 4.3.2 bye\r\n", 0},
        {"250 2.0.0 queued\r\n", 0},
        {"354 more\r\n", 0},
        {"500 5.5.2 line too long\r\n", 0},
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        void *fresh;
        open_talk(&fresh);
        struct backend_client *t = fresh;
        get_ready(t, false, HELLO_ALL);
        outbound_begin(&t->o, &t->job);
        hear(t, "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n");
        hear(t, table[i].words);
        assert_int_equal(t->o.state, OUTBOUND_DEAD);
        assert_false(t->job.sent);
        if (t->o.over != (table[i].code != 0) || t->recipient[0].reply.code != table[i].code ||
            t->recipient[1].reply.code != table[i].code || t->job.whole.code)
            fail_msg("%s", table[i].words);
        close_talk(&fresh);
    }
}

/* Alice was accepted and bob deferred: a refusal of the data is no word about bob. */
static void test_a_refusal_of_the_data_is_for_those_whose_rcpt_was_accepted(void **state)
{
    static const char *const behind[] = {
        "554 5.7.1 not for alice\r\n",       /* DATA */
        "354 go\r\n552 5.3.4 too large\r\n", /* amid the message */
        "!554 5.7.1 virus found\r\n",        /* after it */
    };

    for (size_t i = 0; i < sizeof behind / sizeof *behind; i++)
        for (int lmtp = 0; lmtp < 2; lmtp++) {
            void *fresh;
            open_talk(&fresh);
            struct backend_client *t = fresh;
            const char *dot = strchr(behind[i], '!');
            get_ready(t, lmtp, HELLO_ALL);
            outbound_begin(&t->o, &t->job);
            hear(t, "250 ok\r\n250 ok\r\n450 4.2.0 later\r\n");
            if (dot) {
                hear(t, "354 go\r\n");
                outbound_sent(&t->o);
            }
            hear(t, dot ? dot + 1 : behind[i]);
            assert_true(t->o.over);
            fates(t, FATE_REFUSED, FATE_LATER);
            assert_true(t->recipient[0].reply.code >= 552);
            assert_int_equal(t->recipient[1].reply.code, 450);
            assert_true(dot || t->job.whole.code == 0);
            close_talk(&fresh);
        }
}

/* field notes 7: the message has been taken, whatever else is said. */
static void test_a_long_reply_to_the_message_counts(void **state)
{
    struct backend_client *t = *state;
    char words[5000];

    get_ready(t, false, HELLO_ALL);
    outbound_begin(&t->o, &t->job);
    hear(t, "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n");
    outbound_sent(&t->o);
    memset(words, 'x', sizeof words);
    memcpy(words, "250 2.0.0 ", 10);
    memcpy(words + sizeof words - 3, "\r\n", 3);
    hear(t, words);
    fates(t, FATE_DONE, FATE_DONE);
}

/* One message to two recipients that the backend refuses, with DATA: three refusals. */
static void be_refused(struct backend_client *t)
{
    memset(t->recipient, 0, sizeof t->recipient);
    outbound_begin(&t->o, &t->job);
    hear(
        t,
        "250 ok\r\n450 4.2.0 later\r\n550 5.1.1 no\r\n554 5.5.1 no valid recipients\r\n250 ok\r\n");
    assert_true(t->o.over);
    assert_int_equal(t->o.state, OUTBOUND_IDLE);
    t->o.over = false;
    for (int i = 0; i < 2; i++)
        kept_free(&t->recipient[i].reply);
}

static void be_taken(struct backend_client *t, const char *replies)
{
    memset(t->recipient, 0, sizeof t->recipient);
    t->job.whole = (struct kept_reply){0};
    outbound_begin(&t->o, &t->job);
    hear(t, "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n");
    outbound_sent(&t->o);
    hear(t, replies);
    assert_true(t->o.over);
    assert_int_equal(t->o.state, OUTBOUND_IDLE);
    t->o.over = false;
    for (int i = 0; i < 2; i++)
        kept_free(&t->recipient[i].reply);
    kept_free(&t->job.whole);
}

/* Postfix waits before each reply from the 10th error on, until it takes a message. */
static void test_a_connection_with_many_refusals_gets_no_other_message(void **state)
{
    struct backend_client *t = *state;
    ask_nothing(t);
    get_ready(t, false, HELLO_ALL);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 2; i++)
            be_refused(t);
        assert_int_equal(t->o.refusals, 6);
        assert_false(outbound_is_spent(&t->o));
        be_taken(t, "250 2.0.0 queued\r\n"); /* the backend counts from here */
        assert_int_equal(t->o.refusals, 0);
    }
    for (int i = 0; i < 3; i++)
        be_refused(t);
    assert_true(outbound_is_spent(&t->o));
}

static void test_a_message_refused_for_its_content_counts_too(void **state)
{
    struct backend_client *t = *state;
    ask_nothing(t);
    get_ready(t, false, HELLO_ALL);
    for (int i = 0; i < OUTBOUND_REFUSALS_MOST; i++) {
        assert_false(outbound_is_spent(&t->o));
        be_taken(t, i % 2 ? "550 5.7.1 spam\r\n" : "451 4.7.1 later\r\n");
    }
    assert_true(outbound_is_spent(&t->o));
}

static void test_lmtp_refusals_close_no_connection(void **state)
{
    struct backend_client *t = *state;
    ask_nothing(t);
    get_ready(t, true, HELLO_ALL);
    for (int i = 0; i < 2 * OUTBOUND_REFUSALS_MOST; i++)
        be_taken(t, "250 2.0.0 ok\r\n452 4.2.2 full\r\n");
    assert_false(outbound_is_spent(&t->o));
}

static void test_a_backends_size_is_learnt(void **state)
{
    static const struct {
        const char *hello;
        uint64_t size_max;
    } table[] = {{"mx\nSIZE 10240000", 10240000},
                 {"mx\nSIZE", 0},
                 {"mx\nSIZE 0", 0},
                 {"mx\nsize  77 ", 77},
                 {"mx\nSIZE many", 0},
                 {"mx\nSIZES 5", 0},
                 {"mx\nSIZE -1", 0},
                 {"mx\n8BITMIME\nSIZE 9", 9}};

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct ability a = {.size_max = 1};
        ability_learn(&a, span_of(table[i].hello));
        if (a.size_max != table[i].size_max)
            fail_msg("row %zu", i);
    }
}

#define IN_TALK(test) cmocka_unit_test_setup_teardown(test, open_talk, close_talk)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_TALK(test_a_whole_envelope_goes_out_in_one_burst),
        IN_TALK(test_without_pipelining_each_command_waits_for_its_reply),
        IN_TALK(test_a_backend_without_ehlo_is_spoken_to_by_helo),
        IN_TALK(test_mixed_answers_end_the_job_before_the_data),
        IN_TALK(test_a_354_that_is_not_wanted_is_answered_by_hanging_up),
        IN_TALK(test_a_refused_sender_speaks_for_all),
        IN_TALK(test_lmtp_answers_for_each_recipient_that_was_taken),
        IN_TALK(test_lmtp_replies_behind_a_stray_one_are_for_nobody),
        IN_TALK(test_who_has_the_message_already_is_left_out),
        IN_TALK(test_a_421_is_taken_as_the_end_of_the_connection),
        IN_TALK(test_a_421_to_the_data_is_a_451_to_the_client),
        IN_TALK(test_who_speaks_unasked_is_not_trusted),
        IN_TALK(test_xclient_comes_before_each_message_and_begins_anew),
        IN_TALK(test_no_mail_goes_in_our_name_where_the_backend_refuses_the_client),
        IN_TALK(test_a_client_whose_names_are_refused_is_named_by_its_address),
        IN_TALK(test_a_backend_that_takes_xclient_once_gets_one_client_a_connection),
        IN_TALK(test_a_message_never_goes_out_as_that_of_the_client_before),
        IN_TALK(test_xforward_tells_only_what_is_taken_and_nothing_can_be_added_to_it),
        IN_TALK(test_what_a_backend_says_of_us_is_no_verdict_on_the_mail),
        IN_TALK(test_what_a_backend_says_of_the_mail_is_passed_on),
        IN_TALK(test_refusals_of_the_conversation_are_kept_for_the_log),
        IN_TALK(test_a_client_that_is_put_off_at_xclient_hears_no_503),
        IN_TALK(test_an_ehlo_that_is_refused_behind_xclient_is_told_to_the_log),
        IN_TALK(test_a_backend_without_what_the_message_needs_is_not_sent_it),
        IN_TALK(test_what_is_offered_behind_xclient_counts),
        IN_TALK(test_a_message_that_comes_again_says_so),
        IN_TALK(test_a_refusal_amid_the_message_is_the_answer_to_it),
        IN_TALK(test_a_refusal_of_the_data_is_for_those_whose_rcpt_was_accepted),
        IN_TALK(test_a_long_reply_to_the_message_counts),
        IN_TALK(test_a_connection_with_many_refusals_gets_no_other_message),
        IN_TALK(test_a_message_refused_for_its_content_counts_too),
        IN_TALK(test_lmtp_refusals_close_no_connection),
        IN_TALK(test_a_backends_size_is_learnt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
