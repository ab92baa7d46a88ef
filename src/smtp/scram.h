/* Messages of SCRAM clients (RFC 5802 section 7, RFC 7677) taken apart, without any cryptography.
 *
 * Pure. Workers use it to know the account, clerks to check what a worker has sent. All spans point
 * into the message. */
#ifndef MIRED_SMTP_SCRAM_H
#define MIRED_SMTP_SCRAM_H

#include <stdbool.h>

#include "base/bytes.h"

/* The longest nonce accepted; real ones have 18 to 64 characters. */
enum { SCRAM_NONCE_MAX = 256 };

/* n,a=AUTHZID,n=USER,r=NONCE */
struct scram_first {
    char flag;           /* n: no channel binding; y: could, but thinks that we cannot; p: does */
    struct span binding; /* with p: "tls-exporter", ... */
    struct span authzid, user; /* as they came: see scram_name(); authzid may be empty */
    struct span nonce;
    struct span header; /* up to and with the second comma: what `c=` must repeat */
    struct span bare;   /* the rest, which is part of what is signed */
};

/* c=CHANNEL,r=NONCE,p=PROOF */
struct scram_final {
    struct span channel; /* base64: the header, and with p what binds to the channel */
    struct span nonce;   /* the client's and ours */
    struct span proof;   /* base64 */
    struct span signed_part;
};

/* Take a message apart; false when it is none. Extensions that are not mandatory are skipped; a
 * mandatory one ("m=") makes it none, for we know none. */
bool scram_read_first(struct span message, struct scram_first *out);
bool scram_read_final(struct span message, struct scram_final *out);

/* A name with =2C and =3D undone, as a string; false when it is empty, does not fit into `room`
 * octets or is not well-formed. */
bool scram_name(struct span name, char *out, size_t room);

#endif
