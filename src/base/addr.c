/* Internet addresses: text in, text out, clients and networks. Pure; used by every process.
 *
 * The C library's inet_pton() and inet_ntop() know the grammar; this file adds what mired means by
 * an address: IPv4-mapped is IPv4, brackets only around IPv6, no zones, no host bits in a network.
 */
#include "base/addr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

/* IPv4-mapped octets become IPv4. */
static void addr_from_ip6(const uint8_t octets[16], struct addr *a)
{
    *a = (struct addr){0};
    if (memcmp(octets, mapped_prefix, sizeof mapped_prefix) == 0) {
        a->family = ADDR_IP4;
        memcpy(a->octets, octets + 12, 4);
    } else {
        a->family = ADDR_IP6;
        memcpy(a->octets, octets, 16);
    }
}

static bool is_bracketed(struct span s)
{
    return s.len >= 2 && s.at[0] == '[' && s.at[s.len - 1] == ']';
}

bool addr_parse(struct span text, struct addr *a)
{
    char copy[INET6_ADDRSTRLEN];
    uint8_t octets[16];
    bool bracketed = is_bracketed(text);

    if (bracketed)
        text = (struct span){text.at + 1, text.len - 2};
    if (text.len == 0 || text.len >= sizeof copy || span_find(text, '\0') < text.len)
        return false;
    memcpy(copy, text.at, text.len);
    copy[text.len] = '\0';

    if (inet_pton(AF_INET6, copy, octets) == 1) {
        addr_from_ip6(octets, a);
        return true;
    }
    if (bracketed || inet_pton(AF_INET, copy, octets) != 1)
        return false;
    *a = (struct addr){.family = ADDR_IP4};
    memcpy(a->octets, octets, 4);
    return true;
}

bool addr_parse_port(struct span text, struct addr *a)
{
    size_t colon = text.len;
    uint64_t port;

    while (colon && text.at[colon - 1] != ':')
        colon--;
    if (colon == 0)
        return false;

    struct span host = span_first(text, colon - 1), digits = span_after(text, colon);
    if (span_find(host, ':') < host.len && !is_bracketed(host))
        return false;
    if (digits.len > 5 || !span_number(digits, &port) || port == 0 || port > UINT16_MAX)
        return false;
    if (!addr_parse(host, a))
        return false;
    a->port = (uint16_t)port;
    return true;
}

const char *addr_format(const struct addr *a, char text[ADDR_TEXT])
{
    int family = a->family == ADDR_IP4 ? AF_INET : AF_INET6;

    if (a->family == ADDR_UNIX)
        strcpy(text, "unix");
    else if (a->family == ADDR_NONE || !inet_ntop(family, a->octets, text, ADDR_TEXT))
        strcpy(text, "-");
    return text;
}

const char *addr_format_literal(const struct addr *a, char text[ADDR_TEXT])
{
    char plain[ADDR_TEXT];

    snprintf(text, ADDR_TEXT, a->family == ADDR_IP6 ? "[IPv6:%.45s]" : "[%.45s]",
             addr_format(a, plain));
    return text;
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
    return a->family == b->family && memcmp(a->octets, b->octets, sizeof a->octets) == 0;
}

bool addr_is_loopback(const struct addr *a)
{
    static const uint8_t one[16] = {[15] = 1};

    switch (a->family) {
    case ADDR_IP4: return a->octets[0] == 127;
    case ADDR_IP6: return memcmp(a->octets, one, sizeof one) == 0;
    case ADDR_UNIX: return true; /* never leaves the machine either */
    default: return false;
    }
}

unsigned addr_bits(const struct addr *a)
{
    return a->family == ADDR_IP4 ? 32 : a->family == ADDR_IP6 ? 128 : 0;
}

struct addr addr_cut(const struct addr *a, unsigned bits)
{
    struct addr cut = *a;
    size_t whole = bits / 8;

    cut.port = 0;
    if (whole < sizeof cut.octets) {
        cut.octets[whole] &= (uint8_t)(0xff00u >> (bits % 8));
        memset(cut.octets + whole + 1, 0, sizeof cut.octets - whole - 1);
    }
    return cut;
}

struct addr addr_client(const struct addr *a)
{
    return addr_cut(a, a->family == ADDR_IP6 ? 64 : addr_bits(a));
}

struct addr addr_network(const struct addr *a)
{
    return addr_cut(a, a->family == ADDR_IP6 ? 48 : a->family == ADDR_IP4 ? 24 : 0);
}

bool network_parse(struct span text, struct network *n)
{
    size_t slash = span_find(text, '/');
    struct span host = span_first(text, slash), digits = span_after(text, slash + 1);
    struct addr base;
    uint64_t bits;

    if (!addr_parse(host, &base))
        return false;
    if (slash == text.len) {
        bits = addr_bits(&base);
    } else {
        if (digits.len > 3 || !span_number(digits, &bits))
            return false;
        if (base.family == ADDR_IP4 && span_find(host, ':') < host.len) {
            if (bits < 96) /* wider than the mapped range, which is then host bits */
                return false;
            bits -= 96;
        }
    }
    if (bits > addr_bits(&base))
        return false;

    struct addr cut = addr_cut(&base, (unsigned)bits);
    if (!addr_equal(&base, &cut))
        return false;
    *n = (struct network){.base = base, .bits = (uint8_t)bits};
    return true;
}

const char *network_format(const struct network *n, char text[ADDR_TEXT])
{
    char plain[ADDR_TEXT];

    snprintf(text, ADDR_TEXT, "%.45s/%u", addr_format(&n->base, plain), n->bits);
    return text;
}

bool network_contains(const struct network *n, const struct addr *a)
{
    if (n->base.family != a->family)
        return false;
    struct addr cut = addr_cut(a, n->bits);
    return addr_equal(&n->base, &cut);
}

bool networks_contain(const struct network *list, size_t count, const struct addr *a)
{
    for (size_t i = 0; i < count; i++)
        if (network_contains(&list[i], a))
            return true;
    return false;
}
