/* explain.c, scan.c: what the administrator meant is said, with the line in which the mistake
 * stands, and one mistake is one message. Field notes 17. */
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

static char path[] = "/tmp/test-explain-XXXXXX";

static int make_file(void **state)
{
    int fd = mkstemp(path);

    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
    return unlink(path);
}

/* Four good lines; `more` begins in line 5. */
#define BASE                                                                                       \
    "hostname = \"mx.example.test\"\ndomains = { \"example.test\" }\n"                             \
    "listen \"127.0.0.1:2525\" { }\nbackend \"maildir\" { }\n"

static bool taken(const char *text, struct buf *said)
{
    struct config *config = NULL;
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    bool good = config_read(path, &config, said) == 0;
    if (good)
        config_free(config);
    buf_add(said, "", 1);
    return good;
}

struct mistake {
    const char *more;
    int line;
    const char *words; /* of the message */
};

static void expect_one_message(const char *base, const struct mistake *m)
{
    char text[4096], place[64];
    struct buf said = {0};

    snprintf(text, sizeof text, "%s%s", base, m->more);
    if (taken(text, &said))
        fail_msg("taken: %s", m->more);
    snprintf(place, sizeof place, "%s:%d: ", path, m->line);
    unsigned lines = 0;
    for (const char *at = said.at; *at; at = strchr(at, '\n') + 1)
        lines += strstr(at, "warning: ") != at + strlen(path) + 2;
    bool placed = m->line == 0 || strstr(said.at, place);
    if (!placed || !strstr(said.at, m->words) || lines != 1)
        fail_msg("%s: said %s", m->more, said.at);
    buf_free(&said);
}

static void expect_each(const struct mistake *m, size_t count)
{
    for (size_t i = 0; i < count; i++)
        expect_one_message(BASE, &m[i]);
}
#define EXPECT_EACH(list) expect_each(list, sizeof(list) / sizeof(list)[0])

static void test_an_open_brace_is_told_where_it_was_opened(void **state)
{
    static const struct mistake list[] = {
        {"tarpit { time = 20s\n", 5, "the { of tarpit is opened here and not closed"},
        {"\ntarpit {\n  time = 20s\n\n", 6, "the { of tarpit"},
        {"tarpit { time = 20s\nbackend \"lmtp:/run/x\" { }\n", 5, "not closed before backend"},
        {"tarpit {\nexempt = { \"10.0.0.0/8\"\n}\n", 5, "the { of tarpit"},
        {"exempt = { \"10.0.0.0/8\"\nlisten \"127.0.0.1:26\" { }\n", 5, "not closed before listen"},
        {"exempt = { \"10.0.0.0/8\"\nworkers = 3\n", 5, "the { of exempt"},
        {"exempt = { \"10.0.0.0/8\",\n", 5, "the { of exempt"},
        {"listen \"127.0.0.1:26\" {\nlisten \"127.0.0.1:27\" { }\n", 5, "the { of listen"},
        {"tarpit { traps = { \"a@b.test\" }\n# }\n", 5, "the { of tarpit"},
        {"tarpit { traps = { \"}@b.test\"\n", 5, "the { of traps"},
        {"include(\"x\"\n", 5, "the ( of include"},
        {"hostname = \"mx\nworkers = 3\n", 5, "the \" that opens here is not closed"},
        {"domains = { \"a.test, \"b.test\" }\n", 5, "the \" that opens here is not closed"},
        {"log = 'json\n", 5, "the ' that opens here is not closed"},
        {"/* workers = 3\n", 5, "the comment /* that begins here"},
        {"workers = 3 }\n", 5, "this } closes nothing"},
        {"tarpit { }\n}\n", 6, "this } closes nothing"},
    };
    EXPECT_EACH(list);
}

static void test_a_missing_comma_or_mark_is_named(void **state)
{
    static const struct mistake list[] = {
        {"exempt = { \"10.0.0.0/8\" \"192.0.2.1\" }\n", 5,
         "a comma is missing between \"10.0.0.0/8\" and \"192.0.2.1\""},
        {"exempt = {\n\"10.0.0.0/8\"\n\"192.0.2.1\"\n}\n", 6, "a comma is missing"},
        {"tarpit { traps = { a@b.test c@d.test } }\n", 5, "a comma is missing"},
        {"exempt = \"10.0.0.0/8\", \"192.0.2.1\"\n", 5, "exempt = { ..., ... }"},
        {"tarpit = { time = 3s }\n", 5, "tarpit is a section and has no ="},
        {"tarpit time = 3s\n", 5, "tarpit has no { }"},
        {"size_max 25M\n", 5, "size_max has no ="},
        {"size_max = 25 M\n", 5, "has \"M\" behind it"},
        {"size_max =\n", 5, "has no value"},
        {"\"workers\" = 3\n", 5, "expected a key or a section"},
    };
    EXPECT_EACH(list);
    expect_one_message("\xef\xbb\xbf" BASE, &(struct mistake){"", 1, "byte order mark"});
}

static void test_a_near_key_is_suggested(void **state)
{
    static const struct mistake list[] = {
        {"tarpit { tiem = 3s }\n", 5, "did you mean time?"},
        {"tarpit { growht = 2 }\n", 5, "did you mean growth?"},
        {"tarpit {\n  half_live = 3h\n}\n", 6, "did you mean half_life?"},
        {"worker = 3\n", 5, "did you mean workers?"},
        {"host_name = \"x\"\n", 5, "did you mean hostname?"},
        {"size-max = 3M\n", 5, "did you mean size_max?"},
        {"trapit { }\n", 5, "did you mean tarpit?"},
        {"recipient \"file\" { }\n", 5, "did you mean recipients?"},
        {"time = 3s\n", 5, "it belongs in tarpit { }"},
        {"certificate = \"x\"\n", 5, "it belongs in tls { }"},
        {"tarpit { workers = 3 }\n", 5, "it belongs outside of tarpit { }"},
        {"tarpit { xclient = true }\n", 5, "it belongs in backend { }"},
        {"frobnicate = 3\n", 5, "mired.conf(5) lists all keys"},
    };
    EXPECT_EACH(list);
}

static void test_a_value_that_is_nearly_right_is_put_right(void **state)
{
    static const struct mistake list[] = {
        {"size_max = 25MB\n", 5, "expected 25M"},
        {"size_max = 25mb\n", 5, "expected 25M"},
        {"size_max = 25MiB\n", 5, "expected 25M"},
        {"size_max = 25m\n", 5, "expected 25M"},
        {"spool_max = 2GB\n", 5, "expected 2G"},
        {"spool_max = \"65536 bytes\"\n", 5, "expected 65536"},
        {"size_max = 9TB\n", 5, "a size from"},
        {"timeout = 5min\n", 5, "expected 5m"},
        {"timeout = \"90 seconds\"\n", 5, "expected 90s"},
        {"timeout = 1Hour\n", 5, "expected 1h"},
        {"tarpit { time = 20sec }\n", 5, "expected 20s"},
        {"tarpit { time = 20parsec }\n", 5, "a duration from"},
        {"exempt = { \"10.0.0.5/8\" }\n", 5,
         "expected 10.0.0.0/8, because 10.0.0.5/8 has host bits"},
        {"suspect = { \"192.0.2.7/24\" }\n", 5, "expected 192.0.2.0/24"},
        {"exempt = { \"2001:db8::1/32\" }\n", 5, "expected 2001:db8::/32"},
        {"exempt = { \"::ffff:10.0.0.5/104\" }\n", 5, "expected 10.0.0.0/8"},
        {"listen \"127.0.0.1:26\" { proxy_protocol = \"10.1.2.3/16\" }\n", 5,
         "expected 10.1.0.0/16"},
        {"domains = { \"*.example.org\" }\n", 5, "is a pattern"},
        {"domains = { \"exa mple.org\" }\n", 5, "is not a domain"},
        {"# one\nexempt = { # two\n # three\n \"10.0.0.0/8\" }\nworkers = x\n", 9, "workers"},
        {"/* one\n two */ workers = x\n", 6, "workers"},
    };
    EXPECT_EACH(list);
}

static void test_one_mistake_is_one_message(void **state)
{
    static const struct mistake list[] = {
        {"recipients \"postfix\" { }\n", 5, "\"file\", \"ldap\", \"socketmap\" or \"backend\""},
        {"recipients \"files\" { path = \"/nonexistent\" }\n", 5, "\"file\""},
        {"auth \"sasl\" { }\n", 5, "\"file\", \"dovecot\" or \"backend\""},
        {"listen \"smtp\" { submission = true }\n", 5, "\"[::]:25\""},
    };
    EXPECT_EACH(list);
}

static void test_what_decides_where_mail_goes_must_be_said(void **state)
{
    static const struct mistake list[] = {
        {"backend \"maildir\" { }\n", 0, "no listen section"},
        {"listen \"127.0.0.1:2525\" { }\n", 0, "no backend section"},
    };
    for (size_t i = 0; i < 2; i++)
        expect_one_message("hostname = \"mx.example.test\"\ndomains = { \"example.test\" }\n",
                           &list[i]);
}

/* The look at the shape refuses nothing that libconfuse understands. */
static void test_every_way_of_writing_is_taken(void **state)
{
    static const char *const good[] = {
        "workers=3",
        "workers = 3 clerks = 2",
        "tarpit{time=20s growth=1.5}",
        "exempt={\"10.0.0.0/8\",\"192.0.2.1\"}",
        "exempt = \"10.0.0.0/8\"",
        "exempt = { }",
        "exempt = {\n # none\n \"10.0.0.0/8\", // one\n /* } */ '192.0.2.1' }",
        "log = 'json'",
        "log = json",
        "hostname = mx.example.test",
        "dnsbl bl.test { weight = 3 }",
        "exempt = { \"10.0.0.0/8\", # office\n \"192.0.2.1\" # home\n }",
        "tarpit { # not now\n # }\n time = 3s // {\n }",
        "dnsbl \"bl.test\" # one\n { /* none */ weight = /* 2 */ 3 }",
        "hostname = \"mx#1.test\"\nhostname = 'mx.test' # \"",
        "log = \"json\" # a quote: \"",
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        char text[1024];
        struct buf said = {0};
        snprintf(text, sizeof text, BASE "%s\n", good[i]);
        if (!taken(text, &said))
            fail_msg("%s: %s", good[i], said.at);
        buf_free(&said);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_open_brace_is_told_where_it_was_opened),
        cmocka_unit_test(test_a_missing_comma_or_mark_is_named),
        cmocka_unit_test(test_a_near_key_is_suggested),
        cmocka_unit_test(test_a_value_that_is_nearly_right_is_put_right),
        cmocka_unit_test(test_one_mistake_is_one_message),
        cmocka_unit_test(test_what_decides_where_mail_goes_must_be_said),
        cmocka_unit_test(test_every_way_of_writing_is_taken),
    };

    return cmocka_run_group_tests(tests, make_file, remove_file);
}
