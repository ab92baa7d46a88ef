/* Blocking connections; see dial.h. */
#include "base/dial.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/sockaddr.h"

static int address(const struct addr *addr, const char *path, struct sockaddr_storage *sa,
                   socklen_t *len)
{
    struct sockaddr_un *un = (struct sockaddr_un *)sa;

    if (!path) {
        *len = addr_to_sockaddr(addr, sa);
        return 0;
    }
    if (strlen(path) >= sizeof un->sun_path)
        return -ENAMETOOLONG;
    un->sun_family = AF_UNIX;
    strcpy(un->sun_path, path);
    *len = sizeof *un;
    return 0;
}

static int timed_out(int error)
{
    return error == EAGAIN || error == EINPROGRESS ? -ETIMEDOUT : -error;
}

void dial_patience(int fd, uint32_t ms)
{
    struct timeval limit = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit); /* connect()'s, too */
}

int dial(const struct addr *addr, const char *path, uint32_t ms)
{
    struct sockaddr_storage sa = {0};
    socklen_t len;
    int on = 1, error = address(addr, path, &sa, &len);

    if (error)
        return error;
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    dial_patience(fd, ms);
    if (!path)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, (struct sockaddr *)&sa, len) < 0) {
        error = timed_out(errno);
        close(fd);
        return error;
    }
    return fd;
}

int dial_at_once(const char *path)
{
    struct sockaddr_storage sa = {0};
    socklen_t len;
    int error = address(NULL, path, &sa, &len);

    if (error)
        return error;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *)&sa, len) < 0) {
        error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

int dial_send(int fd, const void *at, size_t len)
{
    const char *from = at;

    while (len) {
        ssize_t n = send(fd, from, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return timed_out(errno);
        from += n;
        len -= (size_t)n;
    }
    return 0;
}

ssize_t dial_recv(int fd, void *at, size_t room)
{
    ssize_t n;

    do
        n = recv(fd, at, room, 0);
    while (n < 0 && errno == EINTR);
    return n > 0 ? n : n == 0 ? -ECONNRESET : timed_out(errno);
}
