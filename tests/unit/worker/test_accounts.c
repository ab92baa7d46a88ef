/* Names of accounts (field notes G5): what verifiers have said, and what it predicts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "worker/accounts.h"

static int setup(void **state)
{
    *state = accounts_open();
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    accounts_close(*state);
    return 0;
}

static void expect(const struct accounts *a, const char *typed, const char *name)
{
    struct span got = accounts_name(a, span_of(typed));
    if (!span_equal_fold(got, span_of(name)))
        fail_msg("\"%s\" is \"%.*s\", wanted \"%s\"", typed, (int)got.len, got.at, name);
}

/* Each row: what the verifier said of one spelling, and what another is taken for afterwards. */
static void test_what_a_verifier_has_dropped_it_drops_again(void **state)
{
    static const struct {
        const char *typed, *name, *next, *wanted;
    } row[] = {
        {"alice@d1", "alice", "alice@d2", "alice"},                   /* %Ln */
        {"Alice@D1", "alice", "ALICE@d2", "alice"},                   /* and case */
        {"alice@d1", "alice", "alice%d2", "alice"},                   /* another separator */
        {"alice@d1", "alice", "alice+x@d2", "alice"},                 /* with a detail as well */
        {"alice+1@d1", "alice@d1", "alice+2@d1", "alice@d1"},         /* the detail alone */
        {"alice+1@d1", "alice", "alice+2@d2", "alice"},               /* both */
        {"alice+1", "alice", "alice+2", "alice"},                     /* no domain */
        {"ali@alias.test", "alice@d1", "ali@alias.test", "alice@d1"}, /* an alias: itself */
        {"ali@alias.test", "alice@d1", "ali@other.test", "ali@other.test"}, /* and no other */
        {"alice", "alice@realm.test", "alice", "alice@realm.test"},         /* auth_default_realm */
        {"alice@d1", "alice", "bob@d1", "bob@d1"}, /* nothing is known of bob */
        {"alice@d1", "alice", "alicia@d1", "alicia@d1"},
        {"info@d1", "info@d1", "info@d2", "info@d2"}, /* full addresses: two accounts */
        {"info", "info", "info@d2", "info@d2"},       /* nothing was dropped */
        {"alice@d1", "", "alice@d2", "alice@d2"},     /* it did not say */
        {"", "alice", "alice@d2", "alice@d2"},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct accounts *a = accounts_open();
        accounts_learn(a, span_of(row[i].typed), span_of(row[i].name));
        expect(a, row[i].next, row[i].wanted);
        accounts_close(a);
    }
    (void)state;
}

static void test_what_the_verifier_said_of_a_spelling_itself_goes_first(void **state)
{
    struct accounts *a = *state;
    accounts_learn(a, SPAN("info@old.test"), SPAN("info")); /* a system user */
    expect(a, "info@a.test", "info");
    accounts_learn(a, SPAN("info@a.test"), SPAN("info@a.test")); /* a virtual one */
    expect(a, "info@a.test", "info@a.test");
    expect(a, "info@b.test", "info");
    accounts_learn(a, SPAN("info@a.test"), SPAN("info")); /* it was changed */
    expect(a, "info@a.test", "info");
}

static void test_spellings_that_may_be_one_account_have_one_line(void **state)
{
    struct accounts *a = *state;
    uint64_t line = accounts_line(a, SPAN("alice@d1"));
    assert_int_not_equal(line, 0);
    for (int i = 2; i < 40; i++) {
        char typed[32];
        snprintf(typed, sizeof typed, "Alice+%d@d%d", i, i);
        assert_true(accounts_line(a, span_of(typed)) == line);
    }
    assert_false(accounts_line(a, SPAN("bob@d1")) == line);
    accounts_learn(a, SPAN("alice@d1"), SPAN("alice"));
    assert_true(accounts_line(a, SPAN("alice@d9")) == line);
}

/* Where names are full addresses, guesses at info@a.test keep nobody from info@b.test. */
static void test_full_addresses_have_lines_of_their_own(void **state)
{
    struct accounts *a = *state;
    accounts_learn(a, SPAN("bob@a.test"), SPAN("bob@a.test"));
    assert_false(accounts_line(a, SPAN("info@a.test")) == accounts_line(a, SPAN("info@b.test")));
}

static void test_a_flood_of_spellings_costs_a_bounded_table(void **state)
{
    struct accounts *a = *state;
    char typed[64], name[32];
    for (int i = 0; i < 100000; i++) {
        snprintf(name, sizeof name, "user%d", i);
        snprintf(typed, sizeof typed, "user%d@d%d", i, i);
        accounts_learn(a, span_of(typed), span_of(name));
    }
    expect(a, "user99999@elsewhere", "user99999");
}

static void test_names_that_are_too_long_are_left_out(void **state)
{
    struct accounts *a = *state;
    char name[256], typed[300];
    for (size_t len = 100; len < sizeof name; len++) {
        for (size_t i = 0; i < len; i++)
            name[i] = 'a';
        snprintf(typed, sizeof typed, "%.*s@d", (int)len, name);
        accounts_learn(a, span_of(typed), (struct span){name, len});
        assert_in_range(accounts_name(a, span_of(typed)).len, len, len + 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_verifier_has_dropped_it_drops_again),
        cmocka_unit_test_setup_teardown(test_what_the_verifier_said_of_a_spelling_itself_goes_first,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_spellings_that_may_be_one_account_have_one_line, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_full_addresses_have_lines_of_their_own, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_flood_of_spellings_costs_a_bounded_table, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_names_that_are_too_long_are_left_out, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
