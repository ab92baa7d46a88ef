/* The PROXY protocol, versions 1 and 2 (HAProxy's proxy-protocol.txt, 2020/03/05): who the client
 * is, told by a balancer in front or to a server behind. Pure; trusts nothing that it reads. */
#ifndef MIRED_BASE_PROXY_H
#define MIRED_BASE_PROXY_H

#include <stddef.h>

#include "base/addr.h"
#include "base/bytes.h"

enum { PROXY_HEADER_MAX = 536 /* more than any header of use: 16 + 216 + some TLVs */ };

enum proxy_result {
    PROXY_MORE,  /* so far it may be one; more octets are needed */
    PROXY_KNOWN, /* *client is who it is */
    PROXY_LOCAL, /* the balancer speaks for itself (LOCAL, UNKNOWN, a family that is no IP) */
    PROXY_BAD,   /* this is none */
};

/* Reads a header from the front of `in`; *used is its length with KNOWN and LOCAL. */
enum proxy_result proxy_read(struct span in, struct addr *client, size_t *used);

/* Appends a header of that version (1 or 2) for a connection from `client` to `server`; NULL for
 * one of our own, LOCAL or UNKNOWN. Addresses of two families are told as IPv6. 0 or -ENOMEM. */
int proxy_write(struct buf *out, int version, const struct addr *client, const struct addr *server);

#endif
