/* Plain and TLS connections of the load generators; see wire.h. */
#include "wire.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { TLS_RECORD = 16 * 1024 };

SSL_CTX *wire_context(void)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());

    if (!context)
        return NULL;
    SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    return context;
}

bool wire_open(struct wire *s, int fd, SSL_CTX *tls)
{
    *s = (struct wire){.fd = fd, .ssl = tls ? SSL_new(tls) : NULL};
    if (!tls)
        return true;
    if (!s->ssl || SSL_set_fd(s->ssl, fd) != 1)
        return false;
    SSL_set_connect_state(s->ssl);
    return true;
}

static ssize_t tls_result(struct wire *s, int result)
{
    int error = SSL_get_error(s->ssl, result);

    ERR_clear_error();
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

static ssize_t tls_send(struct wire *s, struct span part)
{
    int n = SSL_write(s->ssl, part.at, (int)(part.len < TLS_RECORD ? part.len : TLS_RECORD));

    return n > 0 ? n : tls_result(s, n);
}

ssize_t wire_send(struct wire *s, struct span head, struct span tail)
{
    struct iovec part[] = {{(void *)head.at, head.len}, {(void *)tail.at, tail.len}};
    struct msghdr message = {.msg_iov = part, .msg_iovlen = 2};
    ssize_t sent = 0, n = 0;

    if (!s->ssl) {
        n = sendmsg(s->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        return n < 0 && errno == EAGAIN ? 0 : n;
    }
    while (head.len + tail.len) {
        n = tls_send(s, head.len ? head : tail);
        if (n <= 0)
            break;
        if (head.len)
            head = span_after(head, (size_t)n);
        else
            tail = span_after(tail, (size_t)n);
        sent += n;
    }
    return sent || n == 0 ? sent : -1;
}

ssize_t wire_recv(struct wire *s, char *at, size_t n)
{
    ssize_t got;

    if (s->ssl) {
        int r = SSL_read(s->ssl, at, (int)n);
        return r > 0 ? r : tls_result(s, r);
    }
    got = recv(s->fd, at, n, MSG_DONTWAIT);
    return got > 0 ? got : got < 0 && errno == EAGAIN ? 0 : -1;
}

void wire_close(struct wire *s)
{
    SSL_free(s->ssl);
    if (s->fd >= 0)
        close(s->fd);
    *s = (struct wire){.fd = -1};
}
