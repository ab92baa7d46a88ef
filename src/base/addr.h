/* Internet addresses as mired counts clients by them (docs/tarpit.md, "client" and "network").
 *
 * An IPv4 address may come in IPv6's clothes. IPv4-mapped (::ffff:a.b.c.d) is the IPv4 address
 * everywhere: addr_* make it so on the way in. What NAT64 makes of an IPv4 client
 * (64:ff9b::a.b.c.d) is one for us to talk to and an IPv4 client to judge: addr_of_peer(). Teredo
 * and 6to4 are tunnels: the client is who is at the IPv4 address in it, the address its own.
 * Knows no sockets; base/sockaddr.h converts to and from the kernel's form. Pure, thread-safe. */
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

/* The address of a client as it is to be known: of NAT64's well-known prefix (RFC 6052) with a
 * public IPv4 address in it that IPv4 address, any other as it is. The port is kept. */
struct addr addr_of_peer(const struct addr *a);

/* Who answers for an address: for NAT64, Teredo (RFC 4380) and 6to4 (RFC 3056) the public IPv4
 * address in it, for any other the address itself. Each of these is routed to its IPv4 address: who
 * speaks from it is there. The port is kept. */
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

/* How many bits its family's addresses have: 32 or 128; 0 for what is no such address. */
unsigned addr_bits(const struct addr *a);

/* The address with all but its first `bits` bits 0, and no port. */
struct addr addr_cut(const struct addr *a, unsigned bits);

/* What a *client* is: IPv4 /32, IPv6 /64, of addr_inner(); the port is gone. */
struct addr addr_client(const struct addr *a);

/* The client's *network*: IPv4 /24, IPv6 /48, of addr_inner(). */
struct addr addr_network(const struct addr *a);

struct network {
    struct addr base; /* host bits 0 */
    uint8_t bits;     /* of the family's own: 0..32 or 0..128 */
};

/* Reads "10.0.0.0/8", "[2001:db8::]/32", "2001:db8::/32" or a bare address (all bits). Host bits
 * that are set are an error, for the writer may have meant another network. */
bool network_parse(struct span text, struct network *n);

/* True when host bits are all that is wrong; *right is then the network without them. */
bool network_has_host_bits(struct span text, struct network *right);

const char *network_format(const struct network *n, char text[ADDR_TEXT]);

bool network_contains(const struct network *n, const struct addr *a);

/* Whether the network holds the address, or the IPv4 address in it: is that client meant? */
bool network_concerns(const struct network *n, const struct addr *a);

/* True when any of `count` networks holds the address. Linear: for lists that a person wrote. */
bool networks_contain(const struct network *list, size_t count, const struct addr *a);

#endif
