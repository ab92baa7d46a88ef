/* Packets of descriptors between workers and the freezer; see handoff.h. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/channel.h"
#include "freezer/handoff.h"

struct wire_item {
    uint64_t due_ms;
    uint32_t len, way;
    uint32_t kind, direct; /* earlier programs send 0 for `direct` */
    struct addr local, remote;
};

struct wire {
    uint32_t version, count;
    struct wire_item item[HANDOFF_BATCH];
};

enum { WIRE_VERSION = 3 };

union rights {
    struct cmsghdr align;
    char octets[CMSG_SPACE(HANDOFF_BATCH * sizeof(int))];
};

int handoff_add(struct handoff *h, const struct handoff_item *item)
{
    struct span session = item->session;

    if (h->count == HANDOFF_BATCH || session.len > sizeof h->octets - h->used)
        return -ENOSPC;
    char *to = h->octets + h->used;
    if (session.len)
        memcpy(to, session.at, session.len);
    h->used += (uint32_t)session.len;
    h->item[h->count] = *item;
    h->item[h->count++].session.at = to;
    return 0;
}

int handoff_send(int sock, struct handoff *h)
{
    struct wire wire = {WIRE_VERSION, h->count, {{0}}};
    struct iovec iov[2] = {{&wire, sizeof wire}, {h->octets, h->used}};
    union rights rights;
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2, .msg_control = rights.octets};

    msg.msg_controllen = CMSG_SPACE(h->count * sizeof(int));
    memset(&rights, 0, sizeof rights);
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(h->count * sizeof(int));
    for (uint32_t i = 0; i < h->count; i++) {
        const struct handoff_item *item = &h->item[i];
        wire.item[i] = (struct wire_item){.due_ms = item->due_ms,
                                          .len = (uint32_t)item->session.len,
                                          .way = item->way,
                                          .kind = item->kind,
                                          .direct = item->direct,
                                          .local = item->local,
                                          .remote = item->remote};
        memcpy(CMSG_DATA(c) + i * sizeof(int), &item->fd, sizeof(int));
    }
    if (sendmsg(sock, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        return errno == ETOOMANYREFS || channel_may_again(-errno) ? -EAGAIN : -errno;
    h->count = 0;
    h->used = 0;
    return 0;
}

static uint32_t take_rights(struct msghdr *msg, int fd[HANDOFF_BATCH])
{
    uint32_t n = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t here = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < here && n < HANDOFF_BATCH; i++)
            memcpy(&fd[n++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
    }
    return n;
}

static bool unpack(struct handoff *h, const struct wire *wire, const int *fd, uint32_t fds,
                   size_t octets)
{
    if (wire->version != WIRE_VERSION || wire->count != fds || fds > HANDOFF_BATCH)
        return false;
    h->count = fds;
    h->used = 0;
    for (uint32_t i = 0; i < fds; i++) {
        uint32_t len = wire->item[i].len;
        if (len > octets - h->used || wire->item[i].kind > HANDOFF_CHANNEL)
            return false;
        h->item[i] = (struct handoff_item){.kind = (enum handoff_kind)wire->item[i].kind,
                                           .fd = fd[i],
                                           .way = wire->item[i].way,
                                           .due_ms = wire->item[i].due_ms,
                                           .session = {h->octets + h->used, len},
                                           .local = wire->item[i].local,
                                           .remote = wire->item[i].remote,
                                           .direct = wire->item[i].direct == 1};
        h->used += len;
    }
    return h->used == octets;
}

int handoff_read(int sock, struct handoff *h)
{
    struct wire wire;
    struct iovec iov[2] = {{&wire, sizeof wire}, {h->octets, sizeof h->octets}};
    union rights rights;
    struct msghdr msg = {.msg_iov = iov,
                         .msg_iovlen = 2,
                         .msg_control = rights.octets,
                         .msg_controllen = sizeof rights.octets};
    int fd[HANDOFF_BATCH];

    ssize_t n = recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n <= 0)
        return n == 0 ? 0 : channel_may_again(-errno) ? -EAGAIN : -errno;
    uint32_t fds = take_rights(&msg, fd);
    if (n >= (ssize_t)sizeof wire && !(msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) &&
        unpack(h, &wire, fd, fds, (size_t)n - sizeof wire))
        return 1;
    for (uint32_t i = 0; i < fds; i++)
        close(fd[i]);
    h->count = 0;
    return -EBADMSG;
}
