/* Lack of memory ends a connection to a backend: mired never waits for the reply to a command that it
 * has not sent. Each allocation of a conversation fails once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "smtp/client.h"

void *__real_realloc(void *at, size_t size);
void *__wrap_realloc(void *at, size_t size);

static bool in_client;
static size_t allocations, fails; /* the client's own; the number of the one that fails */

void *__wrap_realloc(void *at, size_t size)
{
    if (in_client && ++allocations == fails)
        return NULL;
    return __real_realloc(at, size);
}

/* What the backend says (NULL: the job begins), and what mired must then say. */
struct turn {
    const char *hear, *say;
};

static const struct turn plain[] = {
    {"220 mx\r\n", "EHLO mired.test\r\n"},
    {"502 what?\r\n", "HELO mired.test\r\n"},
    {"250 mx\r\n", ""},
    {NULL, "MAIL FROM:<a@b.test>\r\n"},
    {"250 ok\r\n", "RCPT TO:<x@example.test>\r\n"},
    {"250 ok\r\n", "DATA\r\n"},
    {"451 later\r\n", "RSET\r\n"},
    {"250 ok\r\n", ""},
};

static const struct turn secure[] = {
    {"220 mx\r\n", "EHLO mired.test\r\n"},
    {"250-mx\r\n250 STARTTLS\r\n", "STARTTLS\r\n"},
    {"220 go\r\n", ""},
};

/* False if the connection has ended. */
static bool take_turn(struct outbound *o, struct job *job, const struct turn *t)
{
    int result = 0;

    in_client = true;
    if (t->hear)
        outbound_input(o, span_of(t->hear));
    else
        result = outbound_begin(o, job);
    in_client = false;
    return result == 0 && o->state != OUTBOUND_DEAD;
}

static bool run(const struct turn *turns, size_t count, size_t which)
{
    struct envelope envelope = {.recipients = 0};
    struct job_recipient recipient = {.fate = FATE_OPEN};
    struct job job = {.envelope = &envelope, .recipient = &recipient, .recipients = 1};
    struct outbound o;
    bool alive = true;

    assert_int_equal(envelope_set_sender(&envelope, SPAN("a@b.test"), SPAN("")), 0);
    assert_int_equal(envelope_add_recipient(&envelope, SPAN("x@example.test"), SPAN("")), 0);
    allocations = 0;
    fails = which;
    outbound_start(&o, false, "mired.test", 0);
    o.tls = OUTBOUND_TLS_OFFERED;
    for (size_t i = 0; i < count && alive; i++) {
        alive = take_turn(&o, &job, &turns[i]);
        if (alive && !span_equal(buf_span(&o.out), span_of(turns[i].say)))
            fail_msg("allocation %zu fails: turn %zu waits for a reply to nothing", which, i);
        buf_free(&o.out);
    }
    kept_free(&job.whole);
    kept_free(&recipient.reply);
    outbound_free(&o);
    envelope_free(&envelope);
    return alive;
}

static void fail_each(const struct turn *turns, size_t count)
{
    size_t ended = 0;

    assert_true(run(turns, count, 0));
    const size_t all = allocations;
    for (size_t i = 1; i <= all; i++)
        ended += !run(turns, count, i);
    assert_true(ended >= count);
}

static void test_no_reply_is_awaited_to_what_was_not_sent(void **state)
{
    fail_each(plain, sizeof plain / sizeof *plain);
    fail_each(secure, sizeof secure / sizeof *secure);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_reply_is_awaited_to_what_was_not_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
