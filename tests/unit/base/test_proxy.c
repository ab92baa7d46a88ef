/* PROXY headers, read and written, octet by octet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
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
    struct addr want = address(text, port);
    struct proxy_header got;

    assert_int_equal(proxy_read(in, &got), PROXY_KNOWN);
    assert_int_equal(got.used, length);
    assert_true(addr_equal(&got.client, &want));
    assert_int_equal(got.client.port, port);
    for (size_t i = 0; i < length; i++)
        assert_int_equal(proxy_read(span_first(in, i), &got), PROXY_MORE);
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
        struct proxy_header h;
        assert_int_equal(proxy_read(own[i].in, &h), PROXY_LOCAL);
        assert_int_equal(h.used, own[i].length);
    }
}

/* field notes 1: what stands in for an IPv4 client where a balancer listens on :: for both. */
static void test_a_mapped_client_is_the_ipv4_client(void **state)
{
    static const char mapped[] = "\0\0\0\0\0\0\0\0\0\0\xff\xff";
    char header[16 + 36] = SIGNATURE "\x21\x21\0\x24";

    reads(OCTETS("PROXY TCP6 ::ffff:192.0.2.8 ::ffff:192.0.2.1 4711 25\r\n"), "192.0.2.8", 4711,
          54);
    reads(OCTETS("PROXY TCP6 ::ffff:c000:208 2001:db8::1 4711 25\r\n"), "192.0.2.8", 4711, 48);
    reads(OCTETS("PROXY TCP6 0:0:0:0:0:FFFF:192.0.2.8 ::1 1 25\r\n"), "192.0.2.8", 1, 46);
    for (int host = 1; host < 250; host += 31) { /* clients are told apart, too */
        char text[ADDR_TEXT];
        memcpy(header + 16, mapped, 12);
        memcpy(header + 28, (uint8_t[]){192, 0, 2, (uint8_t)host}, 4);
        memcpy(header + 32, mapped, 12);
        memcpy(header + 48, "\x12\x67\0\x19", 4);
        snprintf(text, sizeof text, "192.0.2.%d", host);
        reads((struct span){header, sizeof header}, text, 0x1267, sizeof header);
    }
}

/* field notes 1 */
static void test_a_long_version_2_header_is_taken(void **state)
{
    static const size_t lengths[] = {84, 520, 521, 1024, 2048, PROXY_HEADER_MAX - 16};
    static char header[16 + 65535];

    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        memcpy(header, SIGNATURE "\x21\x11\0\0\xc0\0\x02\x07\xc6\x33\x64\x01\xdc\x04\0\x19", 28);
        header[14] = (char)(lengths[i] >> 8);
        header[15] = (char)lengths[i];
        reads((struct span){header, 16 + lengths[i]}, "192.0.2.7", 56324, 16 + lengths[i]);
    }
}

static void is_bad(struct span in, const char *why)
{
    struct proxy_header h;

    assert_int_equal(proxy_read(in, &h), PROXY_BAD);
    if (!strstr(h.why, why))
        fail_msg("\"%s\" instead of \"%s\"", h.why, why);
}

/* field notes 1: and the reason is told */
static void test_what_is_no_header_is_bad(void **state)
{
    static const struct {
        struct span in;
        const char *why;
    } bad[] = {
        {{"EHLO x\r\n", 8}, "something else"},
        {{"proxy TCP4 1.2.3.4 1.2.3.4 1 25\r\n", 33}, "something else"},
        {{"PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\n", 41}, "ports"},
        {{"PROXY TCP4 2001:db8::7 2001:db8::1 1 25\r\n", 41}, "TCP4"},
        {{"PROXY TCP4 ::ffff:192.0.2.7 ::ffff:192.0.2.1 1 25\r\n", 51}, "TCP4"},
        {{"PROXY TCP6 192.0.2.7 198.51.100.1 56324 25\r\n", 44}, "TCP6"},
        {{"PROXY TCP6 ::ffff:192.0.2.7 198.51.100.1 56324 25\r\n", 51}, "TCP6"},
        {{"PROXY TCP6 fe80::1%eth0 ::1 1 25\r\n", 34}, "TCP6"},
        {{"PROXY TCP4 192.0.2.7 198.51.100.1 65536 25\r\n", 44}, "ports"},
        {{"PROXY TCP4 192.0.2.7 198.51.100.1 1 25\n", 39}, "CR LF"},
        {{"PROXY UDP4 192.0.2.7 198.51.100.1 1 25\r\n", 40}, "protocol"},
        {{"PROXY  TCP4 192.0.2.7 198.51.100.1 1 25\r\n", 41}, "protocol"},
        {{SIGNATURE "\x31\x11\0\x0c"
                    "............",
          28},
         "version"},
        {{SIGNATURE "\x22\x11\0\0", 16}, "version"},
        {{SIGNATURE "\x21\x11\0\x04....", 20}, "length"},
        {{SIGNATURE "\x21\x21\0\x0c............", 28}, "length"},
        {{SIGNATURE "\x21\x11\xff\xff", 16}, "longer"},
    };
    char endless[200];
    struct proxy_header h;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        is_bad(bad[i].in, bad[i].why);
    memset(endless, 'x', sizeof endless);
    memcpy(endless, "PROXY ", 6);
    assert_int_equal(proxy_read((struct span){endless, 106}, &h), PROXY_MORE);
    is_bad((struct span){endless, 107}, "longer");
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
        cmocka_unit_test(test_a_mapped_client_is_the_ipv4_client),
        cmocka_unit_test(test_a_long_version_2_header_is_taken),
        cmocka_unit_test(test_what_is_no_header_is_bad),
        cmocka_unit_test(test_what_is_written_is_what_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
