/* The set of suspect networks. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "worker/suspects.h"

static bool contains(const struct suspects *s, const char *text)
{
    struct addr a;
    assert_true(addr_parse(span_of(text), &a));
    return suspects_contain(s, &a);
}

static bool open_list(struct suspects *s, char **list, size_t count)
{
    static struct config config; /* outlives them */

    config = (struct config){.suspect = {list, count}};
    return suspects_open(s, &config, true);
}

static void test_networks_of_any_length_hold_their_addresses_and_no_others(void **state)
{
    static char a[] = "192.0.2.0/24", b[] = "198.51.100.7", c[] = "2001:db8:4::/47",
                d[] = "10.0.0.0/9";
    char *list[] = {a, b, c, d};
    struct suspects s;

    assert_true(open_list(&s, list, 4));
    assert_true(contains(&s, "192.0.2.0") && contains(&s, "192.0.2.255"));
    assert_false(contains(&s, "192.0.3.0") || contains(&s, "192.0.1.255"));
    assert_true(contains(&s, "198.51.100.7"));
    assert_false(contains(&s, "198.51.100.6"));
    assert_true(contains(&s, "2001:db8:5:ffff::1"));
    assert_false(contains(&s, "2001:db8:6::1"));
    assert_true(contains(&s, "10.127.255.255"));
    assert_false(contains(&s, "10.128.0.0"));
    suspects_close(&s);
}

/* Lines of a file, and whether it is taken. A file counts as a whole: issue 14, 3. */
static const struct {
    const char *text;
    bool taken;
} files[] = {
    {"# a list\n\n  192.0.2.0/24  # one\n", true},
    {"\xef\xbb\xbf"
     "192.0.2.0/24\n",
     true}, /* a mark of UTF-8 */
    {"192.0.2.0/24\r\n198.51.100.7\r\n", true},
    {"192.0.2.0/24", true}, /* the last line has no end */
    {"192.0.2.0/24\nnonsense\n", false},
    {"192.0.2.0/24\n192.0.2.1/24\n", false},
    {"192.0.2.0/24\n10.0.0.0/33\n", false},
    {"192.0.2.0/24\n10.0.", false}, /* cut */
    {"192.0.2.0/24 spammer\n", false},
    {"\xff\xfe"
     "1\0",
     false}, /* UTF-16 */
};

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    struct timespec long_ago[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    fclose(f);
    assert_int_equal(utimensat(AT_FDCWD, path, long_ago, 0), 0);
}

static void test_a_file_is_taken_as_a_whole_or_not_at_all(void **state)
{
    char name[] = "/tmp/test-suspects-XXXXXX", entry[64];
    char *list[] = {entry};
    struct suspects s;

    close(mkstemp(name));
    snprintf(entry, sizeof entry, "file:%s", name);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        write_file(name, files[i].text);
        assert_true(open_list(&s, list, 1));
        if (contains(&s, "192.0.2.9") != files[i].taken)
            fail_msg("file %zu: %s", i, files[i].text);
        suspects_close(&s);
    }
    unlink(name);
}

static void test_the_earlier_version_of_a_file_that_is_wrong_counts(void **state)
{
    char folder[] = "/tmp/test-suspects-XXXXXX", name[64], entry[128], command[128], copies[64];
    char *list[] = {entry};
    struct suspects s;
    struct config config = {.suspect = {list, 1}, .state = mkdtemp(folder)};

    assert_non_null(config.state);
    snprintf(copies, sizeof copies, "%s/worker-lists", config.state);
    assert_int_equal(mkdir(copies, 0700), 0);
    snprintf(name, sizeof name, "%s/list", folder);
    snprintf(entry, sizeof entry, "file:%s", name);
    write_file(name, "192.0.2.0/24\n");
    assert_true(suspects_open(&s, &config, true));
    assert_true(contains(&s, "192.0.2.9"));
    suspects_close(&s);
    write_file(name, "198.51.100.0/24\n192.0.2");
    assert_true(suspects_open(&s, &config, true));
    assert_true(contains(&s, "192.0.2.9"));
    assert_false(contains(&s, "198.51.100.9"));
    suspects_close(&s);
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

static void test_a_file_that_is_being_written_is_taken_when_it_has_settled(void **state)
{
    char name[] = "/tmp/test-suspects-XXXXXX", entry[64];
    char *list[] = {entry};
    struct config config = {.suspect = {list, 1}};
    struct suspects s;
    pid_t writer;
    int done[2];

    close(mkstemp(name));
    assert_int_equal(pipe(done), 0);
    snprintf(entry, sizeof entry, "file:%s", name);
    write_file(name, "");
    int fd = open(name, O_WRONLY | O_APPEND);
    writer = fork();
    if (writer == 0) { /* a line each ms, until we look away */
        close(done[1]);
        fcntl(done[0], F_SETFL, O_NONBLOCK);
        for (char c; read(done[0], &c, 1) != 0; usleep(1000))
            if (write(fd, "192.0.2.0/24\n", 13) != 13)
                _exit(1);
        _exit(0);
    }
    close(done[0]);
    for (struct stat st = {0}; st.st_size == 0;)
        assert_int_equal(fstat(fd, &st), 0);
    assert_true(suspects_open(&s, &config, true));
    /* On a busy machine the writer may have had no turn between the two looks. */
    for (int tries = 0; contains(&s, "192.0.2.9"); tries++) {
        assert_true(tries < 20);
        suspects_close(&s);
        assert_true(suspects_open(&s, &config, true));
    }
    assert_true(suspects_look(&s, 5000, 1005000));
    close(done[1]);
    assert_int_equal(waitpid(writer, NULL, 0), writer);
    assert_true(suspects_look(&s, 7000, 1007000)); /* it has changed since */
    assert_false(suspects_look(&s, 12000, 1012000));
    assert_true(contains(&s, "192.0.2.9"));
    suspects_close(&s);
    close(fd);
    unlink(name);
}

static void test_thousands_of_networks_of_a_file_are_found(void **state)
{
    char name[] = "/tmp/test-suspects-XXXXXX", entry[64];
    char *list[] = {entry};
    struct buf text = {0};
    struct suspects s;

    close(mkstemp(name));
    for (int i = 0; i < 5000; i++)
        buf_addf(&text, "10.%d.%d.0/24\n", i / 250, i % 250);
    buf_add(&text, "", 1);
    write_file(name, text.at);
    snprintf(entry, sizeof entry, "file:%s", name);
    assert_true(open_list(&s, list, 1));
    assert_int_equal(s.count, 5000);
    assert_true(contains(&s, "10.19.249.3"));
    assert_false(contains(&s, "10.20.0.1"));
    suspects_close(&s);
    buf_free(&text);
    unlink(name);
}

static void test_nobody_is_suspect_without_a_list(void **state)
{
    struct suspects s;

    assert_true(open_list(&s, NULL, 0));
    assert_false(contains(&s, "192.0.2.1"));
    suspects_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_networks_of_any_length_hold_their_addresses_and_no_others),
        cmocka_unit_test(test_a_file_is_taken_as_a_whole_or_not_at_all),
        cmocka_unit_test(test_the_earlier_version_of_a_file_that_is_wrong_counts),
        cmocka_unit_test(test_a_file_that_is_being_written_is_taken_when_it_has_settled),
        cmocka_unit_test(test_thousands_of_networks_of_a_file_are_found),
        cmocka_unit_test(test_nobody_is_suspect_without_a_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
