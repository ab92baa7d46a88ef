/* What makes a message the same when a sender tries again: a keyed hash of its octets.
 *
 * A sender's queue keeps the message and sends what it keeps, so a retry has the same octets, with
 * DATA or BDAT (both are hashed dot-stuffed). What may differ are header fields that servers write
 * on the way: a pool's next host or a fall-back relay adds a Received:, and a signer signs each try
 * anew. With a Message-ID these fields are left out. Without one, Received: may be all that tells
 * two alarms of the same words apart, so every octet counts.
 *
 * Pure, restartable at any octet, no allocation. */
#ifndef MIRED_SMTP_SAMENESS_H
#define MIRED_SMTP_SAMENESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/siphash.h"

enum { SAMENESS_NAME_MAX = 32 };

struct sameness {
    struct siphash all;  /* every octet; behind the header the one that counts */
    struct siphash kept; /* without the fields of the way */
    char name[SAMENESS_NAME_MAX];
    uint8_t len;   /* octets in name */
    uint8_t state; /* private */
    bool trace;    /* this field is one of the way */
    bool id;       /* this field is Message-ID */
    bool named;    /* a Message-ID has been seen */
};

void sameness_start(struct sameness *s, const struct sipkey *key);
void sameness_add(struct sameness *s, struct span octets);
uint64_t sameness_end(const struct sameness *s);

/* Whether the message has a Message-ID: then no other message is taken for it. */
bool sameness_is_named(const struct sameness *s);

#endif
