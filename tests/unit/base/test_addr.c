/* addr.c: the text forms of addresses and networks, and what a client and its network are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/addr.h"

static struct addr parsed(const char *text)
{
    struct addr a;

    assert_true(addr_parse(span_of(text), &a));
    return a;
}

static void assert_reads_as(const char *text, const char *canonical)
{
    struct addr a = parsed(text);
    char room[ADDR_TEXT];

    assert_string_equal(addr_format(&a, room), canonical);
    assert_int_equal(a.port, 0);
}

static void test_addresses_are_read_and_written(void **state)
{
    assert_reads_as("192.0.2.7", "192.0.2.7");
    assert_reads_as("0.0.0.0", "0.0.0.0");
    assert_reads_as("255.255.255.255", "255.255.255.255");
    assert_reads_as("2001:db8::1", "2001:db8::1");
    assert_reads_as("[2001:DB8:0:0:0:0:0:1]", "2001:db8::1");
    assert_reads_as("::", "::");
    assert_reads_as("[::]", "::");
    assert_reads_as("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
}

static void test_an_ipv4_mapped_address_is_the_ipv4_address(void **state)
{
    struct addr plain = parsed("192.0.2.7"), mapped = parsed("::ffff:192.0.2.7"),
                hex = parsed("[::ffff:c000:207]");

    assert_int_equal(mapped.family, ADDR_IP4);
    assert_memory_equal(&plain, &mapped, sizeof plain);
    assert_memory_equal(&plain, &hex, sizeof plain);
}

static void test_what_is_no_address_is_refused(void **state)
{
    static const char *const wrong[] = {
        "",
        " ",
        "1",
        "1.2.3",
        "1.2.3.4.5",
        "1.2.3.256",
        "1.2.3.04",
        "1.2.3.4 ",
        " 1.2.3.4",
        "[1.2.3.4]",
        "1.2.3.4:25",
        "[]",
        "[",
        "]",
        "[::1",
        "::1]",
        "[[::1]]",
        "[::1]x",
        "::1::",
        "12345::",
        ":::",
        "fe80::1%eth0",
        "fe80::1%1",
        "localhost",
        "1.2.3.-4",
        "0x7f.0.0.1",
        "2130706433",
        "IPv6:::1",
        "1:2:3:4:5:6:7",
        "::ffff:1.2.3",
        "1:2:3:4:5:6:7:8:9",
        "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc",
    };
    struct addr a;

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        if (addr_parse(span_of(wrong[i]), &a))
            fail_msg("taken: %s", wrong[i]);
    assert_false(addr_parse(SPAN("1.2.3.4\0"), &a));
    assert_false(addr_parse(SPAN("::1\0"), &a));
    assert_false(addr_parse((struct span){NULL, 0}, &a));
}

static void test_a_port_is_read_behind_a_host(void **state)
{
    struct addr a;
    char room[ADDR_TEXT];

    assert_true(addr_parse_port(SPAN("127.0.0.1:25"), &a));
    assert_int_equal(a.port, 25);
    assert_string_equal(addr_format(&a, room), "127.0.0.1");
    assert_true(addr_parse_port(SPAN("[::1]:65535"), &a));
    assert_int_equal(a.port, 65535);
    assert_string_equal(addr_format(&a, room), "::1");
    assert_true(addr_parse_port(SPAN("[::ffff:10.0.0.1]:587"), &a));
    assert_string_equal(addr_format(&a, room), "10.0.0.1");
}

static void test_a_host_or_port_that_is_missing_or_wrong_is_refused(void **state)
{
    static const char *const wrong[] = {
        "",
        "25",
        ":25",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:0",
        "[::1]",
        "[::1]:",
        "::1:25",
        "2001:db8::1",
        "127.0.0.1:65536",
        "127.0.0.1:+25",
        "[::1]25",
        "[::1:25",
        "*:25",
        "host:25",
        "127.0.0.1:000025",
        "[127.0.0.1]:25",
        "1.2.3.4:99999999999999999999",
    };
    struct addr a;

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        if (addr_parse_port(span_of(wrong[i]), &a))
            fail_msg("taken: %s", wrong[i]);
}

static void test_address_literals_are_those_of_rfc_5321(void **state)
{
    struct addr four = parsed("192.0.2.7"), six = parsed("2001:db8::1");
    char room[ADDR_TEXT];

    assert_string_equal(addr_format_literal(&four, room), "[192.0.2.7]");
    assert_string_equal(addr_format_literal(&six, room), "[IPv6:2001:db8::1]");
}

static void test_no_address_and_a_unix_socket_can_be_written(void **state)
{
    struct addr none = {0}, local = {.family = ADDR_UNIX};
    char room[ADDR_TEXT];

    assert_string_equal(addr_format(&none, room), "-");
    assert_string_equal(addr_format(&local, room), "unix");
}

static void test_ports_do_not_tell_addresses_apart(void **state)
{
    struct addr a = parsed("192.0.2.7"), b = a, c = parsed("192.0.2.8");

    b.port = 25;
    assert_true(addr_equal(&a, &b));
    assert_false(addr_equal(&a, &c));
    struct addr zero4 = parsed("0.0.0.0"), zero6 = parsed("::");
    assert_false(addr_equal(&zero4, &zero6));
}

static void test_loopback_is_127_slash_8_and_one(void **state)
{
    static const struct {
        const char *text;
        bool loopback;
    } cases[] = {
        {"127.0.0.1", true},  {"127.255.0.9", true}, {"::1", true}, {"::ffff:127.0.0.1", true},
        {"128.0.0.1", false}, {"::2", false},        {"::", false}, {"7f00::1", false}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct addr a = parsed(cases[i].text);
        assert_int_equal(addr_is_loopback(&a), cases[i].loopback);
    }
}

static void assert_groups(const char *text, const char *client, const char *network)
{
    struct addr a = parsed(text);
    char room[ADDR_TEXT];

    a.port = 4321;
    struct addr c = addr_client(&a), n = addr_network(&a);
    assert_string_equal(addr_format(&c, room), client);
    assert_string_equal(addr_format(&n, room), network);
    assert_int_equal(c.port, 0);
    assert_int_equal(n.port, 0);
}

static void test_a_client_is_a_slash_32_or_64_and_its_network_a_slash_24_or_48(void **state)
{
    assert_groups("192.0.2.7", "192.0.2.7", "192.0.2.0");
    assert_groups("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::", "2001:db8:1::");
    assert_groups("::ffff:10.1.2.3", "10.1.2.3", "10.1.2.0");
}

/* field notes 30: what IPv4 hosts look like behind a translator or through a tunnel. */
static void test_an_embedded_ipv4_address_is_the_client(void **state)
{
    static const struct {
        const char *from, *client, *network, *peer;
    } cases[] = {
        /* NAT64's well-known prefix */
        {"64:ff9b::192.0.2.7", "192.0.2.7", "192.0.2.0", "192.0.2.7"},
        {"64:ff9b::c000:208", "192.0.2.8", "192.0.2.0", "192.0.2.8"},
        {"64:ff9b::203.0.113.255", "203.0.113.255", "203.0.113.0", "203.0.113.255"},
        /* Teredo: server 65.54.227.120, client 192.0.2.45 with its bits turned over */
        {"2001:0:4136:e378:8000:63bf:3fff:fdd2", "192.0.2.45", "192.0.2.0",
         "2001:0:4136:e378:8000:63bf:3fff:fdd2"},
        {"2001:0:4136:e378:0:1234:34ff:8ef6", "203.0.113.9", "203.0.113.0",
         "2001:0:4136:e378:0:1234:34ff:8ef6"},
        /* 6to4 */
        {"2002:c000:207::1", "192.0.2.7", "192.0.2.0", "2002:c000:207::1"},
        {"2002:c000:207:ffff:1:2:3:4", "192.0.2.7", "192.0.2.0", "2002:c000:207:ffff:1:2:3:4"},
        /* none of them: by a bit, or what no tunnel is routed to */
        {"64:ff9b:1::c000:207", "64:ff9b:1::", "64:ff9b:1::", "64:ff9b:1::c000:207"},
        {"64:ff9b::1:c000:207", "64:ff9b::", "64:ff9b::", "64:ff9b::1:c000:207"},
        {"64:ff9b::127.0.0.1", "64:ff9b::", "64:ff9b::", "64:ff9b::7f00:1"},
        {"64:ff9b::10.0.0.5", "64:ff9b::", "64:ff9b::", "64:ff9b::a00:5"},
        {"64:ff9b::172.31.0.5", "64:ff9b::", "64:ff9b::", "64:ff9b::ac1f:5"},
        {"64:ff9b::192.168.0.5", "64:ff9b::", "64:ff9b::", "64:ff9b::c0a8:5"},
        {"64:ff9b::100.64.0.5", "64:ff9b::", "64:ff9b::", "64:ff9b::6440:5"},
        {"64:ff9b::224.0.0.5", "64:ff9b::", "64:ff9b::", "64:ff9b::e000:5"},
        {"64:ff9b::", "64:ff9b::", "64:ff9b::", "64:ff9b::"},
        {"2002:7f00:1::1", "2002:7f00:1::", "2002:7f00:1::", "2002:7f00:1::1"},
        {"2002:a00:5::1", "2002:a00:5::", "2002:a00:5::", "2002:a00:5::1"},
        {"2001:1:4136:e378:8000:63bf:3fff:fdd2",
         "2001:1:4136:e378::", "2001:1:4136::", "2001:1:4136:e378:8000:63bf:3fff:fdd2"},
        {"2003:c000:207::1", "2003:c000:207::", "2003:c000:207::", "2003:c000:207::1"},
    };
    char room[ADDR_TEXT];

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct addr a = parsed(cases[i].from);
        assert_groups(cases[i].from, cases[i].client, cases[i].network);
        a.port = 4321;
        struct addr peer = addr_of_peer(&a);
        assert_string_equal(addr_format(&peer, room), cases[i].peer);
        assert_int_equal(peer.port, 4321);
    }
}

static void assert_network(const char *text, const char *canonical)
{
    struct network n;
    char room[ADDR_TEXT];

    if (!network_parse(span_of(text), &n))
        fail_msg("refused: %s", text);
    assert_string_equal(network_format(&n, room), canonical);
}

static void test_networks_are_read_and_written(void **state)
{
    assert_network("10.0.0.0/8", "10.0.0.0/8");
    assert_network("0.0.0.0/0", "0.0.0.0/0");
    assert_network("192.0.2.7", "192.0.2.7/32");
    assert_network("192.0.2.128/25", "192.0.2.128/25");
    assert_network("[2001:db8::]/32", "2001:db8::/32");
    assert_network("2001:db8::/32", "2001:db8::/32");
    assert_network("::/0", "::/0");
    assert_network("::1", "::1/128");
    assert_network("[::1]", "::1/128");
    assert_network("2001:db8::8000/113", "2001:db8::8000/113");
}

static void test_a_mapped_network_is_an_ipv4_network(void **state)
{
    assert_network("::ffff:10.0.0.0/104", "10.0.0.0/8");
    assert_network("::ffff:0.0.0.0/96", "0.0.0.0/0");
    assert_network("::ffff:10.0.0.1/128", "10.0.0.1/32");
}

static void test_host_bits_that_are_set_and_other_nonsense_are_refused(void **state)
{
    static const char *const wrong[] = {
        "10.0.0.1/8",
        "192.0.2.7/31",
        "2001:db8::1/64",
        "128.0.0.0/0",
        "10.0.0.0/33",
        "10.0.0.0/",
        "10.0.0.0/-1",
        "10.0.0.0/8/8",
        "/8",
        "::/129",
        "[2001:db8::/32]",
        "10.0.0.0/ 8",
        "::ffff:10.0.0.0/8",
        "::ffff:0:0/95",
        "10.0.0.0/256",
        "10.0.0/8",
        "10.0.0.0/0008",
        "2001:db8:8000::/32",
    };
    struct network n;

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        if (network_parse(span_of(wrong[i]), &n))
            fail_msg("taken: %s", wrong[i]);
}

static bool contains(const char *network, const char *address)
{
    struct network n;
    struct addr a = parsed(address);

    assert_true(network_parse(span_of(network), &n));
    return network_contains(&n, &a);
}

static void test_a_network_contains_what_shares_its_bits(void **state)
{
    assert_true(contains("10.0.0.0/8", "10.255.255.255"));
    assert_false(contains("10.0.0.0/8", "11.0.0.0"));
    assert_true(contains("192.0.2.128/25", "192.0.2.129"));
    assert_false(contains("192.0.2.128/25", "192.0.2.127"));
    assert_true(contains("192.0.2.7", "192.0.2.7"));
    assert_false(contains("192.0.2.7", "192.0.2.6"));
    assert_true(contains("2001:db8::/33", "2001:db8:7fff::1"));
    assert_false(contains("2001:db8::/33", "2001:db8:8000::1"));
    assert_true(contains("10.0.0.0/8", "::ffff:10.1.2.3"));
}

static bool concerns(const char *network, const char *address)
{
    struct network n;
    struct addr a = parsed(address);

    assert_true(network_parse(span_of(network), &n));
    return network_concerns(&n, &a);
}

/* field notes 30: a tunnel's client is found by either address, but only one of them is trusted. */
static void test_a_network_concerns_who_is_inside_a_tunnel(void **state)
{
    assert_true(concerns("192.0.2.0/24", "2002:c000:207::1"));
    assert_true(concerns("2002:c000:207::/48", "2002:c000:207::1"));
    assert_true(concerns("192.0.2.45", "2001:0:4136:e378:8000:63bf:3fff:fdd2"));
    assert_false(concerns("192.0.3.0/24", "2002:c000:207::1"));
    assert_false(contains("192.0.2.0/24", "2002:c000:207::1"));
    assert_false(contains("192.0.2.45", "2001:0:4136:e378:8000:63bf:3fff:fdd2"));
}

static void test_all_of_one_family_holds_none_of_the_other(void **state)
{
    assert_true(contains("0.0.0.0/0", "203.0.113.9"));
    assert_true(contains("::/0", "2001:db8::1"));
    assert_false(contains("0.0.0.0/0", "::1"));
    assert_false(contains("::/0", "203.0.113.9"));
    assert_false(contains("::/0", "::ffff:203.0.113.9"));
}

static void test_a_list_contains_what_any_of_its_networks_contains(void **state)
{
    struct network list[2];
    struct addr in = parsed("2001:db8::9"), out = parsed("2001:db9::9");

    assert_true(network_parse(SPAN("10.0.0.0/8"), &list[0]));
    assert_true(network_parse(SPAN("2001:db8::/32"), &list[1]));
    assert_true(networks_contain(list, 2, &in));
    assert_false(networks_contain(list, 2, &out));
    assert_false(networks_contain(list, 1, &in));
    assert_false(networks_contain(NULL, 0, &in));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses_are_read_and_written),
        cmocka_unit_test(test_an_ipv4_mapped_address_is_the_ipv4_address),
        cmocka_unit_test(test_what_is_no_address_is_refused),
        cmocka_unit_test(test_a_port_is_read_behind_a_host),
        cmocka_unit_test(test_a_host_or_port_that_is_missing_or_wrong_is_refused),
        cmocka_unit_test(test_address_literals_are_those_of_rfc_5321),
        cmocka_unit_test(test_no_address_and_a_unix_socket_can_be_written),
        cmocka_unit_test(test_ports_do_not_tell_addresses_apart),
        cmocka_unit_test(test_loopback_is_127_slash_8_and_one),
        cmocka_unit_test(test_a_client_is_a_slash_32_or_64_and_its_network_a_slash_24_or_48),
        cmocka_unit_test(test_an_embedded_ipv4_address_is_the_client),
        cmocka_unit_test(test_a_network_concerns_who_is_inside_a_tunnel),
        cmocka_unit_test(test_networks_are_read_and_written),
        cmocka_unit_test(test_a_mapped_network_is_an_ipv4_network),
        cmocka_unit_test(test_host_bits_that_are_set_and_other_nonsense_are_refused),
        cmocka_unit_test(test_a_network_contains_what_shares_its_bits),
        cmocka_unit_test(test_all_of_one_family_holds_none_of_the_other),
        cmocka_unit_test(test_a_list_contains_what_any_of_its_networks_contains),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
