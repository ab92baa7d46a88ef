/* Whatever a worker hands to the freezer (an attacker may have taken it over): a batch is refused and
 * its descriptors are closed, or each item lies within the packet. The first octet is the number of
 * descriptors that come with it. */
#include "freezer/handoff.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/channel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int lowest_free(void)
{
    int fd = dup(STDERR_FILENO);

    close(fd);
    return fd;
}

static void hand_over(int sock, const uint8_t *data, size_t size, unsigned fds)
{
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(64 * sizeof(int))];
    } rights = {0};
    struct iovec part = {(void *)data, size};
    struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1};

    if (fds) {
        msg.msg_control = rights.room;
        msg.msg_controllen = CMSG_SPACE(fds * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(fds * sizeof(int));
        for (unsigned i = 0; i < fds; i++)
            memcpy(CMSG_DATA(c) + i * sizeof(int), &sock, sizeof sock);
    }
    assert(sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct handoff h;
    int pair[2], before = lowest_free();

    if (size < 1 || size > 60000)
        return 0;
    assert(channel_pair(pair) == 0);
    hand_over(pair[1], data + 1, size - 1, data[0] % 64);
    if (handoff_read(pair[0], &h) == 1) {
        assert(h.count <= HANDOFF_BATCH && h.used <= sizeof h.octets);
        for (uint32_t i = 0; i < h.count; i++) {
            struct span s = h.item[i].session;
            assert(s.at >= h.octets && s.at + s.len <= h.octets + h.used);
            assert(h.item[i].kind <= HANDOFF_CHANNEL);
            close(h.item[i].fd);
        }
    }
    close(pair[0]);
    close(pair[1]);
    assert(lowest_free() == before); /* no descriptor is left open */
    return 0;
}
