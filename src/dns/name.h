/* DNS names, in queries and answers: built, checked and compared. Pure.
 *
 * A query to a list is the client's address written backwards in front of the list's zone (RFC
 * 5782, 2.1 and 2.4); a query for a client's name is the same in in-addr.arpa or ip6.arpa (RFC
 * 1035, RFC 3596). */
#ifndef MIRED_DNS_NAME_H
#define MIRED_DNS_NAME_H

#include <stdbool.h>

#include "base/addr.h"
#include "base/bytes.h"

enum {
    DNS_NAME_ROOM = 256,              /* for any name as text, NUL included */
    DNS_NAME_MAX = 253,               /* octets of one */
    DNS_ZONE_MAX = DNS_NAME_MAX - 64, /* of a zone, so that an IPv6 address fits in front */
};

/* Labels of letters, digits, '-' and '_', none empty or above 63 octets, no dot at either end, at
 * most DNS_NAME_MAX octets. */
bool dns_name_is_valid(struct span name);

/* "7.2.0.192.ZONE", or 32 nibbles and the zone; NUL-terminated. False if `a` is not an IP address
 * or the name does not fit. */
bool dns_name_reverse(const struct addr *a, const char *zone, char out[DNS_NAME_ROOM]);

/* The name of the address's PTR records. */
bool dns_name_of_pointer(const struct addr *a, char out[DNS_NAME_ROOM]);

/* Whether an entry matches `name` (a final dot is ignored, letters are folded): ".example.org"
 * matches example.org and all names below it, "mail.example.org" only itself. */
bool dns_name_matches(const char *entry, struct span name);

#endif
