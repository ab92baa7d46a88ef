/* TLS towards backends (RFC 3207), over OpenSSL: the client's side.
 *
 * `starttls` is opportunistic: TLS if the server offers it, without verification. `implicit` is TLS
 * from the first octet. `verified` asks for STARTTLS, and for a certificate that an authority of
 * this machine (OpenSSL's default store, or $SSL_CERT_FILE) has issued for the backend's name, or
 * for its address where it is configured by that. A name is sent along (SNI) in any case. */
#ifndef MIRED_TLS_CLIENT_H
#define MIRED_TLS_CLIENT_H

#include <openssl/types.h>

#include <stdbool.h>

#include "base/addr.h"

/* Borrowed for each call. */
struct tls_client_params {
    bool verified;
    const char *host; /* the backend's name; NULL: it is configured by `addr` */
    struct addr addr;
};

/* What a backend's connections share; NULL without memory. */
SSL_CTX *tls_client_open(const struct tls_client_params *params);

/* One connection's, over `fd`, which stays the caller's; NULL without memory. */
SSL *tls_client_new(SSL_CTX *context, const struct tls_client_params *params, int fd);

/* A step of the handshake: 1 when it is done, 0 when it waits for the socket, or -1. */
int tls_client_shake(SSL *ssl);

/* Why it failed, as words; static or OpenSSL's. */
const char *tls_client_error(const SSL *ssl);

#endif
