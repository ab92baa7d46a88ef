/* An HTTP request's header as it came over the wire: is it one, by RFC 9112, and whom is it for?
 * Pure.
 *
 * libmicrohttpd parses what passes here once more; what it takes too kindly (a folded line, a space
 * before the colon, no Host or two) never reaches it. */
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

/* The length of the header with its empty line; 0: it has not ended. */
size_t request_head_length(struct span octets);

/* NULL, or a sentence that says what is wrong (400). `head` is what request_head_length() found. */
const char *request_head_parse(struct span head, struct request_head *out);

/* Whether `host` is one of ours: empty, localhost, a loopback address, the address that the client
 * has reached, or one of `count` names (without regard to capitals and a last dot). */
bool request_head_is_for_us(struct span host, const struct addr *reached, char *const *names,
                            size_t count);

#endif
