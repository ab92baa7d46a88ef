/* Octets through an established SSL, as recv() and send() have them: for the loops of workers and
 * of their links to backends. One thread. */
#ifndef MIRED_TLS_OCTETS_H
#define MIRED_TLS_OCTETS_H

#include <openssl/types.h>
#include <stddef.h>
#include <sys/types.h>

/* Octets read or taken; 0 when the other side has said that it ends; -1 with errno EAGAIN (nothing
 * can be done now) or ECONNRESET (nothing ever again). `ssl` stands on a non-blocking socket. */
ssize_t tls_octets_in(SSL *ssl, void *at, size_t room);
ssize_t tls_octets_out(SSL *ssl, const void *at, size_t len);

#endif
