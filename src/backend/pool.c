/* Links to one backend and the hand-overs that wait for them; see pool.h. When a link is opened,
 * what it does next and what its end means stands here, its octets in link.c. All within the
 * worker's loop, nothing blocks. */
#include "backend/pool.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/link.h"
#include "base/log.h"
#include "base/proxy.h"
#include "base/sockaddr.h"
#include "relay/health.h"
#include "tls/client.h"

/* ---- links ---- */

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

/* Opens a connection; `h`, where that is not NULL, is what it is for. When it cannot, the backend
 * is down. */
static int link_open(struct backend *b, struct handover *h)
{
    struct link *l = calloc(1, sizeof *l);
    struct addr to;
    int fd = l ? link_connect(b, &to) : -ENOMEM;

    if (fd < 0) {
        free(l);
        health_down(b, strerrordesc_np(-fd));
        return fd;
    }
    l->backend = b;
    l->watch =
        (struct watch){.fd = fd, .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP, .ready = link_ready};
    l->alarm.due = link_due;
    l->connecting = true;
    outbound_start(&l->outbound, b->config->kind != BACKEND_SMTP, b->relay->params.config->hostname,
                   (b->config->xclient ? CAP_XCLIENT : 0) |
                       (b->config->xforward ? CAP_XFORWARD : 0));
    if (is_single(b) && h && introduce_hello(h->job.who.helo, l->hello, sizeof l->hello))
        l->outbound.client_hello = l->hello;
    if (b->tls && !b->plain)
        l->outbound.tls =
            b->config->tls == TLS_STARTTLS ? OUTBOUND_TLS_OFFERED : OUTBOUND_TLS_NEEDED;
    if (b->config->tls == TLS_IMPLICIT)
        l->outbound.state = OUTBOUND_SHAKE;
    int r = add_proxy_header(l, h, &to);
    if (r == 0)
        r = loop_watch(b->relay->params.loop, &l->watch);
    if (r < 0) {
        close(fd);
        outbound_free(&l->outbound);
        free(l);
        health_down(b, strerrordesc_np(-r));
        return r;
    }
    if (h) {
        l->handover = h;
        l->reserved = true;
        l->outbound.proxied = true; /* only with a PROXY header is a link opened for one client */
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
    link_timer(l, POOL_CONNECT_MS);
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
    loop_alarm_off(link_loop(l), &l->alarm);
    loop_forget(link_loop(l), &l->watch);
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
        loop_alarm_off(b->relay->params.loop, &h->alarm);
        if (link_open(b, h) < 0)
            handover_broke(h, false);
    } else if (b->connecting == 0) {
        link_open(b, NULL);
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

    if (l->outbound.complaint.code)
        l->why = "it refuses mired";
    if (h) /* on a connection that served others it may have been the connection's fault */
        h->refused = l->outbound.complaint.code && !l->used;
    health_complain(b, &l->outbound);
    /* It served a moment ago, and may only be changing places with its successor: one more try at
     * once. But one that takes connections and serves nobody is left alone until its retry. */
    bool never_served = l->connecting && !l->outbound.served;
    bool hopeless = never_served && b->known && !b->up;

    if (never_served)
        health_down(b, l->why);
    bool idle = !h && !never_served;
    link_close(l);
    if (idle && b->open == 0 && b->up) /* has it gone, or does it only keep nothing open? */
        loop_alarm(b->relay->params.loop, &b->retry,
                   b->relay->params.loop->now + POOL_RETRY_MAX_MS);
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

static void link_want(struct link *l)
{
    bool writing = l->outbound.out.len || l->outbound.state == OUTBOUND_BODY;

    if (l->ssl && link_is_shaking(l)) { /* what TLS waits for, and nothing that it does not read */
        loop_want(link_loop(l), &l->watch, SSL_want_write(l->ssl) ? EPOLLOUT : EPOLLIN);
        return;
    }
    loop_want(link_loop(l), &l->watch, EPOLLIN | EPOLLRDHUP | (writing ? EPOLLOUT : 0));
}

/* ---- what a link does next ---- */

static void start(struct link *l, struct handover *h)
{
    l->handover = h;
    l->body_at = 0;
    h->link = l;
    h->backend = l->backend;
    loop_alarm_off(link_loop(l), &h->alarm);
    link_timer(l, POOL_REPLY_MS);
    if (outbound_begin(&l->outbound, &h->job) < 0)
        l->outbound.state = OUTBOUND_DEAD;
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
            l->used = true;
            h->link = NULL;
            if (l->outbound.state == OUTBOUND_IDLE)
                link_timer(l, POOL_IDLE_MS);
            handover_over(h);
        }
        if (l->outbound.state == OUTBOUND_DEAD) {
            link_broke(l);
            return;
        }
        if (!link_write(l) || !link_shake(l)) {
            if (l->outbound.state == OUTBOUND_BODY)
                link_read(l); /* it may have said why it takes no more of the message */
            l->outbound.state = OUTBOUND_DEAD;
            continue;
        }
        health_complain(b, &l->outbound);
        if (l->connecting && l->outbound.state == OUTBOUND_IDLE) {
            l->connecting = false;
            b->connecting--;
            health_learn(b, &l->outbound.ability);
            health_up(b);
            if ((l->outbound.introduce & ~b->ability.caps) && !b->told_missing) {
                log_warn("backend %s does not take %s from us", b->config->name,
                         b->config->xclient && !(b->ability.caps & CAP_XCLIENT) ? "XCLIENT"
                                                                                : "XFORWARD");
                b->told_missing = true;
            }
            relay_changed(b->relay);
            link_timer(l, POOL_IDLE_MS);
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

static void link_ready(struct loop *loop, struct watch *watch, uint32_t events)
{
    struct link *l = (struct link *)watch;

    loop_moved(loop); /* a backend's connection reads whatever comes on it */
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR) && !link_is_shaking(l))
        link_read(l);
    go_on(l);
}

static void link_due(struct loop *loop, struct alarm *a)
{
    struct link *l = (struct link *)((char *)a - offsetof(struct link, alarm));

    if (l->outbound.over)
        go_on(l);
    else if (l->outbound.state == OUTBOUND_IDLE && !l->handover)
        link_close(l);
    else {
        l->why = "no answer in time";
        link_broke(l);
    }
}

static void retry(struct loop *loop, struct alarm *a)
{
    struct backend *b = (struct backend *)((char *)a - offsetof(struct backend, retry));

    if ((!b->up || b->open == 0) && b->connecting == 0)
        link_open(b, NULL);
}

/* ---- for relay.c ---- */

void pool_open(struct relay *r, struct backend *b, uint32_t index)
{
    uint32_t slots = r->params.slots ? r->params.slots : 1;

    b->relay = r;
    b->index = index;
    b->config = &r->params.config->backend[index];
    b->open_max = b->config->connections / slots;
    if (b->open_max == 0)
        b->open_max = 1;
    b->queue_tail = &b->queue;
    b->retry.due = retry;
    health_recall(b);
    if (b->config->tls != TLS_OFF)
        b->tls = tls_client_open(b->config);
    link_open(b, NULL);
}

void pool_close(struct backend *b)
{
    loop_alarm_off(b->relay->params.loop, &b->retry);
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
        return link_open(b, h) == 0;
    }
    if (l) {
        start(l, h);
        if (l->outbound.state == OUTBOUND_DEAD || !link_write(l)) {
            l->outbound.state = OUTBOUND_DEAD;
        }
        if (l->outbound.state == OUTBOUND_DEAD || l->outbound.over)
            link_timer(l, 0); /* its end is told from the loop, not from within this call */
        link_want(l);
        return true;
    }
    if (b->open < b->open_max && b->connecting == 0)
        link_open(b, NULL);
    if (b->open == 0)
        return false;
    h->next = NULL;
    *b->queue_tail = h;
    b->queue_tail = &h->next;
    loop_alarm(b->relay->params.loop, &h->alarm, b->relay->params.loop->now + POOL_WAIT_MS);
    return true;
}

void pool_drop(struct handover *h)
{
    struct backend *b = h->backend;

    loop_alarm_off(h->relay->params.loop, &h->alarm);
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
