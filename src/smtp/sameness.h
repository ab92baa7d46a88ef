/* Recognises a message when its sender retries: a keyed hash of its octets.
 *
 * A sender's queue sends the message that it keeps, so a retry has the same octets, with DATA or
 * BDAT (both are hashed dot-stuffed). Only header fields that servers add in transit may differ:
 * another host of a pool or a fall-back relay adds a Received:, and a signer signs each try again.
 * If the message has a Message-ID, these fields are left out. Without one, Received: may be the
 * only difference between two alarms with the same words, so every octet counts.
 *
 * Anybody who knows a message can send the same octets without its signatures, and a backend may
 * throw that copy away. So DKIM's signatures have a hash of their own (RFC 6376), by which the caller
 * can tell a copy from the message itself (relay/outcome.c).
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
    struct siphash all;        /* of every octet; after the header the one hash that goes on */
    struct siphash kept;       /* without the fields that servers add in transit */
    struct siphash signatures; /* of the fields DKIM-Signature */
    char name[SAMENESS_NAME_MAX];
    uint8_t len;    /* octets in name */
    uint8_t state;  /* private */
    bool trace;     /* this field is one that servers add in transit */
    bool id;        /* this field is Message-ID */
    bool named;     /* a Message-ID has been seen */
    bool signature; /* this field is DKIM-Signature */
    bool is_signed; /* one has been seen */
};

void sameness_start(struct sameness *s, const struct sipkey *key);
void sameness_add(struct sameness *s, struct span octets);
uint64_t sameness_end(const struct sameness *s);

/* The hash of all signatures; 0: it has none. After the header it changes no more. */
uint64_t sameness_signatures(const struct sameness *s);

/* Whether the message has a Message-ID. If so, no other message has the same hash. */
bool sameness_is_named(const struct sameness *s);

#endif
