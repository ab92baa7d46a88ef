/* The store's LMTP, spoken over a socket pair: what a backend promises, it has on the disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/log.h"
#include "config/config.h"
#include "query/store_words.h"
#include "sandbox.h"
#include "store/lmtp.h"

/* A worker's end of a connection whose other end is served by a thread. */
struct backend_client {
    struct sandbox *sandbox;
    struct config config;
    struct lmtp_context context;
    const struct store_words *words; /* of the worker; NULL: none */
    pthread_t thread;
    bool joined; /* a test has waited for the thread itself */
    int fd, served;
    char heard[65536];
};

static void *serve(void *arg)
{
    struct backend_client *t = arg;
    lmtp_serve(&t->context, t->words, t->served);
    return NULL;
}

static int talk_open_with(void **state, const struct store_words *words)
{
    static char first[] = "example.test", second[] = "other.test", host[] = "mx.example.test",
                plus[] = "+";
    static char *domains[] = {first, second};
    struct backend_client *t = calloc(1, sizeof *t);
    struct timeval patience = {.tv_sec = 10};
    int pair[2];
    log_to(open("/dev/null", O_WRONLY | O_CLOEXEC));
    sandbox_open((void **)&t->sandbox);
    t->config.hostname = host;
    t->config.domains = (struct config_strings){domains, 2};
    t->config.recipient_delimiter = plus;
    t->context = (struct lmtp_context){&t->config, t->sandbox->root, eventfd(0, EFD_CLOEXEC)};
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
        return -1;
    t->words = words;
    t->fd = pair[0];
    t->served = pair[1];
    setsockopt(t->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    *state = t;
    return pthread_create(&t->thread, NULL, serve, t);
}

static int talk_open(void **state)
{
    return talk_open_with(state, NULL);
}

/* The worker's configuration is another one. */
static int talk_open_of_another(void **state)
{
    static const struct store_words words = {"other.test", "-"};
    return talk_open_with(state, &words);
}

static int talk_open_of_a_stranger(void **state)
{
    static const struct store_words words = {"foreign.test", ""};
    return talk_open_with(state, &words);
}

static int backend_client_close(void **state)
{
    struct backend_client *t = *state;
    close(t->fd);
    if (!t->joined)
        pthread_join(t->thread, NULL);
    close(t->context.stop);
    sandbox_close((void **)&t->sandbox);
    free(t);
    return 0;
}

/* Reads until `replies` complete replies have come; returns all of them. */
static const char *hear(struct backend_client *t, int replies)
{
    size_t len = 0, line = 0;
    while (replies > 0) {
        ssize_t n = recv(t->fd, t->heard + len, sizeof t->heard - 1 - len, 0);
        if (n <= 0)
            break;
        len += (size_t)n;
        for (char *end; (end = memchr(t->heard + line, '\n', len - line));) {
            if (end - (t->heard + line) >= 4 && t->heard[line + 3] == ' ')
                replies--;
            line = (size_t)(end + 1 - t->heard);
        }
    }
    t->heard[len] = 0;
    assert_int_equal(replies, 0);
    return t->heard;
}

static void say(struct backend_client *t, const char *text)
{
    assert_int_equal(send(t->fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Says `text`, which earns `replies` replies of which the last begins with `expected`. */
static void ask(struct backend_client *t, const char *text, int replies, const char *expected)
{
    say(t, text);
    const char *heard = hear(t, replies), *last = heard;
    for (const char *at = heard; (at = strchr(at, '\n')) && at[1]; at++)
        last = at + 1;
    assert_memory_equal(last, expected, strlen(expected));
}

static void greet(struct backend_client *t)
{
    hear(t, 1);
    ask(t, "LHLO worker\r\n", 1, "250");
}

static void file_is(struct backend_client *t, const char *folder, const char *expected)
{
    size_t len = 0;
    char *text = sandbox_read(t->sandbox, folder, &len);
    assert_non_null(text);
    assert_string_equal(text, expected);
    free(text);
}

static void test_a_burst_is_delivered_and_each_recipient_answered(void **state)
{
    struct backend_client *t = *state;
    greet(t);
    ask(t,
        "MAIL FROM:<a@elsewhere.test>\r\nRCPT TO:<Alice@Example.test>\r\nRCPT "
        "TO:<bob@other.test>\r\n"
        "DATA\r\n",
        4, "354");
    ask(t, "Subject: x\r\n\r\n..stuffed\r\n.\r\n", 2, "250");
    file_is(t, "example.test/alice/new",
            "Return-Path: <a@elsewhere.test>\nSubject: x\n\n.stuffed\n");
    file_is(t, "other.test/bob/new", "Return-Path: <a@elsewhere.test>\nSubject: x\n\n.stuffed\n");
}

/* A worker says so when a store has died behind its final dot. */
static void test_a_message_that_comes_again_leaves_no_second_copy(void **state)
{
    struct backend_client *t = *state;
    hear(t, 1);
    say(t, "LHLO worker\r\n");
    assert_non_null(strstr(hear(t, 1), "XAGAIN\r\n"));
    ask(t, "MAIL FROM:<a@b.test>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n", 3, "354");
    ask(t, "x\r\n.\r\n", 1, "250");
    for (int i = 0; i < 2; i++) {
        ask(t,
            "MAIL FROM:<a@b.test> RET=HDRS XAGAIN\r\nRCPT TO:<alice@example.test>\r\n"
            "RCPT TO:<bob@other.test>\r\nDATA\r\n",
            4, "354");
        ask(t, "x\r\n.\r\n", 2, "250");
        file_is(t, "example.test/alice/new", "Return-Path: <a@b.test>\nx\n");
        file_is(t, "other.test/bob/new", "Return-Path: <a@b.test>\nx\n");
    }
    ask(t, "MAIL FROM:<a@b.test> RET=HDRS\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n", 3, "354");
    ask(t, "x\r\n.\r\n", 1, "250");
    assert_int_equal(sandbox_count(t->sandbox, "example.test/alice/new", NULL), 2);
}

static void test_a_bounce_has_an_empty_return_path(void **state)
{
    struct backend_client *t = *state;
    greet(t);
    ask(t, "MAIL FROM:<>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n", 3, "354");
    ask(t, "x\r\n.\r\n", 1, "250");
    file_is(t, "example.test/alice/new", "Return-Path: <>\nx\n");
}

static void test_chunks_are_delivered_unstuffed(void **state)
{
    struct backend_client *t = *state;
    greet(t);
    ask(t, "MAIL FROM:<a@b.test>\r\nRCPT TO:<alice@example.test>\r\n", 2, "250");
    ask(t, "BDAT 7\r\n.one\r\n.", 1, "250");
    ask(t, "BDAT 5 LAST\r\ntwo\r\n", 1, "250");
    file_is(t, "example.test/alice/new", "Return-Path: <a@b.test>\n.one\n.two\n");
}

static void test_a_tag_is_delivered_to_its_owner(void **state)
{
    struct backend_client *t = *state;
    greet(t);
    ask(t,
        "MAIL FROM:<a@b.test>\r\nRCPT TO:<alice+lists@example.test>\r\nRCPT "
        "TO:<alice@example.test>\r\n"
        "DATA\r\n",
        4, "354");
    ask(t, "x\r\n.\r\n", 2, "250");
    file_is(t, "example.test/alice/new", "Return-Path: <a@b.test>\nx\n");
}

static void test_a_bare_postmaster_is_the_first_domains(void **state)
{
    struct backend_client *t = *state;
    greet(t);
    ask(t, "MAIL FROM:<a@b.test>\r\nRCPT TO:<Postmaster>\r\nDATA\r\n", 3, "354");
    ask(t, "x\r\n.\r\n", 1, "250");
    file_is(t, "example.test/postmaster/new", "Return-Path: <a@b.test>\nx\n");
}

static void test_what_a_tag_is_and_whose_the_postmaster_the_worker_says(void **state)
{
    struct backend_client *t = *state;
    greet(t);
    ask(t,
        "MAIL FROM:<a@b.test>\r\nRCPT TO:<Postmaster>\r\nRCPT TO:<alice-x@example.test>\r\n"
        "RCPT TO:<bob+x@example.test>\r\nDATA\r\n",
        5, "354");
    ask(t, "x\r\n.\r\n", 3, "250");
    file_is(t, "other.test/postmaster/new", "Return-Path: <a@b.test>\nx\n");
    file_is(t, "example.test/alice/new", "Return-Path: <a@b.test>\nx\n");
    file_is(t, "example.test/bob+x/new", "Return-Path: <a@b.test>\nx\n");
}

static void test_the_postmaster_of_a_foreign_domain_cannot_be_stored(void **state)
{
    struct backend_client *t = *state;
    greet(t);
    ask(t, "MAIL FROM:<a@b.test>\r\nRCPT TO:<postmaster>\r\n", 2, "451 4.3.0");
}

/* Its worker may be of another generation, so no client may hear that its recipient is unknown. */
static void test_a_foreign_domain_cannot_be_stored(void **state)
{
    struct backend_client *t = *state;
    greet(t);
    ask(t, "MAIL FROM:<a@b.test>\r\nRCPT TO:<alice@foreign.test>\r\n", 2, "451 4.3.0");
}

static void test_a_quoted_path_stays_inside(void **state)
{
    struct backend_client *t = *state;
    greet(t);
    ask(t, "MAIL FROM:<a@b.test>\r\nRCPT TO:<\"../../x y\"@example.test>\r\nDATA\r\n", 3, "354");
    ask(t, "x\r\n.\r\n", 1, "250");
    assert_int_equal(sandbox_count(t->sandbox, "example.test", NULL), 1);
    assert_int_equal(sandbox_count(t->sandbox, "example.test/%22..%2F..%2Fx%20y%22/new", NULL), 1);
}

static void test_a_large_message_with_long_lines_is_whole(void **state)
{
    struct backend_client *t = *state;
    enum { LINES = 40, LENGTH = 50000 };
    char *line = malloc(LENGTH + 3);
    memset(line, 'x', LENGTH);
    memcpy(line + LENGTH, "\r\n", 3);
    greet(t);
    ask(t, "MAIL FROM:<a@b.test>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n", 3, "354");
    for (int i = 0; i < LINES; i++)
        say(t, line);
    ask(t, ".\r\n", 1, "250");
    size_t len = 0;
    char *text = sandbox_read(t->sandbox, "example.test/alice/new", &len);
    assert_non_null(text);
    assert_int_equal(len, strlen("Return-Path: <a@b.test>\n") + LINES * (LENGTH + 1));
    free(text);
    free(line);
}

static void test_a_connection_cut_within_a_message_leaves_nothing(void **state)
{
    struct backend_client *t = *state;
    char big[100000];
    greet(t);
    ask(t, "MAIL FROM:<a@b.test>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n", 3, "354");
    memset(big, 'y', sizeof big - 1);
    big[sizeof big - 1] = 0;
    say(t, big);
    say(t, "\r\n.");
    shutdown(t->fd, SHUT_RDWR);
    pthread_join(t->thread, NULL);
    t->joined = true;
    assert_int_equal(sandbox_count(t->sandbox, "example.test/alice/tmp", NULL), 0);
    assert_true(sandbox_count(t->sandbox, "example.test/alice/new", NULL) <= 0);
}

/* The codes of the replies to `text`, in their order. */
static void codes(struct backend_client *t, const char *text, const char *expected)
{
    char got[256] = "";
    int replies = 1;
    for (const char *at = expected; (at = strchr(at, ' ')); at++)
        replies++;
    say(t, text);
    for (const char *line = hear(t, replies); *line; line = strchr(line, '\n') + 1) {
        snprintf(got + strlen(got), sizeof got - strlen(got), "%s%.3s", *got ? " " : "", line);
        assert_int_equal(line[3], ' ');
    }
    assert_string_equal(got, expected);
}

/* A file where the folder of a mailbox or of a domain should be. */
static void damage(struct backend_client *t, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", t->sandbox->path, name);
    close(open(path, O_CREAT | O_WRONLY, 0600));
}

static void mend(struct backend_client *t, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", t->sandbox->path, name);
    assert_int_equal(unlink(path), 0);
}

#define MAIL  "MAIL FROM:<a@b.test>\r\n"
#define ALICE "RCPT TO:<alice@example.test>\r\n"
#define BOB   "RCPT TO:<bob@other.test>\r\n"
#define CAROL "RCPT TO:<carol@example.test>\r\n"

static void test_a_mailbox_that_fails_concerns_no_other(void **state)
{
    struct backend_client *t = *state;
    damage(t, "other.test");
    greet(t);
    codes(t, MAIL BOB ALICE CAROL "DATA\r\n", "250 250 250 250 354");
    codes(t, "x\r\n.\r\n", "451 250 250");
    assert_non_null(strstr(t->heard, "451 4.3.0 Mail cannot be handed on now"));
    codes(t, MAIL ALICE BOB "BDAT 3 LAST\r\nx\r\n", "250 250 250 250 451");
    assert_int_equal(sandbox_count(t->sandbox, "example.test/alice/new", NULL), 2);
    assert_int_equal(sandbox_count(t->sandbox, "example.test/alice/tmp", NULL), 0);
    file_is(t, "example.test/carol/new", "Return-Path: <a@b.test>\nx\n");
    mend(t, "other.test");
    codes(t, MAIL ALICE BOB "DATA\r\n", "250 250 250 354");
    codes(t, "y\r\n.\r\nNOOP\r\n", "250 250 250");
    file_is(t, "other.test/bob/new", "Return-Path: <a@b.test>\ny\n");
}

/* A mailbox has one answer, under however many names it is. */
static void test_names_of_one_mailbox_have_its_answer(void **state)
{
    struct backend_client *t = *state;
    damage(t, "other.test");
    greet(t);
    codes(t,
          MAIL BOB ALICE
          "RCPT TO:<Bob+lists@Other.test>\r\nRCPT TO:<alice+x@example.test>\r\n" BOB CAROL
          "DATA\r\n",
          "250 250 250 250 250 250 250 354");
    codes(t, "x\r\n.\r\n", "451 250 451 250 451 250");
    file_is(t, "example.test/alice/new", "Return-Path: <a@b.test>\nx\n");
    mend(t, "other.test");
    codes(t, MAIL BOB "RCPT TO:<bob+lists@other.test>\r\nDATA\r\n", "250 250 250 354");
    codes(t, "x\r\n.\r\n", "250 250");
    file_is(t, "other.test/bob/new", "Return-Path: <a@b.test>\nx\n");
}

static void test_when_all_fail_each_hears_it(void **state)
{
    struct backend_client *t = *state;
    damage(t, "other.test");
    damage(t, "example.test");
    greet(t);
    codes(t, MAIL ALICE BOB CAROL "DATA\r\n", "250 250 250 250 354");
    codes(t, "x\r\n.\r\n" MAIL, "451 451 451 250");
}

/* One line for each reason, with the mailbox; those that have the message are in none of them. */
static void test_the_log_names_the_mailbox_and_the_reason(void **state)
{
    struct backend_client *t = *state;
    char text[4096];
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    log_to(pipes[1]);
    damage(t, "other.test");
    greet(t);
    codes(t, MAIL ALICE BOB CAROL "RCPT TO:<bob+1@other.test>\r\nDATA\r\n",
          "250 250 250 250 250 354");
    codes(t, "x\r\n.\r\n", "250 451 250 451");
    ssize_t len = read(pipes[0], text, sizeof text - 1);
    text[len < 0 ? 0 : len] = 0;
    char *stored = strstr(text, "event=stored"), *failed = strstr(text, "event=not_stored");
    assert_true(stored && failed && stored < failed);
    assert_non_null(
        strstr(failed, "error=\"Not a directory\" mailbox=other.test/bob from=a@b.test"));
    assert_non_null(strstr(failed, "to=bob@other.test to=bob+1@other.test"));
    assert_null(strstr(failed, "to=alice"));
    assert_null(strstr(failed + 1, "event="));
    failed[0] = 0;
    assert_non_null(strstr(stored, "to=alice@example.test to=carol@example.test"));
    assert_null(strstr(stored, "to=bob"));
    log_to(open("/dev/null", O_WRONLY | O_CLOEXEC));
    close(pipes[0]);
    close(pipes[1]);
}

static void test_an_idle_session_ends_when_the_store_does(void **state)
{
    struct backend_client *t = *state;
    greet(t);
    eventfd_write(t->context.stop, 1);
    assert_memory_equal(hear(t, 1), "421 ", 4);
    assert_int_equal(recv(t->fd, t->heard, 1, 0), 0);
}

static void test_a_message_in_progress_is_finished_before_the_end(void **state)
{
    struct backend_client *t = *state;
    greet(t);
    ask(t, "MAIL FROM:<a@b.test>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n", 3, "354");
    eventfd_write(t->context.stop, 1);
    say(t, "x\r\n.\r\n");
    const char *heard = hear(t, 2);
    assert_memory_equal(heard, "250", 3);
    assert_non_null(strstr(heard, "\n421"));
    file_is(t, "example.test/alice/new", "Return-Path: <a@b.test>\nx\n");
}

#define IN_TALK(test) cmocka_unit_test_setup_teardown(test, talk_open, backend_client_close)
#define IN_TALK_OF(whose, test)                                                                    \
    cmocka_unit_test_setup_teardown(test, talk_open_of_##whose, backend_client_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_TALK(test_a_burst_is_delivered_and_each_recipient_answered),
        IN_TALK(test_a_message_that_comes_again_leaves_no_second_copy),
        IN_TALK(test_a_bounce_has_an_empty_return_path),
        IN_TALK(test_chunks_are_delivered_unstuffed),
        IN_TALK(test_a_tag_is_delivered_to_its_owner),
        IN_TALK(test_a_bare_postmaster_is_the_first_domains),
        IN_TALK_OF(another, test_what_a_tag_is_and_whose_the_postmaster_the_worker_says),
        IN_TALK_OF(a_stranger, test_the_postmaster_of_a_foreign_domain_cannot_be_stored),
        IN_TALK(test_a_foreign_domain_cannot_be_stored),
        IN_TALK(test_a_quoted_path_stays_inside),
        IN_TALK(test_a_large_message_with_long_lines_is_whole),
        IN_TALK(test_a_connection_cut_within_a_message_leaves_nothing),
        IN_TALK(test_a_mailbox_that_fails_concerns_no_other),
        IN_TALK(test_names_of_one_mailbox_have_its_answer),
        IN_TALK(test_when_all_fail_each_hears_it),
        IN_TALK(test_the_log_names_the_mailbox_and_the_reason),
        IN_TALK(test_an_idle_session_ends_when_the_store_does),
        IN_TALK(test_a_message_in_progress_is_finished_before_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
