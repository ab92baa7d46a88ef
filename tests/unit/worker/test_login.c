/* AUTH: masked logins, the line of strangers (R14), and the order of SCRAM's messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "fake.h"
#include "worker/login.h"

enum { SECOND = 1000 };
#define WHO "192.0.2.7"
/* "\0alice\0secret", and a first message of SCRAM: "n,,n=alice,r=abcdefgh" */
#define PLAIN "AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n"
#define FIRST "AUTH SCRAM-SHA-256 biwsbj1hbGljZSxyPWFiY2RlZmdo\r\n"
#define FINAL "Yz1iaXdzLHI9YWJjZGVmZ2gscD1BQUFB\r\n"

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

static struct fake_client greeted(const char *address)
{
    struct fake_client client = fake_connect(&f, address);

    fake_say(&f, &client, "EHLO client.example\r\n");
    assert_non_null(strstr(fake_heard(&client), "AUTH PLAIN LOGIN"));
    return client;
}

static void answer(uint64_t id, enum answer_result result, uint64_t login_id, const char *text)
{
    struct answer a = {.id = id, .result = (uint16_t)result, .login_id = login_id};

    a.len = (uint16_t)strlen(text);
    memcpy(a.text, text, a.len);
    assert_return_code(answer_send(f.answers, &a), 0);
    fake_turn(&f);
}

static void test_a_right_password_logs_in_and_is_never_delayed(void **state)
{
    struct fake_client client = greeted(WHO);
    struct query_packet q;

    fake_say(&f, &client, PLAIN);
    assert_true(fake_asked(f.clerk[QUERY_STRANGERS], &q));
    assert_int_equal(q.head.kind, QUERY_PASSWORD);
    assert_memory_equal(q.text, "alicesecret", 11);
    fake_answer(&f, q.head.id, ANSWER_YES);
    assert_non_null(strstr(fake_heard(&client), "235 "));
    assert_int_equal(client.c->smtp.flags & SMTP_AUTHENTICATED, SMTP_AUTHENTICATED);
    fake_say(&f, &client, "NONSENSE\r\n");
    assert_non_null(strstr(fake_heard(&client), "500 "));
}

static void test_a_wrong_password_is_one_offence_and_waits(void **state)
{
    struct fake_client client = greeted(WHO);
    struct query_packet q;

    fake_say(&f, &client, PLAIN);
    assert_true(fake_asked(f.clerk[QUERY_STRANGERS], &q));
    fake_answer(&f, q.head.id, ANSWER_NO);
    assert_int_equal(client.c->phase, CONN_HELD);
    assert_float_equal(fake_offences(&f, WHO), 1, 0.01);
    assert_int_equal(client.c->offences, 1);
    fake_pass(&f, 60 * SECOND);
    assert_non_null(strstr(fake_heard(&client), "535 "));
}

/* R7: nobody is asked, so neither words nor time tell anything. */
static void test_a_masked_login_asks_no_clerk(void **state)
{
    static const struct {
        const char *line;
    } cases[] = {{PLAIN}, {FIRST}};
    struct query_packet q;

    for (size_t i = 0; i < 2; i++) {
        fake_close(&f);
        fake_open(&f);
        struct fake_client client = greeted(WHO);
        fake_owe(&f, WHO, 60);
        fake_say(&f, &client, cases[i].line);
        assert_false(fake_asked(f.clerk[QUERY_FIRST], &q));
        assert_false(fake_asked(f.clerk[QUERY_STRANGERS], &q));
        assert_int_equal(client.c->phase, CONN_HELD);
        fake_pass(&f, 300 * SECOND);
        assert_non_null(strstr(fake_heard(&client), "454 "));
        assert_null(client.c->work);
    }
}

static void test_strangers_to_an_account_are_asked_four_at_a_time(void **state)
{
    enum { MANY = 7 };
    struct fake_client client[MANY];
    struct query_packet q[MANY], more;
    char address[32];

    for (int i = 0; i < MANY; i++) {
        snprintf(address, sizeof address, "192.0.%d.7", i);
        client[i] = greeted(address);
        fake_say(&f, &client[i], PLAIN);
        assert_int_equal(client[i].c->phase, CONN_ASKING);
    }
    for (int i = 0; i < 4; i++) {
        assert_true(fake_asked(f.clerk[QUERY_STRANGERS], &q[i]));
        assert_true(addr_equal(&q[i].head.client, &client[i].peer));
    }
    assert_false(fake_asked(f.clerk[QUERY_STRANGERS], &more));
    answer(q[0].head.id, ANSWER_YES, 0, "");
    assert_true(fake_asked(f.clerk[QUERY_STRANGERS], &q[4]));
    assert_true(addr_equal(&q[4].head.client, &client[4].peer));
    assert_false(fake_asked(f.clerk[QUERY_STRANGERS], &more));
    shutdown(client[5].fd, SHUT_RDWR); /* one that stands in line goes away */
    fake_hang_up(&f, &client[5]);
    answer(q[1].head.id, ANSWER_YES, 0, "");
    assert_true(fake_asked(f.clerk[QUERY_STRANGERS], &q[6]));
    assert_true(addr_equal(&q[6].head.client, &client[6].peer));
}

static void test_a_known_network_stands_in_no_line(void **state)
{
    struct fake_client first = greeted(WHO), again = greeted(WHO);
    struct query_packet q;

    fake_say(&f, &first, PLAIN);
    assert_true(fake_asked(f.clerk[QUERY_STRANGERS], &q));
    fake_answer(&f, q.head.id, ANSWER_YES);
    fake_say(&f, &again, PLAIN);
    assert_true(fake_asked(f.clerk[QUERY_FIRST], &q));
    assert_false(fake_asked(f.clerk[QUERY_STRANGERS], &q));
}

/* The second message goes to the clerk that answered the first. */
static void test_scram_is_two_queries_in_order(void **state)
{
    struct fake_client client = greeted(WHO);
    struct query_packet q;
    uint64_t login_id = scram_id(0, 77);

    fake_say(&f, &client, FIRST);
    assert_true(fake_asked(f.clerk[QUERY_STRANGERS], &q));
    assert_int_equal(q.head.kind, QUERY_SCRAM);
    assert_int_equal(q.head.login_id, 0);
    answer(q.head.id, ANSWER_MORE, login_id, "r=abcdefghXYZ,s=QUFB,i=4096");
    assert_non_null(strstr(fake_heard(&client), "334 "));
    fake_say(&f, &client, FINAL);
    assert_false(fake_asked(f.clerk[QUERY_STRANGERS], &q));
    assert_true(fake_asked(f.own, &q));
    assert_true(q.head.login_id == login_id);
    answer(q.head.id, ANSWER_YES, 0, "v=AAAA");
    assert_non_null(strstr(fake_heard(&client), "334 "));
    fake_say(&f, &client, "\r\n");
    assert_non_null(strstr(fake_heard(&client), "235 "));
    assert_float_equal(fake_offences(&f, WHO), 0, 0.001);
}

static void test_an_answer_out_of_order_logs_nobody_in(void **state)
{
    static const struct {
        const char *name;
        enum answer_result result;
        uint32_t clerk, number;
    } cases[] = {
        {"more, without a login", ANSWER_MORE, 0, 0},
        {"more, of a clerk that there is not", ANSWER_MORE, 7, 1},
        {"another kind of answer", ANSWER_OTHER, 0, 1},
    };
    struct query_packet q;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fake_close(&f);
        fake_open(&f);
        struct fake_client client = greeted(WHO);
        fake_say(&f, &client, FIRST);
        assert_true(fake_asked(f.clerk[QUERY_STRANGERS], &q));
        answer(q.head.id, cases[i].result,
               cases[i].number ? scram_id(cases[i].clerk, cases[i].number) : 0, "r=x,s=QUFB,i=1");
        fake_pass(&f, 60 * SECOND);
        if (!strstr(fake_heard(&client), "454 "))
            fail_msg("%s", cases[i].name);
        assert_int_equal(client.c->smtp.flags & SMTP_AUTHENTICATED, 0);
    }
}

static void test_a_scram_login_that_is_dropped_is_booked_as_a_guess(void **state)
{
    static const struct {
        const char *line, *reply;
        double offences;
    } cases[] = {
        {NULL, "", 1},              /* hangs up */
        {"*\r\n", "501 ", 1},       /* cancels (RFC 4954 4): the 501 is no offence of its own */
        {"A?not!b\r\n", "501 ", 1}, /* no base64: the same */
        {"QUIT\r\n", "535 ", 1},    /* base64, and no proof */
    };
    struct query_packet q;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fake_close(&f);
        fake_open(&f);
        struct fake_client client = greeted(WHO);
        fake_say(&f, &client, FIRST);
        assert_true(fake_asked(f.clerk[QUERY_STRANGERS], &q));
        answer(q.head.id, ANSWER_MORE, scram_id(0, 5), "r=abcdefghXYZ,s=QUFB,i=4096");
        fake_pass(&f, 30 * SECOND);
        assert_non_null(strstr(fake_heard(&client), "334 "));
        if (cases[i].line)
            fake_say(&f, &client, cases[i].line);
        else
            fake_hang_up(&f, &client);
        if (fake_offences(&f, WHO) < cases[i].offences - 0.05 ||
            fake_offences(&f, WHO) > cases[i].offences + 0.05)
            fail_msg("case %zu: %f offences", i, fake_offences(&f, WHO));
        if (cases[i].line) { /* and that reply waits for the guess */
            assert_int_equal(client.c->phase, CONN_HELD);
            assert_int_equal(client.c->offences, 1);
            fake_pass(&f, 60 * SECOND);
            assert_non_null(strstr(fake_heard(&client), cases[i].reply));
        }
    }
}

static void test_a_clerk_that_is_silent_is_no_verdict(void **state)
{
    struct fake_client client = greeted(WHO);

    fake_say(&f, &client, PLAIN);
    fake_pass(&f, QUERY_TIMEOUT_MS);
    assert_non_null(strstr(fake_heard(&client), "454 "));
    assert_float_equal(fake_offences(&f, WHO), 0, 0.001);
}

/* ---- out of turn: a guesser at the user's address has put it on the shield ---- */

#define SPRAY "AUTH PLAIN AGJvYgBzZWNyZXQ=\r\n" /* "\0bob\0secret" */

static void a_known_address_on_the_shield(void)
{
    struct fake_client first = greeted(WHO);
    struct query_packet q;

    fake_say(&f, &first, PLAIN);
    assert_true(fake_asked(f.clerk[QUERY_STRANGERS], &q));
    fake_answer(&f, q.head.id, ANSWER_YES);
    assert_non_null(strstr(fake_heard(&first), "235 "));
    fake_owe(&f, WHO, 60);
}

static void test_a_right_password_goes_before_the_guessers(void **state)
{
    struct query_packet q;

    a_known_address_on_the_shield();
    for (int i = 0; i < 30; i++) {
        struct fake_client client = greeted(WHO), bot = greeted(WHO);
        fake_say(&f, &bot, SPRAY);
        assert_int_equal(bot.c->phase, CONN_HELD);
        fake_say(&f, &client, PLAIN);
        assert_true(fake_asked(f.clerk[QUERY_FIRST], &q));
        fake_answer(&f, q.head.id, ANSWER_YES);
        assert_non_null(strstr(fake_heard(&client), "235 "));
        fake_hang_up(&f, &bot);
        fake_hang_up(&f, &client);
    }
}

/* As far as the client can tell, nothing was looked up: also if the verifier is slow, or away. */
static void test_a_wrong_one_is_masked_as_if_nothing_had_been_looked_up(void **state)
{
    static const struct {
        uint64_t after;
        enum answer_result result;
    } cases[] = {{0, ANSWER_NO},
                 {2 * SECOND, ANSWER_NO},
                 {19 * SECOND, ANSWER_NO},
                 {100, ANSWER_LATER},
                 {QUERY_TIMEOUT_MS + SECOND, ANSWER_NO}};
    struct query_packet q;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fake_close(&f);
        fake_open(&f);
        a_known_address_on_the_shield();
        struct fake_client bot = greeted(WHO), other = greeted(WHO);
        double before = fake_offences(&f, WHO);
        fake_say(&f, &bot, PLAIN);
        fake_say(&f, &other, SPRAY);
        assert_true(fake_asked(f.clerk[QUERY_FIRST], &q));
        fake_pass(&f, cases[i].after);
        fake_answer(&f, q.head.id, cases[i].result);
        fake_pass(&f, 90 * SECOND - cases[i].after - 1);
        assert_string_equal(fake_heard(&bot), "");
        assert_string_equal(fake_heard(&other), "");
        fake_pass(&f, 1);
        assert_non_null(strstr(fake_heard(&bot), "454 "));
        assert_non_null(strstr(fake_heard(&other), "454 "));
        assert_true(fake_offences(&f, WHO) <= before);
    }
}

static void test_a_verifier_that_is_away_uses_no_tries_up(void **state)
{
    struct query_packet q;

    a_known_address_on_the_shield();
    for (int i = 0; i < 10; i++) {
        struct fake_client client = greeted(WHO);
        fake_say(&f, &client, PLAIN);
        assert_true(fake_asked(f.clerk[QUERY_FIRST], &q));
        fake_answer(&f, q.head.id, ANSWER_LATER);
        assert_int_equal(client.c->phase, CONN_HELD);
        fake_hang_up(&f, &client);
    }
}

static void test_hanging_up_gives_no_try_back(void **state)
{
    struct query_packet q;

    a_known_address_on_the_shield();
    for (int i = 0; i < 6; i++) {
        struct fake_client bot = greeted(WHO);
        fake_say(&f, &bot, PLAIN);
        assert_true(fake_asked(f.clerk[QUERY_FIRST], &q));
        fake_pass(&f, 100);
        fake_hang_up(&f, &bot);
        assert_false(fake_is_open(&f, &bot));
        fake_answer(&f, q.head.id, ANSWER_NO);
    }
    struct fake_client client = greeted(WHO);
    fake_say(&f, &client, PLAIN);
    assert_false(fake_asked(f.clerk[QUERY_FIRST], &q));
    assert_int_equal(client.c->phase, CONN_HELD);
    fake_pass(&f, 90 * SECOND);
    assert_non_null(strstr(fake_heard(&client), "454 "));
    fake_hang_up(&f, &client);
    fake_pass(&f, 510 * SECOND);
    fake_owe(&f, WHO, 60);
    client = greeted(WHO);
    fake_say(&f, &client, PLAIN);
    assert_true(fake_asked(f.clerk[QUERY_FIRST], &q));
    fake_answer(&f, q.head.id, ANSWER_YES);
    assert_non_null(strstr(fake_heard(&client), "235 "));
}

/* An answer to its first message would tell that the account knows the network. */
static void test_scram_is_not_out_of_turn(void **state)
{
    struct query_packet q;

    a_known_address_on_the_shield();
    struct fake_client client = greeted(WHO);
    fake_say(&f, &client, FIRST);
    assert_false(fake_asked(f.clerk[QUERY_FIRST], &q));
    assert_int_equal(client.c->phase, CONN_HELD);
}

/* R3: the user must get as far as the password. */
static void test_nothing_waits_before_the_login_where_all_must_log_in(void **state)
{
    for (int submission = 0; submission < 2; submission++) {
        fake_close(&f);
        fake_open(&f);
        f.listen.submission = submission;
        struct fake_client bot = greeted(WHO);
        fake_say(&f, &bot, "NONSENSE\r\n");
        assert_int_equal(bot.c->phase, CONN_HELD);
        struct fake_client client = fake_connect(&f, WHO);
        assert_int_equal(client.c->phase, submission ? CONN_READING : CONN_HELD);
        if (!submission)
            continue;
        fake_say(&f, &client, "EHLO client.example\r\n");
        assert_non_null(strstr(fake_heard(&client), "AUTH PLAIN LOGIN"));
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_right_password_logs_in_and_is_never_delayed),
        TEST(test_a_wrong_password_is_one_offence_and_waits),
        TEST(test_a_masked_login_asks_no_clerk),
        TEST(test_strangers_to_an_account_are_asked_four_at_a_time),
        TEST(test_a_known_network_stands_in_no_line),
        TEST(test_scram_is_two_queries_in_order),
        TEST(test_an_answer_out_of_order_logs_nobody_in),
        TEST(test_a_scram_login_that_is_dropped_is_booked_as_a_guess),
        TEST(test_a_clerk_that_is_silent_is_no_verdict),
        TEST(test_a_right_password_goes_before_the_guessers),
        TEST(test_a_wrong_one_is_masked_as_if_nothing_had_been_looked_up),
        TEST(test_a_verifier_that_is_away_uses_no_tries_up),
        TEST(test_hanging_up_gives_no_try_back),
        TEST(test_scram_is_not_out_of_turn),
        TEST(test_nothing_waits_before_the_login_where_all_must_log_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
