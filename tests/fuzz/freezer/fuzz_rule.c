/* Whatever answers the freezer's question for the number of the nftables rules (the kernel does): a
 * number, or 0 when there is none in it. The answer is as long as the input, and nothing behind it
 * is read. */
#include "freezer/rule.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t *answer;
static size_t answer_size;

int __wrap_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol)
{
    return open("/dev/null", O_RDWR | O_CLOEXEC);
}

ssize_t __wrap_send(int fd, const void *at, size_t size, int flags);
ssize_t __wrap_send(int fd, const void *at, size_t size, int flags)
{
    return (ssize_t)size;
}

/* What is behind the answer is another octet each time, so that reading it changes the result. */
static int behind;

ssize_t __wrap_recv(int fd, void *at, size_t room, int flags);
ssize_t __wrap_recv(int fd, void *at, size_t room, int flags)
{
    size_t n = answer_size < room ? answer_size : room;

    if (n == 0) {
        errno = EAGAIN;
        return -1;
    }
    memset(at, behind, room);
    memcpy(at, answer, n);
    return (ssize_t)n;
}

/* A naive reading: the first attribute NFTA_GEN_ID with at least four octets. */
static uint32_t naive_number(const uint8_t *data, size_t size)
{
    struct nlmsghdr head;
    size_t at = NLMSG_SPACE(sizeof(struct nfgenmsg));

    if (size < at)
        return 0;
    memcpy(&head, data, sizeof head);
    if (head.nlmsg_len > size || head.nlmsg_type != (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWGEN))
        return 0;
    while (at + NLA_HDRLEN <= head.nlmsg_len) {
        uint16_t len, type;
        uint32_t number;
        memcpy(&len, data + at, sizeof len);
        memcpy(&type, data + at + 2, sizeof type);
        if (len < NLA_HDRLEN || len > head.nlmsg_len - at)
            return 0;
        if ((type & NLA_TYPE_MASK) == NFTA_GEN_ID) {
            if (len < NLA_HDRLEN + sizeof number)
                return 0;
            memcpy(&number, data + at + NLA_HDRLEN, sizeof number);
            return ntohl(number);
        }
        at += NLA_ALIGN(len);
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size = size < 1024 ? size : 1024; /* more does not fit into the freezer's buffer */
    answer = data;
    answer_size = size;
    uint32_t expected = naive_number(data, size);
    for (behind = 0; behind < 256; behind += 85)
        assert(rule_number() == expected);
    return 0;
}
