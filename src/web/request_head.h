/* Checks an HTTP request's header as received: whether it is valid by RFC 9112, and which host it
 * is for. Pure.
 *
 * libmicrohttpd parses accepted headers again. Headers that it would accept too leniently (a folded
 * line, a space before the colon, no Host or two) never reach it. */
#ifndef MIRED_WEB_REQUEST_HEAD_H
#define MIRED_WEB_REQUEST_HEAD_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/bytes.h"

struct request_head {
    struct span host; /* of the Host field, without port and brackets; empty: there is none */
    uint64_t body;    /* Content-Length */
};

/* The length of the header with its empty line; 0 if it is not complete. */
size_t request_head_length(struct span octets);

/* Parses the header that request_head_length() found. Returns NULL, or a static sentence that says
 * what is wrong (400). */
const char *request_head_parse(struct span head, struct request_head *out);

/* Whether `host` is one of ours: empty, localhost, a loopback address, the address that the client
 * connected to, or one of `count` names (ignoring case and a final dot). */
bool request_head_is_for_us(struct span host, const struct addr *reached, char *const *names,
                            size_t count);

#endif
