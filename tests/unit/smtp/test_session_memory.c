/* Lack of memory ends a connection with 421, and nothing else: each allocation of a long talk fails
 * once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "expect.h"

void *__real_realloc(void *at, size_t size);
void *__wrap_realloc(void *at, size_t size);

static size_t allocations, fails; /* the session's own; the number of the one that fails */

void *__wrap_realloc(void *at, size_t size)
{
    if (dialogue_in_session && ++allocations == fails)
        return NULL;
    return __real_realloc(at, size);
}

/* All that makes the session keep something. */
static const char dialogue_text[] =
    "EHLO client-with-a-long-name.example.net\r\nFROB\r\nRCPT TO:<a@b>\r\n"
    "AUTH LOGIN "
    "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFh\r\nd3Jvbmc=\r\n"
    "MAIL FROM:<sender-with-a-long-name@example.net> RET=FULL ENVID=0123456789012345678901234\r\n"
    "RCPT TO:<recipient-with-a-long-name@example.org> ORCPT=rfc822;recipient@example.org\r\n"
    "RCPT TO:<nobody@example.org>\r\nRCPT TO:<other@example.org>\r\n"
    "RCPT TO:<another-recipient-with-a-long-name@example.org>\r\n"
    "BDAT 3\r\nabcBDAT 3\r\ndefMAIL FROM:<>\r\nBDAT 0 LAST\r\n"
    "EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.org>\r\nDATA\r\nx\r\n.\r\n"
    "BDAT 3\r\nabcQUIT\r\n";

static void run(struct dialogue *t, size_t which)
{
    allocations = 0;
    fails = which;
    dialogue_open(t);
    t->verdict = reply_make(REPLY_OTHER, SPAN("a backend's word or two, long enough to need room"));
    t->verdict.code = 250;
    t->fit = true;
    dialogue_restart(t, true);
    dialogue_send(t, span_of(dialogue_text), 0);
}

static void test_each_allocation_may_fail(void **state)
{
    struct dialogue t;
    run(&t, 0);
    expect_span(span_after(buf_span(&t.replies), t.replies.len - 15), "221 2.0.0 Bye\r\n");
    const size_t all = allocations;
    dialogue_close(&t);
    assert_true(all >= 10);
    for (size_t i = 1; i <= all; i++) {
        run(&t, i);
        assert_true(t.ended);
        assert_false(t.spool_open);
        struct span last =
            SPAN("421 4.3.2 mx.example.org Too many connections, try again later\r\n");
        struct span replies = buf_span(&t.replies);
        assert_true(replies.len >= last.len);
        assert_true(span_equal(span_after(replies, replies.len - last.len), last));
        dialogue_close(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
