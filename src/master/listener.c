/* Binds, keeps and closes listening sockets. Master only; it never accepts.
 *
 * With SO_REUSEPORT an address has a socket for each slot, but a second mired of the same user
 * could also silently share the port. A trial bind without the option first detects that (and other
 * servers). The trial is repeated for a moment, because the workers of a killed master keep their
 * sockets until they have sent 421. */
#include "master/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sockaddr.h"
#include "config/config.h"

enum { TRIAL_STEP_MS = 20 };

bool listener_is(const struct listener *l, const struct addr *addr)
{
    return addr_equal(&l->addr, addr) && l->addr.port == addr->port;
}

enum bind_how { BIND_TRIAL, BIND_SHARED, BIND_LISTENS };

static int bind_tcp(const struct addr *addr, enum bind_how how)
{
    struct sockaddr_storage sa;
    socklen_t len = addr_to_sockaddr(addr, &sa);
    int on = 1;

    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (how != BIND_TRIAL)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (sa.ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&sa, len) < 0 ||
        (how == BIND_LISTENS && listen(fd, SOMAXCONN) < 0)) {
        int error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

/* Whether the address is free; 0 or -errno. */
static int try_address(const struct addr *addr, uint64_t until)
{
    for (;;) {
        int fd = bind_tcp(addr, BIND_TRIAL);
        if (fd >= 0) {
            close(fd);
            return 0;
        }
        if (fd != -EADDRINUSE || clock_mono_ms() >= until)
            return fd;
        poll(NULL, 0, TRIAL_STEP_MS);
    }
}

static void explain(struct buf *errors, const struct addr *addr, int error)
{
    char text[ADDR_TEXT];
    const char *hint = "";

    if (error == -EADDRINUSE)
        hint = "; another server has this port (`ss -ltnp` names it)";
    else if (error == -EACCES)
        hint = "; ports below 1024 need root, or CAP_NET_BIND_SERVICE";
    else if (error == -EADDRNOTAVAIL)
        hint = "; this machine has no such address";
    buf_addf(errors, "cannot listen on %s port %u: %s%s\n", addr_format(addr, text), addr->port,
             strerrordesc_np(-error), hint);
}

size_t listeners_find(const struct listeners *l, const struct addr *addr, size_t *found, size_t max)
{
    size_t n = 0;

    for (size_t i = 0; i < l->count; i++)
        if (listener_is(&l->at[i], addr)) {
            if (n < max)
                found[n] = i;
            n++;
        }
    return n;
}

/* Makes one more socket for an address that has `there` already. All workers share a passed one,
 * because it may not have SO_REUSEPORT. Returns a descriptor or -errno. */
static int next_socket(const struct listeners *l, const struct addr *addr, size_t there,
                       bool *passed)
{
    size_t first = 0;

    *passed = there && listeners_find(l, addr, &first, 1) && l->at[first].passed;
    if (!*passed)
        return bind_tcp(addr, there ? BIND_SHARED : BIND_LISTENS);
    int fd = fcntl(l->at[first].fd, F_DUPFD_CLOEXEC, 0);
    return fd < 0 ? -errno : fd;
}

/* ---- sockets that do not listen any more ---- */

/* The kernel reports EPOLLHUP, whatever is asked for. A new connection wakes nobody here. */
static void heed(struct listeners *l, int fd)
{
    struct epoll_event none = {0};

    if (!l->lost) {
        int set = epoll_create1(EPOLL_CLOEXEC);
        l->lost = set < 0 ? 0 : set;
    }
    if (l->lost)
        epoll_ctl(l->lost, EPOLL_CTL_ADD, fd, &none);
}

static void heed_no_more(const struct listeners *l, int fd)
{
    if (l->lost)
        epoll_ctl(l->lost, EPOLL_CTL_DEL, fd, NULL);
}

bool listener_is_lost(const struct listener *l)
{
    int listens = 0;
    socklen_t len = sizeof listens;

    return !l->waits &&
           (getsockopt(l->fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) < 0 || !listens);
}

int listeners_mend(struct listeners *l, struct listener *one)
{
    int fd = one->passed ? -EADDRINUSE : bind_tcp(&one->addr, BIND_LISTENS);

    if (fd < 0 && listen(one->fd, SOMAXCONN) == 0)
        return 1;
    heed_no_more(l, one->fd); /* it would be reported all the time */
    if (fd < 0)
        return -errno;
    close(one->fd);
    one->fd = fd;
    heed(l, fd);
    return 0;
}

/* ---- all of them ---- */

/* Gives an address as many sockets as there are workers. 0 or -errno. */
static int add_address(struct listeners *l, const struct addr *addr, uint32_t workers,
                       uint64_t until)
{
    size_t there = listeners_find(l, addr, NULL, 0);
    int error = there ? 0 : try_address(addr, until);

    for (uint32_t slot = (uint32_t)there; slot < workers && !error; slot++) {
        bool passed;
        int fd = next_socket(l, addr, there, &passed);
        if (fd < 0)
            return fd;
        l->at[l->count++] = (struct listener){
            .addr = *addr, .slot = slot, .fd = fd, .passed = passed, .waits = there && !passed};
    }
    return error;
}

int listeners_add(struct listeners *l, const struct config *config, uint32_t generation,
                  uint64_t patience_ms, struct buf *errors)
{
    uint64_t until = clock_mono_ms() + patience_ms;
    size_t before = l->count, most = before + config->listen_count * config->workers;
    struct listener *at = realloc(l->at, (most ? most : 1) * sizeof *at);
    int result = 0;

    if (!at) {
        buf_addf(errors, "not enough memory for the listening sockets\n");
        return -1;
    }
    l->at = at;
    for (size_t i = 0; i < config->listen_count; i++) {
        int error = add_address(l, &config->listen[i].addr, config->workers, until);
        if (error) {
            explain(errors, &config->listen[i].addr, error);
            result = -1;
        }
    }
    if (result < 0)
        listeners_cut(l, before);
    for (size_t i = before; i < l->count; i++)
        l->at[i].since = generation;
    listeners_heed(l);
    return result;
}

int listeners_listen(struct listeners *l, struct buf *errors)
{
    int result = 0;

    for (size_t i = 0; i < l->count; i++) {
        struct listener *one = &l->at[i];
        if (one->waits && listen(one->fd, SOMAXCONN) < 0) {
            explain(errors, &one->addr, -errno);
            result = -1;
        } else {
            one->waits = false;
        }
    }
    listeners_heed(l);
    return result;
}

void listeners_heed(struct listeners *l)
{
    for (size_t i = 0; i < l->count; i++)
        if (!l->at[i].waits)
            heed(l, l->at[i].fd); /* those that are heeded already stay */
}

static void close_one(const struct listeners *all, const struct listener *l)
{
    heed_no_more(all, l->fd);

    /* Workers of an earlier generation have this socket too: close() alone would leave clients in a
     * queue that no process empties. */
    if (!l->passed)
        shutdown(l->fd, SHUT_RDWR);
    close(l->fd);
}

void listeners_cut(struct listeners *l, size_t count)
{
    while (l->count > count)
        close_one(l, &l->at[--l->count]);
}

static bool is_wanted(const struct listener *l, const struct config *config)
{
    for (size_t i = 0; i < config->listen_count; i++)
        if (listener_is(l, &config->listen[i].addr))
            return true;
    return false;
}

void listeners_drop(struct listeners *l, const struct config *config)
{
    size_t kept = 0;

    for (size_t i = 0; i < l->count; i++)
        if (is_wanted(&l->at[i], config))
            l->at[kept++] = l->at[i];
        else
            close_one(l, &l->at[i]);
    l->count = kept;
}

void listeners_close(struct listeners *l)
{
    listeners_cut(l, 0);
    free(l->at);
    if (l->lost)
        close(l->lost);
    *l = (struct listeners){0};
}
