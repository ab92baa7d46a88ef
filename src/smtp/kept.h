/* A backend's reply with a copy of its text. */
#ifndef MIRED_SMTP_KEPT_H
#define MIRED_SMTP_KEPT_H

#include <stdint.h>

#include "base/bytes.h"
#include "smtp/reply.h"

struct kept_reply {
    uint16_t id, code;
    uint8_t enhanced[3];
    uint8_t offence; /* enum offence */
    struct buf text;
};

/* Copies a reply, and frees the one kept before. Returns 0 or -ENOMEM. A reply without an enhanced
 * code gets X.0.0, because mired offers ENHANCEDSTATUSCODES (RFC 2034 4). */
int kept_set(struct kept_reply *k, const struct reply *r);
struct reply kept_get(const struct kept_reply *k);
void kept_free(struct kept_reply *k);

#endif
