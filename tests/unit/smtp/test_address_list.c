/* Lists of addresses as people and programs write them (field notes 3). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "smtp/address.h"
#include "smtp/address_list.h"

static void expect(const char *line, const char *folded)
{
    char out[ADDRESS_MAX * 4];
    const char *right = NULL;
    size_t len = list_address(span_of(line), true, out, sizeof out, &right);

    if (len != strlen(folded) || strcmp(out, folded) != 0)
        fail_msg("%s: %s", line, len ? out : right);
}

static void test_whole_addresses_and_domains_are_taken(void **state)
{
    expect("alice@example.org", "alice@example.org");
    expect("Alice@Example.ORG", "alice@example.org");
    expect("\"a b\"@example.org", "\"a b\"@example.org");
    expect("joe%evil.test@example.org", "joe%evil.test@example.org");
    expect("@Example.ORG", "@example.org");
    expect("@b\xc3\xbc"
           "cher.example",
           "@xn--bcher-kva.example");
    expect("j\xc3\xb6rg@example.org", "j\xc3\xb6rg@example.org");
    expect("a@[192.0.2.1]", "a@[192.0.2.1]");
}

static void test_lines_that_are_no_address_are_refused_with_what_would_be_right(void **state)
{
    static const struct {
        const char *line, *right;
    } wrong[] = {
        {"alice@example.test OK", "alone"},
        {"alice@example.test\tOK", "alone"},
        {"alice@example.test # Alice", "alone"},
        {"alice@example.test#Alice", "alone"},
        {"a@x.test, b@x.test", "one address a line"},
        {"a@x.test,", "one address a line"},
        {"a@x.test;b@x.test", "one address a line"},
        {"\"Alice\",\"alice@example.test\",\"2026\"", "one address a line"},
        {"Alice <alice@example.test>", "without <"},
        {"<a@x.test>", "without <"},
        {"smtp:a@x.test", "before it"},
        {"SMTP:a@x.test", "before it"},
        {"mailto:a@x.test", "before it"},
        {"alice", "alice@example.org"},
        {"alice@", "alice@example.org"},
        {"@", "alice@example.org"},
        {"*@example.test", "@example.org"},
        {"@*.example.test", "@example.org"},
        {"a@*.example.test", "alice@example.org"},
        {"alice@example..test", "alice@example.org"},
        {"alice@-example.test", "alice@example.org"},
        {"a@b@example.test", "alice@example.org"},
        {"@relay.test:a@example.test", "alice@example.org"},
        {"\xef\xbb\xbf"
         "alice@example.test x",
         "alone"},
        {"M\xfcller@example.test", "alice@example.org"}, /* Latin-1 */
        {"alice@example.test\x1b", "alice@example.org"},
        {"/^alice@example\\.test$/ OK", "alone"},
        {"alice: alice@example.test", "alone"},
        {"dn: cn=alice,dc=example", "one address a line"},
        {"\"alice@example.test\"", "alice@example.org"},
        {"postmaster", "alice@example.org"},
    };
    char out[ADDRESS_MAX * 4];

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const char *right = NULL;
        if (list_address(span_of(wrong[i].line), true, out, sizeof out, &right) != 0)
            fail_msg("%s is taken as %s", wrong[i].line, out);
        if (!strstr(right, wrong[i].right))
            fail_msg("%s: %s", wrong[i].line, right);
    }
    const char *right = NULL;
    assert_int_equal(list_address(SPAN("@example.test"), false, out, sizeof out, &right), 0);
    assert_string_equal(right, "alice@example.org");
}

static void test_a_mark_of_utf8_is_no_part_of_the_first_address(void **state)
{
    struct span text = SPAN("\xef\xbb\xbf"
                            "alice@example.org\r\n\r\n# x\r\n  bob@example.org  \r\n");
    struct span line;
    unsigned number = 0;

    assert_null(list_begin(&text));
    assert_true(list_next(&text, &number, &line));
    assert_true(span_equal(line, SPAN("alice@example.org")));
    assert_int_equal(number, 1);
    assert_true(list_next(&text, &number, &line));
    assert_true(span_equal(line, SPAN("bob@example.org")));
    assert_int_equal(number, 4);
    assert_false(list_next(&text, &number, &line));
}

static void test_what_is_not_utf8_is_named(void **state)
{
    struct span text[] = {SPAN("\xff\xfe"
                               "a\0@\0x\0"),
                          SPAN("\xfe\xff\0a\0@\0x"),
                          SPAN("\xff\xfe\0\0"
                               "a\0\0\0"),
                          SPAN("\0\0\xfe\xff\0\0\0a"),
                          SPAN("a\0@\0x\0"),
                          SPAN("alice@example.org\n\0\0\0\0\0\0"),
                          SPAN("\xff\xfe")};

    for (size_t i = 0; i < sizeof text / sizeof *text; i++)
        assert_non_null(strstr(list_begin(&text[i]), "UTF-"));
    struct span empty = SPAN("");
    assert_null(list_begin(&empty));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_addresses_and_domains_are_taken),
        cmocka_unit_test(test_lines_that_are_no_address_are_refused_with_what_would_be_right),
        cmocka_unit_test(test_a_mark_of_utf8_is_no_part_of_the_first_address),
        cmocka_unit_test(test_what_is_not_utf8_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
