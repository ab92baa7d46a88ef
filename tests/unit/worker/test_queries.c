/* Queries to the clerks: what is lost times out, what comes late is nobody's, and a full queue
 * delays a query and loses none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <cmocka.h>

#include "fake.h"
#include "worker/queries.h"

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

static struct fake_client asking(const char *address, uint64_t *id)
{
    struct fake_client client = fake_in_mail(&f, address);
    struct query_packet q;

    fake_say(&f, &client, "RCPT TO:<Alice@Example.ORG>\r\n");
    assert_int_equal(client.c->phase, CONN_ASKING);
    assert_true(fake_asked(f.clerk[QUERY_FIRST], &q));
    *id = q.head.id;
    return client;
}

static void test_a_query_has_what_the_clerk_needs(void **state)
{
    struct fake_client client = fake_in_mail(&f, "192.0.2.7");
    struct query_packet q;

    fake_say(&f, &client, "RCPT TO:<Alice@Example.ORG>\r\n");
    assert_true(fake_asked(f.clerk[QUERY_FIRST], &q));
    assert_int_equal(q.head.kind, QUERY_RECIPIENT);
    assert_int_equal(q.head.slot, 0);
    assert_true(addr_equal(&q.head.client, &client.peer));
    assert_int_equal(q.head.first, strlen("alice@example.org"));
    assert_memory_equal(q.text, "alice@example.org", q.head.first);
    fake_answer(&f, q.head.id, ANSWER_YES);
    assert_non_null(strstr(fake_heard(&client), "250 2.1.5"));
}

static void test_an_answer_that_is_lost_is_a_temporary_refusal_in_time(void **state)
{
    uint64_t id;
    struct fake_client client = asking("192.0.2.7", &id);

    fake_pass(&f, QUERY_TIMEOUT_MS - 1);
    assert_string_equal(fake_heard(&client), "");
    fake_pass(&f, 1);
    assert_non_null(strstr(fake_heard(&client), "451 "));
    assert_int_equal(client.c->phase, CONN_READING);
    assert_float_equal(fake_offences(&f, "192.0.2.7"), 0, 0.001);
}

static void test_an_answer_that_comes_late_is_nobodys(void **state)
{
    uint64_t id, again;
    struct fake_client client = asking("192.0.2.7", &id);
    struct query_packet q;

    fake_pass(&f, QUERY_TIMEOUT_MS);
    assert_non_null(strstr(fake_heard(&client), "451 "));
    fake_say(&f, &client, "RCPT TO:<bob@example.org>\r\n"); /* has the same place in the table */
    assert_true(fake_asked(f.clerk[QUERY_FIRST], &q));
    again = q.head.id;
    assert_int_equal((uint32_t)again, (uint32_t)id);
    assert_true(again != id);
    fake_answer(&f, id, ANSWER_NO);
    assert_string_equal(fake_heard(&client), "");
    fake_answer(&f, again, ANSWER_YES);
    assert_non_null(strstr(fake_heard(&client), "250 2.1.5"));
}

static void test_an_answer_to_a_connection_that_is_gone_reaches_no_other(void **state)
{
    uint64_t gone, id;
    struct fake_client first = asking("192.0.2.7", &gone);

    shutdown(first.fd, SHUT_RDWR);
    fake_hang_up(&f, &first);
    assert_false(fake_is_open(&f, &first));
    struct fake_client second = asking("192.0.2.8", &id);
    assert_int_equal((uint32_t)id, (uint32_t)gone);
    fake_answer(&f, gone, ANSWER_NO);
    assert_string_equal(fake_heard(&second), "");
    assert_int_equal(second.c->phase, CONN_ASKING);
}

static void test_answers_that_fit_no_query_are_dropped(void **state)
{
    static const uint64_t wrong[] = {0, 1, UINT64_MAX, UINT64_C(1) << 32, 63, 64, 1000000};
    uint64_t id;
    struct fake_client client = asking("192.0.2.7", &id);

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        fake_answer(&f, wrong[i], ANSWER_NO);
    fake_answer(&f, id ^ UINT64_C(1) << 40, ANSWER_NO);
    assert_true(send(f.answers, "short", 5, 0) == 5);
    fake_turn(&f);
    assert_string_equal(fake_heard(&client), "");
    fake_answer(&f, id, ANSWER_YES);
    assert_non_null(strstr(fake_heard(&client), "250 2.1.5"));
    fake_answer(&f, id, ANSWER_YES);
    assert_string_equal(fake_heard(&client), "");
}

static void test_a_full_queue_delays_queries_and_keeps_their_order(void **state)
{
    enum { MANY = 400 };
    static struct fake_client client[MANY];
    struct query_packet q;
    char text[64];
    int next = 0;

    for (int i = 0; i < MANY; i++) {
        snprintf(text, sizeof text, "192.0.2.%d", i % 200);
        client[i] = fake_in_mail(&f, text);
        snprintf(text, sizeof text, "RCPT TO:<r%d@example.org>\r\n", i);
        fake_say(&f, &client[i], text);
        assert_int_equal(client[i].c->phase, CONN_ASKING);
    }
    assert_false(client[MANY - 1].c->work->query->sent);
    shutdown(client[MANY - 2].fd, SHUT_RDWR); /* one that waits goes away */
    fake_hang_up(&f, &client[MANY - 2]);
    assert_false(fake_is_open(&f, &client[MANY - 2]));
    while (fake_asked(f.clerk[QUERY_FIRST], &q)) {
        if (next == MANY - 2)
            next++;
        int len = snprintf(text, sizeof text, "r%d@example.org", next++);
        assert_int_equal(q.head.first, len);
        assert_memory_equal(q.text, text, (size_t)len);
        fake_answer(&f, q.head.id, ANSWER_YES);
    }
    assert_int_equal(next, MANY);
    assert_non_null(strstr(fake_heard(&client[MANY - 1]), "250 2.1.5"));
}

/* Clients that ask again with each answer would keep the worker there, however many others wait. */
static void test_a_turn_takes_some_of_the_answers_that_are_there(void **state)
{
    enum { MANY = 100, FEW = 40 };
    static struct fake_client client[MANY];
    static uint64_t id[MANY];
    char text[64];
    int heard = 0;

    for (int i = 0; i < MANY; i++) {
        snprintf(text, sizeof text, "192.0.2.%d", i);
        client[i] = asking(text, &id[i]);
    }
    for (int i = 0; i < MANY; i++) {
        struct answer a = {.id = id[i], .result = ANSWER_YES};
        assert_return_code(answer_send(f.answers, &a), 0);
    }
    loop_turn(&f.w->loop, 0);
    for (int i = 0; i < MANY; i++)
        heard += client[i].c->phase == CONN_READING;
    assert_in_range(heard, 1, FEW);
    fake_turn(&f);
    for (int i = 0; i < MANY; i++)
        assert_non_null(strstr(fake_heard(&client[i]), "250 2.1.5"));
}

static double cpu_ms(void)
{
    struct timespec t;

    assert_return_code(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t), 0);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Fills the queue, and drops so many queries that wait; the CPU time of the drops in ms. */
static double drop_waiting(struct conn *c, int many, bool newest_first)
{
    const struct tarpit_permit permit = {0};
    struct query **q = calloc((size_t)many, sizeof(struct query *));

    assert_non_null(q);
    for (int i = 0; i < many; i++) {
        q[i] = query_new(QUERY_RECIPIENT, &permit, span_of(""), span_of("a@b.test"), span_of(""));
        assert_non_null(q[i]);
        q[i]->conn = c;
        assert_true(queries_put(f.w, q[i]));
    }
    assert_false(q[many - 1]->sent);
    double begun = cpu_ms();
    for (int i = 0; i < many; i++)
        queries_drop(f.w, q[newest_first ? many - 1 - i : i]);
    double took = cpu_ms() - begun;
    free(q);
    return took;
}

/* Clients that leave in whatever order cost the same. A list to walk took 20,000 times as long as
 * the other order, and the worker did nothing else meanwhile. */
static void test_waiting_queries_may_leave_from_the_newest_backwards(void **state)
{
    enum { MANY = 30000 };
    struct fake_client client = fake_in_mail(&f, "192.0.2.7");
    double oldest = drop_waiting(client.c, MANY, false),
           newest = drop_waiting(client.c, MANY, true);

    if (newest > 10 * oldest + 50)
        fail_msg("%.1f ms from the oldest on, %.1f ms from the newest backwards", oldest, newest);
}

static void test_without_clerks_recipients_are_put_off(void **state)
{
    struct fake_client client = fake_in_mail(&f, "192.0.2.7");

    shutdown(f.clerk[QUERY_FIRST], SHUT_RDWR);
    fake_say(&f, &client, "RCPT TO:<alice@example.org>\r\n");
    fake_pass(&f, QUERY_TIMEOUT_MS);
    assert_non_null(strstr(fake_heard(&client), "451 "));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_query_has_what_the_clerk_needs),
        TEST(test_an_answer_that_is_lost_is_a_temporary_refusal_in_time),
        TEST(test_an_answer_that_comes_late_is_nobodys),
        TEST(test_an_answer_to_a_connection_that_is_gone_reaches_no_other),
        TEST(test_answers_that_fit_no_query_are_dropped),
        TEST(test_a_full_queue_delays_queries_and_keeps_their_order),
        TEST(test_a_turn_takes_some_of_the_answers_that_are_there),
        TEST(test_waiting_queries_may_leave_from_the_newest_backwards),
        TEST(test_without_clerks_recipients_are_put_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
