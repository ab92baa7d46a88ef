/* Couriers: a mailbox that hangs gets nothing and holds up no other; and what comes back late leaves
 * nothing behind.
 *
 * Calls on the mailboxes of bob (a link into it) and dave (the flush of a file in it) hang here until
 * a semaphore lets them go on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "sandbox.h"
#include "store/courier.h"

static sem_t go_on;
static _Atomic bool hangs;
static _Atomic int hanging;

static void hang_at(const char *path, const char *name)
{
    if (!hangs || !strstr(path, name))
        return;
    hanging++;
    while (sem_wait(&go_on) != 0)
        ;
    hanging--;
}

int __real_linkat(int from, const char *a, int to, const char *b, int flags);
int __wrap_linkat(int from, const char *a, int to, const char *b, int flags);
int __wrap_linkat(int from, const char *a, int to, const char *b, int flags)
{
    hang_at(b, "/bob/");
    return __real_linkat(from, a, to, b, flags);
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
    char name[64], path[1024];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(name, path, sizeof path - 1);
    path[len < 0 ? 0 : len] = 0;
    hang_at(path, "/dave/tmp/");
    return __real_fsync(fd);
}

struct message {
    struct sandbox *s;
    const char *to[4]; /* NULL: no more */
    size_t octets;
    int error[4];
    uint64_t ms; /* how long it took */
};

static void send_message(struct message *m)
{
    struct courier c = {0};
    char *text = calloc(1, m->octets);
    uint64_t begun = clock_mono_ms();
    assert_non_null(text);
    memset(text, 'x', m->octets);
    assert_true(courier_begin(&c, m->s->root, "host.test"));
    for (int i = 0; i < 4 && m->to[i]; i++)
        assert_int_equal(maildir_add(courier_message(&c), span_of(m->to[i]), SPAN("example.test")),
                         i);
    (void)courier_write(&c, (struct span){text, m->octets});
    courier_commit(&c);
    for (size_t i = 0; i < 4 && m->to[i]; i++)
        m->error[i] = maildir_error(courier_message(&c), i);
    m->ms = clock_mono_ms() - begun;
    courier_close(&c);
    free(text);
}

static void *send_in_thread(void *message)
{
    send_message(message);
    return NULL;
}

static int in_new(struct sandbox *s, const char *who, const char *folder)
{
    char path[64];
    snprintf(path, sizeof path, "example.test/%s/%s", who, folder);
    int n = sandbox_count(s, path, NULL);
    return n < 0 ? 0 : n;
}

static void until(struct sandbox *s, const char *who, const char *folder, int n)
{
    const struct timespec moment = {.tv_nsec = 5000000};
    for (uint64_t end = clock_mono_ms() + 60000; in_new(s, who, folder) != n;) {
        assert_true(clock_mono_ms() < end);
        nanosleep(&moment, NULL);
    }
}

static void test_messages_of_all_sizes_come_whole(void **state)
{
    static const size_t sizes[] = {0, 1, 65535, 65536, 65537, 300000, 1000000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct message m = {*state, {"alice", "carol"}, sizes[i], {1, 1}, 0};
        send_message(&m);
        assert_int_equal(m.error[0] || m.error[1], 0);
        size_t len = 0;
        char *text = sandbox_read(*state, "example.test/carol/new", &len);
        assert_non_null(text);
        assert_int_equal(len, sizes[i]);
        free(text);
        char command[128];
        snprintf(command, sizeof command, "rm %s/example.test/*/new/*",
                 ((struct sandbox *)*state)->path);
        assert_int_equal(system(command), 0);
        assert_int_equal(in_new(*state, "alice", "tmp"), 0);
    }
}

static void test_a_message_that_ends_early_leaves_nothing(void **state)
{
    struct courier c = {0};
    static char text[100000];
    struct sandbox *s = *state;
    assert_true(courier_begin(&c, s->root, "host.test"));
    assert_int_equal(maildir_add(courier_message(&c), SPAN("alice"), SPAN("example.test")), 0);
    assert_int_equal(courier_write(&c, (struct span){text, sizeof text}), 0);
    assert_int_equal(in_new(s, "alice", "tmp"), 1);
    courier_end(&c);
    assert_int_equal(in_new(s, "alice", "tmp"), 0);
    courier_close(&c);
    assert_int_equal(in_new(s, "alice", "new"), 0);
}

static void test_what_hangs_is_given_up_and_leaves_nothing(void **state)
{
    struct sandbox *s = *state;
    struct message link = {s, {"alice", "bob", "carol"}, 100, {1, 1, 1}, 0};
    struct message flush = {s, {"dave", "erin"}, 100000, {1, 1}, 0};
    struct message next = {s, {"alice", "bob"}, 100, {1, 1}, 0};
    struct message file = {s, {"dave", "erin"}, 100, {1, 1}, 0};
    pthread_t thread[2];

    hangs = true;
    assert_int_equal(pthread_create(&thread[0], NULL, send_in_thread, &link), 0);
    assert_int_equal(pthread_create(&thread[1], NULL, send_in_thread, &flush), 0);
    until(s, "carol", "new", 1); /* long before bob's mailbox is given up */
    assert_int_equal(hanging, 2);
    pthread_join(thread[0], NULL);
    pthread_join(thread[1], NULL);
    assert_int_equal(hanging, 2);
    assert_int_equal(link.error[0] || link.error[2], 0);
    assert_int_equal(link.error[1], -ETIMEDOUT);
    assert_int_equal(flush.error[0], -ETIMEDOUT);
    assert_int_equal(flush.error[1], -ETIMEDOUT); /* its octets are in dave's mailbox */
    assert_true(link.ms >= COURIER_PATIENCE_MS);

    send_message(&next);
    assert_int_equal(next.error[0], 0);
    assert_int_equal(next.error[1], -EBUSY);
    send_message(&file); /* erin's mailbox has the file now */
    assert_int_equal(file.error[0], -EBUSY);
    assert_int_equal(file.error[1], 0);
    assert_true(next.ms < COURIER_SLOW_MS && file.ms < COURIER_SLOW_MS);

    hangs = false;
    sem_post(&go_on);
    sem_post(&go_on);
    until(s, "dave", "tmp", 0);
    until(s, "alice", "tmp", 0); /* bob's link was taken back before */
    assert_int_equal(in_new(s, "bob", "new"), 0);
    assert_int_equal(in_new(s, "dave", "new"), 0);
    assert_int_equal(in_new(s, "alice", "new"), 2);
    assert_int_equal(in_new(s, "carol", "new"), 1);
    assert_int_equal(in_new(s, "erin", "new"), 1);

    send_message(&next);
    assert_int_equal(next.error[0] || next.error[1], 0);
    assert_int_equal(in_new(s, "bob", "new"), 1);
}

#define IN_SANDBOX(test) cmocka_unit_test_setup_teardown(test, sandbox_open, sandbox_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_SANDBOX(test_messages_of_all_sizes_come_whole),
        IN_SANDBOX(test_a_message_that_ends_early_leaves_nothing),
        IN_SANDBOX(test_what_hangs_is_given_up_and_leaves_nothing),
    };
    sem_init(&go_on, 0, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
