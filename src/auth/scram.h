/* The server's side of SCRAM-SHA-256 (RFC 5802, 7677): the stored form of a password, and the
 * proofs of both sides. Clerks only; no I/O, never blocks. */
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
    SCRAM_OURS_MAX = 64,    /* characters of our half of the nonce, as with Dovecot */
    SCRAM_MESSAGE = 512,    /* our longest message: it fits into a clerk's answer */
    SCRAM_BINDING_MAX = 64, /* octets of TLS's binding data */
    SCRAM_ITERATIONS_MAX = 10000000,
    SCRAM_SHAPES = 64
};

/* The stored form of a password: enough to check a login, not enough to log in. */
struct scram_secret {
    uint32_t iterations;
    uint32_t salt_len;
    uint8_t salt[SCRAM_SALT_MAX];
    uint8_t stored_key[SCRAM_KEY], server_key[SCRAM_KEY];
};

/* Reads "ITERATIONS,SALT,STOREDKEY,SERVERKEY", the last three in base64: the text after
 * {SCRAM-SHA-256} in the output of `doveadm pw -s SCRAM-SHA-256`. */
bool scram_secret_read(struct span text, struct scram_secret *out);

/* Whether the secret is of that password. Takes the same time for right and wrong ones. */
bool scram_secret_is_of(const struct scram_secret *s, struct span password);

/* A secret that no password matches, for an unknown name: always the same for one key and name,
 * with the iterations and salt length of `like` (NULL: those of Dovecot's defaults). */
void scram_secret_decoy(const struct sipkey *key, struct span user, const struct scram_secret *like,
                        struct scram_secret *out);

/* The form of the secrets of a verifier that does not show them (Dovecot), learnt from its answers.
 * Mapped, shared by all clerks, kept over restarts. A zeroed one is valid. */
struct scram_shapes {
    _Atomic uint64_t of[SCRAM_SHAPES]; /* iterations << 8 | salt's octets, by a hash of the name */
    _Atomic uint64_t unknown_ms;       /* how long its answer to an unknown name takes */
};

/* Records the form of that user's secret from `message`, a server's first message. */
void scram_shapes_note(struct scram_shapes *s, const struct sipkey *key, struct span user,
                       struct span message);
/* Iterations and salt length for a decoy of that name; false while nothing is recorded. */
bool scram_shapes_like(const struct scram_shapes *s, const struct sipkey *key, struct span user,
                       struct scram_secret *like);

/* One login, between its two messages. The owner must end it with scram_login_wipe(). */
struct scram_login {
    struct scram_secret secret;
    bool decoy; /* no proof is right */
    uint8_t binding[SCRAM_BINDING_MAX];
    uint32_t binding_len;
    struct buf header; /* the client's, to be repeated */
    struct buf nonce;  /* both halves */
    struct buf said;   /* "client-first-bare,server-first,", part of the signed text */
};

/* Reads the client's first message and writes the answer, SCRAM_MESSAGE octets at most. `binding`
 * is TLS's binding data of the kind that the message names; `ours` is our half of the nonce.
 * Returns 0, -EBADMSG (not such a message) or -ENOMEM. */
int scram_login_begin(struct scram_login *l, struct span message, struct span binding,
                      struct span ours, struct buf *answer);

/* Reads the second message. True if it proves that the client knows the password; *answer then
 * proves to the client that we know it. */
bool scram_login_end(const struct scram_login *l, struct span message, struct buf *answer);

void scram_login_wipe(struct scram_login *l);

/* Checks of what another server says for mired (Dovecot), before a client gets it. A first message
 * must have a nonce that begins with the client's and is longer, a salt, and 1 to
 * SCRAM_ITERATIONS_MAX iterations, because the client computes as many hashes before it can know that
 * the server lies. A last message must be a signature; whether it is right only the client knows. */
bool scram_is_challenge(struct span message, struct span nonce);
bool scram_is_signature(struct span message);

/* Writes random characters that a nonce can have. Returns 0 or -errno. */
int scram_nonce(char *out, size_t len);

#endif
