/* Files of lines that are looked up in constant time; a version counts as a whole. Issue 14, 3:
 * `traps = { "file:..." }`. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "directory/list_file.h"

static char path[] = "/tmp/test-list-XXXXXX";
static uint64_t now =
    5000; /* monotonic; the wall clock is a long way after the file's last change */

enum { WALL = 10000000 };

static void write_octets(const void *octets, size_t len, long changed)
{
    FILE *f = fopen(path, "w");
    struct timespec times[2] = {{.tv_sec = changed}, {.tv_sec = changed}};

    assert_non_null(f);
    assert_int_equal(fwrite(octets, 1, len, f), len);
    fclose(f);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void write_text(const char *text)
{
    static long changed = 1000;

    write_octets(text, strlen(text), ++changed);
}

static bool look(struct list_file *f)
{
    now += 2000;
    return list_file_look(f, now, WALL);
}

static enum answer_result has(struct list_file *f, const char *entry)
{
    return list_file_has(f, span_of(entry), now, WALL);
}

static struct list_file *open_traps(void)
{
    struct list_file *f = list_file_open(&list_traps, path, NULL, LIST_READ_COPY, true, WALL);

    assert_non_null(f);
    return f;
}

/* Each is put behind a version that is right: it must not be taken. */
static const char *const wrong[] = {
    "nobody\n",
    "@example.test\n",
    "*@example.test\n",
    "<trap@example.test>\n",
    "smtp:trap@example.test\n",
    "trap@example.test OK\n",
    "trap@example.test # planted in May\n",
    "trap@example.test, other@example.test\n",
    "one@example.test\ntrap@exam\nple.test\n",
    "one@example.test\ntwo@",
    "\xff\xfe"
    "t",
    "psql: error: connection to server failed\n",
};

static void test_a_version_with_a_wrong_line_is_not_taken(void **state)
{
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        write_text("bait@example.test\n");
        struct list_file *f = open_traps();
        assert_int_equal(has(f, "bait@example.test"), ANSWER_YES);
        write_text(wrong[i]);
        if (look(f) || has(f, "bait@example.test") != ANSWER_YES || !list_file_keeps(f))
            fail_msg("taken: %s", wrong[i]);
        write_text("bait@example.test\nmore@example.test\n");
        assert_true(look(f));
        assert_int_equal(has(f, "more@example.test"), ANSWER_YES);
        assert_false(list_file_keeps(f));
        list_file_close(f);
    }
}

static const char *const right[] = {
    "trap@example.test\n",
    "trap@example.test",
    "Trap@EXAMPLE.test\n",
    "\xef\xbb\xbf"
    "trap@example.test\n",
    "# planted\r\n\r\ntrap@example.test\r\n",
    "  trap@example.test\t\n",
    "trap@example.test\ntrap@example.test\n",
};

static void test_what_people_write_is_taken(void **state)
{
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        struct buf said = {0};
        write_text(right[i]);
        struct list_file *f = open_traps();
        if (has(f, "trap@example.test") != ANSWER_YES ||
            list_check_traps(span_of(right[i]), path, &said) != 0)
            fail_msg("not taken: %s", right[i]);
        assert_int_equal(has(f, "other@example.test"), ANSWER_NO);
        buf_free(&said);
        list_file_close(f);
    }
}

/* Like a log that somebody takes for a list. */
static void test_a_file_that_goes_on_changing_keeps_the_earlier_version_and_says_so(void **state)
{
    write_text("trap@example.test\n");
    struct list_file *f = open_traps();
    for (int i = 0; i < 40; i++) {
        char text[64];
        snprintf(text, sizeof text, "other%d@example.test\n", i);
        write_octets(text, strlen(text), WALL / 1000 + i); /* just now, by the file's own time */
        assert_int_equal(list_file_keeps(f), i > 30);
        assert_false(look(f));
        assert_int_equal(has(f, "trap@example.test"), ANSWER_YES);
    }
    now += 4000; /* it is still */
    assert_true(look(f));
    assert_false(list_file_keeps(f));
    assert_int_equal(has(f, "other39@example.test"), ANSWER_YES);
    list_file_close(f);
}

static void test_a_file_that_has_gone_keeps_the_earlier_version_and_says_so(void **state)
{
    write_text("trap@example.test\n");
    struct list_file *f = open_traps();
    assert_false(list_file_keeps(f));
    unlink(path);
    assert_false(look(f));
    assert_true(list_file_keeps(f));
    assert_int_equal(has(f, "trap@example.test"), ANSWER_YES);
    write_text("trap@example.test\nother@example.test\n");
    assert_true(look(f));
    assert_false(list_file_keeps(f));
    list_file_close(f);
}

static void test_without_any_version_nothing_is_known(void **state)
{
    write_text("nobody\n");
    struct list_file *f = open_traps();

    assert_false(list_file_loaded(f));
    assert_int_equal(has(f, "nobody@example.test"), ANSWER_LATER);
    assert_int_equal(list_file_entries(f).len, 0);
    list_file_close(f);
}

enum { MANY = 1000000 };

static double seconds_for(struct list_file *f, int count)
{
    clock_t begin = clock();
    char entry[64];

    for (int i = 0; i < count; i++) {
        snprintf(entry, sizeof entry, "trap-%d@example.test", i);
        assert_int_equal(has(f, entry), ANSWER_YES);
        snprintf(entry, sizeof entry, "alice-%d@example.test", i);
        assert_int_equal(has(f, entry), ANSWER_NO);
    }
    return (double)(clock() - begin) / CLOCKS_PER_SEC;
}

/* A search through the lines would take 10^12 comparisons: hours. */
static void test_a_million_entries_are_looked_up_in_constant_time(void **state)
{
    struct buf text = {0};

    for (int i = 0; i < MANY; i++)
        assert_int_equal(buf_addf(&text, "trap-%d@example.test\n", i), 0);
    write_octets(text.at, text.len, 500);
    struct list_file *f = open_traps();
    double taken = seconds_for(f, MANY);
    if (taken > 60)
        fail_msg("2,000,000 look-ups took %.1f s", taken);
    /* the last line is wrong: the million stays */
    assert_int_equal(buf_addf(&text, "more@example.test\nnobody\n"), 0);
    write_octets(text.at, text.len, 501);
    assert_false(look(f));
    assert_int_equal(has(f, "more@example.test"), ANSWER_NO);
    seconds_for(f, 1000);
    list_file_close(f);
    buf_free(&text);
}

static int open_all(void **state)
{
    int fd = mkstemp(path);

    log_to(open("/dev/null", O_WRONLY));
    return fd < 0 ? -1 : close(fd);
}

static int remove_all(void **state)
{
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_version_with_a_wrong_line_is_not_taken),
        cmocka_unit_test(test_what_people_write_is_taken),
        cmocka_unit_test(test_a_file_that_goes_on_changing_keeps_the_earlier_version_and_says_so),
        cmocka_unit_test(test_a_file_that_has_gone_keeps_the_earlier_version_and_says_so),
        cmocka_unit_test(test_without_any_version_nothing_is_known),
        cmocka_unit_test(test_a_million_entries_are_looked_up_in_constant_time),
    };

    return cmocka_run_group_tests(tests, open_all, remove_all);
}
