/* mired.conf: what is read, what is refused and in which words, and that the documentation has
 * every key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/config.h"
#include "config/keys.h"

static char folder[64], path[96];
static struct buf said;

static void write_file(const char *name, const char *text)
{
    FILE *f = fopen(name, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int open_folder(void **state)
{
    strcpy(folder, "/tmp/test-config-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/mired.conf", folder);
    return 0;
}

static int close_folder(void **state)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    buf_free(&said);
    return system(command);
}

#define BASE                                                                                       \
    "hostname = \"mx.example.test\"\ndomains = { \"example.test\" }\n"                             \
    "listen \"127.0.0.1:2525\" { }\nbackend \"maildir\" { }\n"

static struct config *read_text(const char *text)
{
    struct config *c = NULL;
    buf_free(&said);
    write_file(path, text);
    int result = config_read(path, &c, &said);
    buf_add(&said, "", 1);
    return result == 0 ? c : NULL;
}

static void good(const char *more, void (*look)(const struct config *c))
{
    char text[4096];
    snprintf(text, sizeof text, BASE "%s", more);
    struct config *c = read_text(text);
    if (!c)
        fail_msg("refused: %s", said.at);
    if (look)
        look(c);
    config_free(c);
}

/* Refused, and every one of the words stands in what is said. */
static void bad(const char *more, const char *first, const char *second)
{
    char text[4096];
    snprintf(text, sizeof text, BASE "%s", more);
    struct config *c = read_text(text);
    if (c)
        fail_msg("taken: %s", more);
    if (!strstr(said.at, first) || !strstr(said.at, second))
        fail_msg("%s: said %s", more, said.at);
}

static void has_defaults(const struct config *c)
{
    assert_int_equal(c->tarpit.time, 20000);
    assert_int_equal(c->tarpit.max, 90000);
    assert_true(c->tarpit.pace);
    assert_int_equal(c->size_max, 50 << 20);
    assert_int_equal(c->timeout_ms, 300000);
    assert_true(c->clerks >= 2); /* by the number of workers, which is that of cores */
    assert_true(c->workers >= 1);
    assert_string_equal(c->state, "/var/lib/mired");
}

/* As many as the workers need, if there are cores for them. */
static void has_clerks(const struct config *c, uint32_t needed)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t most = cores > 2 ? (uint32_t)cores : 2;

    assert_int_equal(c->clerks, needed < most ? needed : most);
}

static void has_2_clerks(const struct config *c)
{
    has_clerks(c, 2);
}

static void has_3_clerks(const struct config *c)
{
    has_clerks(c, 3);
}

static void has_4_clerks(const struct config *c)
{
    has_clerks(c, 4);
}

static void has_16_clerks(const struct config *c)
{
    has_clerks(c, 16);
}

static void is_told_7_clerks(const struct config *c)
{
    assert_int_equal(c->clerks, 7);
}

static void test_many_workers_have_more_clerks(void **state)
{
    good("workers = 1\nclerks = 0\n", has_2_clerks);
    good("workers = 32\n", has_2_clerks);
    good("workers = 33\n", has_3_clerks);
    good("workers = 56\n", has_4_clerks);
    good("workers = 1024\n", has_16_clerks);
    good("workers = 1024\nclerks = 7\n", is_told_7_clerks);
    good("workers = 1\nclerks = 7\n", is_told_7_clerks);
}

static void test_what_is_not_said_has_its_default(void **state)
{
    good("", has_defaults);
}

static void has_values(const struct config *c)
{
    assert_int_equal(c->tarpit.time, 500);
    assert_int_equal(c->tarpit.max, 120000);
    assert_int_equal(c->tarpit.half_life, 2 * 3600000);
    assert_int_equal(c->tarpit.good_half_life, 14 * UINT64_C(86400000));
    assert_true(c->tarpit.reserve > 0.199 && c->tarpit.reserve < 0.201);
    assert_int_equal(c->tarpit.held_max, 0);
    assert_int_equal(c->size_max, 25 << 20);
    assert_int_equal(c->timeout_ms, 90000);
    assert_int_equal(c->exempt.count, 2);
    assert_int_equal(c->traps.count, 1);
    assert_string_equal(c->traps.at[0], "bait@example.test");
    assert_int_equal(c->ledger_size, 128 << 20);
}

static void test_durations_sizes_shares_and_networks_are_read(void **state)
{
    good("size_max = 25M\ntimeout = 90\nexempt = { \"10.0.0.0/8\", \"[2001:db8::]/32\" }\n"
         "tarpit { time = 500ms max = 2m half_life = 2h good_half_life = 14d reserve = 20% "
         "held_max = auto traps = { \"Bait@Example.TEST\" } ledger_size = 128M }\n",
         has_values);
}

static void test_each_wrong_value_is_named_with_what_would_be_right(void **state)
{
    static const char *const wrong[][3] = {
        {"tarpit { time = 20x }\n", "mired.conf:5", "20s"},
        {"tarpit { time = 400s }\n", "mired.conf:5", "time"},
        {"tarpit { reserve = 120% }\n", "mired.conf:5", "reserve"},
        {"tarpit { pace = maybe }\n", "mired.conf:5", "pace"},
        {"size_max = lots\n", "mired.conf:5", "size_max"},
        {"exempt = { \"10.0.0.1/8\" }\n", "mired.conf:5", "10.0.0.1/8"},
        {"workers = -1\n", "mired.conf:5", "workers"},
        {"log = \"loud\"\n", "mired.conf:5", "json"},
        {"listen \"nowhere\" { }\n", "mired.conf:5", "nowhere"},
        {"backend \"ftp://x\" { }\n", "mired.conf:5", "ftp"},
        {"recipients \"telepathy\" { }\n", "mired.conf:5", "telepathy"},
        {"recipients \"file\" { }\n", "mired.conf:5", "path"},
        {"tarpit { traps = { \"nobody\" } }\n", "mired.conf:5", "an address with its domain"},
        /* field notes 3: what matches nobody is no trap */
        {"tarpit { traps = { \"bait@example.test OK\" } }\n", "mired.conf:5", "the address alone"},
        {"tarpit { traps = { \"a@x.test, b@x.test\" } }\n", "mired.conf:5", "one address a line"},
        {"tarpit { traps = { \"<bait@x.test>\" } }\n", "mired.conf:5", "without <"},
        {"tarpit { traps = { \"smtp:bait@x.test\" } }\n", "mired.conf:5", "before it"},
        {"tarpit { traps = { \"@example.test\" } }\n", "mired.conf:5", "alice@example.org"},
        {"tarpit { traps = { \"*@example.test\" } }\n", "mired.conf:5", "alice@example.org"},
        {"domains = { \"*.example.test\" }\n", "mired.conf:5", "that domain and all below it"},
        {"tarpit { time = 60s max = 30s }\n", "mired.conf:5", "max"},
        {"recipients \"ldap\" { url = \"ldap://a\" base = \"o=a\" filter = \"(mail=%s)\" "
         "bind_dn = \"cn=a\" }\n",
         "bind_dn and password_file belong together", "mired.conf:5"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        bad(wrong[i][0], wrong[i][1], wrong[i][2]);
}

static void test_all_wrong_values_are_listed_at_once(void **state)
{
    bad("workers = 99999999\nclerks = none\ntarpit {\n  time = soon\n  growth = 0\n}\n",
        ":5:", ":6:");
    assert_non_null(strstr(said.at, ":8:"));
    assert_non_null(strstr(said.at, ":9:"));
}

static void test_lists_names_and_resolvers_are_read(void **state)
{
    struct config *c = read_text(
        BASE
        "exempt = { \"10.0.0.0/8\", \".Outbound.Example.ORG\", \"m\xc3\xa4il.example.org\" }\n"
        "tarpit { suspect_offences = 4 }\n"
        "dnsbl \"Bl.Example.NET.\" { }\n"
        "dnsbl \"b2.example.net\" { weight = 2.5 reply = { \"127.0.0.2\", \"127.0.1.[3..4]\" } }\n"
        "dnswl \"wl.example.net\" { reply = \"127.0.0.9\" }\n"
        "resolver = { \"127.0.0.1\", \"[::1]:5353\", \"2001:db8::53\" }\n");
    assert_non_null(c);
    assert_int_equal(c->exempt.count, 1);
    assert_int_equal(c->exempt_names.count, 2);
    assert_string_equal(c->exempt_names.at[0], ".outbound.example.org");
    assert_string_equal(c->exempt_names.at[1], "xn--mil-qla.example.org");
    assert_int_equal(c->dnsbl_count, 2);
    assert_string_equal(c->dnsbl[0].zone, "bl.example.net");
    assert_true(c->dnsbl[0].weight == 4 && c->dnsbl[1].weight == 2.5);
    assert_int_equal(c->dnsbl[0].patterns.count, 0);
    assert_int_equal(c->dnsbl[1].patterns.count, 2);
    assert_int_equal(listing_judge(&c->dnsbl[1].patterns, (const uint8_t[]){127, 0, 1, 4}),
                     LISTING_YES);
    assert_int_equal(c->dnswl_count, 1);
    assert_int_equal(c->dnswl[0].patterns.count, 1);
    assert_int_equal(c->resolver.count, 3);
    assert_true(c->resolvers[0].family == ADDR_IP4 && c->resolvers[0].port == 0);
    assert_true(c->resolvers[1].family == ADDR_IP6 && c->resolvers[1].port == 5353);
    config_free(c);
}

static void test_an_unknown_key_ends_it(void **state)
{
    bad("colour = \"red\"\n", "colour", "mired.conf:5");
    bad("tarpit { depth = 3 }\n", "depth", "mired.conf:5");
}

static void test_a_key_of_later_is_refused_and_never_ignored(void **state)
{
    for (const struct key *k = keys_main; k->name; k++) {
        char line[128];
        if (!k->later)
            continue;
        snprintf(line, sizeof line, "%s = { \"x\" }\n", k->name);
        bad(line, "not yet supported", "mired.conf:5");
    }
    for (int i = 0; i < SECTION_COUNT; i++) {
        char line[128];
        if (!sections[i].later)
            continue;
        snprintf(line, sizeof line, "%s %s{ }\n", sections[i].name,
                 sections[i].titled ? "\"x\" " : "");
        bad(line, "not yet supported", "mired.conf:5");
    }
}

static void test_included_files_are_read_and_named(void **state)
{
    char name[128], text[256];

    snprintf(name, sizeof name, "%s/more.conf", folder);
    write_file(name, "# more\nclerks = 7\n");
    struct config *c = read_text(BASE "include(\"more.conf\")\n");
    assert_non_null(c);
    assert_int_equal(c->clerks, 7);
    config_free(c);
    write_file(name, "\nclerks = many\n");
    assert_null(read_text(BASE "include(\"more.conf\")\n"));
    snprintf(text, sizeof text, "%s:2", name);
    assert_non_null(strstr(said.at, text));
}

static void test_without_a_list_of_recipients_there_is_a_warning(void **state)
{
    good("", NULL);
    assert_non_null(strstr(said.at, "warning"));
}

/* Otherwise such a message would be deferred until its sender gives up. */
static void test_no_message_is_offered_that_the_spool_can_never_hold(void **state)
{
    static const struct {
        const char *text;
        uint64_t size_max;
        bool warned;
    } row[] = {
        {"spool_max = 1M\n", 983040, true},
        {"spool_max = 1M\nsize_max = 983040\n", 983040, false},
        {"spool_max = 1M\nsize_max = 983041\n", 983040, true},
        {"spool_max = 4M\nsize_max = 4M\n", 3932160, true},
        {"spool_max = 260K\n", 262144, true},
        {"spool_max = 20K\n", 20480, true},
        {"spool_max = 1K\nsize_max = 1K\n", 1024, false},
        {"", 50 << 20, false},
    };

    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        char text[512];
        snprintf(text, sizeof text, "%s%s", BASE, row[i].text);
        struct config *c = read_text(text);
        assert_non_null(c);
        assert_int_equal(c->size_max, row[i].size_max);
        assert_int_equal(strstr(said.at, "spool_max") != NULL, row[i].warned);
        config_free(c);
    }
}

static void test_durations_and_sizes_for_tools(void **state)
{
    uint64_t n;

    assert_true(config_duration(SPAN("1h"), &n) && n == 3600000);
    assert_true(config_duration(SPAN("250ms"), &n) && n == 250);
    assert_true(config_duration(SPAN("3"), &n) && n == 3000);
    assert_false(config_duration(SPAN("1y"), &n) || config_duration(SPAN(""), &n) ||
                 config_duration(SPAN("-1s"), &n));
    assert_true(config_size(SPAN("64K"), &n) && n == 65536);
    assert_false(config_size(SPAN("64Q"), &n) || config_size(SPAN("K"), &n));
}

static char *read_all(const char *name)
{
    FILE *f = fopen(name, "r");
    char *text = calloc(1, 1 << 20);
    assert_non_null(f);
    assert_true(fread(text, 1, (1 << 20) - 1, f) > 0);
    fclose(f);
    return text;
}

static void has_key(const char *text, const char *document, const char *section, const char *key)
{
    char row[128];
    snprintf(row, sizeof row, "`%s`", key);
    if (!strstr(text, row))
        fail_msg("%s does not have %s of %s", document, key, section);
}

static void test_every_key_is_documented(void **state)
{
    char *text = read_all(SOURCE_ROOT "/docs/configuration.md");
    const char *at = text;

    for (const struct key *k = keys_main; k->name; k++)
        has_key(text, "docs/configuration.md", "the main section", k->name);
    for (int i = 0; i < SECTION_COUNT; i++) {
        char head[64];
        snprintf(head, sizeof head, "\n## `%s`", sections[i].name);
        at = strstr(text, head);
        if (!at)
            fail_msg("no section%s", head);
        at += strlen(head);
        const char *end = strstr(at, "\n## ");
        char *part = strndup(at, end ? (size_t)(end - at) : strlen(at));
        for (const struct key *k = sections[i].keys; k->name; k++)
            has_key(part, "docs/configuration.md", sections[i].name, k->name);
        free(part);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_workers_have_more_clerks),
        cmocka_unit_test(test_what_is_not_said_has_its_default),
        cmocka_unit_test(test_durations_sizes_shares_and_networks_are_read),
        cmocka_unit_test(test_each_wrong_value_is_named_with_what_would_be_right),
        cmocka_unit_test(test_all_wrong_values_are_listed_at_once),
        cmocka_unit_test(test_lists_names_and_resolvers_are_read),
        cmocka_unit_test(test_an_unknown_key_ends_it),
        cmocka_unit_test(test_a_key_of_later_is_refused_and_never_ignored),
        cmocka_unit_test(test_included_files_are_read_and_named),
        cmocka_unit_test(test_without_a_list_of_recipients_there_is_a_warning),
        cmocka_unit_test(test_no_message_is_offered_that_the_spool_can_never_hold),
        cmocka_unit_test(test_durations_and_sizes_for_tools),
        cmocka_unit_test(test_every_key_is_documented),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
