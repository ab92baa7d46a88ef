/* Opens and closes links; see pool_part.h. */
#include <errno.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/health.h"
#include "backend/limit.h"
#include "backend/link.h"
#include "backend/pool.h"
#include "backend/pool_part.h"
#include "backend/tls.h"
#include "base/proxy.h"
#include "base/sockaddr.h"

bool pool_is_single(const struct backend *b)
{
    return b->config->proxy_protocol != 0;
}

bool pool_link_is_spent(const struct link *l)
{
    const struct backend *b = l->backend;

    return pool_is_single(b) || b->give || outbound_is_spent(&l->outbound) ||
           (l->plain && !health_is_plain(b));
}

/* Postfix caches the existing users at the start of a connection. */
static bool is_old(const struct link *l)
{
    return l->ready_ms && link_loop(l)->now > l->ready_ms + POOL_YOUNG_MS;
}

bool pool_link_is_stale(const struct link *l)
{
    const struct delivery *next = pool_line_first(l->backend);
    return next && next->doubted && is_old(l);
}

bool pool_link_is_doubtful(const struct link *l, const struct delivery *d)
{
    if (d->doubted || d->job.sent || !is_old(l))
        return false;
    for (uint32_t i = 0; i < d->job.recipients; i++) {
        const struct job_recipient *to = &d->job.recipient[i];
        struct reply said = kept_get(&to->reply);
        if (to->fate == FATE_REFUSED && reply_means_nobody(&said))
            return true;
    }
    return false;
}

/* A link for our own queries names us as the client, because Postfix does not accept PROXY
 * UNKNOWN. */
static int add_proxy_header(struct link *l, const struct delivery *d, const struct addr *to)
{
    int version = l->backend->config->proxy_protocol;
    struct addr own = addr_of_socket(l->watch.fd);

    return version ? proxy_write(&l->outbound.out, version, d ? &d->client : &own, to) : 0;
}

/* The error is this machine's or process', so it says nothing about the backend. */
static bool is_own(int error)
{
    switch (-error) {
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
    case ENOSPC: /* epoll's watches */
    case EADDRNOTAVAIL: /* all local ports are in use */ return true;
    default: return false;
    }
}

/* No link could be opened. */
static int not_opened(struct backend *b, int error)
{
    const char *why = strerrordesc_np(-error);

    if (is_own(error) ? limit_short(b, why) : limit_refused(b, NULL, false))
        return POOL_NOT_NOW;
    health_down(b, why);
    return error;
}

int pool_open_tls(struct backend *b)
{
    if (b->config->tls != TLS_OFF && !b->tls) {
        struct tls_client_params params = backend_tls(b->config);
        b->tls = tls_client_open(&params);
        if (!b->tls)
            return -ENOMEM;
    }
    return 0;
}

int pool_link_open(struct backend *b, struct delivery *d)
{
    int error = pool_open_tls(b);
    if (error)
        return not_opened(b, error);
    struct link *l = calloc(1, sizeof *l);
    struct addr to;
    int fd = l ? link_connect(b, &to) : -ENOMEM;

    if (fd < 0) {
        free(l);
        return not_opened(b, fd);
    }
    l->backend = b;
    l->watch = (struct watch){
        .fd = fd, .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP, .ready = pool_link_ready};
    l->alarm.due = pool_link_due;
    l->connecting = true;
    outbound_start(&l->outbound, b->config->kind != BACKEND_SMTP, b->pool->params.config->hostname,
                   (b->config->xclient ? CAP_XCLIENT : 0) |
                       (b->config->xforward ? CAP_XFORWARD : 0));
    if (pool_is_single(b) && d && xclient_helo(d->job.who.helo, l->hello, sizeof l->hello))
        l->outbound.client_hello = l->hello;
    l->opened_ms = b->pool->params.loop->now;
    l->plain = health_is_plain(b);
    if (b->tls && !l->plain)
        l->outbound.tls =
            b->config->tls == TLS_STARTTLS ? OUTBOUND_TLS_OFFERED : OUTBOUND_TLS_NEEDED;
    if (b->config->tls == TLS_IMPLICIT)
        l->outbound.state = OUTBOUND_SHAKE;
    int r = add_proxy_header(l, d, &to);
    if (r == 0)
        r = loop_watch(b->pool->params.loop, &l->watch);
    if (r < 0) {
        close(fd);
        outbound_free(&l->outbound);
        free(l);
        return not_opened(b, r);
    }
    if (d) {
        l->delivery = d;
        l->reserved = true;
        l->outbound.proxied = true; /* a link is opened for one client only with a PROXY header */
        d->link = l;
        d->backend = b;
    }
    l->next = b->links;
    l->prev = &b->links;
    if (l->next)
        l->next->prev = &l->next;
    b->links = l;
    b->open++;
    b->connecting++;
    link_timer(l, d ? POOL_SILENT_MS : POOL_CONNECT_MS);
    limit_opened(b);
    return 0;
}

void pool_link_close(struct link *l)
{
    struct backend *b = l->backend;

    if (l->connecting)
        b->connecting--;
    b->open--;
    *l->prev = l->next;
    if (l->next)
        l->next->prev = l->prev;
    if (l->outbound.served)
        limit_left(b, l->outbound.state != OUTBOUND_DEAD);
    loop_alarm_off(link_loop(l), &l->alarm);
    loop_forget(link_loop(l), &l->watch);
    SSL_free(l->ssl);
    close(l->watch.fd);
    outbound_free(&l->outbound);
    l->closed = true;
    if (!l->moving)
        free(l);
}

void pool_close_idle(struct backend *b)
{
    for (struct link *l = b->links, *next; l; l = next) {
        next = l->next;
        if (l->outbound.state == OUTBOUND_IDLE && !l->delivery)
            pool_link_close(l);
    }
}

struct link *pool_idle_link(struct backend *b, const struct delivery *d)
{
    for (struct link *l = b->links; l; l = l->next)
        if (l->outbound.state == OUTBOUND_IDLE && !l->delivery && !pool_link_is_spent(l) &&
            !(d->doubted && is_old(l)))
            return l;
    return NULL;
}

void pool_link_quit(const struct link *l)
{
    if (!l->ssl)
        (void)!send(l->watch.fd, "QUIT\r\n", 6, MSG_NOSIGNAL | MSG_DONTWAIT);
}
