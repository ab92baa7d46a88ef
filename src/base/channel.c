/* Channels: notes over a SOCK_SEQPACKET pair, between the master and its children. Neither side
 * ever waits for the other.
 *
 * A packet is a fixed head followed by the text; descriptors are sent with it as SCM_RIGHTS. Notes
 * from a child are checked like all outside input, because an attacker may have taken over the
 * child. */
#include "base/channel.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

struct head {
    uint32_t kind;
    int32_t arg;
    uint64_t tag;
};

union rights {
    struct cmsghdr align;
    char room[CMSG_SPACE(NOTE_FDS * sizeof(int))];
};

int channel_pair(int fd[2])
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd) < 0 ? -errno
                                                                                         : 0;
}

bool channel_is_shut(const int fd[2])
{
    struct pollfd end[2] = {{.fd = fd[0], .events = POLLRDHUP}, {.fd = fd[1], .events = POLLRDHUP}};

    return poll(end, 2, 0) > 0;
}

bool channel_has_ended(int fd)
{
    struct pollfd f = {.fd = fd, .events = POLLRDHUP};

    return poll(&f, 1, 0) > 0;
}

int channel_send(int fd, const struct note *n)
{
    struct head head = {.kind = n->kind, .arg = n->arg, .tag = n->tag};
    struct iovec part[2] = {{&head, sizeof head}, {(void *)n->text, n->len}};
    struct msghdr packet = {.msg_iov = part, .msg_iovlen = 2};
    union rights rights = {0};

    if (n->len >= NOTE_TEXT || n->fds > NOTE_FDS)
        return -EMSGSIZE;
    if (n->fds) {
        packet.msg_control = rights.room;
        packet.msg_controllen = CMSG_SPACE(n->fds * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&packet);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(n->fds * sizeof(int));
        memcpy(CMSG_DATA(c), n->fd, n->fds * sizeof(int));
    }
    return sendmsg(fd, &packet, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

int channel_pass(int fd, const struct note *n)
{
    int used = 0, room = 0;
    socklen_t len = sizeof room;

    if (ioctl(fd, SIOCOUTQ, &used) < 0 || getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, &len) < 0)
        return -errno;
    return used > room / 4 * 3 ? -EAGAIN : channel_send(fd, n);
}

static struct note *compose(struct note *n, uint32_t kind, int32_t arg, uint64_t tag,
                            const char *text)
{
    size_t len = text ? strlen(text) : 0;

    n->kind = kind;
    n->arg = arg;
    n->tag = tag;
    n->fds = 0;
    n->len = len < NOTE_TEXT ? (uint32_t)len : NOTE_TEXT - 1;
    if (n->len)
        memcpy(n->text, text, n->len);
    return n;
}

int channel_tell(int fd, uint32_t kind, int32_t arg, uint64_t tag, const char *text)
{
    struct note n;

    return channel_send(fd, compose(&n, kind, arg, tag, text));
}

int channel_pass_text(int fd, uint32_t kind, int32_t arg, uint64_t tag, const char *text)
{
    struct note n;

    return channel_pass(fd, compose(&n, kind, arg, tag, text));
}

/* The kernel may deliver fewer descriptors than were sent, never more than there is room for. */
static void take_descriptors(struct msghdr *packet, struct note *n)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(packet); c; c = CMSG_NXTHDR(packet, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        n->fds = (uint32_t)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(n->fd, CMSG_DATA(c), n->fds * sizeof(int));
    }
}

void note_close(struct note *n)
{
    while (n->fds)
        close(n->fd[--n->fds]);
}

/* rights: room for descriptors, or NULL; `broken`: which flags of recvmsg() mean a broken packet. */
static int read_packet(int fd, struct note *n, union rights *rights, int broken)
{
    struct head head;
    struct iovec part[2] = {{&head, sizeof head}, {n->text, NOTE_TEXT - 1}};
    struct msghdr packet = {.msg_iov = part,
                            .msg_iovlen = 2,
                            .msg_control = rights,
                            .msg_controllen = rights ? sizeof *rights : 0};
    ssize_t got;

    do
        got = recvmsg(fd, &packet, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0 && (errno == ENOMEM || errno == ENOBUFS))
        return -EAGAIN; /* the note is still there, and so is the other end */
    if (got < 0)
        return errno == ECONNRESET ? 0 : -errno;

    n->fds = 0;
    take_descriptors(&packet, n);
    if (got == 0 && n->fds == 0 && !(packet.msg_flags & MSG_CTRUNC))
        return 0;
    if ((size_t)got < sizeof head || packet.msg_flags & broken) {
        note_close(n);
        return -EBADMSG;
    }
    n->kind = head.kind;
    n->arg = head.arg;
    n->tag = head.tag;
    n->len = (uint32_t)((size_t)got - sizeof head);
    n->text[n->len] = '\0';
    return 1;
}

int channel_read(int fd, struct note *n)
{
    union rights rights;

    return read_packet(fd, n, &rights, MSG_TRUNC | MSG_CTRUNC);
}

int channel_read_text(int fd, struct note *n)
{
    return read_packet(fd, n, NULL, MSG_TRUNC);
}

bool channel_is_over(int result)
{
    return result != 1 && result != -EAGAIN && result != -EBADMSG;
}

bool channel_may_again(int error)
{
    return error == -EAGAIN || error == -ENOBUFS || error == -ENOMEM || error == -EINTR;
}
