/* Maildir: each mailbox on its own, whole files only, and the machine's failures told as they are. */
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
#include "store/twin.h"

/* ---- calls that fail in one mailbox ---- */

/* Calls whose path, or the path of whose file, has `where` fail: a write that would make its file
 * larger than `octets`, and other calls always. */
static struct fault {
    const char *call, *where;
    int error;
    off_t octets;
    unsigned failed; /* how often it has */
    bool lost;       /* then the file has lost its octets, too */
} fault;

static bool fails(const char *call, const char *path)
{
    if (!fault.call || strcmp(call, fault.call) != 0 || !strstr(path, fault.where))
        return false;
    fault.failed++;
    errno = fault.error;
    return true;
}

static bool fails_of(const char *call, int fd)
{
    char name[64], path[1024];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(name, path, sizeof path - 1);
    path[len < 0 ? 0 : len] = 0;
    return fails(call, path);
}

ssize_t __real_write(int fd, const void *octets, size_t n);
ssize_t __wrap_write(int fd, const void *octets, size_t n);
ssize_t __wrap_write(int fd, const void *octets, size_t n)
{
    off_t at = fault.call ? lseek(fd, 0, SEEK_CUR) : 0;
    off_t room = fault.octets > at ? fault.octets - at : 0;
    if ((off_t)n <= room || !fails_of("write", fd))
        return __real_write(fd, octets, n);
    if (room > 0)
        return __real_write(fd, octets, (size_t)room); /* at first a part, as on a disk */
    assert_true(!fault.lost || ftruncate(fd, 0) == 0);
    errno = fault.error;
    return -1;
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
    return fails_of("fsync", fd) ? -1 : __real_fsync(fd);
}

int __real_linkat(int from, const char *a, int to, const char *b, int flags);
int __wrap_linkat(int from, const char *a, int to, const char *b, int flags);
int __wrap_linkat(int from, const char *a, int to, const char *b, int flags)
{
    return fails("linkat", b) ? -1 : __real_linkat(from, a, to, b, flags);
}

int __real_mkdirat(int at, const char *path, mode_t mode);
int __wrap_mkdirat(int at, const char *path, mode_t mode);
int __wrap_mkdirat(int at, const char *path, mode_t mode)
{
    return fails("mkdirat", path) ? -1 : __real_mkdirat(at, path, mode);
}

/* ---- messages ---- */

/* What courier.c does in several threads. */
static int put(struct maildir_message *m, struct span octets)
{
    for (;;) {
        octets = span_after(octets, maildir_keep(m, octets));
        if (octets.len == 0)
            return 0;
        int error = maildir_flush(m);
        if (error)
            return error;
    }
}

static void finish(struct maildir_message *m)
{
    maildir_prepare(m);
    maildir_deliver(m);
}

static void begin(struct sandbox *s, struct maildir_message *m)
{
    maildir_begin(m, s->root, "host.test");
    assert_int_equal(maildir_add(m, SPAN("alice"), SPAN("example.test")), 0);
}

/* Ends a message: the outcome of the mailbox that fails, if one does. */
static int commit(struct maildir_message *m)
{
    int error = 0;
    finish(m);
    for (size_t i = 0; i < m->boxes && !error; i++)
        error = maildir_error(m, i);
    maildir_drop(m);
    return error;
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
    assert_int_equal(put(&m, SPAN("Subject: x\n\n")), 0);
    assert_int_equal(put(&m, SPAN("hello\n")), 0);
    assert_int_equal(commit(&m), 0);
    holds(*state, "example.test/alice/new", "Subject: x\n\nhello\n");
    assert_int_equal(sandbox_count(*state, "example.test/alice/tmp", NULL), 0);
    assert_int_equal(sandbox_count(*state, "example.test/alice/cur", NULL), 0);
}

static void test_every_recipient_gets_it_and_one_named_twice_gets_it_once(void **state)
{
    struct maildir_message m;
    begin(*state, &m);
    assert_int_equal(maildir_add(&m, SPAN("bob"), SPAN("example.test")), 1);
    assert_int_equal(maildir_add(&m, SPAN("alice"), SPAN("example.test")), 0);
    assert_int_equal(maildir_add(&m, SPAN("alice"), SPAN("other.test")), 2);
    put(&m, SPAN("to all\n"));
    assert_int_equal(commit(&m), 0);
    holds(*state, "example.test/alice/new", "to all\n");
    holds(*state, "example.test/bob/new", "to all\n");
    holds(*state, "other.test/alice/new", "to all\n");
}

static void test_an_empty_message_is_a_message(void **state)
{
    struct maildir_message m;
    begin(*state, &m);
    assert_int_equal(commit(&m), 0);
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
        assert_int_equal(put(&m, (struct span){piece, n}), 0);
    }
    assert_int_equal(m.size, all.len);
    assert_int_equal(commit(&m), 0);
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
    char big[100000] = {0};
    begin(*state, &m);
    assert_int_equal(put(&m, (struct span){big, sizeof big}), 0);
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
        assert_int_equal(commit(&m), 0);
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

/* ---- mailboxes that fail ---- */

enum { PEOPLE = 3, LONG = 400000 };
static const char *const people[PEOPLE] = {"alice", "bob", "carol"};

static char *long_text(size_t len)
{
    char *text = calloc(1, len + 1);
    for (size_t i = 0; i < len; i++)
        text[i] = (char)('a' + i * 7 % 26 + (i / 4096) % 2);
    return text;
}

/* Delivers a message to all, `first` first, and sets the outcome of each. */
static void deliver_to_all(struct sandbox *s, const char *text, int first, int error[PEOPLE])
{
    struct maildir_message m;
    size_t len = strlen(text);
    maildir_begin(&m, s->root, "host.test");
    for (int i = 0; i < PEOPLE; i++) {
        int box = maildir_add(&m, span_of(people[(first + i) % PEOPLE]), SPAN("example.test"));
        assert_int_equal(box, i);
    }
    int failed = 0;
    for (size_t at = 0; at < len && !failed;) {
        size_t piece = 1 + (size_t)rand() % (rand() % 2 ? 100 : 30000);
        piece = piece < len - at ? piece : len - at;
        failed = put(&m, (struct span){text + at, piece});
        at += piece;
    }
    finish(&m);
    for (int i = 0; i < PEOPLE; i++) {
        error[(first + i) % PEOPLE] = maildir_error(&m, (size_t)i);
        assert_true(!failed || maildir_error(&m, (size_t)i) < 0);
    }
    maildir_drop(&m);
}

/* Who is told that it has the message has it whole and once; the others have nothing of it. */
static void outcome_is_true(struct sandbox *s, const char *text, const int error[PEOPLE])
{
    for (int i = 0; i < PEOPLE; i++) {
        char folder[64];
        snprintf(folder, sizeof folder, "example.test/%s/new", people[i]);
        if (!error[i])
            holds(s, folder, text);
        else
            assert_true(sandbox_count(s, folder, NULL) <= 0);
        snprintf(folder, sizeof folder, "example.test/%s/tmp", people[i]);
        assert_true(sandbox_count(s, folder, NULL) <= 0);
    }
}

static void empty(struct sandbox *s)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s/*", s->path);
    assert_int_equal(system(command), 0);
}

/* Forgets who has failed as a holder before. */
static void trust_all(void)
{
    for (int i = 0; i < PEOPLE; i++) {
        struct box_path box;
        box_path(&box, span_of(people[i]), SPAN("example.test"));
        box_trust(&box);
    }
}

static void only_bob_fails(struct sandbox *s, const char *text, int first, int expected)
{
    int error[PEOPLE];
    deliver_to_all(s, text, first, error);
    assert_int_equal(error[0], 0);
    assert_int_equal(error[1], expected);
    assert_int_equal(error[2], 0);
    outcome_is_true(s, text, error);
}

/* Wherever a file is in the way of a folder of bob's, and in each order. */
static void test_a_mailbox_that_is_in_the_way_fails_alone(void **state)
{
    static const char *const damaged[] = {"example.test/bob", "example.test/bob/new",
                                          "example.test/bob/tmp"};
    char *texts[] = {long_text(10), long_text(LONG)};
    for (size_t where = 0; where < sizeof damaged / sizeof *damaged; where++)
        for (int first = 0; first < PEOPLE; first++)
            for (int i = 0; i < 2; i++) {
                trust_all();
                make_path(*state, "example.test", true);
                if (where > 0)
                    make_path(*state, "example.test/bob", true);
                make_path(*state, damaged[where], false);
                if (where == 2 && first != 1) { /* its own tmp is not needed then */
                    int error[PEOPLE];
                    deliver_to_all(*state, texts[i], first, error);
                    assert_int_equal(error[0] || error[2], 0);
                } else {
                    only_bob_fails(*state, texts[i], first, -ENOTDIR);
                }
                empty(*state);
            }
    free(texts[0]);
    free(texts[1]);
}

/* Each call fails in bob's mailbox, from each octet block on, in each order: neither alice nor
 * carol notices. */
static void test_a_call_that_fails_in_one_mailbox_concerns_no_other(void **state)
{
    static const struct fault faults[] = {
        {"write", "/bob/tmp/", EDQUOT, 0},
        {"write", "/bob/tmp/", ENOSPC, 1},
        {"write", "/bob/tmp/", EIO, 16 * 1024},
        {"write", "/bob/tmp/", EDQUOT, LONG - 1},
        {"linkat", "/bob/new/", EDQUOT},
        {"linkat", "/bob/new/", EIO},
        {"mkdirat", "/bob", ENOSPC},
        {"mkdirat", "/bob/new", EACCES},
        {"fsync", "/bob/new", EIO},
        {"fsync", "example.test/bob", EIO},
    };
    char *text = long_text(LONG);
    srand(2);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        for (int first = 0; first < PEOPLE; first++) {
            bool as_holder = strcmp(faults[i].call, "write") == 0;
            int error[PEOPLE];
            trust_all();
            fault = faults[i];
            deliver_to_all(*state, text, first, error);
            bool held = first == 1, failed = fault.failed;
            fault.call = NULL;
            if (strcmp(faults[i].call, "fsync") == 0 && held && error[0]) {
                assert_int_equal(error[0], -EIO); /* the file itself: see the next test */
            } else {
                assert_true(failed || (as_holder && !held));
                assert_int_equal(error[0], 0);
                assert_int_equal(error[1], failed ? -faults[i].error : 0);
                assert_int_equal(error[2], 0);
            }
            outcome_is_true(*state, text, error);
            empty(*state);
        }
    free(text);
}

/* Nothing is known of the octets after a flush of the file that failed, so nobody gets them. But the
 * sender's next try has another holder, for as long as the first has taken nothing. */
static void test_a_file_that_cannot_be_flushed_is_for_nobody_and_the_next_is_elsewhere(void **state)
{
    char *text = long_text(LONG);
    int error[PEOPLE];
    trust_all();
    fault = (struct fault){"fsync", "/bob/tmp/", EDQUOT};
    deliver_to_all(*state, text, 1, error);
    for (int i = 0; i < PEOPLE; i++)
        assert_int_equal(error[i], -EDQUOT);
    outcome_is_true(*state, text, error);
    deliver_to_all(*state, text, 1, error);
    for (int i = 0; i < PEOPLE; i++) /* bob gets a link to another one's file */
        assert_int_equal(error[i], 0);
    outcome_is_true(*state, text, error);
    assert_int_equal(fault.failed, 1);
    fault.call = NULL;
    free(text);
}

/* What is written cannot be read back, so the message cannot go on in another file. That is not the
 * fault of the others: the sender's next try begins with one of them. */
static void test_a_holder_that_can_neither_be_written_nor_read_blames_no_other(void **state)
{
    char *text = long_text(LONG);
    int error[PEOPLE];
    trust_all();
    fault = (struct fault){"write", "/bob/tmp/", EIO, LONG / 2, .lost = true};
    deliver_to_all(*state, text, 1, error);
    for (int i = 0; i < PEOPLE; i++)
        assert_int_equal(error[i], -EIO);
    outcome_is_true(*state, text, error);
    deliver_to_all(*state, text, 1, error);
    for (int i = 0; i < PEOPLE; i++)
        assert_int_equal(error[i], 0);
    outcome_is_true(*state, text, error);
    fault = (struct fault){0};
    free(text);
}

/* Each of them may be asked to hold the message, and each fails late: that many copies would take
 * longer than the worker waits. Nobody gets the rest that comes after the last failure. */
static void test_few_mailboxes_are_tried_as_holders_of_a_long_message(void **state)
{
    enum { MANY = 40 };
    struct sandbox *s = *state;
    struct maildir_message m;
    char *text = long_text(LONG), name[16], folder[64];
    maildir_begin(&m, s->root, "host.test");
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "many%d", i);
        assert_int_equal(maildir_add(&m, span_of(name), SPAN("example.test")), i);
    }
    fault = (struct fault){"write", "/tmp/", EDQUOT, LONG / 2};
    assert_int_equal(put(&m, (struct span){text, LONG}), -EDQUOT);
    unsigned failed = fault.failed;
    if (failed < 4 || failed > MANY / 2)
        fail_msg("%u failed", failed);
    (void)put(&m, SPAN("the rest\n"));
    finish(&m);
    assert_int_equal(fault.failed, failed);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(maildir_error(&m, (size_t)i), -EDQUOT);
        snprintf(folder, sizeof folder, "example.test/many%d/new", i);
        assert_true(sandbox_count(s, folder, NULL) <= 0);
    }
    maildir_drop(&m);
    fault = (struct fault){0};
    free(text);
}

static void test_all_mailboxes_that_fail_each_say_why(void **state)
{
    char *text = long_text(LONG);
    int error[PEOPLE];
    fault = (struct fault){"write", "example.test/", ENOSPC, 20000};
    deliver_to_all(*state, text, 0, error);
    fault.call = NULL;
    for (int i = 0; i < PEOPLE; i++)
        assert_int_equal(error[i], -ENOSPC);
    outcome_is_true(*state, text, error);
    free(text);
}

/* Another program removes the holder's folders before the others have their links. */
static void test_a_holder_that_goes_away_takes_nobody_with_it(void **state)
{
    struct sandbox *s = *state;
    struct maildir_message m;
    char *text = long_text(LONG), command[128];
    begin(s, &m);
    maildir_add(&m, SPAN("bob"), SPAN("example.test"));
    assert_int_equal(put(&m, span_of(text)), 0);
    snprintf(command, sizeof command, "rm -r %s/example.test/alice", s->path);
    assert_int_equal(system(command), 0);
    finish(&m);
    assert_int_equal(maildir_error(&m, 1), 0);
    maildir_drop(&m);
    holds(s, "example.test/bob/new", text);
    free(text);
}

static void test_a_hostile_address_stays_below_the_root(void **state)
{
    struct maildir_message m;
    maildir_begin(&m, ((struct sandbox *)*state)->root, "host.test");
    assert_int_equal(maildir_add(&m, SPAN("../../../tmp/x"), SPAN("..")), 0);
    assert_int_equal(commit(&m), 0);
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
    int error = commit(&m);
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
        error = put(m, (struct span){block, sizeof block});
    if (error)
        maildir_drop(m);
    return error ? error : commit(m);
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
    put(&m, SPAN("far away\n"));
    int error = commit(&m), left = sandbox_count(s, "example.test/bob/tmp", NULL);
    int come = sandbox_count(s, "example.test/bob/new", NULL);
    umount(other);
    assert_int_equal(error, 0);
    assert_int_equal(left, 0);
    assert_int_equal(come, 1);
    holds(s, "example.test/alice/new", "far away\n");
}

/* bob's mailbox is on a disk of its own, which is full before the message is whole. */
static void test_a_full_disk_of_one_mailbox_leaves_the_others_their_message(void **state)
{
    struct sandbox *s = *state;
    char other[1024], command[128], *text = long_text(LONG);
    int error[PEOPLE];
    trust_all();
    make_path(s, "example.test", true);
    make_path(s, "example.test/bob", true);
    snprintf(other, sizeof other, "%s/example.test/bob", s->path);
    if (!mount_tiny(other)) {
        print_message("no right to mount a small file system here\n");
        free(text);
        skip();
    }
    close(s->root);
    s->root = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* the one that sees the mount */
    for (int first = 0; first < PEOPLE; first++) {
        deliver_to_all(s, text, first, error);
        assert_true(error[0] == 0 && error[1] == -ENOSPC && error[2] == 0);
        outcome_is_true(s, text, error);
        snprintf(command, sizeof command, "rm %s/example.test/*/new/*", s->path);
        assert_int_equal(system(command), 0);
    }
    umount(other);
    free(text);
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
    assert_int_equal(commit(&m), 0);
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

/* ---- a message that comes again, because its store was killed ---- */

static void deliver_again(struct sandbox *s, const char *text, int expected)
{
    struct maildir_message m;
    begin(s, &m);
    m.again = true;
    assert_int_equal(maildir_add(&m, SPAN("bob"), SPAN("example.test")), 1);
    assert_int_equal(put(&m, span_of(text)), 0);
    assert_int_equal(commit(&m), expected);
    assert_int_equal(sandbox_count(s, "example.test/alice/tmp", NULL), 0);
}

static void deliver_once(struct sandbox *s, const char *text)
{
    struct maildir_message m;
    begin(s, &m);
    assert_int_equal(put(&m, span_of(text)), 0);
    assert_int_equal(commit(&m), 0);
}

/* Alice has it from the first time, bob has not. */
static void test_a_message_that_comes_again_is_only_for_those_without_it(void **state)
{
    struct sandbox *s = *state;
    deliver_once(s, "id 1\n");
    deliver_again(s, "id 1\n", 0);
    holds(s, "example.test/alice/new", "id 1\n");
    holds(s, "example.test/bob/new", "id 1\n");
    deliver_again(s, "id 1\n", 0);
    holds(s, "example.test/bob/new", "id 1\n");
}

static void test_what_only_looks_like_it_is_another_message(void **state)
{
    static const char *const others[] = {"id 2\n", "id 1", "id 1\n\n", ""};
    struct sandbox *s = *state;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        deliver_once(s, others[i]);
    deliver_again(s, "id 1\n", 0);
    assert_int_equal(sandbox_count(s, "example.test/alice/new", NULL), 5);
    deliver_once(s, "id 1\n"); /* nobody has said that it comes again */
    assert_int_equal(sandbox_count(s, "example.test/alice/new", NULL), 6);
}

/* The octets differ only at the end, and at the borders of what is compared at once. */
static void test_a_long_message_that_comes_again_is_compared_to_its_end(void **state)
{
    struct sandbox *s = *state;
    char text[20001];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)('a' + i % 26);
    text[20000] = 0;
    deliver_once(s, text);
    deliver_again(s, text, 0);
    assert_int_equal(sandbox_count(s, "example.test/alice/new", NULL), 1);
    for (size_t at = 8191, copies = 2; at < 20000; at += at < 8192 ? 1 : 11807, copies++) {
        text[at] ^= 1;
        deliver_again(s, text, 0);
        assert_int_equal(sandbox_count(s, "example.test/alice/new", NULL), copies);
        text[at] ^= 1;
    }
}

static void move_to_cur(struct sandbox *s, const char *flags)
{
    char from[1024], to[2048];
    assert_int_equal(sandbox_count(s, "example.test/alice/new", from), 1);
    snprintf(to, sizeof to, "%s/example.test/alice/cur/%s%s", s->path, strrchr(from, '/') + 1,
             flags);
    assert_int_equal(rename(from, to), 0);
}

static void test_a_copy_that_has_been_read_counts(void **state)
{
    struct sandbox *s = *state;
    deliver_once(s, "id 1\n");
    move_to_cur(s, ":2,S");
    deliver_again(s, "id 1\n", 0);
    assert_int_equal(sandbox_count(s, "example.test/alice/new", NULL), 0);
}

/* What is no message of the last day is not looked at: a pipe would hang, a link may lead anywhere. */
static void test_only_recent_files_can_be_the_copy(void **state)
{
    struct sandbox *s = *state;
    char path[2048], name[1024];
    deliver_once(s, "id 0\n");
    assert_int_equal(sandbox_count(s, "example.test/alice/new", name), 1);
    snprintf(path, sizeof path, "%s/example.test/alice/new/%lld.pipe", s->path, (long long)now_s());
    assert_int_equal(mkfifo(path, 0600), 0);
    snprintf(path, sizeof path, "%s/example.test/alice/new/%lld.old", s->path,
             (long long)now_s() - TWIN_SECONDS - 60);
    make_path(s, path + strlen(s->path) + 1, false);
    FILE *old = fopen(path, "w");
    assert_int_equal(fputs("id 1\n", old) < 0, 0);
    fclose(old);
    snprintf(path, sizeof path, "%s/example.test/alice/new/%lld.link", s->path, (long long)now_s());
    assert_int_equal(symlink(name, path), 0);
    deliver_again(s, "id 1\n", 0);
    deliver_again(s, "id 0\n", 0); /* the file, not the link */
    assert_int_equal(sandbox_count(s, "example.test/alice/new", NULL), 5);
}

/* The copy is there, and cannot be flushed: the sender must not believe that it is safe. */
static void test_a_copy_that_cannot_be_flushed_is_none(void **state)
{
    struct sandbox *s = *state;
    deliver_once(s, "id 1\n");
    fault = (struct fault){.call = "fsync", .where = "alice/new", .error = EIO};
    deliver_again(s, "id 1\n", -EIO);
    fault = (struct fault){0};
    holds(s, "example.test/alice/new", "id 1\n");
    holds(s, "example.test/bob/new", "id 1\n");
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
        IN_SANDBOX(test_a_mailbox_that_is_in_the_way_fails_alone),
        IN_SANDBOX(test_a_call_that_fails_in_one_mailbox_concerns_no_other),
        IN_SANDBOX(test_a_file_that_cannot_be_flushed_is_for_nobody_and_the_next_is_elsewhere),
        IN_SANDBOX(test_a_holder_that_can_neither_be_written_nor_read_blames_no_other),
        IN_SANDBOX(test_few_mailboxes_are_tried_as_holders_of_a_long_message),
        IN_SANDBOX(test_all_mailboxes_that_fail_each_say_why),
        IN_SANDBOX(test_a_holder_that_goes_away_takes_nobody_with_it),
        IN_SANDBOX(test_a_full_disk_of_one_mailbox_leaves_the_others_their_message),
        IN_SANDBOX(test_a_hostile_address_stays_below_the_root),
        IN_SANDBOX(test_a_folder_that_cannot_be_written_is_an_error),
        IN_SANDBOX(test_only_old_files_are_leftovers),
        IN_SANDBOX(test_a_link_in_tmp_is_left_alone),
        IN_SANDBOX(test_the_first_message_of_a_day_removes_leftovers),
        IN_SANDBOX(test_a_full_disk_is_told_and_leaves_nothing),
        IN_SANDBOX(test_a_mailbox_on_another_disk_gets_a_copy),
        IN_SANDBOX(test_a_message_that_comes_again_is_only_for_those_without_it),
        IN_SANDBOX(test_what_only_looks_like_it_is_another_message),
        IN_SANDBOX(test_a_long_message_that_comes_again_is_compared_to_its_end),
        IN_SANDBOX(test_a_copy_that_has_been_read_counts),
        IN_SANDBOX(test_only_recent_files_can_be_the_copy),
        IN_SANDBOX(test_a_copy_that_cannot_be_flushed_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
