/* PROXY headers; see proxy.h. */
#include "base/proxy.h"

#include <stdint.h>
#include <string.h>

static const char signature[12] = {'\r', '\n', '\r', '\n', '\0', '\r',
                                   '\n', 'Q',  'U',  'I',  'T',  '\n'};

enum { V1_MAX = 107, V2_FIXED = 16 };
enum { V2_LOCAL = 0x20, V2_PROXY = 0x21, V2_TCP4 = 0x11, V2_TCP6 = 0x21 };

static bool begins(struct span in, const void *with, size_t len)
{
    return memcmp(in.at, with, in.len < len ? in.len : len) == 0;
}

/* ---- version 2 ---- */

static enum proxy_result bad(struct proxy_header *h, const char *why)
{
    h->why = why;
    return PROXY_BAD;
}

static enum proxy_result read_v2(struct span in, struct proxy_header *h)
{
    const uint8_t *at = (const uint8_t *)in.at;

    if (in.len < V2_FIXED)
        return PROXY_MORE;
    size_t len = (size_t)at[14] << 8 | at[15];
    if (at[12] != V2_LOCAL && at[12] != V2_PROXY)
        return bad(h, "its version or command is not known");
    if (V2_FIXED + len > PROXY_HEADER_MAX)
        return bad(h, "it is longer than 4096 octets");
    if (in.len < V2_FIXED + len)
        return PROXY_MORE;
    h->used = V2_FIXED + len;
    bool four = at[13] == V2_TCP4, six = at[13] == V2_TCP6;
    if (at[12] == V2_LOCAL || (!four && !six))
        return PROXY_LOCAL;
    size_t width = four ? 4 : 16;
    if (len < 2 * width + 4)
        return bad(h, "its addresses do not fit into its length");
    if (six) {
        h->client = addr_from_ip6(at + V2_FIXED);
    } else {
        h->client = (struct addr){.family = ADDR_IP4};
        memcpy(h->client.octets, at + V2_FIXED, width);
    }
    h->client.port = (uint16_t)(at[V2_FIXED + 2 * width] << 8 | at[V2_FIXED + 2 * width + 1]);
    return PROXY_KNOWN;
}

/* ---- version 1 ---- */

static struct span word(struct span *rest)
{
    struct span w = span_first(*rest, span_find(*rest, ' '));
    *rest = span_after(*rest, w.len + (w.len < rest->len));
    return w;
}

static bool read_port(struct span text, uint16_t *port)
{
    unsigned value = 0;

    if (text.len == 0 || text.len > 5)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return false;
        value = value * 10 + (unsigned)(text.at[i] - '0');
    }
    *port = (uint16_t)value;
    return value <= UINT16_MAX;
}

/* Reads the text of an address of that family; an IPv6 address may be IPv4-mapped. */
static bool read_address(struct span text, bool four, struct addr *a)
{
    return addr_parse(text, a) && (span_find(text, ':') == text.len) == four;
}

static enum proxy_result read_line(struct span line, struct proxy_header *h)
{
    struct addr server = {0};
    uint16_t port;

    (void)word(&line); /* PROXY */
    struct span family = word(&line);
    if (span_equal(family, SPAN("UNKNOWN")))
        return PROXY_LOCAL;
    bool four = span_equal(family, SPAN("TCP4"));
    if (!four && !span_equal(family, SPAN("TCP6")))
        return bad(h, "its protocol is not TCP4, TCP6 or UNKNOWN");
    struct span from = word(&line), to = word(&line), from_port = word(&line);
    if (!read_address(from, four, &h->client) || !read_address(to, four, &server))
        return bad(h, four ? "TCP4 without two IPv4 addresses" : "TCP6 without two IPv6 addresses");
    if (!read_port(from_port, &h->client.port) || !read_port(line, &port))
        return bad(h, "its ports are invalid");
    return PROXY_KNOWN;
}

static enum proxy_result read_v1(struct span in, struct proxy_header *h)
{
    size_t end = span_find(in, '\n');

    if (end == in.len && in.len < V1_MAX)
        return PROXY_MORE;
    if (end + 1 > V1_MAX)
        return bad(h, "it is longer than 107 octets");
    if (end == 0 || in.at[end - 1] != '\r')
        return bad(h, "it does not end in CR LF");
    h->used = end + 1;
    return read_line(span_first(in, end - 1), h);
}

enum proxy_result proxy_read(struct span in, struct proxy_header *h)
{
    *h = (struct proxy_header){0};
    if (in.len == 0)
        return PROXY_MORE;
    if (begins(in, signature, sizeof signature))
        return read_v2(in, h);
    if (begins(in, "PROXY ", 6))
        return read_v1(in, h);
    return bad(h, "the connection begins with something else");
}

/* ---- writing ---- */

static int write_v1(struct buf *out, const struct addr *client, const struct addr *server)
{
    char from[ADDR_TEXT], to[ADDR_TEXT];

    if (!client || client->family != server->family)
        return buf_addf(out, "PROXY UNKNOWN\r\n");
    return buf_addf(out, "PROXY TCP%c %s %s %u %u\r\n", client->family == ADDR_IP4 ? '4' : '6',
                    addr_format(client, from), addr_format(server, to), client->port, server->port);
}

/* Sixteen octets for any address: IPv4 as ::ffff:a.b.c.d (RFC 4291 2.5.5.2). */
static void widen(const struct addr *a, uint8_t to[16])
{
    memset(to, 0, 16);
    if (a->family == ADDR_IP4) {
        to[10] = to[11] = 0xff;
        memcpy(to + 12, a->octets, 4);
    } else {
        memcpy(to, a->octets, 16);
    }
}

static int write_v2(struct buf *out, const struct addr *client, const struct addr *server)
{
    uint8_t h[V2_FIXED + 36] = {0};
    bool four = client && client->family == ADDR_IP4 && server->family == ADDR_IP4;
    size_t width = four ? 4 : 16, len = client ? 2 * width + 4 : 0;

    memcpy(h, signature, sizeof signature);
    h[12] = client ? V2_PROXY : V2_LOCAL;
    h[13] = !client ? 0 : four ? V2_TCP4 : V2_TCP6;
    h[15] = (uint8_t)len;
    if (client && four) {
        memcpy(h + V2_FIXED, client->octets, 4);
        memcpy(h + V2_FIXED + 4, server->octets, 4);
    } else if (client) {
        widen(client, h + V2_FIXED);
        widen(server, h + V2_FIXED + 16);
    }
    if (client) {
        uint8_t *ports = h + V2_FIXED + 2 * width;
        ports[0] = (uint8_t)(client->port >> 8);
        ports[1] = (uint8_t)client->port;
        ports[2] = (uint8_t)(server->port >> 8);
        ports[3] = (uint8_t)server->port;
    }
    return buf_add(out, h, V2_FIXED + len);
}

int proxy_write(struct buf *out, int version, const struct addr *client, const struct addr *server)
{
    bool ip = client && (client->family == ADDR_IP4 || client->family == ADDR_IP6) &&
              (server->family == ADDR_IP4 || server->family == ADDR_IP6);

    if (!ip)
        client = NULL;
    return version == 1 ? write_v1(out, client, server) : write_v2(out, client, server);
}
