/* How a session with a backend begins: EHLO, STARTTLS, and the client's name. Mail goes in clear only
 * where that is allowed, and nothing that came in clear counts under TLS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smtp/client.h"

struct talk {
    struct outbound o;
    struct envelope envelope;
    struct job_recipient recipient[1];
    struct job job;
};

static int open_talk(void **state)
{
    struct talk *t = calloc(1, sizeof *t);
    envelope_set_sender(&t->envelope, SPAN("a@b.test"), (struct span){0});
    envelope_add_recipient(&t->envelope, SPAN("x@example.test"), (struct span){0});
    t->job = (struct job){.envelope = &t->envelope, .recipient = t->recipient, .recipients = 1};
    assert_true(addr_parse(SPAN("192.0.2.7"), &t->job.who.client));
    outbound_start(&t->o, false, "mired.test", 0);
    *state = t;
    return 0;
}

static int close_talk(void **state)
{
    struct talk *t = *state;
    kept_free(&t->recipient[0].reply);
    kept_free(&t->job.whole);
    outbound_free(&t->o);
    envelope_free(&t->envelope);
    free(t);
    return 0;
}

static void hear(struct talk *t, const char *text)
{
    outbound_input(&t->o, span_of(text));
}

/* What has been said since is exactly this. */
static void said(struct talk *t, const char *text)
{
    assert_int_equal(t->o.out.len, strlen(text));
    assert_memory_equal(t->o.out.at ? t->o.out.at : "", text, strlen(text));
    buf_free(&t->o.out);
}

static void hear_hello(struct talk *t, enum outbound_tls tls, const char *hello)
{
    t->o.tls = (uint8_t)tls;
    hear(t, "220 mx\r\n");
    said(t, "EHLO mired.test\r\n");
    hear(t, hello);
}

static void test_under_tls_only_what_is_offered_there_counts(void **state)
{
    struct talk *t = *state;

    hear_hello(t, OUTBOUND_TLS_NEEDED, "250-mx\r\n250-PIPELINING\r\n250-DSN\r\n250 STARTTLS\r\n");
    said(t, "STARTTLS\r\n");
    hear(t, "220 2.0.0 go\r\n");
    assert_int_equal(t->o.state, OUTBOUND_SHAKE);
    assert_false(t->o.served);
    said(t, "");
    outbound_secured(&t->o);
    said(t, "EHLO mired.test\r\n");
    assert_int_equal(t->o.state, OUTBOUND_HELLO);
    hear(t, "250-mx\r\n250-STARTTLS\r\n250 8BITMIME\r\n"); /* a second STARTTLS is not wanted */
    assert_int_equal(t->o.state, OUTBOUND_IDLE);
    assert_int_equal(t->o.ability.caps, CAP_STARTTLS | CAP_8BITMIME);
    assert_true(t->o.served);
    said(t, "");
}

/* Somebody between us and the backend could send them: they must not be read under TLS. */
static void test_octets_in_clear_behind_starttls_end_the_connection(void **state)
{
    static const char *const behind[] = {"250-mx\r\n250 PIPELINING\r\n", "2", "\r\n", " "};

    for (size_t i = 0; i < sizeof behind / sizeof *behind; i++)
        for (int together = 0; together < 2; together++) {
            char text[100] = "220 go\r\n";
            void *fresh;
            open_talk(&fresh);
            struct talk *t = fresh;
            hear_hello(t, OUTBOUND_TLS_OFFERED, "250-mx\r\n250 STARTTLS\r\n");
            if (together) {
                strcat(text, behind[i]);
                hear(t, text);
            } else {
                hear(t, text);
                assert_int_equal(t->o.state, OUTBOUND_SHAKE);
                hear(t, behind[i]);
            }
            if (t->o.state != OUTBOUND_DEAD)
                fail_msg("%s", behind[i]);
            close_talk(&fresh);
        }
}

static void test_without_tls_mail_goes_only_where_that_is_allowed(void **state)
{
    static const struct {
        const char *words; /* the reply to EHLO, and perhaps to STARTTLS */
        bool asked;        /* STARTTLS was said */
        unsigned complaint;
    } table[] = {
        {"250 mx\r\n", false, 0},
        {"250-mx\r\n250 XSTARTTLS\r\n", false, 0},
        {"250-mx\r\n250 STARTTLS\r\n454 4.7.0 not now\r\n", true, 454},
        {"250-mx\r\n250 STARTTLS\r\n502 5.5.1 what?\r\n", true, 502},
        {"250-mx\r\n250 STARTTLS\r\n250 2.0.0 as you like\r\n", true, 250},
        {"250-mx\r\n250 STARTTLS\r\n354 go\r\n", true, 354},
        {"502 what?\r\n250 mx\r\n", false, 0}, /* knows only HELO */
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        for (int tls = OUTBOUND_TLS_OFFERED; tls <= OUTBOUND_TLS_NEEDED; tls++) {
            void *fresh;
            open_talk(&fresh);
            struct talk *t = fresh;
            hear_hello(t, (enum outbound_tls)tls, table[i].words);
            bool needed = tls == OUTBOUND_TLS_NEEDED;
            bool asked = t->o.out.len && memcmp(t->o.out.at, "STARTTLS\r\n", 10) == 0;
            if (t->o.state != (needed ? OUTBOUND_DEAD : OUTBOUND_IDLE) || t->o.served == needed ||
                asked != table[i].asked || t->o.secure || t->o.complaint.code != table[i].complaint)
                fail_msg("row %zu, %d: %s", i, tls,
                         outbound_state_name((enum outbound_state)t->o.state));
            if (table[i].complaint)
                assert_int_equal(t->o.complained_of, STAGE_TLS);
            close_talk(&fresh);
        }
}

static void test_a_backend_that_ends_at_starttls_is_not_used_in_clear(void **state)
{
    struct talk *t = *state;

    hear_hello(t, OUTBOUND_TLS_OFFERED, "250-mx\r\n250 STARTTLS\r\n421 4.3.0 bye\r\n");
    assert_int_equal(t->o.state, OUTBOUND_DEAD);
    assert_int_equal(t->o.complaint.code, 421);
    assert_int_equal(t->o.complained_of, STAGE_TLS);
}

/* Under TLS the backend is still spoken to by HELO if it knows no EHLO, and nothing that it offered in
 * clear counts. */
static void test_helo_under_tls_forgets_what_was_offered_in_clear(void **state)
{
    struct talk *t = *state;

    hear_hello(t, OUTBOUND_TLS_NEEDED, "250-mx\r\n250-PIPELINING\r\n250 STARTTLS\r\n220 go\r\n");
    buf_free(&t->o.out);
    outbound_secured(&t->o);
    said(t, "EHLO mired.test\r\n");
    hear(t, "500 what?\r\n");
    said(t, "HELO mired.test\r\n");
    hear(t, "250 mx\r\n");
    assert_int_equal(t->o.state, OUTBOUND_IDLE);
    assert_int_equal(t->o.ability.caps, 0);
}

/* Behind a PROXY header the backend takes us for the client, so it hears the client's own name; a
 * name that it refuses must not keep the client's mail out. */
static void test_a_name_of_the_client_that_is_refused_is_replaced_by_ours(void **state)
{
    struct talk *t = *state;

    t->o.client_hello = "far.example.net";
    hear(t, "220 mx\r\n");
    said(t, "EHLO far.example.net\r\n");
    hear(t, "501 5.5.2 no such host\r\n");
    said(t, "EHLO mired.test\r\n");
    assert_int_equal(t->o.state, OUTBOUND_HELLO);
    hear(t, "502 what?\r\n");
    said(t, "HELO mired.test\r\n");
    hear(t, "250 mx\r\n");
    assert_int_equal(t->o.state, OUTBOUND_IDLE);
    assert_int_equal(t->o.complaint.code, 0);
}

static void test_a_client_that_is_put_off_at_ehlo_is_not_sent_as_ours(void **state)
{
    struct talk *t = *state;

    t->o.client_hello = "far.example.net";
    hear(t, "220 mx\r\n");
    hear(t, "450 4.7.1 later\r\n");
    assert_int_equal(t->o.state, OUTBOUND_DEAD);
    said(t, "EHLO far.example.net\r\n");
    assert_int_equal(t->o.complaint.code, 450);
    assert_int_equal(t->o.complained_of, STAGE_HELLO);
}

/* A host name is at most 255 octets (RFC 5321 4.5.3.1.2), and a line of EHLO is never cut in its
 * end. */
static void test_a_long_name_is_cut_and_the_line_stays_whole(void **state)
{
    struct talk *t = *state;
    char name[400], expected[300];

    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    t->o.hostname = name;
    hear(t, "220 mx\r\n");
    (void)snprintf(expected, sizeof expected, "EHLO %.255s\r\n", name);
    said(t, expected);
    hear(t, "500 what?\r\n");
    (void)snprintf(expected, sizeof expected, "HELO %.255s\r\n", name);
    said(t, expected);
}

/* XFORWARD only tells the backend what to log. */
static void test_mail_goes_to_a_backend_that_refuses_xforward(void **state)
{
    static const char *const words[] = {"550 5.7.0 insufficient authorization\r\n",
                                        "450 4.7.0 later\r\n", "354 what?\r\n"};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        void *fresh;
        open_talk(&fresh);
        struct talk *t = fresh;
        t->o.xclient_caps = CAP_XFORWARD;
        hear_hello(t, OUTBOUND_TLS_NONE, "250-mx\r\n250 XFORWARD ADDR\r\n");
        assert_int_equal(outbound_begin(&t->o, &t->job), 0);
        said(t, "XFORWARD ADDR=192.0.2.7\r\n");
        hear(t, words[i]);
        said(t, "MAIL FROM:<a@b.test>\r\n");
        assert_int_equal(t->o.complaint.code, strtoul(words[i], NULL, 10));
        assert_int_equal(t->o.complained_of, STAGE_XCLIENT);
        hear(t, "250 ok\r\n");
        said(t, "RCPT TO:<x@example.test>\r\n");
        close_talk(&fresh);
    }
}

/* In whose name a complaint was heard: it may be about that client alone, or is about us. */
static void test_a_complaint_tells_whom_it_may_be_about(void **state)
{
    static const struct {
        const char *words;
        uint32_t caps;
        bool proxied, begun, of_client;
    } table[] = {
        {"554 5.7.1 no\r\n", 0, true, false, true},
        {"421 4.7.0 too many\r\n", 0, true, false, true},
        {"220 mx\r\n450 4.7.1 no\r\n", 0, true, false, true},
        {"554 5.7.1 no\r\n", 0, false, false, false},
        {"220 mx\r\n450 4.7.1 no\r\n", 0, false, false, false},
        {"220 mx\r\n250-mx\r\n250 STARTTLS\r\n454 4.7.0 no\r\n", 0, true, false, false},
        {"530 5.7.0 Must issue STARTTLS\r\n", 0, true, true, false},
        {"421 4.3.2 bye\r\n", 0, true, true, true},
        {"421 4.3.2 bye\r\n", 0, false, true, false},
        {"554 5.7.1 no\r\n", CAP_XCLIENT, false, true, true},
        {"220 mx\r\n550 5.7.1 no\r\n", CAP_XCLIENT, false, true, true},
        {"220 mx\r\n250 mx\r\n530 5.7.0 Must issue STARTTLS\r\n", CAP_XCLIENT, false, true, false},
        {"220 mx\r\n250 mx\r\n421 4.7.0 too many\r\n", CAP_XCLIENT, false, true, true},
        {"550 5.7.1 no\r\n", CAP_XFORWARD, false, true, false},
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        void *fresh;
        open_talk(&fresh);
        struct talk *t = fresh;
        t->o.proxied = table[i].proxied;
        t->o.xclient_caps = table[i].caps;
        t->o.tls = OUTBOUND_TLS_OFFERED;
        if (table[i].begun) {
            hear(t, "220 mx\r\n250-mx\r\n250-XFORWARD ADDR\r\n250 XCLIENT ADDR\r\n");
            assert_int_equal(outbound_begin(&t->o, &t->job), 0);
        }
        hear(t, table[i].words);
        if (!t->o.complaint.code || t->o.of_client != table[i].of_client)
            fail_msg("row %zu", i);
        close_talk(&fresh);
    }
}

#define IN_TALK(test) cmocka_unit_test_setup_teardown(test, open_talk, close_talk)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_TALK(test_under_tls_only_what_is_offered_there_counts),
        IN_TALK(test_octets_in_clear_behind_starttls_end_the_connection),
        IN_TALK(test_without_tls_mail_goes_only_where_that_is_allowed),
        IN_TALK(test_a_backend_that_ends_at_starttls_is_not_used_in_clear),
        IN_TALK(test_helo_under_tls_forgets_what_was_offered_in_clear),
        IN_TALK(test_a_name_of_the_client_that_is_refused_is_replaced_by_ours),
        IN_TALK(test_a_client_that_is_put_off_at_ehlo_is_not_sent_as_ours),
        IN_TALK(test_a_long_name_is_cut_and_the_line_stays_whole),
        IN_TALK(test_mail_goes_to_a_backend_that_refuses_xforward),
        IN_TALK(test_a_complaint_tells_whom_it_may_be_about),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
