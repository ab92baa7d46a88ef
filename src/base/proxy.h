/* The PROXY protocol, versions 1 and 2 (HAProxy's proxy-protocol.txt, 2020/03/05): a header with
 * the client's address, which a balancer sends to mired or mired to a backend. Pure, thread-safe;
 * trusts nothing that it reads. */
#ifndef MIRED_BASE_PROXY_H
#define MIRED_BASE_PROXY_H

#include <stddef.h>

#include "base/addr.h"
#include "base/bytes.h"

/* With all options HAProxy sends some hundred octets; the names in a certificate may add more. */
enum { PROXY_HEADER_MAX = 4096 };

enum proxy_result {
    PROXY_MORE,  /* may be a header so far; more octets are needed */
    PROXY_KNOWN, /* .client is the client's address */
    PROXY_LOCAL, /* the balancer speaks for itself (LOCAL, UNKNOWN, a family that is no IP) */
    PROXY_BAD,   /* not a header, or one that mired cannot use: .why says what is wrong */
};

struct proxy_header {
    struct addr client; /* KNOWN; IPv4-mapped ones are IPv4 */
    size_t used;        /* KNOWN, LOCAL: its length */
    const char *why;    /* BAD: a literal */
};

/* Reads a header from the front of `in`. */
enum proxy_result proxy_read(struct span in, struct proxy_header *h);

/* Appends a header of that version (1 or 2) for a connection from `client` to `server`. For a
 * connection of mired's own `client` is NULL, and the header says LOCAL or UNKNOWN. If the two
 * addresses have different families, both are written as IPv6. Returns 0 or -ENOMEM. */
int proxy_write(struct buf *out, int version, const struct addr *client, const struct addr *server);

#endif
