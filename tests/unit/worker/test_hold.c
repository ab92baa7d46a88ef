/* Holds: a reply is kept back, drips, is released; an offence is booked once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake.h"
#include "worker/guard.h"
#include "worker/hold.h"

enum { SECOND = 1000, T1 = 20 * SECOND };
#define WHO "192.0.2.7"

static struct fake f;

static int setup(void **state)
{
    fake_open(&f);
    return 0;
}

static int teardown(void **state)
{
    fake_close(&f);
    return 0;
}

/* RCPT to an address of ours; the clerk says that there is no such recipient. */
static void unknown_recipient(const struct fake_client *client)
{
    struct query_packet q;

    fake_say(&f, client, "RCPT TO:<nobody@example.org>\r\n");
    assert_true(fake_asked(f.clerk[QUERY_FIRST], &q));
    fake_answer(&f, q.head.id, ANSWER_NO);
}

static void test_a_refusal_is_kept_back_and_told_at_its_end(void **state)
{
    struct fake_client client = fake_in_mail(&f, WHO);

    unknown_recipient(&client);
    assert_int_equal(client.c->phase, CONN_HELD);
    assert_int_equal(f.w->guard.held, 1);
    fake_pass(&f, T1 - 1);
    assert_string_equal(fake_heard(&client), "");
    fake_pass(&f, 1);
    assert_non_null(strstr(fake_heard(&client), "550 5.1.1"));
    assert_int_equal(client.c->phase, CONN_READING);
    assert_int_equal(client.c->held_ms, T1);
    assert_int_equal(f.w->guard.held, 0);
}

static void test_what_is_pipelined_behind_a_held_reply_waits_with_it(void **state)
{
    struct fake_client client = fake_in_mail(&f, WHO);
    struct query_packet q;

    fake_say(&f, &client, "RCPT TO:<nobody@example.org>\r\nNOOP\r\n");
    assert_true(fake_asked(f.clerk[QUERY_FIRST], &q));
    fake_answer(&f, q.head.id, ANSWER_NO);
    fake_pass(&f, T1 - 1);
    assert_string_equal(fake_heard(&client), "");
    fake_pass(&f, 1);
    const char *heard = fake_heard(&client);
    assert_true(strstr(heard, "550") < strstr(heard, "250"));
    assert_non_null(strstr(heard, "250"));
}

static void test_a_held_reply_drips_and_ends_as_one_reply(void **state)
{
    struct fake_client client = fake_in_mail(&f, WHO);

    f.w->tarpit.rules.drip = 5 * SECOND;
    unknown_recipient(&client);
    fake_pass(&f, 5 * SECOND - 1);
    assert_string_equal(fake_heard(&client), "");
    fake_pass(&f, 1);
    assert_int_equal(strncmp(fake_heard(&client), "550-5.1.1", 9), 0);
    fake_pass(&f, 5 * SECOND);
    assert_int_equal(strncmp(fake_heard(&client), "550-", 4), 0);
    fake_pass(&f, 10 * SECOND);
    const char *heard = fake_heard(&client);
    assert_non_null(strstr(heard, "550 "));
    assert_int_equal(heard[strlen(heard) - 1], '\n');
    assert_int_equal(client.c->phase, CONN_READING);
}

static void test_a_release_answers_at_once(void **state)
{
    struct fake_client client = fake_in_mail(&f, WHO);

    unknown_recipient(&client);
    hold_release(f.w, client.c);
    assert_non_null(strstr(fake_heard(&client), "550 5.1.1"));
    fake_say(&f, &client, "QUIT\r\n");
    assert_int_equal(f.w->guard.held, 0);
}

/* As Exim does with CHUNKING: all at once, QUIT too, and then the end of its side. */
static void test_who_says_quit_and_ends_its_side_still_hears_all_replies(void **state)
{
    struct fake_client client = fake_in_mail(&f, WHO);

    fake_owe(&f, WHO, 60); /* on the shield: 450 after `max` */
    fake_say(&f, &client, "RCPT TO:<bob@example.org>\r\nBDAT 7 LAST\r\nhello\r\nQUIT\r\n");
    assert_int_equal(client.c->phase, CONN_HELD);
    assert_return_code(shutdown(client.fd, SHUT_WR), 0);
    fake_turn(&f);
    assert_true(fake_is_open(&f, &client));
    fake_pass(&f, f.config.tarpit.max + 1);
    const char *heard = fake_heard(&client);
    assert_non_null(strstr(heard, "450 4.7.1"));
    assert_non_null(strstr(heard, "\r\n221 "));
    assert_false(fake_is_open(&f, &client));
    close(client.fd);
}

static void test_hanging_up_behind_other_commands_is_giving_up(void **state)
{
    struct fake_client client = fake_in_mail(&f, WHO);

    fake_owe(&f, WHO, 60);
    fake_say(&f, &client, "RCPT TO:<bob@example.org>\r\nRCPT TO:<quit@example.org>\r\n");
    assert_return_code(shutdown(client.fd, SHUT_WR), 0);
    fake_turn(&f);
    assert_false(fake_is_open(&f, &client));
    close(client.fd);
}

static void test_hanging_up_ends_the_hold_and_shows_the_clients_patience(void **state)
{
    struct fake_client client = fake_in_mail(&f, WHO);
    struct ledger_key key = ledger_key_client(f.params.ledger, &client.peer);
    struct ledger_entry e;

    unknown_recipient(&client);
    fake_pass(&f, 7 * SECOND);
    fake_hang_up(&f, &client);
    assert_false(fake_is_open(&f, &client));
    assert_int_equal(f.w->guard.held, 0);
    assert_int_equal(f.w->open, 0);
    assert_true(ledger_get(f.params.ledger, &key, &(struct ledger_decay){0}, f.w->loop.wall, &e));
    assert_int_equal(e.patience_ms, 7 * SECOND);
}

static void test_talking_before_a_held_greeting_is_one_offence(void **state)
{
    struct fake_client first = fake_in_mail(&f, WHO);

    unknown_recipient(&first);
    struct fake_client second = fake_connect(&f, WHO); /* its greeting waits (R3) */
    assert_int_equal(second.c->phase, CONN_HELD);
    double before = fake_offences(&f, WHO);
    fake_say(&f, &second, "EHLO early\r\n");
    assert_float_equal(fake_offences(&f, WHO) - before, 1, 0.01);
    assert_int_equal(second.c->offences, 1);
    fake_pass(&f, 120 * SECOND);
    assert_int_equal(strncmp(fake_heard(&second), "554", 3), 0);
}

/* A verdict is booked when it is known; the reply that tells it is not judged once more, whether it
 * waits or not. `time = 0` books each bad recipient once. */
static void test_an_offence_is_booked_once(void **state)
{
    static const struct {
        const char *name;
        uint64_t time;
        bool observe, observe_domain, pace;
    } cases[] = {
        {"it is held", T1, false, false, true},
        {"it is held without pace", T1, false, false, false},
        {"nothing waits", 0, false, false, true},
        {"nothing waits, without pace", 0, false, false, false},
        {"observed", T1, true, false, true},
        {"observed, and nothing would wait", 0, true, false, true},
        {"its domain is observed", T1, false, true, true},
        {"its domain is observed, and nothing would wait", 0, false, true, true},
    };
    static char domain[] = "example.org";
    static char *observed[] = {domain};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fake_close(&f);
        fake_open(&f);
        print_message("%s\n", cases[i].name);
        f.w->tarpit.rules.time = cases[i].time;
        f.w->tarpit.rules.pace = cases[i].pace;
        f.config.observe = cases[i].observe;
        if (cases[i].observe_domain)
            f.config.observe_domains = (struct config_strings){observed, 1};
        struct fake_client client = fake_in_mail(&f, WHO);
        unknown_recipient(&client);
        fake_pass(&f, 60 * SECOND);
        assert_non_null(strstr(fake_heard(&client), "550 5.1.1"));
        assert_int_equal(client.c->offences, 1);
        assert_float_equal(fake_offences(&f, WHO), 1, 0.05);
    }
}

static void test_every_kind_of_offence_is_booked_once_when_nothing_waits(void **state)
{
    static const struct {
        const char *line, *reply;
    } cases[] = {
        {"NONSENSE\r\n", "500"},
        {"DATA\r\n", "554"},
        {"RCPT TO:<a@elsewhere.example>\r\n", "550"},
        {"RCPT TO:nobody\r\n", "501"},
        {"RCPT TO:<bait@example.org>\r\n", "550"},
        {"VRFY\r\n", "5"},
        {"AUTH NOSUCH\r\n", "503"},
    };
    static char bait[] = "bait@example.org";
    static char *traps[] = {bait};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fake_close(&f);
        fake_open(&f);
        f.w->tarpit.rules.time = 0;
        f.w->tarpit.rules.shield = 0;
        f.config.traps = (struct config_strings){traps, 1};
        struct fake_client client = fake_in_mail(&f, WHO);
        fake_say(&f, &client, cases[i].line);
        const char *heard = fake_heard(&client);
        if (strncmp(heard, cases[i].reply, strlen(cases[i].reply)) != 0)
            fail_msg("%s: %s", cases[i].line, heard);
        if (client.c->offences != (heard[0] == '5'))
            fail_msg("%s: %u offences", cases[i].line, client.c->offences);
        if (fake_offences(&f, WHO) > client.c->offences + 0.01)
            fail_msg("%s: booked %f", cases[i].line, fake_offences(&f, WHO));
    }
}

static void test_a_decided_reply_says_nothing_of_the_next_one(void **state)
{
    struct fake_client client = fake_in_mail(&f, WHO);

    f.w->tarpit.rules.time = 0;
    unknown_recipient(&client);
    assert_non_null(strstr(fake_heard(&client), "550 5.1.1"));
    f.w->tarpit.rules.time = T1;
    fake_say(&f, &client, "NONSENSE\r\n");
    assert_int_equal(client.c->phase, CONN_HELD);
    assert_int_equal(client.c->offences, 2);
    assert_float_equal(fake_offences(&f, WHO), 2, 0.01);
}

static void test_a_good_recipient_with_nothing_to_wait_for_leaves_no_work_behind(void **state)
{
    struct fake_client client = fake_in_mail(&f, WHO);
    struct query_packet q;

    fake_say(&f, &client, "RCPT TO:<alice@example.org>\r\n");
    assert_true(fake_asked(f.clerk[QUERY_FIRST], &q));
    fake_answer(&f, q.head.id, ANSWER_YES);
    assert_non_null(strstr(fake_heard(&client), "250 2.1.5"));
    assert_null(client.c->work);
    assert_int_equal(client.c->flags & CONN_HOLD_SET, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_refusal_is_kept_back_and_told_at_its_end),
        TEST(test_what_is_pipelined_behind_a_held_reply_waits_with_it),
        TEST(test_a_held_reply_drips_and_ends_as_one_reply),
        TEST(test_a_release_answers_at_once),
        TEST(test_who_says_quit_and_ends_its_side_still_hears_all_replies),
        TEST(test_hanging_up_behind_other_commands_is_giving_up),
        TEST(test_hanging_up_ends_the_hold_and_shows_the_clients_patience),
        TEST(test_talking_before_a_held_greeting_is_one_offence),
        TEST(test_an_offence_is_booked_once),
        TEST(test_every_kind_of_offence_is_booked_once_when_nothing_waits),
        TEST(test_a_decided_reply_says_nothing_of_the_next_one),
        TEST(test_a_good_recipient_with_nothing_to_wait_for_leaves_no_work_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
