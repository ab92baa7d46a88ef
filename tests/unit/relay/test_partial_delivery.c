/* The memory of mixed answers, and files of versions that did not mark what they recorded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "relay/partial_delivery.h"

enum { DAY = 86400 * 1000, ENTRY = 32, FILE_MAX = 4 << 20 };

static char folder[] = "/tmp/test-partial-XXXXXX", path[64];

static void test_a_delivery_marks_its_sender_and_recipient_and_no_others(void **state)
{
    struct partial_delivery *s;
    const uint64_t now = 1000;

    assert_int_equal(partial_open(&s, NULL, DAY), 0);
    assert_false(partial_is_marked(s, SPAN("a@x"), SPAN("b@y"), now));
    partial_delivered(s, SPAN("a@x"), SPAN("b@y"), partial_named(5), now);
    assert_true(partial_is_marked(s, SPAN("a@x"), SPAN("b@y"), now));
    assert_false(partial_is_marked(s, SPAN("a@x"), SPAN("c@y"), now));
    assert_false(partial_is_marked(s, SPAN("a@z"), SPAN("b@y"), now));
    assert_false(partial_is_marked(s, SPAN("a@x"), (struct span){0}, now));
    partial_was_mixed(s, SPAN("a@x"), 5, now);
    assert_true(partial_is_marked(s, SPAN("a@x"), (struct span){0}, now));
    assert_false(partial_is_marked(s, SPAN("a@x"), SPAN("b@y"), now + DAY));
    partial_close(s);
}

static uint64_t until_of(const char *entry)
{
    uint64_t until;

    memcpy(&until, entry + 8, sizeof until);
    return until;
}

/* Writes the file with one of the entries that are valid until `until` (number `keep`) and nothing
 * else, as an earlier version would have written its one delivery. */
static void write_old(const char *text, size_t size, uint64_t until, int keep)
{
    FILE *f = fopen(path, "r+");
    char *old = malloc(size);
    int seen = 0;

    assert_true(f && old);
    memcpy(old, text, size);
    for (size_t at = size % (64 * 1024); at + ENTRY <= size; at += ENTRY)
        if (until_of(text + at) != until || seen++ != keep)
            memset(old + at, 0, ENTRY);
    assert_int_equal(seen, 2); /* the delivery and its mark */
    assert_int_equal(fwrite(old, 1, size, f), size);
    fclose(f);
    free(old);
}

static void test_deliveries_of_a_version_without_marks_are_found(void **state)
{
    static char text[FILE_MAX];
    struct partial_delivery *s;
    uint64_t now = clock_wall_ms();
    int found = 0;

    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/settled", folder);
    assert_int_equal(partial_open(&s, path, DAY), 0);
    partial_delivered(s, SPAN("a@x"), SPAN("b@y"), partial_named(5), now);
    partial_close(s);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t size = fread(text, 1, sizeof text, f);
    fclose(f);
    for (int keep = 0; keep < 2; keep++) {
        write_old(text, size, now + DAY, keep);
        for (int opened = 0; opened < 2; opened++) { /* by the new version, and after a restart */
            assert_int_equal(partial_open(&s, path, DAY), 0);
            assert_true(partial_is_marked(s, SPAN("a@x"), SPAN("b@y"), now + 1));
            found += partial_was_delivered(s, SPAN("a@x"), SPAN("b@y"), partial_named(5), now + 1);
            assert_false(partial_is_marked(s, SPAN("a@x"), SPAN("c@y"), now + 4 * (uint64_t)DAY));
            partial_close(s);
        }
    }
    assert_int_equal(found, 2); /* one of the two was the delivery, and was found twice */
    unlink(path);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_delivery_marks_its_sender_and_recipient_and_no_others),
        cmocka_unit_test(test_deliveries_of_a_version_without_marks_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
