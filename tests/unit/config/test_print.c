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
#include "config/reader.h"

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

/* ---- the documents ---- */

static char *read_document(void)
{
    FILE *f = fopen(SOURCE_ROOT "/docs/configuration.md", "r");
    char *text = calloc(1, 1 << 20);

    assert_non_null(f);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 20) - 1, f) > 0);
    fclose(f);
    return text;
}

/* The value of `key = value` in what is printed, without what stands behind it. */
static struct span value_of(const struct buf *printed, const char *key)
{
    char line[128];

    snprintf(line, sizeof line, "%s = ", key);
    for (struct span rest = buf_span(printed); rest.len;) {
        struct span one = span_trim(span_first(rest, span_find(rest, '\n')));
        rest = span_after(rest, span_find(rest, '\n') + 1);
        if (span_starts_fold(one, span_of(line))) {
            struct span value = span_after(one, strlen(line));
            const char *mark = memmem(value.at, value.len, "  #", 3);
            return span_first(value, mark ? (size_t)(mark - value.at) : value.len);
        }
    }
    return (struct span){0};
}

/* Words may stand in quotes or not. */
static struct span unquoted(struct span text)
{
    bool quoted = text.len >= 2 && text.at[0] == '"' && text.at[text.len - 1] == '"';

    return quoted ? span_first(span_after(text, 1), text.len - 2) : text;
}

/* Of defaults that are a value (and not "none" or "the machine's") the document has the very one.
 */
static unsigned compare(const char *part, const char *end, const struct key *keys,
                        const struct buf *printed)
{
    unsigned compared = 0;

    for (; keys->name; keys++) {
        char row[128];
        snprintf(row, sizeof row, "\n| `%s` | `", keys->name);
        const char *at = strstr(part, row);
        if (!at || at > end)
            continue;
        at += strlen(row);
        struct span told = {at, strcspn(at, "`")}, is = value_of(printed, keys->name);
        if (strncmp(at + told.len, "` |", 3) != 0)
            continue;
        if (!span_equal(unquoted(told), unquoted(is)))
            fail_msg("%s: the document says %.*s, the default is %.*s", keys->name, (int)told.len,
                     told.at, (int)is.len, is.at);
        compared++;
    }
    return compared;
}

static void test_the_document_has_the_defaults(void **state)
{
    struct config *usual = config_defaults("mired.conf");
    struct buf text = {0};
    char *document = read_document();
    const char *tarpit = strstr(document, "\n## `tarpit`");

    assert_non_null(usual);
    assert_non_null(tarpit);
    assert_int_equal(config_print(usual, &text), 0);
    assert_true(compare(document, strstr(document, "\n## `listen`"), keys_main, &text) > 12);
    assert_true(compare(tarpit, strstr(tarpit + 4, "\n## "), keys_tarpit, &text) > 15);
    free(document);
    buf_free(&text);
    config_free(usual);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_printed_means_the_same),
        cmocka_unit_test(test_what_is_as_by_default_says_so),
        cmocka_unit_test(test_the_document_has_the_defaults),
    };

    return cmocka_run_group_tests(tests, make_file, remove_file);
}
