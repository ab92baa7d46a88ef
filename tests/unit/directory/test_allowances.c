/* R23: which allowance an account has, by the configuration and by a file that is reread. */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "config/config.h"
#include "directory/allowances.h"

static char path[] = "/tmp/test-allowances-XXXXXX";
static uint64_t now = 5000;

enum { WALL = 10000000 };

static void write_text(const char *text)
{
    static long changed = 1000;
    changed++;
    struct timespec times[2] = {{.tv_sec = changed}, {.tv_sec = changed}};
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    fclose(f);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static struct config config;

static struct allowances *opened(const char *text)
{
    config = (struct config){.allowance = {.per_hour = 200, .per_day = 1000, .file = path}};
    write_text(text);
    struct allowances *a = allowances_open(&config, LIST_KEEP_COPY, true);
    assert_non_null(a);
    return a;
}

static void look(struct allowances *a)
{
    now += 2000;
    allowances_look(a, now, WALL);
}

static void assert_allowed(const struct allowances *a, const char *name, uint32_t hour,
                           uint32_t day)
{
    struct allowance_rules r = allowances_of(a, span_of(name));

    if (r.per_hour != hour || r.per_day != day)
        fail_msg("%s: %u an hour, %u a day", name, r.per_hour, r.per_day);
}

static void test_an_account_has_its_line_and_others_what_all_have(void **state)
{
    struct allowances *a = opened("# lists\nnewsletter@example.org 5000 20000\n\n"
                                  "Two Words\t7 0\r\nzoe 0 0\nb 1 2\na 3 4\nab 5 6\n");

    assert_allowed(a, "newsletter@example.org", 5000, 20000);
    assert_allowed(a, "NewsLetter@Example.ORG", 5000, 20000);
    assert_allowed(a, "two words", 7, 0);
    assert_allowed(a, "zoe", 0, 0);
    assert_allowed(a, "a", 3, 4);
    assert_allowed(a, "ab", 5, 6);
    assert_allowed(a, "abc", 200, 1000);
    assert_allowed(a, "newsletter", 200, 1000);
    assert_allowed(a, "", 200, 1000);
    assert_true(allowances_are_on(a));
    allowances_close(a);
}

static void test_of_two_lines_for_an_account_the_last_counts(void **state)
{
    struct allowances *a = opened("joe 1 1\nann 5 5\nJOE 2 2\njoe 3 3\n");

    assert_allowed(a, "joe", 3, 3);
    assert_allowed(a, "ann", 5, 5);
    allowances_close(a);
}

static void test_the_file_is_reread_and_a_wrong_one_keeps_the_earlier(void **state)
{
    static const char *const wrong[] = {
        "joe\n",       "joe 5\n",         "joe five 5\n",  "5 5\n",         "joe 5 -5\n",
        "joe 5 5 x\n", "joe 1000001 5\n", "joe 9 9\nann ", "\xff\xfej o e", ""};
    struct allowances *a = opened("joe 10 20\nann 5 5\n");

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        write_text(wrong[i]);
        look(a);
        assert_true(allowances_keeps(a));
        assert_allowed(a, "joe", 10, 20);
        write_text("ann 6 6\njoe 10 20\nzoe 7 7\n");
        look(a);
        assert_false(allowances_keeps(a));
        assert_allowed(a, "ann", 6, 6);
    }
    allowances_close(a);
}

static unsigned copies(const char *folder)
{
    struct dirent **name;
    int n = scandir(folder, &name, NULL, NULL), most = n;

    assert_true(n >= 2);
    while (n-- > 0)
        free(name[n]);
    free(name);
    return (unsigned)most - 2;
}

/* The web process has no right to write there: what it does not try, it need not be forbidden. */
static void test_who_only_reads_the_copy_falls_back_on_it_and_makes_none(void **state)
{
    char folder[] = "/tmp/mired-copies-XXXXXX", lists[64];

    assert_non_null(mkdtemp(folder));
    snprintf(lists, sizeof lists, "%s/worker-lists", folder);
    assert_int_equal(mkdir(lists, 0700), 0);
    config = (struct config){.state = folder, .allowance = {.file = path}};
    write_text("alice 5 50\n");
    for (enum list_copy how = LIST_READ_COPY; how <= LIST_KEEP_COPY; how++) {
        struct allowances *a = allowances_open(&config, how, true);
        assert_non_null(a);
        assert_int_equal(copies(lists), how == LIST_KEEP_COPY);
        allowances_close(a);
    }
    write_text("not an allowance at all\n");
    struct allowances *a = allowances_open(&config, LIST_READ_COPY, true);
    assert_true(allowances_keeps(a));
    assert_allowed(a, "alice", 5, 50);
    allowances_close(a);

    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

static void test_without_numbers_and_file_nobody_is_limited(void **state)
{
    config = (struct config){0};
    struct allowances *a = allowances_open(&config, LIST_KEEP_COPY, true);

    assert_false(allowances_are_on(a));
    assert_false(allowances_has_file(a));
    assert_allowed(a, "joe", 0, 0);
    allowances_close(a);
}

static void test_spellings_that_a_backend_takes_are_one_name(void **state)
{
    static char domain[] = "example.org", other[] = "example.net", plus[] = "+";
    static char *one[] = {domain}, *two[] = {domain, other};
    static struct config_auth backend = {.kind = AUTH_BACKEND}, file = {.kind = AUTH_FILE};
    static const struct {
        const char *typed, *with_one, *with_two;
    } cases[] = {
        {"joe", "joe", "joe"},
        {"joe+tag", "joe", "joe"},
        {"+tag", "+tag", "+tag"},
        {"joe@example.org", "joe", "joe@example.org"},
        {"joe+a+b@Example.ORG", "joe", "joe@Example.ORG"},
        {"joe+x@example.net", "joe@example.net", "joe@example.net"},
        {"@example.org", "@example.org", "@example.org"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int domains = 1; domains <= 2; domains++) {
            char room[ALLOWANCE_NAME_MAX];
            config = (struct config){.domains = {domains == 1 ? one : two, (size_t)domains},
                                     .recipient_delimiter = plus,
                                     .auth = &backend,
                                     .auth_count = 1};
            struct allowances *a = allowances_open(&config, LIST_KEEP_COPY, true);
            struct span name = allowances_name(a, span_of(cases[i].typed), room);
            if (!span_equal(name, span_of(domains == 1 ? cases[i].with_one : cases[i].with_two)))
                fail_msg("%s: %.*s", cases[i].typed, (int)name.len, name.at);
            config.auth = &file; /* which says what it calls an account */
            name = allowances_name(a, span_of(cases[i].typed), room);
            assert_true(span_equal(name, span_of(cases[i].typed)));
            allowances_close(a);
        }
}

static int begin(void **state)
{
    log_to(open("/dev/null", O_WRONLY));
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int end(void **state)
{
    return unlink(path);
}

/* A name with a NUL was kept without what follows it: another account's. */
static void test_a_name_with_a_control_character_is_no_allowance(void **state)
{
    static const struct span wrong[] = {
        {"joe\0x 5 50", 10}, {"joe\033[1m 5 50", 12}, {"joe\177 5 50", 9}};
    struct span name;
    uint32_t hour, day;

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(allowance_line(wrong[i], &name, &hour, &day));
    assert_true(allowance_line(SPAN("two words 5 50"), &name, &hour, &day));
    assert_int_equal(name.len, 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_account_has_its_line_and_others_what_all_have),
        cmocka_unit_test(test_of_two_lines_for_an_account_the_last_counts),
        cmocka_unit_test(test_the_file_is_reread_and_a_wrong_one_keeps_the_earlier),
        cmocka_unit_test(test_a_name_with_a_control_character_is_no_allowance),
        cmocka_unit_test(test_who_only_reads_the_copy_falls_back_on_it_and_makes_none),
        cmocka_unit_test(test_without_numbers_and_file_nobody_is_limited),
        cmocka_unit_test(test_spellings_that_a_backend_takes_are_one_name),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
