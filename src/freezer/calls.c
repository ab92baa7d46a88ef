/* Many system calls at once; see calls.h. Runs in the freezer.
 *
 * The kernel makes a ring's calls one after another while they are submitted, unless one has to
 * wait, which is then postponed. None of ours has to wait. The order of the results shows whether
 * that was so; if not, the ring is not used again. */
#include <errno.h>
#include <liburing.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "freezer/calls.h"

enum { CALLS_MANY = 512 };

/* Constants of kernels that are newer than Debian 12's headers (linux/io_uring.h). */
enum { OP_BIND = 56, SOCKET_SIOCINQ = 0, SOCKET_GETSOCKOPT = 2, SOCKET_SETSOCKOPT = 3 };

struct calls {
    struct io_uring ring;
    bool has_ring;
    uint32_t count;
    int *result[CALLS_MANY];
};

static void note(int *result, int r)
{
    if (*result == 0)
        *result = r;
}

static void note_errno(int *result, int r)
{
    note(result, r < 0 ? -errno : r);
}

/* A call's place in the ring; NULL: make it at once, unless an earlier one has failed. */
static struct io_uring_sqe *place(struct calls *c, int *result)
{
    if (c->count == CALLS_MANY)
        calls_make(c);
    struct io_uring_sqe *sqe = c->has_ring ? io_uring_get_sqe(&c->ring) : NULL;
    if (sqe)
        c->result[c->count++] = result;
    return sqe;
}

static void add(const struct calls *c, struct io_uring_sqe *sqe, int op, int fd, const void *addr,
                uint32_t len, uint64_t off)
{
    io_uring_prep_rw(op, sqe, fd, addr, len, off);
    sqe->user_data = c->count - 1;
}

void calls_add_socket(struct calls *c, int *result, int domain, int type)
{
    struct io_uring_sqe *sqe = place(c, result);

    if (sqe)
        add(c, sqe, IORING_OP_SOCKET, domain, NULL, 0, (uint64_t)type);
    else if (*result == 0)
        note_errno(result, socket(domain, type, 0));
}

static void add_option(const struct calls *c, struct io_uring_sqe *sqe, int op, int fd, int level,
                       int name, const void *value, socklen_t len)
{
    const uint32_t which[2] = {(uint32_t)level, (uint32_t)name};

    add(c, sqe, IORING_OP_URING_CMD, fd, NULL, 0, 0);
    sqe->cmd_op = (uint32_t)op;
    memcpy(&sqe->addr, which, sizeof which);
    sqe->file_index = len;
    sqe->addr3 = (uint64_t)(uintptr_t)value;
}

void calls_add_set(struct calls *c, int *result, int fd, int level, int name, const void *value,
                   socklen_t len)
{
    struct io_uring_sqe *sqe = place(c, result);

    if (sqe)
        add_option(c, sqe, SOCKET_SETSOCKOPT, fd, level, name, value, len);
    else if (*result == 0)
        note_errno(result, setsockopt(fd, level, name, value, len));
}

void calls_add_get(struct calls *c, int *result, int fd, int name, void *value, socklen_t len)
{
    struct io_uring_sqe *sqe = place(c, result);

    if (sqe) {
        add_option(c, sqe, SOCKET_GETSOCKOPT, fd, SOL_SOCKET, name, value, len);
    } else if (*result == 0) {
        int r = getsockopt(fd, SOL_SOCKET, name, value, &len);
        note_errno(result, r < 0 ? r : (int)len);
    }
}

void calls_add_bind(struct calls *c, int *result, int fd, const struct sockaddr *a, socklen_t len)
{
    struct io_uring_sqe *sqe = place(c, result);

    if (sqe)
        add(c, sqe, OP_BIND, fd, a, 0, len);
    else if (*result == 0)
        note_errno(result, bind(fd, a, len));
}

void calls_add_connect(struct calls *c, int *result, int fd, const struct sockaddr *a,
                       socklen_t len)
{
    struct io_uring_sqe *sqe = place(c, result);

    if (sqe)
        add(c, sqe, IORING_OP_CONNECT, fd, a, 0, len);
    else if (*result == 0)
        note_errno(result, connect(fd, a, len));
}

void calls_add_unread(struct calls *c, int *result, int fd)
{
    struct io_uring_sqe *sqe = place(c, result);
    int unread = 0;

    if (sqe) {
        add(c, sqe, IORING_OP_URING_CMD, fd, NULL, 0, 0);
        sqe->cmd_op = SOCKET_SIOCINQ;
    } else if (*result == 0) {
        int r = ioctl(fd, SIOCINQ, &unread);
        note_errno(result, r < 0 ? r : unread);
    }
}

void calls_add_close(struct calls *c, int *result, int fd)
{
    struct io_uring_sqe *sqe = place(c, result);

    if (sqe)
        add(c, sqe, IORING_OP_CLOSE, fd, NULL, 0, 0);
    else if (*result == 0)
        note_errno(result, close(fd));
}

void calls_close_all(struct calls *c, const int *fd, size_t n)
{
    for (size_t done = 0; done < n;) {
        int closed[CALLS_MANY] = {0};
        size_t here = n - done < CALLS_MANY ? n - done : CALLS_MANY;
        for (size_t i = 0; i < here; i++)
            calls_add_close(c, &closed[i], fd[done + i]);
        calls_make(c);
        for (size_t i = 0; i < here; i++)
            if (closed[i] == -ENOBUFS)
                close(fd[done + i]);
        done += here;
    }
}

/* Reads the results; false if their order or number is wrong. */
static bool take_results(struct calls *c)
{
    struct io_uring_cqe *cqe;
    uint32_t seen = 0;
    unsigned head;

    io_uring_for_each_cqe(&c->ring, head, cqe)
    {
        if (seen >= c->count || cqe->user_data != seen)
            break;
        note(c->result[seen++], cqe->res);
    }
    io_uring_cq_advance(&c->ring, seen);
    return seen == c->count;
}

void calls_make(struct calls *c)
{
    int r = 0;

    if (c->count == 0)
        return;
    do
        r = io_uring_submit_and_wait(&c->ring, c->count);
    while (r == -EINTR);
    if (!take_results(c)) {
        for (uint32_t i = 0; i < c->count; i++)
            note(c->result[i], -ENOBUFS);
        calls_drop_ring(c);
    }
    c->count = 0;
}

/* Tries whether the ring makes these calls: sets an option and binds a port, and checks both
 * without the ring. */
static bool works(struct calls *c)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, fd = 0, r = 0, closed = 0, seen = 0;
    socklen_t len = sizeof seen;

    calls_add_socket(c, &fd, AF_INET, SOCK_STREAM | SOCK_CLOEXEC);
    calls_make(c);
    if (fd <= 0)
        return false;
    calls_add_set(c, &r, fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    calls_add_bind(c, &r, fd, (struct sockaddr *)&a, sizeof a);
    calls_add_unread(c, &r, fd);
    calls_make(c);
    bool did = getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &seen, &len) == 0 && seen;
    len = sizeof a;
    did = did && getsockname(fd, (struct sockaddr *)&a, &len) == 0 && a.sin_port;
    if (!c->has_ring) {
        close(fd);
        return false;
    }
    calls_add_close(c, &closed, fd);
    calls_make(c);
    return did && r == 0 && closed == 0;
}

/* Lets the ring make the calls above and no others: the filter of system calls does not see what a ring
 * does. */
static bool restrict_ring(struct io_uring *ring)
{
    static const uint8_t ops[] = {IORING_OP_SOCKET, IORING_OP_URING_CMD, OP_BIND, IORING_OP_CONNECT,
                                  IORING_OP_CLOSE};
    enum { OPS = sizeof ops / sizeof *ops };
    struct io_uring_restriction allowed[OPS] = {{0}};

    for (unsigned i = 0; i < OPS; i++) {
        allowed[i].opcode = IORING_RESTRICTION_SQE_OP;
        allowed[i].sqe_op = ops[i];
    }
    /* by system calls, because the library of Debian 12 does not export its functions for these two */
    return syscall(SYS_io_uring_register, ring->ring_fd, IORING_REGISTER_RESTRICTIONS, allowed,
                   OPS) == 0 &&
           syscall(SYS_io_uring_register, ring->ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0) ==
               0;
}

struct calls *calls_open(void)
{
    struct io_uring_params p = {.flags = IORING_SETUP_SUBMIT_ALL | IORING_SETUP_R_DISABLED};
    struct calls *c = calloc(1, sizeof *c);

    if (!c)
        return NULL;
    c->has_ring = io_uring_queue_init_params(CALLS_MANY, &c->ring, &p) == 0;
    if (c->has_ring && !(restrict_ring(&c->ring) && works(c)))
        calls_drop_ring(c);
    return c;
}

void calls_close(struct calls *c)
{
    if (!c)
        return;
    calls_drop_ring(c);
    free(c);
}

bool calls_have_ring(const struct calls *c)
{
    return c->has_ring;
}

void calls_drop_ring(struct calls *c)
{
    if (c->has_ring)
        io_uring_queue_exit(&c->ring);
    c->has_ring = false;
}
