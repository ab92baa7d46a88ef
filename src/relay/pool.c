/* Links to one backend; see pool.h. All within the worker's loop, nothing blocks. */
#include "relay/pool.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/proxy.h"
#include "base/sockaddr.h"
#include "base/tls_octets.h"
#include "relay/places.h"
#include "relay/tls_client.h"

struct link {
    struct watch watch;
    struct alarm alarm;
    struct outbound outbound;
    struct backend *backend;
    struct handover *handover;
    struct link *next, **prev;
    SSL *ssl;         /* NULL: not, or not yet, under TLS */
    uint64_t body_at; /* octets of header, message and final dot that have gone out */
    bool connecting;
    bool reserved; /* opened for the handover that it has, and not yet begun: PROXY */
};

/* ---- state of the backend ---- */

static void set_up(struct backend *b, bool up)
{
    bool changed = !b->known || b->up != up;

    if (b->known && b->up != up)
        log_warn("backend %s is %s", b->config->name, up ? "up again" : "down");
    b->known = true;
    b->up = up;
    if (up)
        b->backoff_ms = 0;
    if (!changed)
        return;
    relay_changed(b->relay);
    const struct relay_kit *kit = &b->relay->kit;
    if (kit->reached && !b->relay->closing)
        kit->reached(kit->arg, b->config->name, up);
}

static void went_down(struct backend *b)
{
    set_up(b, false);
    b->turn++; /* the next of its addresses may be better */
    b->backoff_ms = b->backoff_ms ? b->backoff_ms * 2 : POOL_RETRY_MS;
    if (b->backoff_ms > POOL_RETRY_MAX_MS)
        b->backoff_ms = POOL_RETRY_MAX_MS;
    if (!b->relay->closing)
        loop_alarm(b->relay->kit.loop, &b->retry, b->relay->kit.loop->now + b->backoff_ms);
}

/* ---- links ---- */

static struct loop *loop_of(const struct link *l)
{
    return l->backend->relay->kit.loop;
}

static void set_timer(struct link *l, uint64_t ms)
{
    loop_alarm(loop_of(l), &l->alarm, loop_of(l)->now + ms);
}

/* The descriptor, and where it leads in *addr; -errno. */
static int connect_to(const struct backend *b, struct addr *addr)
{
    const struct config_backend *c = b->config;
    const char *path = c->kind == BACKEND_STORE ? b->relay->kit.store_path : c->path;
    struct sockaddr_storage sa = {0};
    socklen_t len;
    int on = 1;

    if (!places_find(b->relay->kit.places, c, b->index, b->turn, addr))
        return -EHOSTUNREACH;
    if (addr->family == ADDR_UNIX) {
        struct sockaddr_un *un = (struct sockaddr_un *)&sa;
        un->sun_family = AF_UNIX;
        if (strlen(path) >= sizeof un->sun_path)
            return -ENAMETOOLONG;
        strcpy(un->sun_path, path);
        len = sizeof *un;
    } else {
        len = addr_to_sockaddr(addr, &sa);
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

static void link_ready(struct loop *loop, struct watch *watch, uint32_t events);
static void link_due(struct loop *loop, struct alarm *a);

/* A PROXY header names one client for the whole connection: each message has its own. */
static bool is_single(const struct backend *b)
{
    return b->config->proxy_protocol != 0;
}

/* ... or has come to be one client's. */
static bool is_spent(const struct link *l)
{
    return is_single(l->backend) || outbound_is_spent(&l->outbound);
}

/* What we want to know ourselves is asked in our own name: Postfix takes no PROXY UNKNOWN. */
static int add_proxy_header(struct link *l, const struct handover *h, const struct addr *to)
{
    int version = l->backend->config->proxy_protocol;
    struct addr own = addr_of_socket(l->watch.fd);

    return version ? proxy_write(&l->outbound.out, version, h ? &h->client : &own, to) : 0;
}

/* Opens a connection; `h`, where that is not NULL, is what it is for. */
static int link_open(struct backend *b, struct handover *h)
{
    struct link *l = calloc(1, sizeof *l);
    struct addr to;
    int fd = l ? connect_to(b, &to) : -ENOMEM;

    if (fd < 0) {
        free(l);
        return fd;
    }
    l->backend = b;
    l->watch =
        (struct watch){.fd = fd, .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP, .ready = link_ready};
    l->alarm.due = link_due;
    l->connecting = true;
    outbound_start(&l->outbound, b->config->kind != BACKEND_SMTP, b->relay->kit.config->hostname,
                   (b->config->xclient ? CAP_XCLIENT : 0) |
                       (b->config->xforward ? CAP_XFORWARD : 0));
    if (b->tls && !b->plain)
        l->outbound.tls =
            b->config->tls == TLS_STARTTLS ? OUTBOUND_TLS_OFFERED : OUTBOUND_TLS_NEEDED;
    if (b->config->tls == TLS_IMPLICIT)
        l->outbound.state = OUTBOUND_SHAKE;
    int r = add_proxy_header(l, h, &to);
    if (r == 0)
        r = loop_watch(b->relay->kit.loop, &l->watch);
    if (r < 0) {
        close(fd);
        outbound_free(&l->outbound);
        free(l);
        return r;
    }
    if (h) {
        l->handover = h;
        l->reserved = true;
        h->link = l;
        h->backend = b;
    }
    l->next = b->links;
    l->prev = &b->links;
    if (l->next)
        l->next->prev = &l->next;
    b->links = l;
    b->open++;
    b->connecting++;
    set_timer(l, POOL_CONNECT_MS);
    return 0;
}

static void link_close(struct link *l)
{
    struct backend *b = l->backend;

    if (l->connecting)
        b->connecting--;
    b->open--;
    *l->prev = l->next;
    if (l->next)
        l->next->prev = l->prev;
    loop_alarm_off(loop_of(l), &l->alarm);
    loop_forget(loop_of(l), &l->watch);
    SSL_free(l->ssl);
    close(l->watch.fd);
    outbound_free(&l->outbound);
    free(l);
}

static struct handover *dequeue(struct backend *b)
{
    struct handover *h = b->queue;

    if (h) {
        b->queue = h->next;
        if (!b->queue)
            b->queue_tail = &b->queue;
    }
    return h;
}

static void more_links(struct backend *b)
{
    bool room = b->open < b->open_max;

    if (!b->queue || !room || b->relay->closing)
        return;
    if (is_single(b)) {
        struct handover *h = dequeue(b);
        loop_alarm_off(b->relay->kit.loop, &h->alarm);
        if (link_open(b, h) < 0) {
            went_down(b);
            handover_broke(h, false);
        }
    } else if (b->connecting == 0 && link_open(b, NULL) < 0) {
        went_down(b);
    }
}

static void close_idle(struct backend *b)
{
    for (struct link *l = b->links, *next; l; l = next) {
        next = l->next;
        if (l->outbound.state == OUTBOUND_IDLE && !l->handover)
            link_close(l);
    }
}

/* The link is of no use any more, and who had it, or waits for one, must be told. */
static void link_broke(struct link *l)
{
    struct handover *h = l->handover;
    struct backend *b = l->backend;
    /* It served a moment ago, and may only be changing places with its successor: one more try at
     * once. But one that takes connections and serves nobody is left alone until its retry. */
    bool never_served = l->connecting && !l->outbound.served;
    bool hopeless = never_served && b->known && !b->up;

    if (never_served)
        went_down(b);
    link_close(l);
    if (h) {
        h->link = NULL;
        close_idle(b); /* the others may be as dead: a second try gets a fresh one */
        handover_broke(h, true);
    }
    if (!hopeless)
        more_links(b);
    while (b->queue && b->open == 0) { /* nobody is left to serve them */
        struct handover *waiting = b->queue;
        pool_drop(waiting);
        handover_broke(waiting, false);
    }
}

static bool is_shaking(const struct link *l)
{
    return l->outbound.state == OUTBOUND_SHAKE && l->outbound.out.len == 0;
}

static void link_want(struct link *l)
{
    bool writing = l->outbound.out.len || l->outbound.state == OUTBOUND_BODY;
    loop_want(loop_of(l), &l->watch, EPOLLIN | EPOLLRDHUP | (writing ? EPOLLOUT : 0));
}

/* ---- writing ---- */

/* Fills in what of the message has not gone out; returns how many parts, -1 when the spool cannot
 * be read. */
static int body_parts(struct link *l, struct iovec part[3])
{
    struct handover *h = l->handover;
    uint64_t size = spool_size(h->spool), at = l->body_at;
    int n = 0;

    if (at < h->header.len) {
        part[n++] = (struct iovec){h->header.at + at, h->header.len - at};
        at = h->header.len;
    }
    uint64_t offset = at - h->header.len;
    if (offset < size) {
        struct span s = spool_read(h->spool, offset);
        if (!s.at || s.len == 0)
            return -1;
        part[n++] = (struct iovec){(void *)s.at, s.len};
        offset += s.len;
    }
    if (offset >= size) {
        size_t dot = offset > size ? (size_t)(offset - size) : 0;
        part[n++] = (struct iovec){(void *)&".\r\n"[dot], 3 - dot};
    }
    return n;
}

/* As writev(); under TLS a part at a time. */
static ssize_t give(struct link *l, const struct iovec *part, int n)
{
    return l->ssl ? tls_octets_out(l->ssl, part[0].iov_base, part[0].iov_len)
                  : writev(l->watch.fd, part, n);
}

static bool write_body(struct link *l)
{
    struct handover *h = l->handover;
    uint64_t end = h->header.len + spool_size(h->spool) + 3;

    while (l->body_at < end) {
        struct iovec part[3];
        int n = body_parts(l, part);
        ssize_t done = n < 0 ? -1 : give(l, part, n);
        if (done < 0)
            return n >= 0 && (errno == EAGAIN || errno == EINTR);
        l->body_at += (uint64_t)done;
        /* From the last octet of the final dot on, and only from there, the backend may have it. */
        if (l->body_at == end)
            outbound_sent(&l->outbound);
        set_timer(l, l->body_at == end ? POOL_FINAL_MS : POOL_WRITE_MS);
    }
    return true;
}

static bool write_out(struct link *l)
{
    struct buf *out = &l->outbound.out;

    while (out->len) {
        struct iovec all = {out->at, out->len};
        ssize_t n = give(l, &all, 1);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        buf_drop(out, (size_t)n);
    }
    return l->outbound.state != OUTBOUND_BODY || write_body(l);
}

/* ---- what a link does next ---- */

static void start(struct link *l, struct handover *h)
{
    l->handover = h;
    l->body_at = 0;
    h->link = l;
    h->backend = l->backend;
    loop_alarm_off(loop_of(l), &h->alarm);
    set_timer(l, POOL_REPLY_MS);
    if (outbound_begin(&l->outbound, &h->job) < 0)
        l->outbound.state = OUTBOUND_DEAD;
}

/* Does what there is to do of a handshake. False: it has failed. */
static bool shake_hands(struct link *l)
{
    struct backend *b = l->backend;

    if (!is_shaking(l))
        return true;
    if (!l->ssl)
        l->ssl = tls_client_new(b->tls, b->config, l->watch.fd);
    int done = l->ssl ? tls_client_shake(l->ssl) : -1;
    if (done < 0) {
        log_warn("backend %s: TLS: %s", b->config->name,
                 l->ssl ? tls_client_error(l->ssl) : "no memory");
        b->plain = b->config->tls == TLS_STARTTLS;
    } else if (done > 0 && b->config->tls == TLS_IMPLICIT) {
        l->outbound.secure = true;
        l->outbound.state = OUTBOUND_GREETING;
    } else if (done > 0) {
        outbound_secured(&l->outbound);
        return write_out(l);
    }
    return done >= 0;
}

/* The hand-over that an idle link takes up now, or NULL. */
static struct handover *next_of(struct link *l)
{
    if (l->outbound.state != OUTBOUND_IDLE)
        return NULL;
    if (l->reserved) {
        l->reserved = false;
        return l->handover;
    }
    return l->handover || is_spent(l) ? NULL : dequeue(l->backend);
}

static void say_quit(const struct link *l)
{
    if (!l->ssl)
        (void)!send(l->watch.fd, "QUIT\r\n", 6, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Moves a link on as far as it goes; it may be gone afterwards. */
static void go_on(struct link *l)
{
    struct backend *b = l->backend;

    for (;;) {
        if (l->outbound.over) {
            struct handover *h = l->handover;
            l->outbound.over = false;
            l->handover = NULL;
            h->link = NULL;
            if (l->outbound.state == OUTBOUND_IDLE)
                set_timer(l, POOL_IDLE_MS);
            handover_over(h);
        }
        if (l->outbound.state == OUTBOUND_DEAD || !write_out(l) || !shake_hands(l)) {
            link_broke(l);
            return;
        }
        if (l->connecting && l->outbound.state == OUTBOUND_IDLE) {
            l->connecting = false;
            b->connecting--;
            b->caps = l->outbound.caps;
            set_up(b, true);
            if ((l->outbound.introduce & ~b->caps) && !b->told_missing) {
                log_warn("backend %s does not take %s from us", b->config->name,
                         b->config->xclient && !(b->caps & CAP_XCLIENT) ? "XCLIENT" : "XFORWARD");
                b->told_missing = true;
            }
            relay_changed(b->relay);
            set_timer(l, POOL_IDLE_MS);
        }
        struct handover *h = next_of(l);
        if (!h)
            break;
        start(l, h);
    }
    if (is_spent(l) && l->outbound.state == OUTBOUND_IDLE && !l->handover) {
        say_quit(l);
        link_close(l); /* it was for one message, or to learn what the backend has */
    } else {
        link_want(l);
    }
    more_links(b);
}

static void read_in(struct link *l)
{
    char octets[16 * 1024];
    ssize_t n = l->ssl ? tls_octets_in(l->ssl, octets, sizeof octets)
                       : recv(l->watch.fd, octets, sizeof octets, MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0)
        l->outbound.state = OUTBOUND_DEAD;
    else
        outbound_input(&l->outbound, (struct span){octets, (size_t)n});
}

static void link_ready(struct loop *loop, struct watch *watch, uint32_t events)
{
    struct link *l = (struct link *)watch;

    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR) && !is_shaking(l))
        read_in(l);
    go_on(l);
}

static void link_due(struct loop *loop, struct alarm *a)
{
    struct link *l = (struct link *)((char *)a - offsetof(struct link, alarm));

    if (l->outbound.state == OUTBOUND_IDLE && !l->handover && !l->outbound.over)
        link_close(l);
    else
        link_broke(l);
}

static void retry(struct loop *loop, struct alarm *a)
{
    struct backend *b = (struct backend *)((char *)a - offsetof(struct backend, retry));

    if (!b->up && b->connecting == 0 && link_open(b, NULL) < 0)
        went_down(b);
}

/* ---- for relay.c ---- */

void pool_open(struct relay *r, struct backend *b, uint32_t index)
{
    uint32_t slots = r->kit.slots ? r->kit.slots : 1;

    b->relay = r;
    b->index = index;
    b->config = &r->kit.config->backend[index];
    b->open_max = b->config->connections / slots;
    if (b->open_max == 0)
        b->open_max = 1;
    b->queue_tail = &b->queue;
    b->retry.due = retry;
    if (b->config->tls != TLS_OFF)
        b->tls = tls_client_open(b->config);
    if (link_open(b, NULL) < 0)
        went_down(b);
}

void pool_close(struct backend *b)
{
    loop_alarm_off(b->relay->kit.loop, &b->retry);
    SSL_CTX_free(b->tls); /* its connections hold it as long as they need it */
    b->tls = NULL;
    while (b->links) {
        struct link *l = b->links;
        struct handover *h = l->handover;
        if (l->outbound.state == OUTBOUND_IDLE)
            say_quit(l);
        link_close(l);
        if (h) {
            h->link = NULL;
            handover_broke(h, true);
        }
    }
    while (b->queue) {
        struct handover *h = b->queue;
        pool_drop(h);
        handover_broke(h, false);
    }
}

static struct link *idle_link(struct backend *b)
{
    for (struct link *l = b->links; l; l = l->next)
        if (l->outbound.state == OUTBOUND_IDLE && !l->handover && !is_spent(l))
            return l;
    return NULL;
}

bool pool_put(struct backend *b, struct handover *h)
{
    struct link *l = is_single(b) ? NULL : idle_link(b);

    h->backend = b;
    if (is_single(b) && b->open < b->open_max) {
        if (link_open(b, h) == 0)
            return true;
        went_down(b);
        return false;
    }
    if (l) {
        start(l, h);
        if (l->outbound.state == OUTBOUND_DEAD || !write_out(l)) {
            l->outbound.state = OUTBOUND_DEAD;
            set_timer(l, 0); /* its end is told from the loop, not from within this call */
        }
        link_want(l);
        return true;
    }
    if (b->open < b->open_max && b->connecting == 0 && link_open(b, NULL) < 0)
        went_down(b);
    if (b->open == 0)
        return false;
    h->next = NULL;
    *b->queue_tail = h;
    b->queue_tail = &h->next;
    loop_alarm(b->relay->kit.loop, &h->alarm, b->relay->kit.loop->now + POOL_WAIT_MS);
    return true;
}

void pool_drop(struct handover *h)
{
    struct backend *b = h->backend;

    loop_alarm_off(h->relay->kit.loop, &h->alarm);
    if (h->link) {
        h->link->handover = NULL;
        link_close(h->link);
        h->link = NULL;
        return;
    }
    for (struct handover **p = &b->queue; *p; p = &(*p)->next)
        if (*p == h) {
            *p = h->next;
            if (!*p)
                b->queue_tail = p;
            break;
        }
}
