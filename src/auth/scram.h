/* The server's side of SCRAM-SHA-256 (RFC 5802, 7677): the stored form of a password, and what both
 * sides sign. Clerks only; no I/O, never blocks. */
#ifndef MIRED_AUTH_SCRAM_H
#define MIRED_AUTH_SCRAM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/siphash.h"

enum {
    SCRAM_KEY = 32,         /* octets of SHA-256 */
    SCRAM_SALT_MAX = 64,    /* octets */
    SCRAM_OURS_MAX = 64,    /* characters of our half of the nonce, as Dovecot has */
    SCRAM_MESSAGE = 512,    /* of ours, at most: it fits an answer of a clerk's */
    SCRAM_BINDING_MAX = 64, /* octets of what TLS has to bind to */
    SCRAM_SHAPES = 64
};

/* The stored form of a password: enough to check a login, not enough to log in. */
struct scram_secret {
    uint32_t iterations;
    uint32_t salt_len;
    uint8_t salt[SCRAM_SALT_MAX];
    uint8_t stored_key[SCRAM_KEY], server_key[SCRAM_KEY];
};

/* "ITERATIONS,SALT,STOREDKEY,SERVERKEY", the last three as base64: what stands behind
 * {SCRAM-SHA-256} where `doveadm pw -s SCRAM-SHA-256` has written it. */
bool scram_secret_read(struct span text, struct scram_secret *out);

/* Whether the secret is of that password. Takes the same time for right and wrong ones. */
bool scram_secret_is_of(const struct scram_secret *s, struct span password);

/* A secret that no password matches, for an unknown name: always the same for one key and name,
 * with the iterations and salt length of `like` (NULL: those of Dovecot's defaults). */
void scram_secret_decoy(const struct sipkey *key, struct span user, const struct scram_secret *like,
                        struct scram_secret *out);

/* What the secrets of a verifier that keeps them to itself (Dovecot) look like from outside, as its
 * own answers have shown; mapped, shared by all clerks, kept over restarts. A zeroed one is valid.
 */
struct scram_shapes {
    _Atomic uint64_t of[SCRAM_SHAPES]; /* iterations << 8 | salt's octets, by a hash of the name */
    _Atomic uint64_t unknown_ms;       /* how long it takes to say that it does not know a name */
};

/* `message` is a server's first: what it says of that user's secret is noted. */
void scram_shapes_note(struct scram_shapes *s, const struct sipkey *key, struct span user,
                       struct span message);
/* Iterations and salt's length for a decoy of that name; false while nothing has been noted. */
bool scram_shapes_like(const struct scram_shapes *s, const struct sipkey *key, struct span user,
                       struct scram_secret *like);

/* One login, between its two messages. The code that ends it wipes it. */
struct scram_login {
    struct scram_secret secret;
    bool decoy; /* nothing is right */
    uint8_t binding[SCRAM_BINDING_MAX];
    uint32_t binding_len;
    struct buf header; /* the client's, to be repeated */
    struct buf nonce;  /* both halves */
    struct buf said;   /* "client-first-bare,server-first," as it is signed */
};

/* Takes the client's first message and writes the answer to it, SCRAM_MESSAGE octets at most.
 * `binding` is what TLS has of the kind that the message names; `ours` is our half of the nonce.
 * 0, -EBADMSG (it is no such message) or -ENOMEM. */
int scram_login_begin(struct scram_login *l, struct span message, struct span binding,
                      struct span ours, struct buf *answer);

/* Takes the second message. True when it shows that the client knows the password, and *answer then
 * shows the client that we do. */
bool scram_login_end(const struct scram_login *l, struct span message, struct buf *answer);

void scram_login_wipe(struct scram_login *l);

/* Random characters, as they may stand in a nonce. 0 or -errno. */
int scram_nonce(char *out, size_t len);

#endif
