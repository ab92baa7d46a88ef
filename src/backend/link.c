/* Sends and receives octets between a worker and a backend (link.h). */
#include "backend/link.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "backend/addresses.h"
#include "backend/health.h"
#include "backend/tls.h"
#include "base/sockaddr.h"
#include "query/notes.h"
#include "query/store_words.h"
#include "tls/octets.h"

enum {
    PARTS = 64,      /* of one writev(): a megabyte of blocks */
    ROUND = 1 << 20, /* octets of a message at once, so that others have their turn */
};

/* Whether the kernel sends the message from its file, without a copy. */
static bool sends_file(const struct link *l)
{
    return l->delivery->filed && !l->ssl;
}

/* The store gets one end of a new pair through the master, because workers see no path to a socket.
 * Its end blocks. */
static int connect_store(const struct pool_params *params)
{
    const char *delimiters = params->config->recipient_delimiter;
    struct note n;
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    n.kind = NOTE_STORE;
    n.arg = 0;
    n.tag = 0;
    n.len = (uint32_t)store_words_write(config_own_domain(params->config),
                                        delimiters ? delimiters : "", n.text);
    n.fds = 1;
    n.fd[0] = pair[1];
    int error = fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0 ? -errno : channel_send(params->master, &n);
    close(pair[1]);
    if (error)
        close(pair[0]);
    return error ? error : pair[0];
}

int link_connect(const struct backend *b, struct addr *to)
{
    const struct config_backend *c = b->config;
    struct sockaddr_storage sa = {0};
    socklen_t len;
    int on = 1;

    if (!addresses_find(b->pool->params.addresses, c, b->index, b->turn, to))
        return -EHOSTUNREACH;
    if (c->kind == BACKEND_STORE)
        return connect_store(&b->pool->params);
    if (to->family == ADDR_UNIX) {
        struct sockaddr_un *un = (struct sockaddr_un *)&sa;
        un->sun_family = AF_UNIX;
        if (strlen(c->path) >= sizeof un->sun_path)
            return -ENAMETOOLONG;
        strcpy(un->sun_path, c->path);
        len = sizeof *un;
    } else {
        len = addr_to_sockaddr(to, &sa);
    }
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (sa.ss_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, (struct sockaddr *)&sa, len) < 0 && errno != EINPROGRESS) {
        int e = errno;
        close(fd);
        return -e;
    }
    return fd;
}

/* Fills in octets of the message from `offset` on, as many as can be sent at once: all that is in
 * memory, or a part of a file. Returns how many parts, -1 if the spool cannot be read. */
static int message_parts(const struct delivery *d, uint64_t offset, uint64_t size,
                         struct iovec *part, int room)
{
    int n = 0;

    while (n < room && offset < size) {
        struct span s = d->read(d->message, offset);
        if (!s.at || s.len == 0)
            return -1;
        part[n++] = (struct iovec){(void *)s.at, s.len};
        if (offset < d->filed) /* the next read would overwrite these */
            break;
        offset += s.len;
    }
    return n;
}

/* Where the message ends: with DATA after the final dot. */
static uint64_t body_end(const struct link *l)
{
    return l->delivery->job.size + (l->outbound.chunked ? 0 : 3);
}

/* Whether the next octets of the message are sent from its file. */
static bool is_in_file(const struct link *l, uint64_t at)
{
    const struct delivery *d = l->delivery;
    uint64_t header = d->job.header.len;

    return sends_file(l) && at >= header && at < header + d->filed;
}

/* Fills in what is sent next: the command that is left (BDAT), header, message and final dot. The
 * octets of a file are left out if they can go without a copy: the parts end before them. */
static int body_parts(struct link *l, struct iovec part[PARTS])
{
    struct delivery *d = l->delivery;
    const struct buf *out = &l->outbound.out;
    uint64_t header = d->job.header.len, message = d->job.size - header, at = l->body_at;
    int n = 0;

    if (out->len)
        part[n++] = (struct iovec){out->at, out->len};
    if (at < header) {
        part[n++] = (struct iovec){(void *)(d->job.header.at + at), header - at};
        at = header;
    }
    if (is_in_file(l, at))
        return n;
    uint64_t offset = at - header;
    if (offset < message) {
        int more = message_parts(d, offset, message, part + n, (l->ssl ? 2 : PARTS - 1) - n);
        if (more < 0)
            return -1;
        for (; more; more--)
            offset += part[n++].iov_len;
    }
    if (offset >= message && !l->outbound.chunked) {
        size_t dot = (size_t)(offset - message);
        part[n++] = (struct iovec){(void *)&".\r\n"[dot], 3 - dot};
    }
    return n;
}

/* Like writev(); with TLS one part at a time. */
static ssize_t give(struct link *l, const struct iovec *part, int n)
{
    return l->ssl ? tls_octets_out(l->ssl, part[0].iov_base, part[0].iov_len)
                  : writev(l->watch.fd, part, n);
}

/* The fault is not the backend's. */
static ssize_t spool_failed(struct link *l)
{
    l->delivery->unreadable = true;
    errno = EIO;
    return -1;
}

/* Sends what comes next. Returns how many octets were sent, or -1 and sets errno. *all: the socket
 * has taken everything that was tried. */
static ssize_t give_body(struct link *l, bool *all)
{
    struct delivery *d = l->delivery;
    struct iovec part[PARTS];
    size_t most = 0;
    ssize_t done;

    if (!l->outbound.out.len && is_in_file(l, l->body_at)) {
        off_t offset = (off_t)(l->body_at - d->job.header.len);
        most = d->job.header.len + d->filed - l->body_at;
        done = sendfile(l->watch.fd, d->file, &offset, most < ROUND ? most : ROUND);
        if (done == 0 || (done < 0 && errno == EIO)) /* no socket says EIO */
            return spool_failed(l);
        *all = done == (ssize_t)most;
        return done;
    }
    int n = body_parts(l, part);
    if (n <= 0)
        return spool_failed(l);
    for (int i = 0; i < (l->ssl ? 1 : n); i++)
        most += part[i].iov_len;
    done = give(l, part, n);
    *all = l->ssl ? done > 0 : done == (ssize_t)most;
    return done;
}

static bool write_body(struct link *l)
{
    struct buf *out = &l->outbound.out;
    uint64_t end = body_end(l);

    if (l->body_at < l->outbound.ahead)
        l->body_at = l->outbound.ahead;
    uint64_t round = l->body_at + ROUND;

    for (bool all = true; all && (out->len || l->body_at < end) && l->body_at < round;) {
        ssize_t done = give_body(l, &all);
        if (done < 0)
            return errno == EAGAIN || errno == EINTR;
        size_t command = (size_t)done < out->len ? (size_t)done : out->len;
        buf_drop(out, command);
        l->body_at += (uint64_t)done - command;
        /* Only after its last octet, the final dot's with DATA, may the backend have the message. */
        if (!out->len && l->body_at == end)
            outbound_sent(&l->outbound);
        link_timer(l, l->body_at == end ? POOL_FINAL_MS : POOL_WRITE_MS);
    }
    return true;
}

bool link_write(struct link *l)
{
    struct buf *out = &l->outbound.out;

    if (l->outbound.state == OUTBOUND_BODY)
        return write_body(l);
    while (out->len) {
        struct iovec all = {out->at, out->len};
        ssize_t n = give(l, &all, 1);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        buf_drop(out, (size_t)n);
    }
    l->named = l->named || l->reserved;
    return true;
}

void link_read(struct link *l)
{
    char octets[16 * 1024];
    ssize_t n = l->ssl ? tls_octets_in(l->ssl, octets, sizeof octets)
                       : recv(l->watch.fd, octets, sizeof octets, MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        l->why = n == 0 ? "it closed the connection" : strerrordesc_np(errno);
        l->outbound.state = OUTBOUND_DEAD;
    } else {
        outbound_input(&l->outbound, (struct span){octets, (size_t)n});
    }
}

bool link_shake(struct link *l)
{
    struct backend *b = l->backend;
    struct tls_client_params params = backend_tls(b->config);

    if (!link_is_shaking(l))
        return true;
    if (!l->ssl)
        l->ssl = tls_client_new(b->tls, &params, l->watch.fd);
    int done = l->ssl ? tls_client_shake(l->ssl) : -1;
    if (!l->ssl) {
        l->why = "no memory";
    } else if (done < 0) {
        bool ended = tls_client_ended();
        l->why = ended ? "it closed the connection" : "TLS has failed";
        l->tls_failed = health_no_tls(b, tls_client_error(l->ssl), ended);
        l->lasting = !ended && !l->tls_failed;
    } else if (done > 0 && b->config->tls == TLS_IMPLICIT) {
        l->outbound.secure = true;
        l->outbound.state = OUTBOUND_GREETING;
    } else if (done > 0) {
        outbound_secured(&l->outbound);
        return link_write(l);
    }
    return done >= 0;
}
