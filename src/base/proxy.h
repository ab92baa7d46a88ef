/* The PROXY protocol, versions 1 and 2 (HAProxy's proxy-protocol.txt, 2020/03/05): its client's
 * address, told by a balancer in front or to a server behind. Pure; trusts nothing that it reads.
 */
#ifndef MIRED_BASE_PROXY_H
#define MIRED_BASE_PROXY_H

#include <stddef.h>

#include "base/addr.h"
#include "base/bytes.h"

/* HAProxy sends some hundred octets with everything on; a certificate's names may make it more. */
enum { PROXY_HEADER_MAX = 4096 };

enum proxy_result {
    PROXY_MORE,  /* so far it may be one; more octets are needed */
    PROXY_KNOWN, /* .client is the client's address */
    PROXY_LOCAL, /* the balancer speaks for itself (LOCAL, UNKNOWN, a family that is no IP) */
    PROXY_BAD,   /* this is none, or none that can be taken: .why says what is wrong */
};

struct proxy_header {
    struct addr client; /* KNOWN; IPv4-mapped ones are IPv4 */
    size_t used;        /* KNOWN, LOCAL: its length */
    const char *why;    /* BAD: a literal */
};

/* Reads a header from the front of `in`. */
enum proxy_result proxy_read(struct span in, struct proxy_header *h);

/* Appends a header of that version (1 or 2) for a connection from `client` to `server`; NULL for
 * one of our own, LOCAL or UNKNOWN. Addresses of two families are told as IPv6. 0 or -ENOMEM. */
int proxy_write(struct buf *out, int version, const struct addr *client, const struct addr *server);

#endif
