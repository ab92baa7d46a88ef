/* A backend that is told of clients by a PROXY header, and refuses one of them, or keeps it waiting: that
 * is no matter of others. The test plays the backend at the other end of a real connection. */
#include "backends.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/health.h"
#include "base/container.h"
#include "virtual_clock.h"

#define BAD  "192.0.2.66"
#define GOOD "203.0.113.7"

enum { MAILS = 8, ENDS = 64 };

static struct delivery mails[MAILS];
static size_t used;
static struct envelope envelope;
static int ends[ENDS]; /* the backend's, closed at the end */
static size_t opened;
static struct delivery *ended;

static void broke(struct delivery *d, bool started)
{
    container_of(d->backend, struct backends, b)->broke++;
    ended = d;
}

static void nothing(struct loop *loop, struct alarm *a)
{
}

static void open_it(struct backends *t, uint32_t workers)
{
    backends_listen(t);
    assert_int_equal(fcntl(t->listener, F_SETFL, O_NONBLOCK), 0);
    t->one.proxy_protocol = 1;
    t->pool.params.slots = workers;
    t->pool.params.broke = broke;
    t->b.retry.due = pool_retry;
    used = opened = 0;
    ended = NULL;
}

static int setup(void **state)
{
    if (backends_setup(state) < 0)
        return -1;
    open_it(*state, 2);
    return 0;
}

static int teardown(void **state)
{
    for (size_t i = 0; i < opened; i++)
        close(ends[i]);
    return backends_teardown(state);
}

static struct delivery *put(struct backends *t, const char *client)
{
    struct delivery *d = &mails[used++];

    assert_true(used <= MAILS);
    *d = (struct delivery){.alarm.due = nothing, .job.envelope = &envelope};
    assert_true(addr_parse(span_of(client), &d->client));
    assert_true(pool_put(&t->b, d));
    return d;
}

/* Time passes; the loop does what is due. */
static void pass(struct backends *t, uint64_t ms)
{
    mono_ms += ms;
    for (int i = 0; i < 4; i++)
        loop_turn(&t->loop, 0);
}

/* The client that the next connection to the backend names, or NULL if there is none. */
static const char *named(struct backends *t)
{
    static char octets[200];

    pass(t, 0);
    int fd = accept4(t->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return NULL;
    assert_true(opened < ENDS);
    ends[opened++] = fd;
    pass(t, 0);
    ssize_t n = recv(fd, octets, sizeof octets - 1, 0);
    assert_true(n > 12 && memcmp(octets, "PROXY TCP4 ", 11) == 0);
    octets[n] = '\0';
    *strchr(octets + 11, ' ') = '\0';
    return octets + 11;
}

/* On the connection that was named last; NULL: it is closed. */
static void say(struct backends *t, const char *words)
{
    if (words)
        assert_int_equal(send(ends[opened - 1], words, strlen(words), MSG_NOSIGNAL), strlen(words));
    else
        shutdown(ends[opened - 1], SHUT_RDWR);
    pass(t, 0);
}

static void welcome(struct backends *t)
{
    say(t, "220 hello\r\n");
    say(t, "250 backend.test\r\n");
}

/* Others are served meanwhile, as many as that. The loop must not see that nobody is at their other
 * ends. */
static void serve(struct backends *t, int links)
{
    while (links--)
        loop_forget(&t->loop, &backends_link(t, false)->watch);
}

static const char *const words[] = {
    "554 5.7.1 not from there\r\n", "421 4.7.0 too many from there\r\n",
    "220 hello\r\n550 5.7.1 no\r\n550 5.7.1 no\r\n550 5.7.1 no\r\n", NULL};

static void test_a_client_that_is_refused_costs_others_nothing(void **state)
{
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        for (uint32_t workers = 1; workers <= 2; workers++)
            for (int links = 0; links <= 2; links += 2) {
                teardown(state);
                assert_int_equal(setup(state), 0);
                struct backends *t = *state;
                uint32_t wants = sharing_wants(t->sharing);
                t->pool.params.slots = workers;
                serve(t, links);
                put(t, BAD);
                assert_string_equal(named(t), BAD);
                say(t, words[i]);
                assert_true(t->b.up);
                assert_int_equal(limit_most(&t->b), 8);
                assert_false(limit_asks(&t->b));
                assert_string_equal(named(t), "127.0.0.1"); /* it asks for all */
                welcome(t);
                assert_true(t->b.up);
                assert_int_equal(limit_most(&t->b), 8);
                assert_int_equal(sharing_wants(t->sharing), wants);
                put(t, GOOD);
                assert_string_equal(named(t), GOOD);
                say(t, "220 hello\r\n");
                assert_true(t->broke == 0 || ended == &mails[0]);
            }
}

static void test_a_refusal_for_good_is_told_at_once_and_another_waits(void **state)
{
    struct backends *t = *state;

    serve(t, 1);
    struct delivery *first = put(t, BAD);
    assert_string_equal(named(t), BAD);
    say(t, words[0]);
    assert_ptr_equal(ended, first);
    assert_true(first->refused);
    struct delivery *second = put(t, BAD);
    while (strcmp(named(t), BAD) != 0)
        continue;
    say(t, words[1]);
    assert_int_equal(t->broke, 1);
    assert_true(pool_line_any(&t->b));
    assert_null(pool_line_first(&t->b)); /* others need not wait for it */
    assert_int_equal(second->alarm.timer.at, second->until_ms);
    pool_drop(second);
    assert_false(pool_line_any(&t->b));
}

/* A client that has more connections than the backend allows it gets the next when one has ended. */
static void test_a_client_that_is_put_off_is_tried_again_with_longer_pauses(void **state)
{
    struct backends *t = *state;
    uint64_t begun = mono_ms, last = mono_ms, longest = 0;
    unsigned tries = 0;

    serve(t, 1);
    struct delivery *d = put(t, BAD);
    while (mono_ms < begun + 30000) {
        t->b.spoke_ms = t->loop.now;
        for (const char *who; (who = named(t));) {
            if (strcmp(who, BAD) != 0) {
                welcome(t);
                continue;
            }
            tries++;
            longest = mono_ms - last > longest ? mono_ms - last : longest;
            last = mono_ms;
            say(t, words[1]);
        }
        pass(t, 50);
    }
    assert_in_range(tries, 6, 16);
    assert_in_range(longest, POOL_LIMITED_MS, POOL_LIMITED_MS + 2 * POOL_ASK_MS);
    assert_int_equal(t->broke, 0);
    assert_true(t->b.up);
    assert_int_equal(limit_most(&t->b), 8);
    pool_drop(d);
}

static void test_a_backend_that_refuses_everybody_is_down(void **state)
{
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        teardown(state);
        assert_int_equal(setup(state), 0);
        struct backends *t = *state;
        t->pool.params.slots = 1;
        struct delivery *d = put(t, GOOD);
        assert_string_equal(named(t), GOOD);
        say(t, words[i]);
        assert_string_equal(named(t), "127.0.0.1");
        say(t, words[i]);
        assert_false(t->b.up);
        assert_int_equal(t->broke, 1); /* it may try another backend */
        assert_ptr_equal(ended, d);
        assert_false(pool_line_any(&t->b));
    }
}

/* With several workers one more refusal shows it. */
static void test_what_stands_aside_is_given_up_when_the_backend_is_down(void **state)
{
    struct backends *t = *state;
    struct delivery *d = put(t, GOOD);

    assert_string_equal(named(t), GOOD);
    say(t, words[1]);
    for (int tries = 0; t->b.up; tries++) {
        assert_true(tries < 100);
        while (named(t))
            say(t, words[1]);
        pass(t, 50);
    }
    while (named(t))
        say(t, words[1]);
    assert_int_equal(t->broke, 1);
    assert_ptr_equal(ended, d);
}

static void test_a_crowded_backend_is_still_seen_to_be_so(void **state)
{
    struct backends *t = *state;

    serve(t, 2);
    put(t, GOOD);
    assert_string_equal(named(t), GOOD);
    say(t, words[1]);
    assert_int_equal(limit_most(&t->b), 8);
    assert_string_equal(named(t), "127.0.0.1");
    say(t, words[1]);
    assert_true(t->b.up);
    assert_int_equal(limit_most(&t->b), 2);
    assert_int_equal(t->broke, 0);
    pass(t, 2 * POOL_ASK_MS);
    assert_ptr_equal(pool_line_first(&t->b), &mails[0]); /* it waits as all do */
    assert_null(named(t));
}

/* Nobody has been told who the client is. */
static void test_a_refusal_before_the_header_is_about_all(void **state)
{
    struct backends *t = *state;

    serve(t, 2);
    put(t, GOOD);
    int fd = accept(t->listener, NULL, NULL);
    assert_true(fd >= 0);
    assert_int_equal(send(fd, words[1], strlen(words[1]), MSG_NOSIGNAL), strlen(words[1]));
    pass(t, 0);
    close(fd);
    assert_int_equal(limit_most(&t->b), 2);
}

static void test_refusals_make_no_more_than_one_link_a_second_for_all(void **state)
{
    struct backends *t = *state;
    unsigned own = 0;

    serve(t, 1);
    for (uint64_t end = mono_ms + 10000; mono_ms < end; pass(t, 100)) {
        t->b.spoke_ms = t->loop.now;
        used = 0;
        put(t, BAD);
        for (const char *who; (who = named(t));) {
            bool bad = strcmp(who, BAD) == 0;
            own += !bad;
            if (bad)
                say(t, words[0]);
            else
                welcome(t);
            close(ends[--opened]);
        }
    }
    assert_in_range(own, 9, 11);
}

/* A backend looks up the client's name before it greets, and the client has a slow zone. */
static void test_a_client_that_is_kept_waiting_costs_others_nothing(void **state)
{
    struct backends *t = *state;
    uint32_t wants = sharing_wants(t->sharing);

    put(t, BAD);
    assert_string_equal(named(t), BAD);
    pass(t, POOL_SILENT_MS - 1);
    assert_null(named(t));
    pass(t, 1);
    assert_string_equal(named(t), "127.0.0.1"); /* before the client's own link is given up */
    welcome(t);
    for (uint64_t end = mono_ms + POOL_CONNECT_MS; mono_ms < end; pass(t, 100)) {
        sharing_answered(t->sharing, t->b.share_id,
                         t->loop.now * 1000 + 999); /* another worker's */
        while (named(t))
            welcome(t);
        if (t->broke)
            break;
    }
    assert_int_equal(t->broke, 1);
    assert_true(t->b.up);
    assert_int_equal(limit_most(&t->b), 8);
    assert_int_equal(sharing_wants(t->sharing), wants);
}

static void test_a_backend_that_says_nothing_to_anybody_is_down(void **state)
{
    struct backends *t = *state;

    put(t, BAD);
    assert_string_equal(named(t), BAD);
    for (uint64_t end = mono_ms + POOL_CONNECT_MS + POOL_SILENT_MS + 500; mono_ms < end;
         pass(t, 100))
        continue;
    assert_false(t->b.up);
}

/* XCLIENT names each client on a connection that others use too. */
static void test_a_reply_to_one_client_closes_no_idle_link(void **state)
{
    static const struct {
        bool as_client;
        const char *words;
        uint32_t left;
    } row[] = {{true, "421 4.7.0 too many from there\r\n", 2},
               {true, "554 5.7.1 not from there\r\n", 2},
               {false, "421 4.3.2 shutting down\r\n", 0},
               {true, NULL, 0}};

    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        teardown(state);
        assert_int_equal(setup(state), 0);
        struct backends *t = *state;
        t->one.proxy_protocol = 0;
        backends_link(t, true);
        backends_link(t, true);
        struct link *l = backends_link(t, false);
        struct delivery *d = backends_delivery(t);
        l->delivery = d;
        d->link = l;
        d->backend = &t->b;
        d->job.envelope = &envelope;
        l->outbound.job = &d->job;
        l->outbound.as_client = row[i].as_client;
        l->outbound.state = OUTBOUND_XHELLO;
        l->lived_in = OUTBOUND_XHELLO;
        if (row[i].words)
            outbound_input(&l->outbound, span_of(row[i].words));
        l->outbound.state = OUTBOUND_DEAD;
        pool_link_ready(&t->loop, &l->watch, 0);
        assert_int_equal(t->broke, 1);
        assert_int_equal(t->b.open, row[i].left);
        if (row[i].left) { /* its next try does not trust them all the same */
            assert_true(pool_put(&t->b, d));
            assert_null(d->link);
            assert_int_equal(t->b.connecting, 1);
            pool_drop(d);
        }
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_client_that_is_refused_costs_others_nothing),
        TEST(test_a_refusal_for_good_is_told_at_once_and_another_waits),
        TEST(test_a_client_that_is_put_off_is_tried_again_with_longer_pauses),
        TEST(test_a_backend_that_refuses_everybody_is_down),
        TEST(test_what_stands_aside_is_given_up_when_the_backend_is_down),
        TEST(test_a_crowded_backend_is_still_seen_to_be_so),
        TEST(test_a_refusal_before_the_header_is_about_all),
        TEST(test_refusals_make_no_more_than_one_link_a_second_for_all),
        TEST(test_a_client_that_is_kept_waiting_costs_others_nothing),
        TEST(test_a_backend_that_says_nothing_to_anybody_is_down),
        TEST(test_a_reply_to_one_client_closes_no_idle_link),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
