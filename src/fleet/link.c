/* A connection to a Redis server (link.h). */
#include "fleet/link.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/sockaddr.h"
#include "fleet/replies.h"
#include "tls/client.h"
#include "tls/octets.h"

enum { LOOK_MS = 250, READ_AT_ONCE = 64 * 1024 };

static struct link_redis *link_of(struct watch *w)
{
    return (struct link_redis *)w;
}

void link_init(struct link_redis *l, const struct link_params *params)
{
    *l = (struct link_redis){.watch = {.fd = -1}, .params = *params};
}

/* ---- the end ---- */

static void shut(struct link_redis *l)
{
    loop_forget(l->params.loop, &l->watch);
    loop_alarm_off(l->params.loop, &l->alarm);
    SSL_free(l->ssl);
    l->ssl = NULL;
    close(l->watch.fd);
    l->watch.fd = -1;
    if (l->reader)
        redisReaderFree(l->reader);
    l->reader = NULL;
    if (l->out.at)
        explicit_bzero(l->out.at, l->out.len); /* it may hold the password */
    buf_free(&l->out);
}

void link_close(struct link_redis *l)
{
    if (!link_is_open(l) || l->breaking)
        return;
    l->breaking = true; /* the functions that are called below can queue no more commands */
    shut(l);
    while (l->count > 0) {
        struct link_waiting w = l->waiting[l->first];
        l->first = (l->first + 1) % l->room;
        l->count--;
        if (w.told)
            w.told(l, w.arg, NULL);
    }
    free(l->waiting);
    l->waiting = NULL;
    l->first = l->room = 0;
    l->breaking = false;
}

void link_break(struct link_redis *l, const char *why)
{
    char words[256];

    if (!link_is_open(l) || l->breaking)
        return;
    snprintf(words, sizeof words, "%s", why); /* it may be in a reply or in the reader */
    link_close(l);
    l->params.broken(l, words);
}

/* ---- out ---- */

static bool expect(struct link_redis *l, link_told *told, uint64_t arg)
{
    if (l->count == l->room) {
        uint32_t room = l->room ? 2 * l->room : 64;
        struct link_waiting *more = calloc(room, sizeof *more);
        if (!more)
            return false;
        for (uint32_t i = 0; i < l->count; i++)
            more[i] = l->waiting[(l->first + i) % l->room];
        free(l->waiting);
        l->waiting = more;
        l->first = 0;
        l->room = room;
    }
    if (l->count == 0)
        l->heard_ms = l->params.loop->now;
    l->waiting[(l->first + l->count++) % l->room] = (struct link_waiting){told, arg};
    return true;
}

/* In RESP. hiredis would format each number with printf and allocate each command. */
static bool add_command(struct buf *out, int argc, const struct span *argv)
{
    uint32_t before = out->len;
    bool added = buf_add(out, "*", 1) == 0 && buf_add_number(out, (uint64_t)argc, 1) == 0;

    for (int i = 0; added && i < argc; i++)
        added = buf_add(out, "\r\n$", 3) == 0 && buf_add_number(out, argv[i].len, 1) == 0 &&
                buf_add(out, "\r\n", 2) == 0 && buf_add_span(out, argv[i]) == 0;
    if (added && buf_add(out, "\r\n", 2) == 0)
        return true;
    out->len = before;
    return false;
}

void link_command(struct link_redis *l, link_told *told, uint64_t arg, int argc,
                  const struct span *argv)
{
    if (!link_is_open(l) || l->breaking)
        return;
    if (!add_command(&l->out, argc, argv) || !expect(l, told, arg))
        link_break(l, "no memory");
}

void link_flush(struct link_redis *l)
{
    size_t sent = 0;

    if (!link_is_open(l) || !l->connected || l->shaking)
        return;
    while (sent < l->out.len) {
        ssize_t n = l->ssl ? tls_octets_out(l->ssl, l->out.at + sent, l->out.len - sent)
                           : send(l->watch.fd, l->out.at + sent, l->out.len - sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN) {
            link_break(l, strerrordesc_np(errno));
            return;
        }
        if (n <= 0)
            break;
        sent += (size_t)n;
    }
    if (sent) {
        l->octets_out += sent;
        loop_moved(l->params.loop);
        buf_drop(&l->out, sent);
    }
    loop_want(l->params.loop, &l->watch, EPOLLIN | (l->out.len ? (uint32_t)EPOLLOUT : 0));
}

/* ---- in ---- */

static bool answer(struct link_redis *l)
{
    void *reply = NULL;

    if (redisReaderGetReply(l->reader, &reply) != REDIS_OK) {
        link_break(l, l->reader->errstr);
        return false;
    }
    if (!reply)
        return false;
    if (l->count == 0) {
        freeReplyObject(reply);
        link_break(l, "a reply to nothing");
        return false;
    }
    struct link_waiting w = l->waiting[l->first];
    l->first = (l->first + 1) % l->room;
    l->count--;
    if (w.told)
        w.told(l, w.arg, reply);
    freeReplyObject(reply);
    return link_is_open(l);
}

static void take_in(struct link_redis *l)
{
    static char octets[READ_AT_ONCE];
    ssize_t n = l->ssl ? tls_octets_in(l->ssl, octets, sizeof octets)
                       : recv(l->watch.fd, octets, sizeof octets, 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        link_break(l, n == 0 ? "the server closed the connection" : strerrordesc_np(errno));
        return;
    }
    loop_moved(l->params.loop);
    l->octets_in += (uint64_t)n;
    l->heard_ms = l->params.loop->now;
    if (redisReaderFeed(l->reader, octets, (size_t)n) != REDIS_OK) {
        link_break(l, l->reader->errstr);
        return;
    }
    while (answer(l))
        ;
    if (link_is_open(l) && l->reader->len > REPLIES_OCTETS)
        link_break(l, "a reply is too long");
}

/* ---- connecting ---- */

static void shake(struct link_redis *l)
{
    int done = tls_client_shake(l->ssl);

    loop_moved(l->params.loop);
    if (done < 0) {
        link_break(l, tls_client_error(l->ssl));
        return;
    }
    if (done > 0) {
        l->shaking = false;
        link_flush(l);
        return;
    }
    loop_want(l->params.loop, &l->watch, SSL_want_write(l->ssl) ? EPOLLOUT : EPOLLIN);
}

static void connected(struct link_redis *l)
{
    int error = 0;
    socklen_t len = sizeof error;

    getsockopt(l->watch.fd, SOL_SOCKET, SO_ERROR, &error, &len);
    loop_moved(l->params.loop);
    if (error) {
        link_break(l, strerrordesc_np(error));
        return;
    }
    l->connected = true;
    if (l->ssl)
        shake(l);
    else
        link_flush(l);
}

static void ready(struct loop *loop, struct watch *w, uint32_t events)
{
    struct link_redis *l = link_of(w);

    if (!l->connected) {
        connected(l);
    } else if (l->shaking) {
        shake(l);
    } else {
        if (events & EPOLLOUT)
            link_flush(l);
        if (link_is_open(l) && events & ~(uint32_t)EPOLLOUT)
            take_in(l);
    }
}

static void look(struct loop *loop, struct alarm *a)
{
    struct link_redis *l = (struct link_redis *)((char *)a - offsetof(struct link_redis, alarm));

    if (l->count && loop->now - l->heard_ms > l->params.silence_ms) {
        link_break(l, l->connected ? "no reply in time" : "connecting took too long");
        return;
    }
    loop_alarm(loop, a, loop->now + LOOK_MS);
}

/* The system's resolver may take a while to look a name up, but only this process waits for it. */
static int find(const char *host, uint16_t port, struct sockaddr_storage *sa, socklen_t *len)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    struct addr a;

    if (addr_parse(span_of(host), &a)) {
        a.port = port;
        *len = addr_to_sockaddr(&a, sa);
        return 0;
    }
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    if (getaddrinfo(host, service, &hints, &found) != 0 || !found)
        return -EHOSTUNREACH;
    memcpy(sa, found->ai_addr, found->ai_addrlen);
    *len = found->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

static bool begin_tls(struct link_redis *l)
{
    struct tls_client_params params = {.verified = true};
    bool number = addr_parse(span_of(l->host), &params.addr);

    params.host = number ? NULL : l->host;
    l->ssl = tls_client_new(l->params.tls, &params, l->watch.fd);
    l->shaking = true;
    return l->ssl != NULL;
}

static void logged_in(struct link_redis *l, uint64_t arg, const redisReply *r)
{
    if (r && reply_error(r) != REPLY_FINE)
        link_break(l, r->str);
}

static void log_in(struct link_redis *l)
{
    struct span user = span_of(l->params.user), password = span_of(l->params.password);
    char db[16];

    if (password.len && user.len)
        link_command(l, logged_in, 0, 3, (struct span[]){SPAN("AUTH"), user, password});
    else if (password.len)
        link_command(l, logged_in, 0, 2, (struct span[]){SPAN("AUTH"), password});
    if (l->params.db) {
        snprintf(db, sizeof db, "%u", l->params.db);
        link_command(l, logged_in, 0, 2, (struct span[]){SPAN("SELECT"), span_of(db)});
    }
}

int link_open(struct link_redis *l, const char *host, uint16_t port)
{
    struct sockaddr_storage sa;
    socklen_t len;
    int on = 1, error = find(host, port, &sa, &len);

    if (error)
        return error;
    if (l->host != host)
        snprintf(l->host, sizeof l->host, "%s", host);
    l->port = port;
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, (struct sockaddr *)&sa, len) < 0 && errno != EINPROGRESS) {
        error = -errno;
        close(fd);
        return error;
    }
    l->watch = (struct watch){.fd = fd, .events = EPOLLOUT, .ready = ready};
    l->connected = l->shaking = false;
    l->reader = replies_reader();
    l->alarm.due = look;
    l->heard_ms = l->params.loop->now;
    if (!l->reader || (l->params.tls && !begin_tls(l)) ||
        loop_watch(l->params.loop, &l->watch) < 0) {
        SSL_free(l->ssl);
        l->ssl = NULL;
        if (l->reader)
            redisReaderFree(l->reader);
        l->reader = NULL;
        close(fd);
        l->watch.fd = -1;
        return -ENOMEM;
    }
    loop_alarm(l->params.loop, &l->alarm, l->params.loop->now + LOOK_MS);
    log_in(l);
    return 0;
}
