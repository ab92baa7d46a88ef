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

#include "base/log.h"
#include "base/sockaddr.h"
#include "config/config.h"
#include "master/listener.h"

enum { FIRST_FD = 3, FDS_MAX = 1024 };

static unsigned passed(void)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    bool ours = pid && count && strtol(pid, NULL, 10) == (long)getpid();
    unsigned long n = ours ? strtoul(count, NULL, 10) : 0;

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

static void take_one(struct listeners *l, const struct config *config, int fd)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    struct listener one = {.fd = fd, .passed = true};
    char text[ADDR_TEXT];

    if (is_listening(fd) && getsockname(fd, (struct sockaddr *)&sa, &len) == 0)
        one.addr = addr_from_sockaddr((struct sockaddr *)&sa, len);
    struct listener *at = realloc(l->at, (l->count + 1) * sizeof *at);
    if (at)
        l->at = at;
    if (!at || !is_wanted(config, &one) || fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
        log_warn("the service manager passed a socket (%s port %u) that no `listen` section names; "
                 "ignored",
                 one.addr.family ? addr_format(&one.addr, text) : "not a TCP listener",
                 one.addr.port);
        close(fd);
        return;
    }
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    one.slot = (uint32_t)listeners_find(l, &one.addr, NULL, 0);
    l->at[l->count++] = one;
}

void activation_take(struct listeners *l, const struct config *config)
{
    unsigned n = passed();

    for (unsigned i = 0; i < n; i++)
        take_one(l, config, FIRST_FD + (int)i);
}
