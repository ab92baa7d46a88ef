/* Passwords and tokens in files of their own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/secret.h"

static char folder[64], path[80];

static int set_up(void **state)
{
    strcpy(folder, "/tmp/test-secret-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/secret", folder);
    return 0;
}

static int tear_down(void **state)
{
    unlink(path);
    return rmdir(folder);
}

static void test_the_first_line_is_the_secret(void **state)
{
    static const struct {
        const char *text, *secret;
    } cases[] = {{"abc", "abc"},  {"abc\n", "abc"},     {"abc\r\ndef\n", "abc"},   {"", ""},
                 {"\nabc\n", ""}, {" a b \n", " a b "}, {"123456789\n", "1234567"}};
    char line[8];

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        FILE *f = fopen(path, "w");
        fputs(cases[i].text, f);
        fclose(f);
        assert_int_equal(secret_read(path, line, sizeof line), 0);
        assert_string_equal(line, cases[i].secret);
    }
}

static void test_what_is_no_file_blocks_nobody_and_is_no_secret(void **state)
{
    char line[8] = "before";

    assert_int_equal(secret_read(path, line, sizeof line), -ENOENT);
    assert_string_equal(line, "");
    assert_int_equal(mkfifo(path, 0600), 0);
    strcpy(line, "before");
    assert_int_equal(secret_read(path, line, sizeof line), 0); /* nobody writes into it */
    assert_string_equal(line, "");
    assert_int_equal(secret_read(folder, line, sizeof line), -EISDIR);
    assert_string_equal(line, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_first_line_is_the_secret, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_no_file_blocks_nobody_and_is_no_secret, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
