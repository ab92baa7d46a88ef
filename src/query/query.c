/* Queries and answers between workers and clerks; see query.h. Both sides use it.
 *
 * A packet is the fixed part of its struct, followed by its texts without padding. Each packet is
 * checked before it is used, because an attacker may control a worker. */
#include "query/query.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum {
    QUERY_FIXED = offsetof(struct query_packet, text),
    ANSWER_FIXED = offsetof(struct answer, text)
};

static int send_parts(int fd, struct iovec *part, int parts)
{
    struct msghdr msg = {.msg_iov = part, .msg_iovlen = (size_t)parts};

    if (sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
        return 0;
    return errno == ENOBUFS || errno == ENOMEM ? -EAGAIN : -errno;
}

int query_send(int fd, const struct query_head *head, struct span first, struct span second)
{
    struct query_head h = *head;

    if (first.len + second.len > QUERY_TEXT_MAX)
        return -EMSGSIZE;
    h.first = (uint16_t)first.len;
    h.second = (uint16_t)second.len;
    struct iovec part[] = {
        {&h, sizeof h}, {(void *)first.at, first.len}, {(void *)second.at, second.len}};
    return send_parts(fd, part, 3);
}

int query_read(int fd, struct query_packet *a)
{
    ssize_t n = recv(fd, a, sizeof *a, MSG_DONTWAIT);

    if (n <= 0)
        return n == 0 ? 0 : -errno;
    if (n < QUERY_FIXED || (size_t)n != (size_t)QUERY_FIXED + a->head.first + a->head.second ||
        a->head.kind < QUERY_RECIPIENT || a->head.kind >= QUERY_KINDS)
        return -EBADMSG;
    return 1;
}

int answer_send(int fd, const struct answer *a)
{
    struct iovec part[] = {{(void *)a, (size_t)ANSWER_FIXED + a->len},
                           {(void *)a->name, a->name_len}};
    return send_parts(fd, part, 2);
}

void answer_set_name(struct answer *a, struct span name)
{
    a->name_len = name.len <= sizeof a->name ? (uint16_t)name.len : 0;
    if (a->name_len)
        memcpy(a->name, name.at, a->name_len);
}

int answer_read(int fd, struct answer *a)
{
    ssize_t n = recv(fd, a, sizeof *a, MSG_DONTWAIT);

    if (n <= 0)
        return n == 0 ? 0 : -errno;
    if (n < ANSWER_FIXED || a->len > sizeof a->text || a->name_len > sizeof a->name ||
        (size_t)n != (size_t)ANSWER_FIXED + a->len + a->name_len || a->result < ANSWER_YES ||
        a->result > ANSWER_TRAP)
        return -EBADMSG;
    memmove(a->name, a->text + a->len, a->name_len);
    return 1;
}
