/* A worker's listening sockets; see listening.h. */
#include "worker/listening.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/sockaddr.h"
#include "config/config.h"
#include "query/notes.h"
#include "worker/conn.h"
#include "worker/guard.h"
#include "worker/who.h"
#include "worker/worker_part.h"

enum {
    ACCEPT_ROUNDS = 4,            /* in one turn, so that open connections get their turn too */
    ACCEPT_TOGETHER = LOOP_GROUP, /* connections of one round */
    ACCEPT_AGAIN_MS = 100,        /* when the kernel has no room for another connection */
};

struct listening {
    struct watch watch; /* first; fd -1: closed */
    bool watched;
};

struct accepted {
    int fd;
    struct addr peer;
};

static bool is_lack_of_room(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

/* Accepts a connection. False: there is none, or (*full) no room for one. */
static bool accept_one(struct worker *w, int listener, struct accepted *out, bool *full)
{
    for (int i = 0; i < 2; i++) {
        struct sockaddr_storage sa;
        socklen_t len = sizeof sa;
        out->fd = accept4(listener, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (out->fd >= 0) {
            /* what a worker that was taken over has set on the listener is inherited */
            int one = 1;
            setsockopt(out->fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof one);
            out->peer = addr_from_sockaddr((struct sockaddr *)&sa, len);
            out->peer = addr_of_peer(&out->peer);
            loop_moved(&w->loop);
            return true;
        }
        /* Out of descriptors: close the worst held connection, and try again. */
        if (errno != EAGAIN && !is_lack_of_room(errno))
            loop_moved(&w->loop); /* the client left before the accept */
        *full = is_lack_of_room(errno);
        if (!*full || !guard_evict(w))
            return false;
    }
    return false;
}

/* ---- watching ---- */

static int watch_one(struct worker *w, struct listening *l)
{
    int error = l->watched ? 0 : loop_watch(&w->loop, &l->watch);

    l->watched = l->watched || !error;
    return error;
}

static void forget_one(struct worker *w, struct listening *l)
{
    if (l->watched)
        loop_forget(&w->loop, &l->watch);
    l->watched = false;
}

static void look_again_later(struct worker *w)
{
    loop_alarm(&w->loop, &w->accept_alarm, w->loop.now + ACCEPT_AGAIN_MS);
}

static void accept_again(struct loop *loop, struct alarm *a)
{
    struct worker *w = worker_of(loop);

    for (uint32_t i = 0; i < w->params->listeners; i++)
        if (watch_one(w, &w->listening[i]) == 0)
            loop_want(loop, &w->listening[i].watch, EPOLLIN);
        else
            look_again_later(w);
}

/* Pauses: clients wait in the queues, and to report them all the time would make no room. */
static void accept_later(struct worker *w)
{
    for (uint32_t i = 0; i < w->params->listeners; i++)
        if (w->listening[i].watched)
            loop_want(&w->loop, &w->listening[i].watch, 0);
    look_again_later(w);
}

/* Accepts a group of connections before it greets the first, so that the ledger entries of all are
 * prefetched together. */
static void accept_ready(struct loop *loop, struct watch *watch, uint32_t events)
{
    struct worker *w = worker_of(loop);
    struct listening *l = (struct listening *)watch;
    uint16_t index = w->params->listener[l - w->listening].index;
    struct accepted a[ACCEPT_TOGETHER];
    int n = ACCEPT_TOGETHER;
    bool full = false;

    /* It listens no more, which the kernel would report all the time. The master sends another one,
     * or makes it listen again. */
    if (events & EPOLLHUP) {
        forget_one(w, l);
        look_again_later(w);
        loop_moved(loop);
        return;
    }
    for (int round = 0; round < ACCEPT_ROUNDS && n == ACCEPT_TOGETHER; round++) {
        for (n = 0; n < ACCEPT_TOGETHER && accept_one(w, watch->fd, &a[n], &full); n++)
            who_prefetch(w, &a[n].peer);
        for (int i = 0; i < n; i++)
            conn_accept(w, a[i].fd, index, &a[i].peer);
    }
    if (full)
        accept_later(w);
}

/* ---- the sockets ---- */

static void take(struct listening *l, int fd)
{
    int on = 1;

    l->watch = (struct watch){.fd = fd, .events = EPOLLIN, .ready = accept_ready};
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* inherited on accept */
    /* A filter of one socket says which worker gets each connection. One that was taken over must
     * not give itself those of all others. */
    setsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof on);
}

bool listening_open(struct worker *w)
{
    const struct worker_params *params = w->params;

    w->accept_alarm.due = accept_again;
    w->listening = calloc(params->listeners ? params->listeners : 1, sizeof *w->listening);
    for (uint32_t i = 0; w->listening && i < params->listeners; i++)
        take(&w->listening[i], params->listener[i].fd);
    return w->listening != NULL;
}

int listening_start(struct worker *w)
{
    int error = 0;

    for (uint32_t i = 0; i < w->params->listeners && !error; i++)
        error = watch_one(w, &w->listening[i]);
    return error;
}

void listening_stop(struct worker *w)
{
    loop_alarm_off(&w->loop, &w->accept_alarm);
    for (uint32_t i = 0; i < w->params->listeners; i++) {
        struct listening *l = &w->listening[i];
        forget_one(w, l);
        if (l->watch.fd >= 0)
            close(l->watch.fd);
        l->watch.fd = -1;
    }
}

static bool is_named(const struct worker *w, uint32_t i, const struct addr *addr, uint32_t slot)
{
    const struct worker_listener *l = &w->params->listener[i];
    const struct addr *own = &w->config->listen[l->index].addr;

    return l->slot == slot && addr_equal(own, addr) && own->port == addr->port;
}

void listening_replace(struct worker *w, struct note *n)
{
    struct addr addr;

    if (n->fds != 1 || w->draining || !addr_parse_port((struct span){n->text, n->len}, &addr))
        return;
    for (uint32_t i = 0; i < w->params->listeners; i++) {
        struct listening *l = &w->listening[i];
        if (!is_named(w, i, &addr, (uint32_t)n->arg))
            continue;
        bool watched = l->watched || w->serving;
        forget_one(w, l);
        close(l->watch.fd);
        take(l, n->fd[0]);
        n->fds = 0;
        if (watched && watch_one(w, l) < 0)
            look_again_later(w);
        return;
    }
}

void listening_close(struct worker *w)
{
    free(w->listening);
}
