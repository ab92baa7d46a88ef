/* Internet addresses: text in, text out, clients and networks. Pure; used by every process.
 *
 * The C library's inet_pton() and inet_ntop() know the grammar. This file adds mired's own rules:
 * IPv4-mapped is IPv4, brackets only around IPv6, no zones, no host bits in a network. It is the
 * one place that knows which IPv6 addresses contain an IPv4 address, and where. */
#include "base/addr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

static const uint8_t nat64_prefix[12] = {0x00, 0x64, 0xff, 0x9b};
static const uint8_t teredo_prefix[4] = {0x20, 0x01};
static const uint8_t to4_prefix[2] = {0x20, 0x02};

static bool begins_with(const struct addr *a, const uint8_t *prefix, size_t len)
{
    return a->family == ADDR_IP6 && memcmp(a->octets, prefix, len) == 0;
}

struct addr addr_from_ip6(const uint8_t octets[16])
{
    struct addr a = {.family = ADDR_IP6};

    memcpy(a.octets, octets, 16);
    if (begins_with(&a, mapped_prefix, sizeof mapped_prefix)) {
        a = (struct addr){.family = ADDR_IP4};
        memcpy(a.octets, octets + 12, 4);
    }
    return a;
}

/* A tunnel's address never contains an IPv4 address that is not routed on the internet (RFC 6052
 * 3.1, RFC 3056 2). An IPv6 address with such octets in that place counts as itself, so that nobody
 * can pretend to be in our own network. */
static bool is_public_ip4(const uint8_t o[4])
{
    bool private = o[0] == 10 || (o[0] == 172 && (o[1] & 0xf0) == 16) ||
                   (o[0] == 192 && o[1] == 168) || (o[0] == 100 && (o[1] & 0xc0) == 64);
    bool local = o[0] == 0 || o[0] == 127 || (o[0] == 169 && o[1] == 254);

    return !private && !local && o[0] < 224;
}

/* The address with `ip4` in place of its own when that is a public one. */
static struct addr inner_or_own(const struct addr *a, const uint8_t ip4[4])
{
    struct addr inner = {.family = ADDR_IP4, .port = a->port};

    memcpy(inner.octets, ip4, 4);
    return is_public_ip4(ip4) ? inner : *a;
}

struct addr addr_of_peer(const struct addr *a)
{
    return begins_with(a, nat64_prefix, sizeof nat64_prefix) ? inner_or_own(a, a->octets + 12) : *a;
}

struct addr addr_inner(const struct addr *a)
{
    if (begins_with(a, to4_prefix, sizeof to4_prefix))
        return inner_or_own(a, a->octets + 2);
    if (begins_with(a, teredo_prefix, sizeof teredo_prefix)) {
        uint8_t ip4[4]; /* stored with all bits inverted */
        for (size_t i = 0; i < sizeof ip4; i++)
            ip4[i] = a->octets[12 + i] ^ 0xff;
        return inner_or_own(a, ip4);
    }
    return addr_of_peer(a);
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
        *a = addr_from_ip6(octets);
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
    char *at = text;

    /* in every line of the log; inet_ntop() takes five times as long */
    if (a->family == ADDR_IP4) {
        for (int i = 0; i < 4; i++) {
            at = write_decimal(a->octets[i], 1, at);
            *at++ = '.';
        }
        at[-1] = '\0';
    } else if (a->family == ADDR_UNIX)
        strcpy(text, "unix");
    else if (a->family == ADDR_NONE || !inet_ntop(AF_INET6, a->octets, text, ADDR_TEXT))
        strcpy(text, "-");
    return text;
}

const char *addr_format_literal(const struct addr *a, char text[ADDR_TEXT])
{
    char plain[ADDR_TEXT];

    addr_format(a, plain);
    stpcpy(stpcpy(stpcpy(text, a->family == ADDR_IP6 ? "[IPv6:" : "["), plain), "]");
    return text;
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
    return a->family == b->family && memcmp(a->octets, b->octets, sizeof a->octets) == 0;
}

bool addr_is_any(const struct addr *a)
{
    static const uint8_t zero[sizeof a->octets];

    return memcmp(a->octets, zero, sizeof zero) == 0;
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
    struct addr who = addr_inner(a);

    return addr_cut(&who, who.family == ADDR_IP6 ? 64 : addr_bits(&who));
}

struct addr addr_network(const struct addr *a)
{
    struct addr who = addr_inner(a);

    return addr_cut(&who, who.family == ADDR_IP6 ? 48 : who.family == ADDR_IP4 ? 24 : 0);
}

/* Reads the address and the prefix length on both sides of the slash; host bits may be set. */
static bool read_network(struct span text, struct addr *base, unsigned *bits)
{
    size_t slash = span_find(text, '/');
    struct span host = span_first(text, slash), digits = span_after(text, slash + 1);
    uint64_t n;

    if (!addr_parse(host, base))
        return false;
    *bits = addr_bits(base);
    if (slash == text.len)
        return true;
    if (digits.len > 3 || !span_number(digits, &n))
        return false;
    if (base->family == ADDR_IP4 && span_find(host, ':') < host.len) {
        if (n < 96) /* wider than the mapped range, which is then host bits */
            return false;
        n -= 96;
    }
    if (n > addr_bits(base))
        return false;
    *bits = (unsigned)n;
    return true;
}

bool network_parse(struct span text, struct network *n)
{
    struct addr base;
    unsigned bits;

    if (!read_network(text, &base, &bits))
        return false;
    struct addr cut = addr_cut(&base, bits);
    if (!addr_equal(&base, &cut))
        return false;
    *n = (struct network){.base = base, .bits = (uint8_t)bits};
    return true;
}

bool network_has_host_bits(struct span text, struct network *right)
{
    struct addr base;
    unsigned bits;

    if (!read_network(text, &base, &bits))
        return false;
    struct addr cut = addr_cut(&base, bits);
    *right = (struct network){.base = cut, .bits = (uint8_t)bits};
    return !addr_equal(&base, &cut);
}

const char *network_format(const struct network *n, char text[ADDR_TEXT])
{
    char plain[ADDR_TEXT];

    snprintf(text, ADDR_TEXT, "%.45s/%u", addr_format(&n->base, plain), n->bits);
    return text;
}

bool network_equal(const struct network *a, const struct network *b)
{
    return a->bits == b->bits && addr_equal(&a->base, &b->base);
}

bool network_contains(const struct network *n, const struct addr *a)
{
    if (n->base.family != a->family)
        return false;
    struct addr cut = addr_cut(a, n->bits);
    return addr_equal(&n->base, &cut);
}

bool network_concerns(const struct network *n, const struct addr *a)
{
    struct addr inner = addr_inner(a);

    return network_contains(n, a) || network_contains(n, &inner);
}

bool networks_contain(const struct network *list, size_t count, const struct addr *a)
{
    for (size_t i = 0; i < count; i++)
        if (network_contains(&list[i], a))
            return true;
    return false;
}
