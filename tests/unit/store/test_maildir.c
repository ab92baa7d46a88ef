/* Maildir: all mailboxes or none, whole files only, and the machine's failures told as they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <sched.h>
#include <sys/mount.h>
#include <time.h>

#include "sandbox.h"
#include "store/leftovers.h"
#include "store/maildir.h"

static void begin(struct sandbox *s, struct maildir_message *m)
{
    maildir_begin(m, s->root, "host.test");
    assert_int_equal(maildir_add(m, SPAN("alice"), SPAN("example.test")), 0);
}

static void holds(struct sandbox *s, const char *folder, const char *expected)
{
    size_t len = 0;
    char *text = sandbox_read(s, folder, &len);
    assert_non_null(text);
    assert_string_equal(text, expected);
    free(text);
}

static void test_a_message_stands_in_new_and_nowhere_else(void **state)
{
    struct maildir_message m;
    begin(*state, &m);
    assert_int_equal(maildir_write(&m, SPAN("Subject: x\n\n")), 0);
    assert_int_equal(maildir_write(&m, SPAN("hello\n")), 0);
    assert_int_equal(maildir_commit(&m), 0);
    holds(*state, "example.test/alice/new", "Subject: x\n\nhello\n");
    assert_int_equal(sandbox_count(*state, "example.test/alice/tmp", NULL), 0);
    assert_int_equal(sandbox_count(*state, "example.test/alice/cur", NULL), 0);
}

static void test_every_recipient_gets_it_and_one_named_twice_gets_it_once(void **state)
{
    struct maildir_message m;
    begin(*state, &m);
    assert_int_equal(maildir_add(&m, SPAN("bob"), SPAN("example.test")), 0);
    assert_int_equal(maildir_add(&m, SPAN("alice"), SPAN("example.test")), 0);
    assert_int_equal(maildir_add(&m, SPAN("alice"), SPAN("other.test")), 0);
    maildir_write(&m, SPAN("to all\n"));
    assert_int_equal(maildir_commit(&m), 0);
    holds(*state, "example.test/alice/new", "to all\n");
    holds(*state, "example.test/bob/new", "to all\n");
    holds(*state, "other.test/alice/new", "to all\n");
}

static void test_an_empty_message_is_a_message(void **state)
{
    struct maildir_message m;
    begin(*state, &m);
    assert_int_equal(maildir_commit(&m), 0);
    holds(*state, "example.test/alice/new", "");
}

static void test_a_large_message_is_whole(void **state)
{
    struct maildir_message m;
    struct buf all = {0};
    begin(*state, &m);
    srand(1);
    while (all.len < 3000000) {
        char piece[50000];
        size_t n = (size_t)rand() % (rand() % 2 ? 100 : sizeof piece);
        memset(piece, 'a' + rand() % 26, n);
        assert_int_equal(buf_add(&all, piece, n), 0);
        assert_int_equal(maildir_write(&m, (struct span){piece, n}), 0);
    }
    assert_int_equal(m.size, all.len);
    assert_int_equal(maildir_commit(&m), 0);
    size_t len = 0;
    char *text = sandbox_read(*state, "example.test/alice/new", &len);
    assert_int_equal(len, all.len);
    assert_memory_equal(text, all.at, len);
    free(text);
    buf_free(&all);
}

static void test_what_is_dropped_leaves_nothing(void **state)
{
    struct maildir_message m;
    char big[40000] = {0};
    begin(*state, &m);
    assert_int_equal(maildir_write(&m, (struct span){big, sizeof big}), 0);
    assert_int_equal(sandbox_count(*state, "example.test/alice/tmp", NULL), 1);
    maildir_drop(&m);
    assert_int_equal(sandbox_count(*state, "example.test/alice/tmp", NULL), 0);
    assert_int_equal(sandbox_count(*state, "example.test/alice/new", NULL), 0);
}

static void test_two_messages_of_one_moment_are_two_files(void **state)
{
    for (int i = 0; i < 100; i++) {
        struct maildir_message m;
        begin(*state, &m);
        assert_int_equal(maildir_commit(&m), 0);
    }
    assert_int_equal(sandbox_count(*state, "example.test/alice/new", NULL), 100);
}

static void make_path(struct sandbox *s, const char *path, bool folder)
{
    char full[1024];
    snprintf(full, sizeof full, "%s/%s", s->path, path);
    if (folder)
        assert_int_equal(mkdir(full, 0700), 0);
    else
        close(open(full, O_CREAT | O_WRONLY, 0600));
}

static void test_when_one_mailbox_fails_none_has_the_message(void **state)
{
    struct maildir_message m;
    make_path(*state, "example.test", true);
    make_path(*state, "example.test/bob", true);
    make_path(*state, "example.test/bob/new", false); /* a file where the folder should be */
    begin(*state, &m);
    maildir_add(&m, SPAN("carol"), SPAN("example.test"));
    maildir_add(&m, SPAN("bob"), SPAN("example.test"));
    assert_int_equal(maildir_commit(&m), -ENOTDIR);
    assert_int_equal(sandbox_count(*state, "example.test/alice/new", NULL), 0);
    assert_int_equal(sandbox_count(*state, "example.test/carol/new", NULL), 0);
    assert_int_equal(sandbox_count(*state, "example.test/alice/tmp", NULL), 0);
}

static void test_a_hostile_address_stays_below_the_root(void **state)
{
    struct maildir_message m;
    maildir_begin(&m, ((struct sandbox *)*state)->root, "host.test");
    assert_int_equal(maildir_add(&m, SPAN("../../../tmp/x"), SPAN("..")), 0);
    assert_int_equal(maildir_commit(&m), 0);
    assert_int_equal(sandbox_count(*state, "%2E./%2E.%2F..%2F..%2Ftmp%2Fx/new", NULL), 1);
}

static void test_a_folder_that_cannot_be_written_is_an_error(void **state)
{
    struct sandbox *s = *state;
    struct maildir_message m;
    bool root = geteuid() == 0;
    chmod(s->path, 0555);
    if (root)
        assert_int_equal(seteuid(65534), 0); /* nothing is read-only for root */
    begin(s, &m);
    int error = maildir_commit(&m);
    if (root)
        assert_int_equal(seteuid(0), 0);
    chmod(s->path, 0700);
    assert_int_equal(error, -EACCES);
    assert_int_equal(sandbox_count(s, "example.test", NULL), -1);
}

/* A file system of 64 KiB in a mount name space of our own, so that it goes with the process. */
static bool mount_tiny(const char *path)
{
    return geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
           mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("tmpfs", path, "tmpfs", 0, "size=64k") == 0;
}

static int deliver_too_much(struct maildir_message *m)
{
    char block[20000] = {0};
    int error = 0;
    for (int i = 0; i < 10 && !error; i++)
        error = maildir_write(m, (struct span){block, sizeof block});
    if (error)
        maildir_drop(m);
    return error ? error : maildir_commit(m);
}

static void test_a_full_disk_is_told_and_leaves_nothing(void **state)
{
    struct sandbox *s = *state;
    struct maildir_message m;
    if (!mount_tiny(s->path)) {
        print_message("no right to mount a small file system here\n");
        skip();
    }
    int root = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    maildir_begin(&m, root, "host.test");
    maildir_add(&m, SPAN("alice"), SPAN("example.test"));
    int error = deliver_too_much(&m);
    int left = sandbox_count(s, "example.test/alice/tmp", NULL);
    close(root);
    umount(s->path);
    assert_int_equal(error, -ENOSPC);
    assert_int_equal(left, 0);
}

/* A mailbox on a file system of its own, which no link reaches. */
static void test_a_mailbox_on_another_disk_gets_a_copy(void **state)
{
    struct sandbox *s = *state;
    struct maildir_message m;
    char other[1024];
    make_path(s, "example.test", true);
    make_path(s, "example.test/bob", true);
    snprintf(other, sizeof other, "%s/example.test/bob", s->path);
    if (!mount_tiny(other)) {
        print_message("no right to mount a small file system here\n");
        skip();
    }
    close(s->root);
    s->root = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* the one that sees the mount */
    begin(s, &m);
    maildir_add(&m, SPAN("bob"), SPAN("example.test"));
    maildir_write(&m, SPAN("far away\n"));
    int error = maildir_commit(&m), left = sandbox_count(s, "example.test/bob/tmp", NULL);
    int come = sandbox_count(s, "example.test/bob/new", NULL);
    umount(other);
    assert_int_equal(error, 0);
    assert_int_equal(left, 0);
    assert_int_equal(come, 1);
    holds(s, "example.test/alice/new", "far away\n");
}

static int64_t now_s(void)
{
    return (int64_t)time(NULL);
}

static void test_only_old_files_are_leftovers(void **state)
{
    struct sandbox *s = *state;
    make_path(s, "alice", true);
    assert_int_equal(leftovers_remove(s->root, "alice", now_s() + 10 * LEFTOVERS_SECONDS), 0);
    make_path(s, "alice/tmp", true);
    make_path(s, "alice/tmp/1.M1P1Q1.host.test", false);
    make_path(s, "alice/tmp/2.of.another.program", false);
    make_path(s, "alice/tmp/folder", true);
    make_path(s, "alice/new", true);
    make_path(s, "alice/new/3.M1P1Q1.host.test", false);
    assert_int_equal(leftovers_remove(s->root, "alice", now_s() + LEFTOVERS_SECONDS - 60), 0);
    assert_int_equal(leftovers_remove(s->root, "alice", now_s() - 10 * LEFTOVERS_SECONDS), 0);
    assert_int_equal(sandbox_count(s, "alice/tmp", NULL), 3);
    assert_int_equal(leftovers_remove(s->root, "alice", now_s() + LEFTOVERS_SECONDS + 60), 2);
    assert_int_equal(sandbox_count(s, "alice/tmp", NULL), 1); /* the folder */
    assert_int_equal(sandbox_count(s, "alice/new", NULL), 1);
}

/* A link to a file elsewhere is no leftover, and is not followed. */
static void test_a_link_in_tmp_is_left_alone(void **state)
{
    struct sandbox *s = *state;
    make_path(s, "file", false);
    make_path(s, "alice", true);
    make_path(s, "alice/tmp", true);
    assert_int_equal(symlinkat("../../file", s->root, "alice/tmp/link"), 0);
    assert_int_equal(leftovers_remove(s->root, "alice", now_s() + 10 * LEFTOVERS_SECONDS), 0);
    assert_int_equal(sandbox_count(s, "alice/tmp", NULL), 1);
    assert_int_equal(faccessat(s->root, "file", F_OK, 0), 0);
}

/* Delivers a message to alice, as if it came that many seconds later. */
static void deliver_later(struct sandbox *s, int64_t later_s)
{
    struct maildir_message m;
    begin(s, &m);
    m.begun_s = now_s() + later_s;
    assert_int_equal(maildir_commit(&m), 0);
}

/* A store was killed within deliveries to alice, on two days. */
static void test_the_first_message_of_a_day_removes_leftovers(void **state)
{
    struct sandbox *s = *state;
    int64_t day = 24 * 3600;
    deliver_later(s, 0);
    make_path(s, "example.test/alice/tmp/1.M1P1Q1.host.test", false);
    deliver_later(s, day); /* not old enough */
    assert_int_equal(sandbox_count(s, "example.test/alice/tmp", NULL), 1);
    deliver_later(s, 2 * day);
    assert_int_equal(sandbox_count(s, "example.test/alice/tmp", NULL), 0);
    make_path(s, "example.test/alice/tmp/2.M1P1Q1.host.test", false);
    deliver_later(s, 2 * day); /* this day it has looked */
    assert_int_equal(sandbox_count(s, "example.test/alice/tmp", NULL), 1);
    deliver_later(s, 3 * day);
    assert_int_equal(sandbox_count(s, "example.test/alice/tmp", NULL), 0);
    assert_int_equal(sandbox_count(s, "example.test/alice/new", NULL), 5);
}

#define IN_SANDBOX(test) cmocka_unit_test_setup_teardown(test, sandbox_open, sandbox_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_SANDBOX(test_a_message_stands_in_new_and_nowhere_else),
        IN_SANDBOX(test_every_recipient_gets_it_and_one_named_twice_gets_it_once),
        IN_SANDBOX(test_an_empty_message_is_a_message),
        IN_SANDBOX(test_a_large_message_is_whole),
        IN_SANDBOX(test_what_is_dropped_leaves_nothing),
        IN_SANDBOX(test_two_messages_of_one_moment_are_two_files),
        IN_SANDBOX(test_when_one_mailbox_fails_none_has_the_message),
        IN_SANDBOX(test_a_hostile_address_stays_below_the_root),
        IN_SANDBOX(test_a_folder_that_cannot_be_written_is_an_error),
        IN_SANDBOX(test_only_old_files_are_leftovers),
        IN_SANDBOX(test_a_link_in_tmp_is_left_alone),
        IN_SANDBOX(test_the_first_message_of_a_day_removes_leftovers),
        IN_SANDBOX(test_a_full_disk_is_told_and_leaves_nothing),
        IN_SANDBOX(test_a_mailbox_on_another_disk_gets_a_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
