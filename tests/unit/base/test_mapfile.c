/* mapfile.c: a file comes back as it was left, and one that does not fit is set aside, never used
 * and never destroyed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mapfile.h"

static const char magic[8] = "mirtest";
enum { BODY = 8192 };

static char folder[64], path[128], aside[160];

static int make_folder(void **state)
{
    snprintf(folder, sizeof folder, "/tmp/mired-mapfile-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/ledger", folder);
    snprintf(aside, sizeof aside, "%s.set-aside", path);
    log_to(open("/dev/null", O_WRONLY | O_CLOEXEC));
    return 0;
}

static int remove_folder(void **state)
{
    unlink(aside);
    rmdir(aside);
    unlink(path);
    return rmdir(folder);
}

static bool exists(const char *name)
{
    struct stat st;

    return lstat(name, &st) == 0;
}

static struct mapfile opened(void)
{
    struct mapfile m;

    assert_int_equal(mapfile_open(&m, path, magic, 1, BODY), 0);
    assert_int_equal(m.body_size, BODY);
    assert_int_equal((uintptr_t)m.body % 4096, 0);
    return m;
}

/* Begins a file with something in it. */
static struct sipkey leave_a_file(void)
{
    struct mapfile m = opened();
    struct sipkey key = m.key;

    assert_true(m.fresh);
    strcpy(m.body, "kept");
    mapfile_close(&m);
    return key;
}

static void assert_set_aside_and_begun(struct mapfile *m)
{
    static const char zero[BODY];

    assert_true(m->fresh);
    assert_memory_equal(m->body, zero, m->body_size < BODY ? m->body_size : BODY);
    assert_true(exists(aside));
    mapfile_close(m);
}

static void test_a_file_comes_back_with_its_key_and_content(void **state)
{
    struct sipkey key = leave_a_file();
    struct mapfile m = opened();

    assert_false(m.fresh);
    assert_string_equal(m.body, "kept");
    assert_memory_equal(&key, &m.key, sizeof key);
    assert_true(m.origin_ms > 1700000000000);
    assert_false(exists(aside));
    mapfile_close(&m);
}

static void test_each_file_has_a_key_of_its_own_and_only_its_owner_reads_it(void **state)
{
    struct sipkey first = leave_a_file();
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    unlink(path);
    struct sipkey second = leave_a_file();
    assert_memory_not_equal(&first, &second, sizeof first);
}

static void test_another_version_is_set_aside(void **state)
{
    struct mapfile m;

    leave_a_file();
    assert_int_equal(mapfile_open(&m, path, magic, 2, BODY), 0);
    assert_set_aside_and_begun(&m);
}

static void test_another_size_is_set_aside(void **state)
{
    struct mapfile m;

    leave_a_file();
    assert_int_equal(mapfile_open(&m, path, magic, 1, BODY * 2), 0);
    assert_int_equal(m.body_size, BODY * 2);
    assert_set_aside_and_begun(&m);
}

static void test_another_kind_is_set_aside(void **state)
{
    struct mapfile m;

    leave_a_file();
    assert_int_equal(mapfile_open(&m, path, "another", 1, BODY), 0);
    assert_set_aside_and_begun(&m);
}

static void test_any_damaged_octet_of_the_header_is_noticed(void **state)
{
    for (off_t at = 0; at < 56; at++) {
        char octet;
        leave_a_file();
        int fd = open(path, O_RDWR);
        assert_int_equal(pread(fd, &octet, 1, at), 1);
        octet ^= 4;
        assert_int_equal(pwrite(fd, &octet, 1, at), 1);
        close(fd);
        struct mapfile m = opened();
        assert_set_aside_and_begun(&m);
        unlink(path);
        unlink(aside);
    }
}

static void test_a_truncated_an_empty_and_a_grown_file_are_set_aside(void **state)
{
    static const off_t sizes[] = {0, 10, 4096, 4096 + BODY - 1, 4096 + BODY + 1};

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        leave_a_file();
        assert_int_equal(truncate(path, sizes[i]), 0);
        struct mapfile m = opened();
        assert_set_aside_and_begun(&m);
        unlink(path);
        unlink(aside);
    }
}

static void test_what_is_not_a_plain_file_is_set_aside(void **state)
{
    struct mapfile m;

    assert_int_equal(symlink("/etc/passwd", path), 0);
    m = opened();
    assert_set_aside_and_begun(&m);
    unlink(path);
    unlink(aside);
    assert_int_equal(mkdir(path, 0700), 0);
    m = opened();
    assert_set_aside_and_begun(&m);
    unlink(path);
    rmdir(aside);
    assert_int_equal(mkfifo(path, 0600), 0);
    m = opened();
    assert_set_aside_and_begun(&m);
}

static int open_prepared(struct mapfile *m)
{
    return mapfile_open_prepared(m, path, magic, 1, BODY);
}

static void test_a_prepared_file_is_begun_once_and_comes_back(void **state)
{
    struct mapfile m;
    struct stat st;

    assert_int_equal(open_prepared(&m), -ENOENT);
    assert_false(exists(path));
    for (int again = 0; again < 2; again++) {
        assert_int_equal(mapfile_prepare(path, magic, 1, BODY), 0);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_size, 0);
        assert_int_equal(st.st_mode & 0777, 0600);
    }
    assert_int_equal(open_prepared(&m), 0);
    assert_true(m.fresh);
    struct sipkey key = m.key;
    assert_int_equal(mapfile_reserve(&m, 0, BODY), 0);
    strcpy(m.body, "kept");
    mapfile_close(&m);
    assert_int_equal(mapfile_prepare(path, magic, 1, BODY), 0);
    assert_int_equal(open_prepared(&m), 0);
    assert_false(m.fresh);
    assert_memory_equal(&key, &m.key, sizeof key);
    assert_string_equal(m.body, "kept");
    mapfile_close(&m);
    assert_int_equal(mapfile_prepare(path, magic, 1, BODY), 0);
    assert_int_equal(open_prepared(&m), 0);
    assert_string_equal(m.body, "kept");
    mapfile_close(&m);
    assert_false(exists(aside));
}

static void test_what_does_not_fit_is_set_aside_by_the_preparation_alone(void **state)
{
    struct mapfile m;
    struct stat before, after;

    leave_a_file();
    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(mapfile_open_prepared(&m, path, magic, 2, BODY), -ESTALE);
    assert_null(m.body);
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    assert_int_equal(before.st_size, after.st_size);
    assert_false(exists(aside));
    assert_int_equal(mapfile_prepare(path, magic, 2, BODY), 0);
    assert_true(exists(aside));
    assert_int_equal(mapfile_open_prepared(&m, path, magic, 2, BODY), 0);
    assert_true(m.fresh);
    mapfile_close(&m);
}

static void test_a_folder_that_is_missing_is_an_error(void **state)
{
    struct mapfile m;

    assert_int_equal(mapfile_open(&m, "/proc/nonexistent/ledger", magic, 1, BODY), -ENOENT);
    assert_null(m.body);
}

static void test_without_a_path_it_is_memory_that_children_share(void **state)
{
    struct mapfile m;
    int status;

    assert_int_equal(mapfile_open(&m, NULL, magic, 1, BODY), 0);
    assert_true(m.fresh);
    pid_t child = fork();
    if (child == 0) {
        strcpy(m.body, "from the child");
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_string_equal(m.body, "from the child");
    mapfile_close(&m);
    assert_null(m.body);
}

/* field notes 29: whatever is left of the file, the next process to touch it survives, and all
 * share the file. */
static void test_a_file_that_is_cut_short_while_it_is_mapped_is_mended(void **state)
{
    static const off_t sizes[] = {0, 1, 100, 4095, 4096, 4097, 4096 + BODY / 2};

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct mapfile m = opened();
        char *body = m.body;
        int status;

        memset(body, 'x', BODY);
        assert_false(mapfile_tend(true));
        assert_int_equal(truncate(path, sizes[i]), 0);
        pid_t child = fork();
        if (child == 0) {
            body[BODY - 1] = 'c'; /* the last page is gone in every case */
            body[BODY - 2] = body[BODY - 3];
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        assert_int_equal(body[BODY - 1], 'c');
        off_t left = sizes[i] > 4096 ? sizes[i] - 4096 : 0;
        for (off_t at = 0; at < BODY - 2; at++)
            if (body[at] != (at < left ? 'x' : 0))
                fail_msg("cut to %ld: octet %ld is %d", (long)sizes[i], (long)at, body[at]);
        assert_true(mapfile_tend(true)); /* told of once */
        assert_false(mapfile_tend(true));
        assert_int_equal(*m.cut, 1);
        mapfile_close(&m);
        m = opened();
        assert_false(m.fresh); /* its head is good again */
        assert_int_equal(((char *)m.body)[BODY - 1], 'c');
        mapfile_close(&m);
        assert_false(exists(aside));
        unlink(path);
    }
}

static void test_a_cut_that_nobody_has_touched_is_found_by_looking(void **state)
{
    struct mapfile m = opened();
    struct stat st;

    strcpy(m.body, "kept");
    assert_int_equal(truncate(path, 4096 + 100), 0);
    assert_false(mapfile_tend(false));
    assert_true(mapfile_tend(true));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 4096 + BODY);
    assert_string_equal(m.body, "kept");
    mapfile_close(&m);
}

/* It is not there, and cannot be made so: memory of the process's own does. */
static void test_without_its_file_a_process_goes_on_by_itself(void **state)
{
    struct mapfile m = opened();
    char *body = m.body;
    int status;

    assert_int_equal(truncate(path, 0), 0);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit none = {0, 0};
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &none); /* stretching fails, as on a full disk */
        strcpy(body, "alone");
        _exit(strcmp(body, "alone") != 0 || *m.cut != 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_true(mapfile_tend(true));
    assert_int_equal(body[0], 0);
    mapfile_close(&m);
}

static void test_a_bus_error_elsewhere_still_kills(void **state)
{
    struct mapfile m = opened();
    char other[160];
    int status;

    snprintf(other, sizeof other, "%s.other", path);
    int fd = open(other, O_RDWR | O_CREAT, 0600);
    unlink(other);
    char *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(at != MAP_FAILED);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        *(volatile char *)at = 1;
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
    munmap(at, 4096);
    close(fd);
    mapfile_close(&m);
}

#define IN_A_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_A_FOLDER(test_a_file_comes_back_with_its_key_and_content),
        IN_A_FOLDER(test_each_file_has_a_key_of_its_own_and_only_its_owner_reads_it),
        IN_A_FOLDER(test_another_version_is_set_aside),
        IN_A_FOLDER(test_another_size_is_set_aside),
        IN_A_FOLDER(test_another_kind_is_set_aside),
        IN_A_FOLDER(test_any_damaged_octet_of_the_header_is_noticed),
        IN_A_FOLDER(test_a_truncated_an_empty_and_a_grown_file_are_set_aside),
        IN_A_FOLDER(test_what_is_not_a_plain_file_is_set_aside),
        IN_A_FOLDER(test_a_prepared_file_is_begun_once_and_comes_back),
        IN_A_FOLDER(test_what_does_not_fit_is_set_aside_by_the_preparation_alone),
        IN_A_FOLDER(test_a_file_that_is_cut_short_while_it_is_mapped_is_mended),
        IN_A_FOLDER(test_a_cut_that_nobody_has_touched_is_found_by_looking),
        IN_A_FOLDER(test_without_its_file_a_process_goes_on_by_itself),
        IN_A_FOLDER(test_a_bus_error_elsewhere_still_kills),
        cmocka_unit_test(test_a_folder_that_is_missing_is_an_error),
        cmocka_unit_test(test_without_a_path_it_is_memory_that_children_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
