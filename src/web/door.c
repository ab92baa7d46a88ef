/* The page's listening sockets, and clients without a complete request. In the web process.
 *
 * A client waits here until its whole header is in the socket: it is read with MSG_PEEK, checked
 * (request_head.h), and only then given to the library, which reads it again. So a client that
 * sends its header octet by octet costs one descriptor for HEADER_MS at most, and is closed earlier
 * when others need the room; quick clients are served meanwhile. A refusal says why.
 *
 *   accept -> waiting (peek) -> judged -> the library (http.c)
 *                            \-> refused: answered, drained for LINGER_MS, closed */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/container.h"
#include "base/log.h"
#include "base/sockaddr.h"
#include "config/config.h"
#include "web/http_part.h"
#include "web/request_head.h"
#include "web/web_part.h"

enum {
    HEAD_MAX = 16384, /* octets of a header */
    HEADER_MS = 10000,
    LINGER_MS = 1000,
    GUESTS_MAX = 128,   /* clients that wait, or are being refused */
    GUESTS_OF_ONE = 32, /* of one client */
    BODY_MAX = 65536,
    ACCEPT_ROUNDS = 64,
};

struct guest {
    struct watch watch; /* first */
    struct alarm alarm;
    struct ring link; /* in http->guests, the oldest first */
    struct door *door;
    struct addr from;
    bool refused;
};

static struct guest *guest_of(struct ring *link)
{
    return container_of(link, struct guest, link);
}

/* Removes a guest, and returns its descriptor, which stays open. */
static int leave(struct guest *g)
{
    struct http *h = g->door->http;
    int fd = g->watch.fd;

    loop_alarm_off(&h->web->steering.loop, &g->alarm);
    loop_forget(&h->web->steering.loop, &g->watch);
    ring_remove(&g->link);
    h->guest_count--;
    free(g);
    return fd;
}

static void time_is_up(struct loop *loop, struct alarm *a)
{
    close(leave(container_of(a, struct guest, alarm)));
    web_end_when_done(web_of(loop));
}

/* Makes room for one more connection of that client: closes its oldest one if it has too many, or
 * the oldest of all if there are too many. */
static void make_room(struct http *h, const struct addr *from)
{
    struct addr client = addr_client(from);
    struct guest *first = NULL;
    unsigned own = 0;

    for (struct ring *r = h->guests.next; r != &h->guests; r = r->next) {
        struct addr other = addr_client(&guest_of(r)->from);
        if (!addr_equal(&other, &client))
            continue;
        first = first ? first : guest_of(r);
        own++;
    }
    if (own >= GUESTS_OF_ONE)
        close(leave(first));
    else if (h->guest_count >= GUESTS_MAX)
        close(leave(guest_of(h->guests.next)));
}

/* ---- input ---- */

/* Answers here, without the library. Input is read for another moment, because closing a socket
 * with unread input would discard the answer. */
static void refuse(struct guest *g, const char *status, const char *why)
{
    struct loop *loop = &g->door->http->web->steering.loop;
    char text[512];
    int n = snprintf(text, sizeof text,
                     "HTTP/1.1 %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: "
                     "%zu\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n%s\n",
                     status, strlen(why) + 1, why);

    (void)!send(g->watch.fd, text, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
    shutdown(g->watch.fd, SHUT_WR);
    g->refused = true;
    loop_alarm(loop, &g->alarm, loop->now + LINGER_MS);
    loop_want(loop, &g->watch, EPOLLIN);
}

static void drain(struct guest *g)
{
    struct loop *loop = &g->door->http->web->steering.loop;
    char away[4096];
    ssize_t n = recv(g->watch.fd, away, sizeof away, MSG_DONTWAIT);

    loop_moved(loop);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        close(leave(g));
        web_end_when_done(web_of(loop));
    }
}

static void hand_over(struct guest *g)
{
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(&g->from, &sa);
    struct door *d = g->door;

    /* closes it if it fails */
    MHD_add_connection(d->daemon, leave(g), (struct sockaddr *)&sa, len);
    http_run(d);
}

static void judge(struct guest *g, struct span head)
{
    const struct http *h = g->door->http;
    struct addr reached = addr_of_socket(g->watch.fd);
    struct request_head r;
    const char *wrong = request_head_parse(head, &r);

    if (wrong)
        refuse(g, "400 Bad Request", wrong);
    else if (!request_head_is_for_us(r.host, &reached, h->names, h->name_count))
        refuse(g, "400 Bad Request",
               "this Host is not one of mired's names; add it to web { names = { ... } }");
    else if (r.body > BODY_MAX)
        refuse(g, "413 Content Too Large", "no body is allowed here");
    else
        hand_over(g);
}

/* Edge-triggered (EPOLLET), because the octets stay in the socket. */
static void guest_ready(struct loop *loop, struct watch *watch, uint32_t events)
{
    static char room[HEAD_MAX];
    struct guest *g = (struct guest *)watch;

    if (g->refused) {
        drain(g);
        return;
    }
    ssize_t n = recv(watch->fd, room, sizeof room, MSG_PEEK | MSG_DONTWAIT);
    loop_moved(loop);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    size_t head = n > 0 ? request_head_length((struct span){room, (size_t)n}) : 0;
    if (head) {
        judge(g, (struct span){room, head});
    } else if (n == sizeof room) {
        refuse(g, "431 Request Header Fields Too Large", "the header is longer than 16 KB");
    } else if (n <= 0 || events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) { /* it never ends */
        close(leave(g));
        web_end_when_done(web_of(loop));
    }
}

/* ---- new clients ---- */

static void take_in(struct door *d, int fd, const struct addr *from)
{
    struct loop *loop = &d->http->web->steering.loop;
    const int on = 1;

    make_room(d->http, from);
    struct guest *g = calloc(1, sizeof *g);
    if (!g) {
        close(fd);
        return;
    }
    *g = (struct guest){
        .watch = {.fd = fd, .events = EPOLLIN | EPOLLRDHUP | EPOLLET, .ready = guest_ready},
        .alarm = {.due = time_is_up},
        .door = d,
        .from = *from};
    if (loop_watch(loop, &g->watch) < 0) {
        close(fd);
        free(g);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ring_add(&d->http->guests, &g->link);
    d->http->guest_count++;
    loop_alarm(loop, &g->alarm, loop->now + HEADER_MS);
}

static void accept_all(struct door *d)
{
    for (int i = 0; i < ACCEPT_ROUNDS; i++) {
        struct sockaddr_storage sa;
        socklen_t len = sizeof sa;
        int fd =
            accept4(d->listening.fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        struct addr from = addr_from_sockaddr((struct sockaddr *)&sa, len);
        loop_moved(&d->http->web->steering.loop);
        take_in(d, fd, &from);
    }
}

static void accept_ready(struct loop *loop, struct watch *watch, uint32_t events)
{
    accept_all(container_of(watch, struct door, listening));
}

/* ---- opening and closing ---- */

/* Opens a listening socket; or -errno. The port is shared, because during a reload the earlier web
 * process still listens. */
static int listen_on(const struct addr *a)
{
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(a, &sa);
    const int on = 1;
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (a->family == ADDR_IP6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&sa, len) == 0 && listen(fd, SOMAXCONN) == 0)
        return fd;
    int error = -errno;
    close(fd);
    return error;
}

int door_listen(struct door *d, const struct addr *a)
{
    int fd = listen_on(a);

    if (fd < 0)
        return fd;
    d->listening = (struct watch){.fd = fd, .events = EPOLLIN, .ready = accept_ready};
    return loop_watch(&d->http->web->steering.loop, &d->listening);
}

void door_shut(struct door *d)
{
    if (d->listening.fd < 0)
        return;
    accept_all(d);
    loop_forget(&d->http->web->steering.loop, &d->listening);
    close(d->listening.fd);
    d->listening.fd = -1;
}

void door_see_off(struct http *h)
{
    while (!ring_is_empty(&h->guests))
        close(leave(guest_of(h->guests.next)));
}
