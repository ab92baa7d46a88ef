/* Certificates and keys for TLS with clients (RFC 3207, 8314), over OpenSSL.
 *
 * The master reads them once. So a broken file is reported with the configuration's errors, and
 * keys may be readable by root only. Workers inherit them through fork(); no other process uses
 * them. A reload loads renewed certificates: the workers that it starts have the new ones, and
 * connections in the old workers keep the old ones.
 *
 * There is no session cache and there are no tickets, and buffers exist only while octets are in
 * flight, so a held connection uses as little memory as OpenSSL allows. */
#ifndef MIRED_TLS_SERVER_H
#define MIRED_TLS_SERVER_H

#include <openssl/types.h>

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"

struct tls_server;

/* Borrowed for the call. */
struct tls_server_params {
    char *const *certificate, *const
                                  *key; /* paths; a certificate without a key has it in its file */
    size_t certificates, keys;
    const char *client_ca; /* optional client certificates; NULL: none are asked for */
    const char *place;     /* "FILE:LINE", which each line of *errors begins with */
    int minimum;           /* 12 or 13 for TLS 1.2 or 1.3 */
};

/* Reads the files of `params`. Returns 0 and sets *out, which the caller closes (NULL when there is
 * no certificate), or returns -1 and adds a line for each mistake to *errors. */
int tls_server_open(const struct tls_server_params *params, struct tls_server **out,
                    struct buf *errors);

/* Wipes and frees; does nothing for NULL. */
void tls_server_close(struct tls_server *t);

/* Makes the server's side of a connection over `fd`. The caller keeps `fd`, and frees the SSL with
 * SSL_free(). NULL without memory. The certificate is the one that the client's SNI asks for (RFC
 * 6066), else the first. If there are several for that name with different kinds of key, it is the
 * one that the client can use. */
SSL *tls_server_new(const struct tls_server *t, int fd);

/* The data that SCRAM binds to: 32 octets that only the two ends of this connection know (RFC
 * 9266), and a hash of our certificate (RFC 5929 section 4.1). Returns how many octets were
 * written; 0 if there is none, or no room for it. */
size_t tls_exported(SSL *ssl, void *out, size_t room);
size_t tls_end_point(const SSL *ssl, void *out, size_t room);

/* Whether the client has shown a certificate of `client_ca`. */
bool tls_client_is_known(const SSL *ssl);

#endif
