/* fleet { }: the URLs of its servers, what they are read as, and what is refused. */
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
#include "config/print.h"

static char path[64];
static struct buf said;

static struct config *read_fleet(const char *fleet)
{
    struct config *c = NULL;
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fprintf(f,
            "hostname = \"mx.example.test\"\ndomains = { \"example.test\" }\n"
            "listen \"127.0.0.1:2525\" { }\nbackend \"maildir\" { }\nfleet { %s }\n",
            fleet);
    fclose(f);
    buf_free(&said);
    int result = config_read(path, &c, &said);
    buf_add(&said, "", 1);
    return result == 0 ? c : NULL;
}

static int open_file(void **state)
{
    strcpy(path, "/tmp/test-fleet-XXXXXX");
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
    buf_free(&said);
    return unlink(path);
}

static void test_a_url_is_read_in_all_its_parts(void **state)
{
    struct config *c =
        read_fleet("redis = { \"redis://mi%20red:p%3A%40ss@redis.example:7000/3\" }");

    assert_non_null(c);
    const struct config_redis *r = &c->fleet.server[0];
    assert_string_equal(r->host, "redis.example");
    assert_string_equal(r->user, "mi red");
    assert_string_equal(r->password, "p:@ss");
    assert_true(r->port == 7000 && r->db == 3 && !r->tls);
    assert_string_equal(c->fleet.name, "mired");
    assert_string_equal(c->fleet.member, "mx.example.test");
    config_free(c);
}

static void test_ports_families_and_tls_have_defaults(void **state)
{
    struct config *c = read_fleet("redis = { \"rediss://[2001:db8::9]\" } member = \"mx1\"");

    assert_non_null(c);
    assert_string_equal(c->fleet.server[0].host, "2001:db8::9");
    assert_true(c->fleet.server[0].port == 6379 && c->fleet.server[0].tls);
    assert_null(c->fleet.server[0].user);
    config_free(c);
    c = read_fleet("redis = { \"redis://:secret@a\", \"redis://b:1\" } mode = \"sentinel\"");
    assert_non_null(c);
    assert_true(c->fleet.server[0].port == 26379 && c->fleet.server[1].port == 1);
    assert_string_equal(c->fleet.server[0].password, "secret");
    config_free(c);
}

/* `mirectl config` and the page show what the configuration holds. */
static void test_no_password_is_left_in_what_is_shown(void **state)
{
    struct config *c = read_fleet("redis = { \"redis://mired:hunter2@10.0.0.9:6379/0\" }");
    struct buf shown = {0};

    assert_non_null(c);
    assert_int_equal(config_print(c, &shown), 0);
    buf_add(&shown, "", 1);
    assert_null(strstr(shown.at, "hunter2"));
    assert_non_null(strstr(shown.at, "redis://mired@10.0.0.9:6379/0"));
    config_forget_fleet(c);
    assert_string_equal(c->fleet.server[0].password, "");
    buf_free(&shown);
    config_free(c);
}

static void test_what_is_wrong_is_named(void **state)
{
    static const struct {
        const char *fleet, *words;
    } table[] = {
        {"member = \"mx1\"", "fleet has no redis"},
        {"redis = { \"http://10.0.0.9\" }", "expected \"redis://user:password@host:6379/0\""},
        {"redis = { \"redis://\" }", "expected \"redis://user:password@host:6379/0\""},
        {"redis = { \"redis://a:0\" }", "expected \"redis://"},
        {"redis = { \"redis://a:70000\" }", "expected \"redis://"},
        {"redis = { \"redis://a/x\" }", "expected \"redis://"},
        {"redis = { \"redis://a%zz:b@c\" }", "expected \"redis://"},
        {"redis = { \"redis://a%0:b@c\" }", "expected \"redis://"},
        {"redis = { \"redis://u:%00@c\" }", "expected \"redis://"},
        {"redis = { \"redis://[::1\" }", "expected \"redis://"},
        {"redis = { \"redis://a\", \"redis://b\" }", "expected one, or mode"},
        {"redis = { \"redis://a/1\" } mode = \"cluster\"", "no database but 0"},
        {"redis = { \"redis://a\" } member = \"mx 1\"", "member = \"mx 1\" is not valid"},
        {"redis = { \"redis://a\" } name = \"{mx}\"", "name = \"{mx}\" is not valid"},
        {"redis = { \"redis://a\" } password_file = \"/nowhere\"", "password_file /nowhere"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct config *c = read_fleet(table[i].fleet);
        if (c || !strstr(said.at, table[i].words))
            fail_msg("%s: %s", table[i].fleet, c ? "taken" : said.at);
        assert_null(strstr(said.at, "u:%00"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_url_is_read_in_all_its_parts, open_file,
                                        remove_file),
        cmocka_unit_test_setup_teardown(test_ports_families_and_tls_have_defaults, open_file,
                                        remove_file),
        cmocka_unit_test_setup_teardown(test_no_password_is_left_in_what_is_shown, open_file,
                                        remove_file),
        cmocka_unit_test_setup_teardown(test_what_is_wrong_is_named, open_file, remove_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
