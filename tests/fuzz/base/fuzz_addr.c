/* Whatever text is taken as an address or a network must come out in a form that reads back as the
 * same. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/addr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_address(struct span text)
{
    struct addr a, again;
    char room[ADDR_TEXT];

    if (!addr_parse(text, &a))
        return;
    assert(addr_parse(span_of(addr_format(&a, room)), &again));
    assert(memcmp(&a, &again, sizeof a) == 0);
    assert(strlen(addr_format_literal(&a, room)) < ADDR_TEXT);
    struct addr client = addr_client(&a), network = addr_network(&a), peer = addr_of_peer(&a);
    again = addr_client(&client);
    assert(addr_equal(&client, &again));
    again = addr_network(&client);
    assert(addr_equal(&network, &again));
    again = addr_client(&peer);
    assert(addr_equal(&client, &again));
}

static void check_port(struct span text)
{
    struct addr a;

    if (addr_parse_port(text, &a))
        assert(a.port && (a.family == ADDR_IP4 || a.family == ADDR_IP6));
}

static void check_network(struct span text)
{
    struct network n, again;
    char room[ADDR_TEXT];

    if (!network_parse(text, &n))
        return;
    assert(network_contains(&n, &n.base));
    assert(network_parse(span_of(network_format(&n, room)), &again));
    assert(addr_equal(&n.base, &again.base) && n.bits == again.bits);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = {(const char *)data, size};

    check_address(text);
    check_port(text);
    check_network(text);
    return 0;
}
