/* TLS towards backends (RFC 3207), over OpenSSL: the client's side.
 *
 * `starttls` is opportunistic: TLS if the server offers it, without verification. `implicit` is TLS
 * from the first octet. `verified` requires STARTTLS, and a certificate that an authority of this
 * machine (OpenSSL's default store, or $SSL_CERT_FILE) has issued for the backend's name, or for
 * its address if it is configured by address. A backend's name is always sent (SNI). Not
 * thread-safe for one SSL; used by workers and by the threads of clerks. */
#ifndef MIRED_TLS_CLIENT_H
#define MIRED_TLS_CLIENT_H

#include <openssl/types.h>

#include <stdbool.h>

#include "base/addr.h"

/* Borrowed for each call. */
struct tls_client_params {
    bool verified;
    const char *ca;   /* a file of authorities in place of the machine's; NULL: none */
    const char *host; /* the backend's name; NULL: it is configured by `addr` */
    struct addr addr;
};

/* Allows this process to read the authorities of this machine, which OpenSSL looks up one by one
 * when it checks a certificate; and loads the modules that OpenSSL's configuration names, because no
 * process can load code once it is confined. */
struct sandbox;
void tls_client_allow(struct sandbox *s);

/* Makes the context that a backend's connections share; the caller frees it with SSL_CTX_free().
 * NULL without memory, or when `ca` cannot be read. */
SSL_CTX *tls_client_open(const struct tls_client_params *params);

/* Makes the SSL of one connection over `fd`. The caller keeps `fd`, and frees the SSL with
 * SSL_free(). NULL without memory. */
SSL *tls_client_new(SSL_CTX *context, const struct tls_client_params *params, int fd);

/* Goes on with the handshake. Returns 1 when it is done, 0 when it waits for the socket, -1 when it
 * has failed. */
int tls_client_shake(SSL *ssl);

/* Why the handshake failed, in words; a static string of ours or OpenSSL's. */
const char *tls_client_error(const SSL *ssl);

/* Whether this thread's last handshake failed because the connection ended, as when the server
 * restarts: nothing was wrong with its TLS. Call it like tls_client_error(), before any other call of
 * OpenSSL. */
bool tls_client_ended(void);

#endif
