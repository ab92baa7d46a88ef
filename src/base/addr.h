/* Internet addresses as mired counts clients by them (docs/tarpit.md, "client" and "network").
 *
 * An IPv6 address may contain an IPv4 address. IPv4-mapped addresses (::ffff:a.b.c.d) become IPv4
 * in every addr_* function that reads one. A NAT64 address (64:ff9b::a.b.c.d) is an IPv6 peer to
 * talk to and an IPv4 client to judge: addr_of_peer(). A Teredo or 6to4 address keeps its own form,
 * but the client counts as the IPv4 address in it: addr_inner(). Knows no sockets; base/sockaddr.h
 * converts to and from the kernel's form. Pure, thread-safe. */
#ifndef MIRED_BASE_ADDR_H
#define MIRED_BASE_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

enum addr_family { ADDR_NONE = 0, ADDR_IP4 = 4, ADDR_IP6 = 6, ADDR_UNIX = 1 };

struct addr {
    uint8_t octets[16]; /* network order; IPv4 uses the first four, the rest are 0 */
    uint16_t port;      /* host order; 0 when there is none */
    uint8_t family;     /* enum addr_family */
    uint8_t unused;
};

#define ADDR_TEXT                                                                                  \
    64 /* room for any text that addr_format() or network_format() make, NUL included */

/* Sixteen octets in network order, without a port; IPv4-mapped ones are IPv4. */
struct addr addr_from_ip6(const uint8_t octets[16]);

/* The address by which a client is logged and shown: the IPv4 address in NAT64's well-known prefix
 * (RFC 6052) if that is public, else the address itself. Keeps the port. */
struct addr addr_of_peer(const struct addr *a);

/* The address that is responsible: the public IPv4 address in a NAT64, Teredo (RFC 4380) or 6to4
 * (RFC 3056) address, else the address itself. Packets to such an address are routed to its IPv4
 * address, so that is where the client is. Keeps the port. */
struct addr addr_inner(const struct addr *a);

/* Reads "192.0.2.7", "2001:db8::1" or "[2001:db8::1]" (no port); false when it is neither. */
bool addr_parse(struct span text, struct addr *a);

/* Reads "HOST:PORT" with the host as above, IPv6 in brackets; false when it is not that. */
bool addr_parse_port(struct span text, struct addr *a);

/* Writes the address without its port, NUL-terminated, and returns `text`. ADDR_NONE is "-". */
const char *addr_format(const struct addr *a, char text[ADDR_TEXT]);

/* The address literal of RFC 5321 4.1.3: [192.0.2.7] or [IPv6:2001:db8::1]. */
const char *addr_format_literal(const struct addr *a, char text[ADDR_TEXT]);

/* Same address; ports are not looked at. */
bool addr_equal(const struct addr *a, const struct addr *b);

bool addr_is_loopback(const struct addr *a);

/* Whether all octets are 0, as in 0.0.0.0 and ::, which stand for all addresses of a machine. */
bool addr_is_any(const struct addr *a);

/* The number of bits in addresses of its family: 32 or 128; 0 if it is not an IP address. */
unsigned addr_bits(const struct addr *a);

/* The address with all but its first `bits` bits 0, and no port. */
struct addr addr_cut(const struct addr *a, unsigned bits);

/* The *client* of an address: IPv4 /32 or IPv6 /64 of addr_inner(), without a port. */
struct addr addr_client(const struct addr *a);

/* The client's *network*: IPv4 /24, IPv6 /48, of addr_inner(). */
struct addr addr_network(const struct addr *a);

struct network {
    struct addr base; /* host bits 0 */
    uint8_t bits;     /* of the family's own: 0..32 or 0..128 */
};

/* Reads "10.0.0.0/8", "[2001:db8::]/32", "2001:db8::/32" or a bare address (all bits). Set host
 * bits are an error, because the author may have meant another network. */
bool network_parse(struct span text, struct network *n);

/* True when set host bits are the only error; *right is then the network without them. */
bool network_has_host_bits(struct span text, struct network *right);

const char *network_format(const struct network *n, char text[ADDR_TEXT]);

bool network_equal(const struct network *a, const struct network *b);

bool network_contains(const struct network *n, const struct addr *a);

/* Whether the network contains the address or its addr_inner(). */
bool network_concerns(const struct network *n, const struct addr *a);

/* True when any of `count` networks contains the address. Linear: for short, configured lists. */
bool networks_contain(const struct network *list, size_t count, const struct addr *a);

#endif
