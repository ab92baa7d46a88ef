/* When a changed file is read (field notes 3); the tests own the clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "directory/lines.h"

/* A file whose last change was at 1,000,000 s, and a mark that knows it. */
struct place {
    char path[64], other[80];
    struct lines_mark mark;
};

enum { WRITTEN_S = 1000000 };
#define WRITTEN_MS (WRITTEN_S * 1000ULL)

static void write_at(const char *path, const char *text, long seconds)
{
    FILE *f = fopen(path, "w");
    struct timespec both[2] = {{.tv_sec = seconds}, {.tv_sec = seconds}};

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(utimensat(AT_FDCWD, path, both, 0), 0);
}

static void open_place(struct place *p)
{
    struct buf text = {0};

    memset(p, 0, sizeof *p);
    strcpy(p->path, "/tmp/mired-lines-XXXXXX");
    close(mkstemp(p->path));
    snprintf(p->other, sizeof p->other, "%s.new", p->path);
    write_at(p->path, "a\n", WRITTEN_S);
    assert_int_equal(lines_look_now(&p->mark, p->path, WRITTEN_MS + 60000), LINES_CHANGED);
    assert_int_equal(lines_read(&p->mark, p->path, &text), 0);
    buf_free(&text);
}

static void close_place(struct place *p)
{
    unlink(p->path);
    unlink(p->other);
}

static void test_a_change_in_place_settles_when_it_is_old_enough(void **state)
{
    struct place p;

    open_place(&p);
    uint64_t now = 10000, wall = WRITTEN_MS + 100000;
    assert_int_equal(lines_look(&p.mark, p.path, now, wall), LINES_SAME);
    write_at(p.path, "a\nb\n", WRITTEN_S + 100);
    assert_int_equal(lines_look(&p.mark, p.path, now + 500, wall), LINES_SAME); /* looked lately */
    assert_int_equal(lines_look(&p.mark, p.path, now + 1000, wall + 1000), LINES_SETTLING);
    assert_int_equal(lines_look(&p.mark, p.path, now + 1500, wall + 1500), LINES_SETTLING);
    write_at(p.path, "a\nb\nc\n", WRITTEN_S + 102); /* and goes on */
    assert_int_equal(lines_look(&p.mark, p.path, now + 3000, wall + 3000), LINES_SETTLING);
    assert_int_equal(p.mark.changed_ms, now + 1000);
    assert_int_equal(lines_look(&p.mark, p.path, now + 4000, wall + 4000), LINES_SETTLING);
    assert_int_equal(lines_look(&p.mark, p.path, now + 5000, wall + 5000), LINES_CHANGED);
    close_place(&p);
}

static void test_a_clock_that_is_wrong_does_not_keep_a_change_away(void **state)
{
    struct place p;

    open_place(&p);
    write_at(p.path, "a\nb\n", WRITTEN_S + 1000000); /* of the future */
    assert_int_equal(lines_look(&p.mark, p.path, 1000, WRITTEN_MS), LINES_SETTLING);
    assert_int_equal(lines_look(&p.mark, p.path, 3900, WRITTEN_MS), LINES_SETTLING);
    assert_int_equal(lines_look(&p.mark, p.path, 4900, WRITTEN_MS), LINES_CHANGED);
    close_place(&p);
}

static void test_a_file_that_is_moved_here_is_read_at_once(void **state)
{
    struct place p;

    open_place(&p);
    write_at(p.other, "a\nb\n",
             WRITTEN_S + 100); /* its time is not that of its last change of name */
    assert_int_equal(rename(p.other, p.path), 0);
    assert_int_equal(lines_look(&p.mark, p.path, 1000, WRITTEN_MS + 100000), LINES_CHANGED);
    close_place(&p);
}

static void test_a_file_that_goes_away_changes_nothing(void **state)
{
    struct place p;

    open_place(&p);
    unlink(p.path);
    assert_int_equal(lines_look(&p.mark, p.path, 1000, WRITTEN_MS), LINES_SAME);
    assert_true(p.mark.warned);
    assert_int_equal(lines_look_now(&p.mark, p.path, WRITTEN_MS), LINES_SAME);
    close_place(&p);
}

static void test_what_was_read_is_not_read_again(void **state)
{
    struct place p;
    struct buf text = {0};

    open_place(&p);
    write_at(p.path, "b\n", WRITTEN_S + 1);
    assert_int_equal(lines_look(&p.mark, p.path, 1000, WRITTEN_MS + 60000), LINES_CHANGED);
    assert_int_equal(lines_read(&p.mark, p.path, &text), 0);
    assert_true(span_equal(buf_span(&text), SPAN("b\n")));
    buf_free(&text);
    for (uint64_t now = 2000; now < 20000; now += 1000)
        assert_int_equal(lines_look(&p.mark, p.path, now, WRITTEN_MS + 60000 + now), LINES_SAME);
    close_place(&p);
}

/* Reads what has been put in the place of the file; returns the error. */
static int read_place(struct place *p)
{
    struct buf text = {0};
    int error = lines_read(&p->mark, p->path, &text);

    assert_null(text.at);
    return error;
}

/* None of them may block, which a pipe without a writer does, or be read without end. */
static void test_what_is_no_file_is_not_read(void **state)
{
    struct place p;
    struct stat st;

    open_place(&p);
    unlink(p.path);
    assert_return_code(mkfifo(p.path, 0600), 0);
    assert_int_equal(read_place(&p), -ENXIO);
    assert_string_equal(lines_error(-ENXIO), "it is not a regular file");
    assert_int_equal(lines_look(&p.mark, p.path, 100000, WRITTEN_MS), LINES_SAME); /* not again */
    unlink(p.path);
    assert_return_code(symlink("/dev/zero", p.path), 0);
    assert_int_equal(read_place(&p), -ENXIO);
    unlink(p.path);
    assert_return_code(mkdir(p.path, 0700), 0);
    assert_int_equal(read_place(&p), -EISDIR);
    rmdir(p.path);
    assert_int_equal(read_place(&p), -ENOENT);
    write_at(p.path, "a\n", WRITTEN_S + 5);
    assert_return_code(truncate(p.path, 3LL << 30), 0); /* a hole: it takes no room on the disk */
    assert_int_equal(read_place(&p), -EFBIG);
    /* this one has more than it says, like a file that grows while it is read */
    unlink(p.path);
    assert_return_code(symlink("/proc/self/maps", p.path), 0);
    assert_return_code(stat(p.path, &st), 0);
    assert_int_equal(st.st_size, 0);
    assert_int_equal(read_place(&p), -EAGAIN);
    close_place(&p);
}

static void test_half_of_the_lines_may_go(void **state)
{
    static const struct {
        uint32_t before, now;
        bool may;
    } rows[] = {{0, 0, true},
                {0, 5, true},
                {1, 0, false},
                {1, 1, true},
                {2, 1, true},
                {3, 1, false},
                {3, 2, true},
                {40, 20, true},
                {40, 19, false},
                {40, 0, false},
                {41, 20, false},
                {41, 21, true},
                {4000000000u, 2000000000u, true},
                {4000000000u, 1999999999u, false}};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(lines_may_shrink(rows[i].before, rows[i].now), rows[i].may);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_change_in_place_settles_when_it_is_old_enough),
        cmocka_unit_test(test_a_clock_that_is_wrong_does_not_keep_a_change_away),
        cmocka_unit_test(test_a_file_that_is_moved_here_is_read_at_once),
        cmocka_unit_test(test_a_file_that_goes_away_changes_nothing),
        cmocka_unit_test(test_what_was_read_is_not_read_again),
        cmocka_unit_test(test_what_is_no_file_is_not_read),
        cmocka_unit_test(test_half_of_the_lines_may_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
