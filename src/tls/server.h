/* Certificates and keys of the TLS that clients are offered (RFC 3207, 8314), over OpenSSL.
 *
 * They are read once, by the master, so that a broken file is reported with the configuration's
 * errors and keys may be readable by root only. Workers inherit them over fork(); no other process
 * uses them. Renewed certificates are taken up with a reload: the workers that it starts have the
 * new ones, and connections on the old ones keep theirs.
 *
 * No session cache, no tickets, buffers only while octets are on their way: a held connection keeps
 * what OpenSSL cannot do without. */
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

/* Reads what `params` names. 0 and the caller's *out (NULL when there is no certificate), or -1 and
 * a line for each mistake in *errors. */
int tls_server_open(const struct tls_server_params *params, struct tls_server **out,
                    struct buf *errors);

/* Wipes and frees; NULL is nothing. */
void tls_server_close(struct tls_server *t);

/* A server's side of a connection over `fd`, which stays the caller's; NULL without memory. Its
 * certificate is the one that the client's SNI asks for (RFC 6066), else the first; where there are
 * several for that name with different kinds of key, the one that the client can use. */
SSL *tls_server_new(const struct tls_server *t, int fd);

/* What SCRAM binds to: 32 octets that only the two ends of this connection know (RFC 9266), and a
 * hash of our certificate (RFC 5929 section 4.1). How many octets were written; 0: there is none,
 * or no room for it. */
size_t tls_exported(SSL *ssl, void *out, size_t room);
size_t tls_end_point(const SSL *ssl, void *out, size_t room);

/* The peer has shown a certificate of `client_ca`. */
bool tls_client_is_known(const SSL *ssl);

#endif
