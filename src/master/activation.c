/* Takes the sockets that $LISTEN_FDS counts: descriptors from 3 on, meant for the process
 * $LISTEN_PID. Master only.
 *
 * The service manager has such a socket too, so it is never shut down, and clients queue in it
 * while no mired runs. It may not have SO_REUSEPORT; all workers accept from the one queue
 * (listener.c makes a slot for each of them). */
#include "master/activation.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/log.h"
#include "base/sockaddr.h"
#include "config/config.h"
#include "master/listener.h"

enum { FIRST_FD = 3, FDS_MAX = 1024 };

/* How many descriptors were passed to this process. The variables may be wrong or of another process:
 * a shell between the service manager and mired, for example. */
static unsigned passed(void)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    uint64_t to = 0, n = 0;

    if (pid && count && (!span_number(span_of(pid), &to) || !span_number(span_of(count), &n))) {
        log_warn("LISTEN_PID=%.32s LISTEN_FDS=%.32s are not numbers; taking no sockets from the "
                 "service manager",
                 pid, count);
        n = 0;
    } else if (n && to != (uint64_t)getpid()) {
        log_warn("the service manager has passed sockets to process %lu, which is not this one; "
                 "ignored",
                 (unsigned long)to);
        n = 0;
    }
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return n < FDS_MAX ? (unsigned)n : FDS_MAX;
}

static bool is_listening(int fd)
{
    int type = 0, on = 0;
    socklen_t len = sizeof type;

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_STREAM)
        return false;
    len = sizeof on;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) == 0 && on;
}

static bool is_wanted(const struct config *config, const struct listener *one)
{
    for (size_t i = 0; i < config->listen_count; i++)
        if (listener_is(one, &config->listen[i].addr))
            return true;
    return false;
}

static void warn_of(int fd, const struct listener *one)
{
    char text[ADDR_TEXT];

    if (one->addr.family == ADDR_IP4 || one->addr.family == ADDR_IP6)
        log_warn("the service manager passed a socket (%s port %u) that no `listen` section names; "
                 "ignored",
                 addr_format(&one->addr, text), one->addr.port);
    else
        log_warn(
            "the service manager passed descriptor %d, which is not a TCP socket that listens; "
            "ignored",
            fd);
}

static void take_one(struct listeners *l, const struct config *config, int fd)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    struct listener one = {.fd = fd, .passed = true};

    if (is_listening(fd) && getsockname(fd, (struct sockaddr *)&sa, &len) == 0)
        one.addr = addr_from_sockaddr((struct sockaddr *)&sa, len);
    struct listener *at = realloc(l->at, (l->count + 1) * sizeof *at);
    if (at)
        l->at = at;
    if (!at || !is_wanted(config, &one) || fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
        warn_of(fd, &one);
        close(fd);
        return;
    }
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    one.slot = (uint32_t)listeners_find(l, &one.addr, NULL, 0);
    l->at[l->count++] = one;
}

void activation_take(struct listeners *l, const struct config *config)
{
    unsigned n = passed(), missing = 0;

    for (unsigned i = 0; i < n; i++)
        if (fcntl(FIRST_FD + (int)i, F_GETFD) < 0)
            missing++;
        else
            take_one(l, config, FIRST_FD + (int)i);
    if (missing)
        log_warn("LISTEN_FDS counts %u sockets, but %u of these descriptors are not open", n,
                 missing);
}
