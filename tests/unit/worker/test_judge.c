/* R20, observe: nothing that the tarpit says is done, and the ledger sees what it would see. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fake.h"
#include "worker/judge.h"

enum { SECOND = 1000, T1 = 20 * SECOND };
#define WHO "192.0.2.7"

static struct fake f;
static char ours[] = "example.org";
static char *domains[] = {ours};

static int setup(void **state)
{
    fake_open(&f);
    f.config.observe = true;
    return 0;
}

static int teardown(void **state)
{
    fake_close(&f);
    return 0;
}

static const char *unknown(const struct fake_client *client)
{
    struct query_packet q;

    fake_say(&f, client, "RCPT TO:<nobody@example.org>\r\n");
    if (fake_asked(f.clerk[QUERY_FIRST], &q))
        fake_answer(&f, q.head.id, ANSWER_NO);
    return fake_heard(client);
}

static void test_nothing_waits_and_what_would_have_is_noted(void **state)
{
    struct fake_client client = fake_in_mail(&f, WHO);

    assert_non_null(strstr(unknown(&client), "550 5.1.1"));
    assert_int_equal(client.c->phase, CONN_READING);
    assert_int_equal(client.c->held_ms, T1);
    assert_float_equal(fake_offences(&f, WHO), 1, 0.01);
}

/* A client that really waited could not have said it yet; its shadow says it then. */
static void test_until_its_wait_would_be_over_nothing_more_is_judged(void **state)
{
    struct fake_client client = fake_in_mail(&f, WHO);

    for (int i = 0; i < 10; i++)
        assert_non_null(strstr(unknown(&client), "550 5.1.1"));
    assert_float_equal(fake_offences(&f, WHO), 1, 0.01);
    fake_pass(&f, T1 + 64);
    assert_float_equal(fake_offences(&f, WHO), 2, 0.02);
}

static void test_what_a_closed_connection_has_said_is_judged_in_its_time(void **state)
{
    struct fake_client client = fake_in_mail(&f, WHO);

    unknown(&client);
    unknown(&client);
    fake_hang_up(&f, &client);
    assert_false(fake_is_open(&f, &client));
    fake_pass(&f, T1 + 64);
    assert_float_equal(fake_offences(&f, WHO), 2, 0.02);
}

/* Also other offences: each kind goes the same way. */
static void test_other_offences_within_that_wait_are_not_judged_either(void **state)
{
    struct fake_client client = fake_in_mail(&f, WHO);

    unknown(&client);
    fake_say(&f, &client, "NONSENSE\r\nVRFY\r\nRCPT TO:<a@elsewhere.example>\r\n");
    assert_float_equal(fake_offences(&f, WHO), 1, 0.01);
    assert_non_null(strstr(fake_heard(&client), "500 "));
}

static void test_a_shielded_client_is_told_the_truth(void **state)
{
    struct fake_client client = fake_in_mail(&f, WHO);

    fake_owe(&f, WHO, 60);
    assert_non_null(strstr(unknown(&client), "550 5.1.1"));
    assert_true(client.c->held_ms > 0);
}

static void test_only_the_domains_of_observe_domains_are_observed(void **state)
{
    f.config.observe = false;
    f.config.observe_domains = (struct config_strings){domains, 1};
    struct fake_client client = fake_in_mail(&f, WHO);

    assert_non_null(strstr(unknown(&client), "550 5.1.1"));
    assert_float_equal(fake_offences(&f, WHO), 1, 0.01);
    fake_say(&f, &client, "RCPT TO:<a@elsewhere.example>\r\n");
    assert_int_equal(client.c->phase, CONN_HELD);
    assert_float_equal(fake_offences(&f, WHO), 2, 0.01);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_nothing_waits_and_what_would_have_is_noted),
        TEST(test_until_its_wait_would_be_over_nothing_more_is_judged),
        TEST(test_what_a_closed_connection_has_said_is_judged_in_its_time),
        TEST(test_other_offences_within_that_wait_are_not_judged_either),
        TEST(test_a_shielded_client_is_told_the_truth),
        TEST(test_only_the_domains_of_observe_domains_are_observed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
