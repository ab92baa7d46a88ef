/* The unix sockets of the runtime: the control socket, and the socket and the pair of the store; see
 * runtime_part.h. Only the master's main loop runs this. */
#include "master/runtime_part.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/channel.h"
#include "base/log.h"
#include "master/folder.h"

static int bind_unix(const struct runtime *h, const char *path, mode_t mode)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    size_t len = strlen(path);

    if (len >= sizeof sa.sun_path)
        return -ENAMETOOLONG;
    memcpy(sa.sun_path, path, len);
    if (unlink(path) < 0 && errno != ENOENT) /* what an earlier one left; we hold the lock */
        return -errno;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    mode_t before = umask(0777); /* no client may connect before it has its owner and mode */
    int bound = bind(fd, (struct sockaddr *)&sa, sizeof sa), error = bound < 0 ? -errno : 0;
    umask(before);
    bool give = h->identity.drop && geteuid() == 0; /* in a folder that is root's alone */
    if (!error && ((give && lchown(path, h->identity.uid, h->identity.gid) < 0) ||
                   chmod(path, mode) < 0 || listen(fd, SOMAXCONN) < 0))
        error = -errno;
    if (error)
        close(fd);
    return error ? error : fd;
}

/* Connections to the store wait here while it restarts, so there should be room for all that the
 * workers' pools can make. Only the first call gets beyond the machine's limit. */
static int open_store_pair(struct runtime *h)
{
    const int octets = 4 << 20;

    if (h->store_pair[0] >= 0) /* inherited */
        return 0;
    int error = channel_pair(h->store_pair);
    if (!error && setsockopt(h->store_pair[0], SOL_SOCKET, SO_SNDBUFFORCE, &octets, sizeof octets))
        setsockopt(h->store_pair[0], SOL_SOCKET, SO_SNDBUF, &octets, sizeof octets);
    return error;
}

static mode_t store_mode(const struct runtime *h)
{
    return users_is_apart(&h->users, USERS_WORKER) ? 0660 : 0600;
}

/* Puts another socket in the place of one that is shut down, if that is possible. */
static bool listen_again(const struct runtime *h, int *listener, const char *path, mode_t mode)
{
    if (*listener < 0 || !channel_has_ended(*listener))
        return false;
    int fd = bind_unix(h, path, mode);
    if (fd < 0) {
        log_error("cannot make %s again: %s; restart mired", path, strerrordesc_np(-fd));
        return false;
    }
    close(*listener);
    *listener = fd;
    return true;
}

bool runtime_renew_control(struct runtime *h)
{
    return listen_again(h, &h->control_listen, h->control_path, 0660);
}

bool runtime_renew_store(struct runtime *h)
{
    int before[2] = {h->store_pair[0], h->store_pair[1]};
    bool renewed = listen_again(h, &h->store_listen, h->store_path, store_mode(h));

    if (!channel_is_shut(before))
        return renewed;
    h->store_pair[0] = -1;
    if (open_store_pair(h) < 0) {
        memcpy(h->store_pair, before, sizeof before);
        return renewed;
    }
    close(before[0]);
    close(before[1]);
    return true;
}

int runtime_open_sockets(struct runtime *h, struct buf *errors)
{
    if (h->store_listen < 0)
        h->store_listen = bind_unix(h, h->store_path, store_mode(h));
    if (h->store_listen < 0)
        return runtime_wrong(errors, "cannot listen on", h->store_path, h->store_listen);
    if (h->control_listen < 0)
        h->control_listen = bind_unix(h, h->control_path, 0660);
    if (h->control_listen < 0)
        return runtime_wrong(errors, "cannot listen on", h->control_path, h->control_listen);
    int error = open_store_pair(h);
    if (error)
        return runtime_wrong(errors, "cannot make", "the channel to the store", error);
    return 0;
}

void runtime_remove_sockets(const struct runtime *h)
{
    struct borrowed b;

    if (!h->run) /* it was never opened */
        return;
    if (folder_enter(&b, h->run, &h->identity, 0755) == 0) {
        if (h->store_listen >= 0)
            unlink(h->store_path);
        if (h->control_listen >= 0)
            unlink(h->control_path);
    }
    folder_leave(&b);
}
