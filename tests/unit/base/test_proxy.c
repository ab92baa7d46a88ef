/* PROXY headers, read and written, octet by octet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/proxy.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define OCTETS(s) ((struct span){(s), sizeof(s) - 1})

static struct addr address(const char *text, uint16_t port)
{
    struct addr a;

    assert_true(addr_parse(span_of(text), &a));
    a.port = port;
    return a;
}

static void reads(struct span in, const char *text, uint16_t port, size_t length)
{
    struct addr got = {0}, want = address(text, port);
    size_t used = 0;

    assert_int_equal(proxy_read(in, &got, &used), PROXY_KNOWN);
    assert_int_equal(used, length);
    assert_true(addr_equal(&got, &want));
    assert_int_equal(got.port, port);
    for (size_t i = 0; i < length; i++)
        assert_int_equal(proxy_read(span_first(in, i), &got, &used), PROXY_MORE);
}

static void test_version_1_names_the_client(void **state)
{
    reads(OCTETS("PROXY TCP4 192.0.2.7 198.51.100.1 56324 25\r\nEHLO x\r\n"), "192.0.2.7", 56324,
          44);
    reads(OCTETS("PROXY TCP6 2001:db8::7 2001:db8::1 1 65535\r\n"), "2001:db8::7", 1, 44);
}

static void test_version_2_names_the_client_whatever_stands_behind(void **state)
{
    reads(OCTETS(SIGNATURE "\x21\x11\0\x0c\xc0\0\x02\x07\xc6\x33\x64\x01\xdc\x04\0\x19"
                           "EHLO"),
          "192.0.2.7", 56324, 28);
    /* with a TLV (PP2_TYPE_NOOP) behind the addresses */
    reads(OCTETS(SIGNATURE "\x21\x11\0\x10\xc0\0\x02\x07\xc6\x33\x64\x01\xdc\x04\0\x19\x04\0\x01x"),
          "192.0.2.7", 56324, 32);
    reads(OCTETS(SIGNATURE "\x21\x21\0\x24"
                           "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07"
                           "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\0\x50\0\x19"),
          "2001:db8::7", 80, 52);
}

static void test_a_balancer_may_speak_for_itself(void **state)
{
    static const struct {
        struct span in;
        size_t length;
    } own[] = {{{"PROXY UNKNOWN\r\nEHLO", 19}, 15},
               {{"PROXY UNKNOWN a b c\r\n", 21}, 21},
               {{SIGNATURE "\x20\0\0\0", 16}, 16},
               {{SIGNATURE "\x21\x31\0\x02xx", 18}, 18}};

    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        struct addr a;
        size_t used = 0;
        assert_int_equal(proxy_read(own[i].in, &a, &used), PROXY_LOCAL);
        assert_int_equal(used, own[i].length);
    }
}

static void test_what_is_no_header_is_bad(void **state)
{
    static const struct span bad[] = {
        {"EHLO x\r\n", 8},
        {"PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\n", 41},
        {"PROXY TCP4 2001:db8::7 2001:db8::1 1 25\r\n", 41},
        {"PROXY TCP4 192.0.2.7 198.51.100.1 65536 25\r\n", 44},
        {"PROXY TCP4 192.0.2.7 198.51.100.1 1 25\n", 39},
        {"PROXY UDP4 192.0.2.7 198.51.100.1 1 25\r\n", 40},
        {SIGNATURE "\x31\x11\0\x0c"
                   "............",
         28},
        {SIGNATURE "\x21\x11\0\x04....", 20},
        {SIGNATURE "\x21\x11\xff\xff", 16},
    };
    char endless[200];

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct addr a;
        size_t used;
        assert_int_equal(proxy_read(bad[i], &a, &used), PROXY_BAD);
    }
    memset(endless, 'x', sizeof endless);
    memcpy(endless, "PROXY ", 6);
    struct addr a;
    size_t used;
    assert_int_equal(proxy_read((struct span){endless, 106}, &a, &used), PROXY_MORE);
    assert_int_equal(proxy_read((struct span){endless, 107}, &a, &used), PROXY_BAD);
}

static void writes(int version, const struct addr *client, const struct addr *server,
                   struct span want)
{
    struct buf out = {0};

    assert_int_equal(proxy_write(&out, version, client, server), 0);
    assert_true(span_equal(buf_span(&out), want));
    buf_free(&out);
}

static void test_what_is_written_is_what_is_read(void **state)
{
    struct addr four = address("192.0.2.7", 56324), six = address("2001:db8::7", 80);
    struct addr server = address("198.51.100.1", 25), unix_socket = {.family = ADDR_UNIX};

    writes(1, &four, &server, SPAN("PROXY TCP4 192.0.2.7 198.51.100.1 56324 25\r\n"));
    writes(1, &six, &server, SPAN("PROXY UNKNOWN\r\n")); /* it has no words for two families */
    writes(1, NULL, &server, SPAN("PROXY UNKNOWN\r\n"));
    writes(1, &four, &unix_socket, SPAN("PROXY UNKNOWN\r\n"));
    writes(2, NULL, &server, OCTETS(SIGNATURE "\x20\0\0\0"));
    writes(2, &four, &server,
           OCTETS(SIGNATURE "\x21\x11\0\x0c\xc0\0\x02\x07\xc6\x33\x64\x01\xdc\x04\0\x19"));
    writes(2, &six, &server,
           OCTETS(SIGNATURE "\x21\x21\0\x24"
                            "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07"
                            "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc6\x33\x64\x01\0\x50\0\x19"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_version_1_names_the_client),
        cmocka_unit_test(test_version_2_names_the_client_whatever_stands_behind),
        cmocka_unit_test(test_a_balancer_may_speak_for_itself),
        cmocka_unit_test(test_what_is_no_header_is_bad),
        cmocka_unit_test(test_what_is_written_is_what_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
