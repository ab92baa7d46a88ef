/* Which verifiers see the password of a login name, and what serves an address as a client writes it
 * (config/route.c). A verifier of another company must not get the password. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/config.h"

static char path[32];
static struct config *config;

static void read_text(const char *text)
{
    struct buf said = {0};
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fprintf(f, "hostname = \"mx.example.test\"\nlisten \"127.0.0.1:2525\" { }\n%s", text);
    fclose(f);
    if (config_read(path, &config, &said) != 0)
        fail_msg("%.*s", (int)said.len, said.at);
    buf_free(&said);
}

static int read_example(void **state)
{
    strcpy(path, "/tmp/test-routes-XXXXXX");
    int fd = mkstemp(path);
    if (fd < 0 || close(fd) < 0)
        return -1;
    read_text("domains = { \".branches.example\", \"a.example\", \"b\u00fccher.example\", "
              "\"example.test\" }\n"
              "backend \"smtp://127.0.0.1:2526\" { domains = { \"a.example\", "
              "\"b\u00fccher.example\" } }\n"
              "backend \"smtp://127.0.0.1:2527\" { domains = { \".branches.example\" } }\n"
              "backend \"smtp://127.0.0.1:2528\" { }\n"
              "recipients \"socketmap\" { path = \"inet:127.0.0.1:1\" map = \"m\" domains = { "
              "\"a.example\" } }\n"
              "recipients \"backend\" { }\n"
              "auth \"dovecot\" { path = \"/run/a\" domains = { \"a.example\", "
              "\"b\u00fccher.example\" } }\n"
              "auth \"dovecot\" { path = \"/run/branches\" domains = { \".branches.example\" } }\n"
              "auth \"dovecot\" { path = \"/run/rest\" }\n");
    return 0;
}

static int forget(void **state)
{
    config_free(config);
    return unlink(path);
}

enum { OF_A, OF_BRANCHES, REST };

static const struct {
    const char *user;
    uint32_t section;
} logins[] = {
    {"u@a.example", OF_A},
    {"U@A.Example", OF_A},
    {"u@a.example.", OF_A},
    {"u@b\u00fccher.example", OF_A},
    {"u@B\u00dcCHER.example", OF_A},
    {"u@xn--bcher-kva.example", OF_A},
    {"u@branches.example", OF_BRANCHES},
    {"u@oslo.branches.example", OF_BRANCHES},
    {"a.example@oslo.branches.example", OF_BRANCHES},
    {"u@a.example@oslo.branches.example", OF_BRANCHES}, /* the last @ decides */
    {"u@oslo.branches.example@a.example", OF_A},
    {"u@notbranches.example", REST},
    {"u@a.example.test", REST},
    {"u@x.a.example", REST},
    {"u@a.example..", REST},
    {"u@.a.example", REST},
    {"u@a.example ", REST},
    {"u@a_example", REST},
    {"u@[127.0.0.1]", REST},
    {"u@elsewhere.test", REST},
    {"a.example", REST},
    {"u", REST},
    {"u@", REST},
    {"@", REST},
    {"u@.", REST},
    {"u@\xff.a.example", REST},
    {"", REST},
};

static void test_a_login_name_goes_to_the_verifiers_of_its_domain_alone(void **state)
{
    static const char *const home[] = {"a.example", "branches.example", ""};

    for (size_t i = 0; i < sizeof logins / sizeof *logins; i++) {
        struct route r = config_login_route(config, span_of(logins[i].user));
        if (r.count != 1 || r.section[0] != logins[i].section)
            fail_msg("\"%s\": %zu, %u", logins[i].user, (size_t)r.count,
                     r.count ? r.section[0] : 99);
        if (!span_equal(config_login_home(config, span_of(logins[i].user)),
                        span_of(home[logins[i].section])))
            fail_msg("the home of \"%s\"", logins[i].user);
    }
}

static void test_a_verifier_that_is_a_backend_is_that_of_the_domain(void **state)
{
    for (size_t i = 0; i < sizeof logins / sizeof *logins; i++) {
        struct route r = config_login_backends(config, span_of(logins[i].user));
        if (r.count != 1 || r.section[0] != logins[i].section)
            fail_msg("\"%s\": %u", logins[i].user, r.count ? r.section[0] : 99);
    }
}

static void test_a_domain_of_any_length_is_read_within_bounds(void **state)
{
    char user[3000];

    for (size_t len = 1; len < sizeof user; len += 61) {
        memset(user, 'a', sizeof user);
        user[0] = '@';
        for (size_t i = 60; i < len; i += 60)
            user[i] = '.';
        struct route r = config_login_route(config, (struct span){user, len});
        assert_int_equal(r.count, 1);
        assert_int_equal(r.section[0], REST);
    }
}

static void test_an_address_is_served_by_what_serves_its_domain(void **state)
{
    static const struct {
        const char *address;
        uint32_t backend, recipients;
    } table[] = {
        {"x@a.example", 0, 0},
        {"x@A.EXAMPLE", 0, 0},
        {"postmaster", 0, 0}, /* the first of `domains` that is a name */
        {"x@oslo.branches.example", 1, 1},
        {"x@example.test", 2, 1},
        {"x@elsewhere.test", 2, 1},
        {"x@", 2, 1},
        {"x@[192.0.2.7]", 2, 1},
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct span address = span_of(table[i].address);
        struct route b = config_address_route(config, ROUTE_BACKEND, address);
        struct route r = config_address_route(config, ROUTE_RECIPIENTS, address);
        if (b.count != 1 || b.section[0] != table[i].backend || r.count != 1 ||
            r.section[0] != table[i].recipients)
            fail_msg("%s", table[i].address);
    }
}

/* A backend may accept an address of ours as a route to another domain, so its word is no list. */
static void test_only_a_directory_names_addresses(void **state)
{
    assert_true(config_names_addresses(config, SPAN("a.example")));
    assert_false(config_names_addresses(config, SPAN("example.test")));
    assert_false(config_names_addresses(config, SPAN("")));
}

static void test_where_all_domains_are_suffixes_the_hostname_is_our_own(void **state)
{
    assert_true(span_equal(config_own_domain(config), SPAN("a.example")));
    config_free(config);
    read_text("domains = { \".example.test\" }\nbackend \"smtp://127.0.0.1:2526\" { }\n");
    assert_true(span_equal(config_own_domain(config), SPAN("mx.example.test")));
    assert_int_equal(config_login_route(config, SPAN("u@example.test")).count, 0);
    assert_int_equal(config_login_home(config, SPAN("u@example.test")).len, 0);
}

#define ON_EXAMPLE(test) cmocka_unit_test_setup_teardown(test, read_example, forget)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_EXAMPLE(test_a_login_name_goes_to_the_verifiers_of_its_domain_alone),
        ON_EXAMPLE(test_a_verifier_that_is_a_backend_is_that_of_the_domain),
        ON_EXAMPLE(test_a_domain_of_any_length_is_read_within_bounds),
        ON_EXAMPLE(test_an_address_is_served_by_what_serves_its_domain),
        ON_EXAMPLE(test_only_a_directory_names_addresses),
        ON_EXAMPLE(test_where_all_domains_are_suffixes_the_hostname_is_our_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
