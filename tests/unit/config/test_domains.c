/* `domains` at the top and in sections: what is taken, which domains and sections do not find each
 * other, and how long a hundred thousand of them take to read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/config.h"
#include "config/print.h"

static char folder[64], path[96];
static struct buf said;

static int open_folder(void **state)
{
    strcpy(folder, "/tmp/test-domains-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/mired.conf", folder);
    FILE *f = fopen(path, "w");
    fclose(f);
    return 0;
}

static int close_folder(void **state)
{
    unlink(path);
    buf_free(&said);
    return rmdir(folder);
}

static struct config *read_text(const char *text)
{
    struct config *c = NULL;
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fprintf(f, "hostname = \"mx.example.test\"\nlisten \"127.0.0.1:2525\" { }\n%s", text);
    fclose(f);
    buf_free(&said);
    int result = config_read(path, &c, &said);
    buf_add(&said, "", 1);
    return result == 0 ? c : NULL;
}

static struct config *good(const char *text)
{
    struct config *c = read_text(text);

    if (!c)
        fail_msg("refused: %s", said.at);
    return c;
}

/* Read without a warning, but for that of a configuration without directories. */
static void silent(const char *text)
{
    config_free(good(text));
    const char *warning = strstr(said.at, "warning:");
    while (warning && strncmp(warning, "warning: no recipients section", 30) == 0)
        warning = strstr(warning + 1, "warning:");
    if (warning)
        fail_msg("warned: %s", warning);
}

static void has_said(const char *words)
{
    if (!strstr(said.at, words))
        fail_msg("\"%s\" is not in: %s", words, said.at);
}

static void warned(const char *text, const char *words)
{
    config_free(good(text));
    has_said("warning: ");
    has_said(words);
}

static void bad(const char *text, const char *words)
{
    struct config *c = read_text(text);

    if (c)
        fail_msg("taken: %s", text);
    has_said(words);
}

#define A "backend \"smtp://127.0.0.1:1\" "
#define B "backend \"smtp://127.0.0.1:2\" "

static void test_names_come_in_either_form_and_any_case(void **state)
{
    struct config *c = good(
        "domains = { \"Example.Test\", \".B\303\274cher.example\", \"xn--bcher-kva.test.\" }\n" A
        "{ domains = { \"b\303\274cher.TEST\" } }\n" B "{ }\n");

    assert_string_equal(c->domains.at[1], ".xn--bcher-kva.example");
    assert_true(config_is_local(c, SPAN("example.test")));
    assert_true(config_is_local(c, SPAN("xn--bcher-kva.test")));
    assert_true(config_is_local(c, SPAN("shop.xn--bcher-kva.example")));
    assert_true(config_is_local(c, SPAN("xn--bcher-kva.example")));
    assert_false(config_is_local(c, SPAN("shop.example.test")));
    /* a look-alike is another name */
    assert_false(config_is_local(c, SPAN("xn--bcher-lva.test")));
    struct route r = config_route(c, ROUTE_BACKEND, SPAN("xn--bcher-kva.test"));
    assert_int_equal(r.section[0], 0);
    assert_string_equal(r.rule, "xn--bcher-kva.test");
    config_free(c);
}

static void test_sections_of_one_kind_serve_different_domains(void **state)
{
    struct config *c = good("domains = { \"a.test\", \"b.test\" }\n"
                            "auth \"file\" { path = \"/dev/null\" domains = { \"a.test\" } }\n"
                            "auth \"file\" { path = \"/dev/zero\" }\n" A "{ }\n");

    assert_int_equal(c->auth_count, 2);
    assert_string_equal(c->auth[0].path, "/dev/null");
    assert_string_equal(c->auth[1].path, "/dev/zero");
    assert_int_equal(config_route(c, ROUTE_AUTH, SPAN("a.test")).section[0], 0);
    assert_int_equal(config_route(c, ROUTE_AUTH, SPAN("b.test")).section[0], 1);
    assert_int_equal(config_route(c, ROUTE_AUTH, (struct span){0}).section[0], 1);
    config_free(c);
}

static void test_what_is_no_domain_is_refused_with_the_key(void **state)
{
    static const char *const wrong[] = {"*.a.test", "a..test",  ".",         "a b.test",
                                        "a@b.test", "..a.test", "[1.2.3.4]", "a.test/24"};

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char text[256];
        snprintf(text, sizeof text, "domains = { \"%s\" }\n" A "{ }\n", wrong[i]);
        bad(text, "domains: \"");
        snprintf(text, sizeof text,
                 "domains = { \"a.test\" }\n" A "{ domains = { \"%s\" } }\n" B "{ }\n", wrong[i]);
        bad(text, "domains: \"");
    }
    bad("domains = { \"*.a.test\" }\n" A "{ }\n", "expected \".a.test\"");
}

static void test_a_top_level_domain_is_too_much(void **state)
{
    bad("domains = { \".test\" }\n" A "{ }\n", "whole top-level domain");
    silent("domains = { \".a.test\" }\n" A "{ domains = { \".test\" } }\n");
}

static void test_a_domain_without_a_backend_is_named(void **state)
{
    bad("domains = { \"a.test\", \"b.test\" }\n" A "{ domains = { \"a.test\" } }\n",
        "no backend gets the mail of \"b.test\"");
    bad("domains = { \".a.test\" }\n" A "{ domains = { \"a.test\", \"x.a.test\" } }\n",
        "no backend gets the mail of \".a.test\"");
    silent("domains = { \"x.a.test\" }\n" A "{ domains = { \".a.test\" } }\n");
}

static void test_a_domain_without_a_directory_is_named_where_there_are_directories(void **state)
{
    bad("domains = { \"a.test\", \"b.test\" }\n" A "{ }\n"
        "recipients \"file\" { path = \"/dev/null\" domains = { \"a.test\" } }\n",
        "no recipients section knows the people of \"b.test\"");
}

static void test_what_is_never_reached_is_a_warning(void **state)
{
    warned("domains = { \"a.test\" }\n" A "{ domains = { \"a.test\", \"a.tset\" } }\n",
           "nothing is ever sent to \"a.tset\"");
    warned("domains = { \"a.test\" }\n" A "{ domains = { \"a.test\" } }\n" B "{ }\n",
           "backend \"smtp://127.0.0.1:2\" has no domains, and each of `domains` has another");
    warned("domains = { \"x.a.test\" }\n" A "{ domains = { \".b.a.test\" } }\n" B "{ }\n",
           "nothing is ever sent to \".b.a.test\"");
    /* a longer suffix has all of it */
    warned("domains = { \".x.a.test\" }\n" A "{ domains = { \".x.a.test\" } }\n" B
           "{ domains = { \".a.test\" } }\n",
           "nothing is ever sent to \".a.test\"");
    /* who logs in may send to any domain */
    silent("domains = { \"a.test\" }\nauth \"file\" { path = \"/dev/null\" }\n" A
           "{ domains = { \"partner.test\" } }\n" B "{ }\n");
}

static void test_clients_that_send_elsewhere_need_a_backend_for_it(void **state)
{
    warned("domains = { \"a.test\" }\nrelay = { \"10.0.0.0/8\" }\n" A
           "{ domains = { \"a.test\" } }\n",
           "cannot send to other domains");
    warned("domains = { \"a.test\" }\n" A "{ }\n"
           "auth \"file\" { path = \"/dev/null\" domains = { \"a.test\" } }\n",
           "nobody logs in with a name without a domain");
}

static void test_a_section_that_asks_the_backend_needs_one_for_its_domains(void **state)
{
    bad("domains = { \"a.test\", \"b.test\" }\nbackend \"maildir\" { domains = { \"a.test\" } }\n" A
        "{ }\nrecipients \"backend\" { domains = { \"a.test\" } }\n"
        "recipients \"file\" { path = \"/dev/null\" }\n",
        "recipients \"backend\" needs a mail server to ask for a.test");
    silent(
        "domains = { \"a.test\", \"b.test\" }\nbackend \"maildir\" { domains = { \"a.test\" } }\n" A
        "{ }\nrecipients \"file\" { path = \"/dev/null\" domains = { \"a.test\" } }\n"
        "recipients \"backend\" { }\n");
    bad("domains = { \".a.test\" }\nbackend \"maildir\" { domains = { \"x.a.test\" } }\n" A
        "{ }\nrecipients \"backend\" { }\n",
        "needs a mail server to ask for x.a.test");
    bad("domains = { \"a.test\", \"b.test\" }\nbackend \"maildir\" { domains = { \"a.test\" } }\n" A
        "{ }\nauth \"backend\" { domains = { \"a.test\" } }\n",
        "auth \"backend\" needs a mail server to ask for a.test");
}

static void test_many_mistakes_of_a_kind_are_told_in_a_few_lines(void **state)
{
    struct buf text = {0};

    buf_addf(&text, "domains = { \"a.test\"");
    for (int i = 0; i < 1000; i++)
        buf_addf(&text, ", \"d%d.test\"", i);
    buf_addf(&text, " }\n" A "{ domains = { \"a.test\" } }\n");
    buf_add(&text, "", 1);
    bad(text.at, "and so for further domains");
    assert_true(said.len < 4096);
    buf_free(&text);
}

/* What mired prints of itself can be read again, and means the same. */
static void test_a_printed_configuration_is_the_same(void **state)
{
    struct config *c =
        good("domains = { \".a.test\", \"b.test\" }\n"
             "recipients \"file\" { path = \"/dev/null\" domains = { \".a.test\" } }\n"
             "recipients \"file\" { path = \"/dev/zero\" }\n" A "{ domains = { \".a.test\" } }\n" B
             "{ }\n");
    struct buf text = {0};

    assert_int_equal(config_print(c, &text), 0);
    buf_add(&text, "", 1);
    config_free(c);
    const char *listen = strstr(text.at, "listen ");
    struct buf again = {0};
    buf_addf(&again, "domains = { \".a.test\", \"b.test\" }\n%s", strstr(listen, "recipients "));
    buf_add(&again, "", 1);
    c = good(again.at);
    assert_int_equal(c->recipients_count, 2);
    assert_int_equal(config_route(c, ROUTE_RECIPIENTS, SPAN("x.a.test")).section[0], 0);
    assert_int_equal(config_route(c, ROUTE_RECIPIENTS, SPAN("b.test")).section[0], 1);
    assert_int_equal(config_route(c, ROUTE_BACKEND, SPAN("b.test")).section[0], 1);
    config_free(c);
    buf_free(&again);
    buf_free(&text);
}

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void add_domains(struct buf *text, int from, int to)
{
    buf_addf(text, "domains = {");
    for (int i = from; i < to; i++)
        buf_addf(text, "%s \"d%d.customers.example\"", i == from ? "" : ",", i);
    buf_addf(text, " }\n");
}

static void test_a_hundred_thousand_domains_are_read_in_one_pass(void **state)
{
    enum { DOMAINS = 100000, BACKENDS = 20 };
    struct buf text = {0};

    add_domains(&text, 0, DOMAINS);
    for (int i = 0; i < BACKENDS; i++) {
        buf_addf(&text, "backend \"smtp://10.0.0.%d:25\" {\n", i + 1);
        add_domains(&text, i * (DOMAINS / BACKENDS), (i + 1) * (DOMAINS / BACKENDS));
        buf_addf(&text, "}\n");
    }
    buf_add(&text, "", 1);
    double begun = seconds();
    struct config *c = good(text.at);
    double took = seconds() - begun;
    print_message("100,000 domains in %u octets of configuration: read and checked in %.0f ms\n",
                  text.len, took * 1e3);
    assert_int_equal(config_route(c, ROUTE_BACKEND, SPAN("d99999.customers.example")).section[0],
                     19);
    config_free(c);
    buf_free(&text);
#ifndef __SANITIZE_ADDRESS__
    assert_true(took < 10); /* 0.3 s; minutes if each domain were compared with all others */
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_come_in_either_form_and_any_case),
        cmocka_unit_test(test_sections_of_one_kind_serve_different_domains),
        cmocka_unit_test(test_what_is_no_domain_is_refused_with_the_key),
        cmocka_unit_test(test_a_top_level_domain_is_too_much),
        cmocka_unit_test(test_a_domain_without_a_backend_is_named),
        cmocka_unit_test(test_a_domain_without_a_directory_is_named_where_there_are_directories),
        cmocka_unit_test(test_what_is_never_reached_is_a_warning),
        cmocka_unit_test(test_clients_that_send_elsewhere_need_a_backend_for_it),
        cmocka_unit_test(test_a_section_that_asks_the_backend_needs_one_for_its_domains),
        cmocka_unit_test(test_many_mistakes_of_a_kind_are_told_in_a_few_lines),
        cmocka_unit_test(test_a_printed_configuration_is_the_same),
        cmocka_unit_test(test_a_hundred_thousand_domains_are_read_in_one_pass),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
