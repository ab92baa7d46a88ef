/* Octets through an SSL; see octets.h. */
#include "tls/octets.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdint.h>

static int bounded(size_t n)
{
    return n < INT32_MAX ? (int)n : INT32_MAX;
}

static ssize_t told(SSL *ssl, int n)
{
    if (n > 0)
        return n;
    switch (SSL_get_error(ssl, n)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: errno = EAGAIN; return -1;
    case SSL_ERROR_ZERO_RETURN: return 0;
    default: errno = ECONNRESET; return -1;
    }
}

ssize_t tls_octets_in(SSL *ssl, void *at, size_t room)
{
    ERR_clear_error(); /* an error of another connection of this thread would count as ours */
    return told(ssl, SSL_read(ssl, at, bounded(room)));
}

ssize_t tls_octets_peek(SSL *ssl, void *at, size_t room)
{
    ERR_clear_error();
    return told(ssl, SSL_peek(ssl, at, bounded(room)));
}

ssize_t tls_octets_out(SSL *ssl, const void *at, size_t len)
{
    ERR_clear_error();
    return told(ssl, SSL_write(ssl, at, bounded(len)));
}
