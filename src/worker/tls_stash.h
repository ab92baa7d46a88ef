/* TLS states whose connections are frozen (docs/frozen.md): a TLS state cannot be written down, so
 * it stays in its worker while the socket is gone. Owns what it keeps. */
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
    uint32_t *spare; /* places that are free, `spares` of them */
    uint32_t places, spares, count, serial;
};

/* Keeps a TLS state up to `until` (loop ms) and frees it then. False without memory: the state is
 * still the caller's. */
bool tls_stash_put(struct worker *w, SSL *ssl, uint64_t until, struct tls_stash_handle *out);

/* Gives it to the caller; NULL when this handle's state is not here (any more). */
SSL *tls_stash_take(struct worker *w, struct tls_stash_handle h);

/* Frees all. */
void tls_stash_close(struct worker *w);

#endif
