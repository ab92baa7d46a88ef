/* Keeps the TLS states of frozen connections (docs/frozen.md): a TLS state cannot be written to a
 * file, so it stays in its worker while the connection has no socket. Owns the states that it
 * keeps. */
#ifndef MIRED_WORKER_TLS_STASH_H
#define MIRED_WORKER_TLS_STASH_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stdint.h>

struct stashed_tls;
struct worker;

/* Goes into the connection's record; never used twice. */
struct tls_stash_handle {
    uint32_t place, serial;
};

struct tls_stash {
    struct stashed_tls **at;
    uint32_t *spare; /* the free places, `spares` of them */
    uint32_t places, spares, count, serial;
};

/* Keeps a TLS state until `until` (loop ms), and frees it then. False without memory: the caller
 * keeps the state. */
bool tls_stash_put(struct worker *w, SSL *ssl, uint64_t until, struct tls_stash_handle *out);

/* Remembers the seal of the connection's record (thaw.h), without which nobody gets the state. */
void tls_stash_seal(struct worker *w, struct tls_stash_handle h, uint64_t seal);

/* Gives the state to the caller; NULL if there is none with this handle (any more), or if its seal is
 * another one. */
SSL *tls_stash_take(struct worker *w, struct tls_stash_handle h, uint64_t seal);

/* Forgets a state that the caller has kept, too. */
void tls_stash_drop(struct worker *w, struct tls_stash_handle h);

/* Frees all. */
void tls_stash_close(struct worker *w);

#endif
