/* Parses the messages of SCRAM clients (RFC 5802 section 7, RFC 7677), without any cryptography.
 *
 * Pure. Workers use it to find the account, clerks to check what a worker has sent. All spans point
 * into the message. */
#ifndef MIRED_SMTP_SCRAM_H
#define MIRED_SMTP_SCRAM_H

#include <stdbool.h>

#include "base/bytes.h"

/* The longest nonce accepted; real ones have 18 to 64 characters. */
enum { SCRAM_NONCE_MAX = 256 };

/* n,a=AUTHZID,n=USER,r=NONCE */
struct scram_first {
    char flag;                 /* p: binds; n: cannot bind; y: can, but saw no offer of ours */
    struct span binding;       /* with p: "tls-exporter", ... */
    struct span authzid, user; /* as received: see scram_name(); authzid may be empty */
    struct span nonce;
    struct span header; /* up to the second comma, included; `c=` must repeat it */
    struct span bare;   /* the rest, which is part of the signed text */
};

/* c=CHANNEL,r=NONCE,p=PROOF */
struct scram_final {
    struct span channel; /* base64: the header, and with p the binding data */
    struct span nonce;   /* the client's and ours */
    struct span proof;   /* base64 */
    struct span signed_part;
};

/* Parse a message; false if it is not valid. Optional extensions are skipped; a mandatory one
 * ("m=") makes the message invalid, because we know none. */
bool scram_read_first(struct span message, struct scram_first *out);
bool scram_read_final(struct span message, struct scram_final *out);

/* Decodes =2C and =3D in a name and copies it as a string; false if it is empty, does not fit into
 * `room` octets or is not well-formed. */
bool scram_name(struct span name, char *out, size_t room);

#endif
