/* Requests of the page's port, by RFC 9112. Field notes 32 and 30. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "web/request_head.h"

static const char *judge(const char *text, struct request_head *out)
{
    size_t len = request_head_length(span_of(text));
    assert_int_equal(len, strlen(text));
    return request_head_parse((struct span){text, len}, out);
}

static void test_what_is_right_is_taken(void **state)
{
    static const struct {
        const char *text, *host;
    } rows[] = {
        {"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "localhost"},
        {"GET / HTTP/1.1\r\nhost:\tmx.example.test:8025 \r\n\r\n", "mx.example.test"},
        {"GET /a?b=c HTTP/1.1\r\nAccept: */*\r\nHost: 192.0.2.7:80\r\n\r\n", "192.0.2.7"},
        {"HEAD / HTTP/1.1\r\nHost: [2001:db8::1]:8025\r\n\r\n", "2001:db8::1"},
        {"HEAD / HTTP/1.1\r\nHost: [::1]\r\n\r\n", "::1"},
        {"GET / HTTP/1.0\r\n\r\n", ""},
        {"\r\nGET / HTTP/1.0\r\n\r\n", ""},
        {"OPTIONS * HTTP/1.1\r\nHost: localhost:\r\n\r\n", "localhost"},
        {"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nX-Empty:\r\n\r\n", "a"},
        {"GET / HTTP/1.1\r\nHost: a\r\nX: \xc3\xa9 t\tb\r\n\r\n", "a"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct request_head r;
        const char *wrong = judge(rows[i].text, &r);
        if (wrong || !span_equal(r.host, span_of(rows[i].host)))
            fail_msg("%s: %s", rows[i].text, wrong ? wrong : "another host");
    }
}

static void test_what_is_wrong_is_refused(void **state)
{
    static const char *const rows[] = {
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: \t\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nhOST: b\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost/live\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: user@localhost\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: http://localhost\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost:http\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost:123456\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost, evil.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: local host\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [localhost]\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [::1]8025\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: 2001:db8::1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a?b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a#b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: \xc3\xa9.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : localhost\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nX : y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nX\t: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nX: y\r\n z\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nX: y\r\n\tz\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: localhost\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: local\r\n host\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\n: no name\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nX: a\rb\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nX: \x01\r\n\r\n",
        "GET / HTTP/1.1\nHost: localhost\n\n",
        "GET / HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET / HTTP/1.1 \r\nHost: localhost\r\n\r\n",
        "GET / HTTP/2.0\r\nHost: localhost\r\n\r\n",
        "GET / http/1.1\r\nHost: localhost\r\n\r\n",
        "GET /\r\n\r\n",
        "GET\r\n\r\n",
        "\r\n\r\n",
        "G(T / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /\x01 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\nContent-Length: 0\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct request_head r;
        if (!judge(rows[i], &r))
            fail_msg("taken: %s", rows[i]);
    }
    struct request_head r;
    assert_non_null(request_head_parse(SPAN("GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n"), &r));
}

static void test_a_header_ends_with_its_empty_line_and_not_before(void **state)
{
    struct span whole = SPAN("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n");

    for (size_t n = 0; n < whole.len; n++)
        assert_int_equal(request_head_length(span_first(whole, n)), n < 27 ? 0 : 27);
    assert_int_equal(request_head_length(SPAN("")), 0);
    assert_int_equal(request_head_length(SPAN("\n")), 0);
    assert_int_equal(request_head_length(SPAN("GET / HTTP/1.0\n\nmore")), 16);
}

static void test_only_our_own_names_and_addresses_are_ours(void **state)
{
    static char mx[] = "mx.example.test", page[] = "page.example.test";
    char *const names[] = {mx, page};
    static const struct {
        const char *host;
        bool ours;
    } rows[] = {
        {"", true},
        {"localhost", true},
        {"LocalHost.", true},
        {"127.0.0.1", true},
        {"127.1.2.3", true},
        {"::1", true},
        {"192.0.2.1", true},
        {"192.0.2.2", false},
        {"mx.example.test", true},
        {"MX.Example.Test.", true},
        {"page.example.test", true},
        {"example.test", false},
        {"evil.test", false},
        {"mx.example.test.evil.test", false},
        {"127.0.0.1.evil.test", false},
        {"localhost.evil.test", false},
        {".", false},
        {"2001:db8::1", false},
    };
    struct addr reached;

    assert_true(addr_parse(SPAN("192.0.2.1"), &reached));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (request_head_is_for_us(span_of(rows[i].host), &reached, names, 2) != rows[i].ours)
            fail_msg("%s", rows[i].host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_right_is_taken),
        cmocka_unit_test(test_what_is_wrong_is_refused),
        cmocka_unit_test(test_a_header_ends_with_its_empty_line_and_not_before),
        cmocka_unit_test(test_only_our_own_names_and_addresses_are_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
