/* The nftables rule in the real kernel: each mired has a table of its own, and touches no other's.
 * In a network namespace of its own; needs root, or user namespaces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <nftables/libnftables.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "freezer/rule.h"

enum { ROOM = 16384, MOST = 4 };

static char ruleset[ROOM];

/* Runs commands of nft, and keeps what they print. */
static int nft(const char *commands)
{
    struct nft_ctx *ctx = nft_ctx_new(NFT_CTX_DEFAULT);

    assert_non_null(ctx);
    nft_ctx_buffer_output(ctx);
    nft_ctx_buffer_error(ctx);
    int failed = nft_run_cmd_from_buffer(ctx, commands);
    snprintf(ruleset, sizeof ruleset, "%s", nft_ctx_get_output_buffer(ctx));
    nft_ctx_free(ctx);
    return failed;
}

static bool shows(const char *text)
{
    assert_int_equal(nft("list ruleset"), 0);
    return strstr(ruleset, text);
}

static size_t listeners(struct addr out[MOST], const char *const text[MOST])
{
    size_t n = 0;

    for (; n < MOST && text[n]; n++)
        assert_true(addr_parse_port(span_of(text[n]), &out[n]));
    return n;
}

static void set(const char *name, const char *state, const char *const text[MOST])
{
    struct addr listen[MOST];
    size_t n = listeners(listen, text);
    char why[256] = "";

    if (rule_set(name, state, 0, listen, n, why) < 0)
        fail_msg("%s", why);
}

static int empty(void **state)
{
    return nft("flush ruleset");
}

/* ---- the name ---- */

static void make(char folder[32])
{
    strcpy(folder, "/tmp/mired-test-XXXXXX");
    assert_non_null(mkdtemp(folder));
}

static void test_the_name_is_that_of_the_folder_by_whatever_path(void **state)
{
    char one[32], two[32], by_another_path[64], name[RULE_NAME], again[RULE_NAME];

    make(one);
    make(two);
    assert_int_equal(rule_name(one, name), 0);
    snprintf(by_another_path, sizeof by_another_path, "/tmp/../%s/./", one);
    assert_int_equal(rule_name(by_another_path, again), 0);
    assert_string_equal(name, again);
    assert_int_equal(rule_name(two, again), 0);
    assert_string_not_equal(name, again);
    assert_int_equal(strncmp(name, "mired_", 6), 0);
    rmdir(one);
    rmdir(two);
    assert_int_equal(rule_name(one, name), -ENOENT);
}

/* ---- tables ---- */

static void test_two_tables_live_beside_each_other(void **state)
{
    set("mired_1_a", "/one", (const char *[MOST]){"0.0.0.0:25"});
    set("mired_1_b", "/two", (const char *[MOST]){"192.0.2.7:25", "[2001:db8::7]:25"});
    assert_true(shows("table inet mired_1_a") && shows("table inet mired_1_b"));
    set("mired_1_b", "/two", (const char *[MOST]){"192.0.2.8:26"});
    assert_true(shows("elements = { 25 }") && shows("elements = { 192.0.2.8 . 26 }"));
    assert_false(shows("192.0.2.7"));
    rule_unset("mired_1_b");
    assert_true(shows("table inet mired_1_a"));
    assert_false(shows("mired_1_b"));
    rule_unset("mired_1_b");
    rule_unset("mired_1_a");
    assert_string_equal((shows(""), ruleset), "");
}

static void test_the_comment_is_the_folder_unless_that_would_break_the_rule(void **state)
{
    char too_long[200] = "/";

    memset(too_long + 1, 'x', sizeof too_long - 2);
    too_long[sizeof too_long - 1] = '\0';
    set("mired_1_a", "/var/lib/mired of b{;}#", (const char *[MOST]){"0.0.0.0:25"});
    assert_true(shows("comment \"/var/lib/mired of b{;}#\""));
    const char *const hostile[] = {
        "", "/a\"; flush ruleset; #", "/a\\", "/a\nflush ruleset", "/\xc3\xa9", too_long};
    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++) {
        set("mired_1_a", hostile[i], (const char *[MOST]){"0.0.0.0:25"});
        assert_true(shows("elements = { 25 }"));
        assert_false(shows("comment"));
    }
}

/* ---- the number of the rules ---- */

static void test_each_change_of_any_rule_adds_one_to_the_number(void **state)
{
    uint32_t before = rule_number();

    assert_int_not_equal(before, 0);
    assert_int_equal(rule_number(), before);
    set("mired_1_a", "/one", (const char *[MOST]){"0.0.0.0:25", "192.0.2.7:26"});
    assert_int_equal(rule_number(), before + 1);
    set("mired_1_a", "/one", (const char *[MOST]){"0.0.0.0:25"});
    assert_int_equal(rule_number(), before + 2);
    assert_int_equal(nft("list ruleset"), 0);
    assert_int_equal(rule_number(), before + 2);
    assert_int_equal(nft("table inet other { }"), 0);
    assert_int_equal(rule_number(), before + 3);
    empty(NULL);
    assert_int_equal(rule_number(), before + 4);
}

/* ---- the table of earlier versions ---- */

/* Whether the table of an earlier version with these elements is left for a mired that listens
 * so. */
static bool is_left(const char *set_of_earlier, const char *const text[MOST])
{
    struct addr listen[MOST];
    size_t n = listeners(listen, text);
    char commands[512];

    snprintf(commands, sizeof commands,
             "table inet mired {\nset %s\n}\ntable inet mired_1_a { }\ntable inet other { }",
             set_of_earlier);
    assert_int_equal(nft(commands), 0);
    rule_unset_earlier(listen, n);
    bool left = shows("table inet mired {");
    assert_true(shows("table inet mired_1_a {") && shows("table inet other {"));
    empty(NULL);
    return left;
}

static void test_the_earlier_table_goes_only_if_it_is_for_one_of_our_listeners(void **state)
{
    static const struct {
        const char *earlier, *listen[MOST];
        bool left;
    } cases[] = {
        {"any4 { type inet_service; elements = { 25, 587 } }", {"0.0.0.0:587"}, false},
        {"any4 { type inet_service; elements = { 25 } }", {"[::]:465", "[::]:25"}, false},
        {"any6 { type inet_service; elements = { 25 } }", {"[::]:25"}, false},
        {"own4 { type ipv4_addr . inet_service; elements = { 192.0.2.7 . 25 } }",
         {"192.0.2.8:25", "192.0.2.7:25"},
         false},
        {"own6 { type ipv6_addr . inet_service; elements = { 2001:db8::7 . 25 } }",
         {"[2001:db8::7]:25"},
         false},
        {"any4 { type inet_service; elements = { 25, 587 } }", {"0.0.0.0:26"}, true},
        {"any4 { type inet_service; elements = { 25 } }", {"192.0.2.7:25"}, true},
        {"any4 { type inet_service; }", {"0.0.0.0:25"}, true},
        {"own4 { type ipv4_addr . inet_service; elements = { 192.0.2.7 . 25 } }",
         {"192.0.2.8:25", "192.0.2.7:26", "0.0.0.0:25"},
         true},
        {"own6 { type ipv6_addr . inet_service; elements = { 2001:db8::7 . 25 } }",
         {"[2001:db8::8]:25", "192.0.2.7:25"},
         true},
        {"any4 { type inet_service; elements = { 25 } }", {0}, true},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (is_left(cases[i].earlier, cases[i].listen) != cases[i].left)
            fail_msg("case %zu: the table is %s", i, cases[i].left ? "gone" : "left");
}

static void test_without_an_earlier_table_nothing_changes(void **state)
{
    struct addr listen[MOST];
    size_t n = listeners(listen, (const char *[MOST]){"0.0.0.0:25"});

    set("mired_1_a", "/one", (const char *[MOST]){"0.0.0.0:25"});
    rule_unset_earlier(listen, n);
    assert_true(shows("elements = { 25 }"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_name_is_that_of_the_folder_by_whatever_path),
        cmocka_unit_test_setup(test_two_tables_live_beside_each_other, empty),
        cmocka_unit_test_setup(test_the_comment_is_the_folder_unless_that_would_break_the_rule,
                               empty),
        cmocka_unit_test_setup(test_each_change_of_any_rule_adds_one_to_the_number, empty),
        cmocka_unit_test_setup(test_the_earlier_table_goes_only_if_it_is_for_one_of_our_listeners,
                               empty),
        cmocka_unit_test_setup(test_without_an_earlier_table_nothing_changes, empty),
    };

    if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
        return 77; /* meson: skipped */
    if (nft("table inet probe") != 0)
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
