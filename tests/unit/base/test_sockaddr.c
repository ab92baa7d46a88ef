/* sockaddr.c: there and back, and what the kernel's other forms become. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <sys/un.h>

#include "base/sockaddr.h"

static void assert_survives(const char *text)
{
    struct addr a;
    struct sockaddr_storage there;

    assert_true(addr_parse_port(span_of(text), &a));
    socklen_t len = addr_to_sockaddr(&a, &there);
    struct addr back = addr_from_sockaddr((struct sockaddr *)&there, len);
    assert_memory_equal(&a, &back, sizeof a);
}

static void test_addresses_go_there_and_back(void **state)
{
    assert_survives("192.0.2.7:25");
    assert_survives("[2001:db8::1]:587");
}

static void test_a_mapped_peer_is_an_ipv4_peer(void **state)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(25)};
    static const uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff, [12] = 192, [14] = 2, [15] = 7};
    char room[ADDR_TEXT];

    memcpy(&in6.sin6_addr, mapped, sizeof mapped);
    struct addr a = addr_from_sockaddr((struct sockaddr *)&in6, sizeof in6);
    assert_int_equal(a.family, ADDR_IP4);
    assert_int_equal(a.port, 25);
    assert_string_equal(addr_format(&a, room), "192.0.2.7");
}

static void test_unix_and_short_and_strange_ones_are_no_addresses(void **state)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr strange = {.sa_family = AF_APPLETALK};
    struct sockaddr_storage out;
    struct addr none = {0}, local = {.family = ADDR_UNIX};

    assert_int_equal(addr_from_sockaddr((struct sockaddr *)&un, sizeof(sa_family_t)).family,
                     ADDR_UNIX);
    assert_int_equal(addr_from_sockaddr((struct sockaddr *)&in, sizeof in - 1).family, ADDR_NONE);
    assert_int_equal(addr_from_sockaddr((struct sockaddr *)&in, 0).family, ADDR_NONE);
    assert_int_equal(addr_from_sockaddr(&strange, sizeof strange).family, ADDR_NONE);
    assert_int_equal(addr_to_sockaddr(&none, &out), 0);
    assert_int_equal(addr_to_sockaddr(&local, &out), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses_go_there_and_back),
        cmocka_unit_test(test_a_mapped_peer_is_an_ipv4_peer),
        cmocka_unit_test(test_unix_and_short_and_strange_ones_are_no_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
