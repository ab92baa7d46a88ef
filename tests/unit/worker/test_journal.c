/* log_level = "debug": each decision of a connection's life is one readable line (issue 14). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "fake.h"
#include "worker/freeze.h"

enum { SECOND = 1000 };
#define WHO "192.0.2.7"

static struct fake f;
static int to;

static int setup(void **state)
{
    fake_open(&f);
    to = memfd_create("log", MFD_CLOEXEC);
    log_to(to);
    log_open(LOG_TEXT, LOG_DEBUG, "worker 0");
    return to >= 0 ? 0 : -1;
}

static int teardown(void **state)
{
    fake_close(&f);
    log_to(2);
    close(to);
    return 0;
}

/* All that was logged so far. */
static const char *logged(void)
{
    static char text[65536];
    ssize_t n = pread(to, text, sizeof text - 1, 0);

    text[n > 0 ? n : 0] = '\0';
    return text;
}

/* These stand in the log, in this order, each in a line of this client. */
static void assert_lines(const char *const *line, size_t count)
{
    const char *at = logged();

    for (size_t i = 0; i < count; i++) {
        const char *found = strstr(at, line[i]);
        if (!found)
            fail_msg("%s is not (or not there) in\n%s", line[i], logged());
        const char *begin = found;
        while (begin > logged() && begin[-1] != '\n')
            begin--;
        if (!strstr(begin, "client=" WHO) || strstr(begin, "client=" WHO) > strchr(found, '\n'))
            fail_msg("%s is not about the client", line[i]);
        at = found + strlen(line[i]);
    }
}
#define ASSERT_LINES(...)                                                                          \
    do {                                                                                           \
        static const char *const lines[] = {__VA_ARGS__};                                          \
        assert_lines(lines, sizeof lines / sizeof lines[0]);                                       \
    } while (0)

static void answer_next(enum query_queue queue, enum answer_result result)
{
    struct query_packet q;

    assert_true(fake_asked(f.clerk[queue], &q));
    fake_answer(&f, q.head.id, result);
}

static void test_a_refused_recipient_is_told_from_greeting_to_end(void **state)
{
    struct fake_client client = fake_in_mail(&f, WHO);

    f.w->tarpit.rules.drip = 5 * SECOND;
    fake_say(&f, &client, "RCPT TO:<alice@example.org>\r\n");
    answer_next(QUERY_FIRST, ANSWER_YES);
    fake_say(&f, &client, "RCPT TO:<nobody@example.org>\r\n");
    fake_pass(&f, SECOND);
    answer_next(QUERY_FIRST, ANSWER_NO);
    fake_pass(&f, 30 * SECOND);
    fake_say(&f, &client, "QUIT\r\n");
    fake_pass(&f, 100 * SECOND);
    ASSERT_LINES("what=greets", "what=\"asks a clerk\" about=recipient",
                 "what=\"a clerk answers\" about=\"recipient, after 0.0 s: yes\"",
                 "what=\"accepts recipient\" about=\"alice@example.org, rule none, held 0.0 s\"",
                 "what=\"asks a clerk\" about=recipient",
                 "what=\"a clerk answers\" about=\"recipient, after 1.0 s: no\"", "event=refused",
                 "event=hold", "phase=held what=drips about=\"line 1 of 550\"",
                 "what=\"releases the reply\" about=\"550 after 20.0 s of 20.0 s\"",
                 "event=session");
}

static void test_other_decisions_have_a_line_each(void **state)
{
    struct fake_client client = fake_connect(&f, WHO);

    fake_say(&f, &client, "EHLO client.example\r\nAUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n");
    answer_next(QUERY_STRANGERS, ANSWER_NO);
    ASSERT_LINES("what=\"asks a clerk\" about=password",
                 "what=\"password wrong\" about=\"alice, rule R1, held 20.0 s\"");
    assert_null(strstr(logged(), "secret"));
    fake_pass(&f, 30 * SECOND);
    fake_owe(&f, WHO, 60);
    fake_say(&f, &client, "AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n");
    ASSERT_LINES("what=\"masks the verdict\" about=\"the client is on the shield (R7); nothing is "
                 "looked up\"");
}

static void test_no_answer_in_time_is_told(void **state)
{
    struct fake_client client = fake_in_mail(&f, WHO);

    fake_say(&f, &client, "RCPT TO:<alice@example.org>\r\n");
    fake_pass(&f, QUERY_TIMEOUT_MS);
    ASSERT_LINES("what=\"no clerk answers\" about=\"recipient, after 20.0 s\"");
}

static void test_freezing_and_its_obstacles_are_told(void **state)
{
    f.w->tarpit.rules.freeze = FREEZE_AUTO;
    f.w->tarpit.rules.freeze_after = SECOND;
    f.w->tarpit.rules.patience_offences = 0;
    fake_freezer(&f);
    struct fake_client client = fake_connect(&f, WHO);
    client.c->flags |= CONN_PROXIED;
    fake_say(&f, &client, "NONSENSE\r\nNOOP\r\n");
    fake_pass(&f, 2 * SECOND);
    ASSERT_LINES("what=\"is not frozen\" about=\"the client has sent more\"");
    fake_pass(&f, 30 * SECOND);
    fake_say(&f, &client, "NONSENSE\r\n");
    close(f.freezer); /* so the batch comes back at once */
    f.freezer = -1;
    fake_pass(&f, 2 * SECOND);
    ASSERT_LINES("phase=held what=freezes about=\"for ", "what=thaws about=");
}

static void test_room_that_is_made_is_told_before_the_session_ends(void **state)
{
    f.w->tarpit.rules.pace = false;
    f.w->held_max = 1;
    struct fake_client client = fake_connect(&f, WHO);
    fake_owe(&f, WHO, 9);
    fake_say(&f, &client, "NONSENSE\r\n");
    struct fake_client other = fake_connect(&f, "198.51.100.1");
    fake_say(&f, &other, "NONSENSE\r\n");
    ASSERT_LINES("what=\"makes room\" about=\"the deepest in debt of 1 held\"", "result=evicted");
}

static void test_nothing_of_it_is_written_at_info(void **state)
{
    log_open(LOG_TEXT, LOG_INFO, "worker 0");
    struct fake_client client = fake_in_mail(&f, WHO);
    fake_say(&f, &client, "RCPT TO:<nobody@example.org>\r\n");
    answer_next(QUERY_FIRST, ANSWER_NO);
    fake_pass(&f, 30 * SECOND);
    assert_non_null(strstr(logged(), "event=refused"));
    assert_null(strstr(logged(), "event=decision"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_refused_recipient_is_told_from_greeting_to_end),
        TEST(test_other_decisions_have_a_line_each),
        TEST(test_no_answer_in_time_is_told),
        TEST(test_freezing_and_its_obstacles_are_told),
        TEST(test_room_that_is_made_is_told_before_the_session_ends),
        TEST(test_nothing_of_it_is_written_at_info),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
