/* Reads and writes octets through an established SSL, with results like those of recv() and send().
 * For the event loops of workers. Not thread-safe. */
#ifndef MIRED_TLS_OCTETS_H
#define MIRED_TLS_OCTETS_H

#include <openssl/types.h>
#include <stddef.h>
#include <sys/types.h>

/* Return how many octets were read or written; 0 when the other side has ended the connection; -1
 * with errno EAGAIN (not possible now) or ECONNRESET (not possible any more). The socket of `ssl`
 * is non-blocking. */
ssize_t tls_octets_in(SSL *ssl, void *at, size_t room);
/* The same as tls_octets_in(), and the octets are read again by the next call. They may have left
 * the socket already, which then does not report them any more. */
ssize_t tls_octets_peek(SSL *ssl, void *at, size_t room);
ssize_t tls_octets_out(SSL *ssl, const void *at, size_t len);

#endif
