/* The set of suspect networks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "worker/suspects.h"

static bool contains(const struct suspects *s, const char *text)
{
    struct addr a;
    assert_true(addr_parse(span_of(text), &a));
    return suspects_contain(s, &a);
}

static void test_networks_of_any_length_hold_their_addresses_and_no_others(void **state)
{
    static char a[] = "192.0.2.0/24", b[] = "198.51.100.7", c[] = "2001:db8:4::/47",
                d[] = "10.0.0.0/9";
    char *list[] = {a, b, c, d};
    struct suspects s;

    assert_true(suspects_open(&s, &(struct config_strings){list, 4}));
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

static void test_a_file_is_read_line_by_line_and_what_is_wrong_left_out(void **state)
{
    char name[] = "/tmp/test-suspects-XXXXXX", entry[64];
    int fd = mkstemp(name);
    FILE *f = fdopen(fd, "w");
    char *list[] = {entry};
    struct suspects s;

    fputs("# a list\n\n  192.0.2.0/24  # one\nnonsense\n192.0.2.1/24\n", f);
    for (int i = 0; i < 5000; i++)
        fprintf(f, "10.%d.%d.0/24\n", i / 250, i % 250);
    fclose(f);
    snprintf(entry, sizeof entry, "file:%s", name);
    assert_true(suspects_open(&s, &(struct config_strings){list, 1}));
    assert_int_equal(s.count, 5001);
    assert_true(contains(&s, "192.0.2.9") && contains(&s, "10.19.249.3"));
    assert_false(contains(&s, "10.20.0.1"));
    suspects_close(&s);
    unlink(name);
}

static void test_nobody_is_suspect_without_a_list(void **state)
{
    struct suspects s;

    assert_true(suspects_open(&s, &(struct config_strings){NULL, 0}));
    assert_false(contains(&s, "192.0.2.1"));
    suspects_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_networks_of_any_length_hold_their_addresses_and_no_others),
        cmocka_unit_test(test_a_file_is_read_line_by_line_and_what_is_wrong_left_out),
        cmocka_unit_test(test_nobody_is_suspect_without_a_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
