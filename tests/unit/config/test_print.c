/* print.c: the configuration that is printed is the one that was read. Field notes 18. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/print.h"

static char path[] = "/tmp/test-print-XXXXXX";

static int make_file(void **state)
{
    int fd = mkstemp(path);

    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
    return unlink(path);
}

static struct buf printed(struct span text)
{
    struct config *config = NULL;
    struct buf said = {0}, out = {0};
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_int_equal(fwrite(text.at, 1, text.len, f), text.len);
    fclose(f);
    if (config_read(path, &config, &said) < 0)
        fail_msg("%.*s: %.*s", (int)text.len, text.at, (int)said.len, said.at);
    assert_int_equal(config_print(config, &out), 0);
    config_free(config);
    buf_free(&said);
    return out;
}

#define BASE                                                                                       \
    "hostname = \"mx.example.test\"\ndomains = { \"example.test\" }\n"                             \
    "listen \"127.0.0.1:2525\" { }\nbackend \"maildir\" { }\n"

static const char *const lines[] = {
    "size_max = 25M\ntimeout = 90s\nlog = \"json\"\nworkers = 3",
    "exempt = { \"10.0.0.0/8\", \".mail.test\", \"2001:db8::/32\" }\nsuspect = { \"192.0.2.0/24\" "
    "}",
    "recipient_delimiter = \"\\\"\"",
    "resolver = { \"127.0.0.1\", \"[::1]:5353\" }",
    "tarpit { time = 1500ms max = 2m growth = 1.25 reserve = 12.5% held_max = 7 pace = false }",
    "tarpit { traps = { \"trap@example.test\", \"m\xc3\xa4x@example.test\" } }",
    "listen \"[::1]:2526\" { proxy_protocol = { \"10.0.0.0/8\" } auth = false }",
    "recipients \"socketmap\" { path = \"/x\" map = \"y\" cache = 2h }",
    "recipients \"ldap\" { url = { \"ldap://a\", \"ldap://b\" } base = \"o=a\" filter = "
    "\"(mail=%s)\" }",
    "auth \"dovecot\" { path = \"/run/x\" }",
    "backend \"smtp://[::1]:25\" { xclient = true tls = verified connections = 3 }",
    "backend \"smtp://mx.example.test:25\" { proxy_protocol = v2 }\nbackend \"lmtp:/run/x\" { }",
    "dnsbl \"bl.test\" { weight = 2.5 reply = { \"127.0.0.[2..4]\" } }\ndnswl \"wl.test\" { }",
    "web { listen = { \"127.0.0.1:8025\", \"[::1]:8025\" } }",
};

static void test_what_is_printed_means_the_same(void **state)
{
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        char text[1024];
        snprintf(text, sizeof text, BASE "%s\n", lines[i]);
        struct buf first = printed(span_of(text));
        struct buf second = printed(buf_span(&first));
        if (!span_equal(buf_span(&first), buf_span(&second)))
            fail_msg("%.*s\n-- became --\n%.*s", (int)first.len, first.at, (int)second.len,
                     second.at);
        buf_free(&first);
        buf_free(&second);
    }
}

static bool has_line(const struct buf *text, const char *line)
{
    return memmem(text->at, text->len, line, strlen(line));
}

static void test_what_is_as_by_default_says_so(void **state)
{
    struct buf text = printed(SPAN(BASE "size_max = 25M\ntarpit { time = 3s }\n"));

    assert_true(has_line(&text, "\nsize_max = 25M\n"));
    assert_true(has_line(&text, "\ntimeout = 5m  # default\n"));
    assert_true(has_line(&text, "\n    time = 3s\n"));
    assert_true(has_line(&text, "\n    growth = 1.5  # default\n"));
    buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_printed_means_the_same),
        cmocka_unit_test(test_what_is_as_by_default_says_so),
    };

    return cmocka_run_group_tests(tests, make_file, remove_file);
}
