/* Freezing and thawing one TCP connection; runs in the freezer.
 *
 * A socket in repair mode still takes segments in, and one that came in between reading the
 * sequence number and closing would have been acknowledged and lost. So the socket is made deaf
 * first, by a filter that drops every segment before TCP sees it: what the client sends from then
 * on is not acknowledged, and its kernel sends it again until the connection is back. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "freezer/tcp.h"

_Static_assert(sizeof(struct tcp_repair_window) == sizeof(((struct tcp_frozen *)0)->window), "");

enum { OPTION_MSS = 2, OPTION_SCALE = 3, OPTION_SACK = 4, OPTION_TIMESTAMPS = 8 };

static int get(int fd, int name, void *value, socklen_t len)
{
    return getsockopt(fd, IPPROTO_TCP, name, value, &len) < 0 ? -errno : 0;
}

static int set(int fd, int name, const void *value, socklen_t len)
{
    return setsockopt(fd, IPPROTO_TCP, name, value, len) < 0 ? -errno : 0;
}

static int set_int(int fd, int name, int value)
{
    return set(fd, name, &value, sizeof value);
}

static int deafen(int fd)
{
    struct sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
    struct sock_fprog program = {.len = 1, .filter = &drop};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) < 0 ? -errno : 0;
}

static void undeafen(int fd)
{
    int none = 0;
    setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof none);
}

static int endpoints(int fd, struct tcp_frozen *f)
{
    union {
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } local = {.in.sin_port = 0}, remote = local;
    socklen_t n = sizeof local, m = sizeof remote;

    if (getsockname(fd, (struct sockaddr *)&local, &n) < 0 ||
        getpeername(fd, (struct sockaddr *)&remote, &m) < 0)
        return -errno;
    f->local_port = ntohs(local.in.sin_port); /* at the same place in both families */
    f->remote_port = ntohs(remote.in.sin_port);
    if (local.in.sin_family == AF_INET) {
        f->family = 4;
        memcpy(f->local, &local.in.sin_addr, 4);
        memcpy(f->remote, &remote.in.sin_addr, 4);
    } else {
        f->family = 6;
        memcpy(f->local, &local.in6.sin6_addr, 16);
        memcpy(f->remote, &remote.in6.sin6_addr, 16);
    }
    return 0;
}

static int sequence(int fd, int queue, uint32_t *seq)
{
    int r = set_int(fd, TCP_REPAIR_QUEUE, queue);
    return r < 0 ? r : get(fd, TCP_QUEUE_SEQ, seq, sizeof *seq);
}

static bool is_quiet(int fd, const struct tcp_info *info)
{
    int unread = 1, unacknowledged = 1;

    return info->tcpi_state == 1 /* TCP_ESTABLISHED */ && ioctl(fd, SIOCINQ, &unread) == 0 &&
           ioctl(fd, SIOCOUTQ, &unacknowledged) == 0 && unread == 0 && unacknowledged == 0;
}

static int read_state(int fd, struct tcp_frozen *f)
{
    struct tcp_info info;
    int r;

    if ((r = get(fd, TCP_INFO, &info, sizeof info)) < 0)
        return r;
    if (!is_quiet(fd, &info))
        return -EAGAIN;
    f->send_scale = info.tcpi_snd_wscale;
    f->recv_scale = info.tcpi_rcv_wscale;
    if (info.tcpi_options & TCPI_OPT_SACK)
        f->options |= TCP_HAS_SACK;
    if (info.tcpi_options & TCPI_OPT_TIMESTAMPS)
        f->options |= TCP_HAS_TIMESTAMPS;
    if (info.tcpi_options & TCPI_OPT_WSCALE)
        f->options |= TCP_HAS_SCALE;
    if ((r = sequence(fd, TCP_SEND_QUEUE, &f->send_seq)) < 0 ||
        (r = sequence(fd, TCP_RECV_QUEUE, &f->recv_seq)) < 0 ||
        (r = get(fd, TCP_REPAIR_WINDOW, f->window, sizeof f->window)) < 0 ||
        (r = get(fd, TCP_MAXSEG, &f->mss, sizeof f->mss)) < 0 ||
        (r = get(fd, TCP_TIMESTAMP, &f->timestamp, sizeof f->timestamp)) < 0)
        return r;
    return 0;
}

int tcp_freeze(int fd, struct tcp_frozen *f)
{
    memset(f, 0, sizeof *f);
    int r = endpoints(fd, f);
    if (r < 0 || (r = deafen(fd)) < 0)
        return r;
    r = set_int(fd, TCP_REPAIR, TCP_REPAIR_ON);
    if (r == 0) {
        r = read_state(fd, f);
        if (r < 0)
            set_int(fd, TCP_REPAIR, TCP_REPAIR_OFF_NO_WP);
    }
    if (r < 0)
        undeafen(fd);
    return r;
}

void tcp_unfreeze(int fd)
{
    set_int(fd, TCP_REPAIR, TCP_REPAIR_OFF_NO_WP);
    undeafen(fd);
}

static int make_socket(const struct tcp_frozen *f)
{
    int domain = f->family == 4 ? AF_INET : AF_INET6;
    int fd = socket(domain, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    return fd < 0 ? -errno : fd;
}

static int connect_silently(int fd, const struct tcp_frozen *f)
{
    struct sockaddr_in l4 = {AF_INET, htons(f->local_port), {0}, {0}};
    struct sockaddr_in r4 = {AF_INET, htons(f->remote_port), {0}, {0}};
    struct sockaddr_in6 l6 = {AF_INET6, htons(f->local_port), 0, {{{0}}}, 0};
    struct sockaddr_in6 r6 = {AF_INET6, htons(f->remote_port), 0, {{{0}}}, 0};
    struct sockaddr *local = (struct sockaddr *)&l4, *remote = (struct sockaddr *)&r4;
    socklen_t len = sizeof l4;

    memcpy(&l4.sin_addr, f->local, 4);
    memcpy(&r4.sin_addr, f->remote, 4);
    if (f->family == 6) {
        memcpy(&l6.sin6_addr, f->local, 16);
        memcpy(&r6.sin6_addr, f->remote, 16);
        local = (struct sockaddr *)&l6;
        remote = (struct sockaddr *)&r6;
        len = sizeof l6;
    }
    return bind(fd, local, len) < 0 || connect(fd, remote, len) < 0 ? -errno : 0;
}

static int restore_options(int fd, const struct tcp_frozen *f, uint64_t slept_ms)
{
    struct tcp_repair_opt option[4];
    int n = 0, r;

    option[n++] = (struct tcp_repair_opt){OPTION_MSS, f->mss};
    if (f->options & TCP_HAS_SCALE)
        option[n++] =
            (struct tcp_repair_opt){OPTION_SCALE, f->send_scale | (uint32_t)f->recv_scale << 16};
    if (f->options & TCP_HAS_SACK)
        option[n++] = (struct tcp_repair_opt){OPTION_SACK, 0};
    if (f->options & TCP_HAS_TIMESTAMPS)
        option[n++] = (struct tcp_repair_opt){OPTION_TIMESTAMPS, 0};
    r = set(fd, TCP_REPAIR_OPTIONS, option, (socklen_t)(n * (int)sizeof *option));
    if (r < 0 || !(f->options & TCP_HAS_TIMESTAMPS))
        return r;
    /* The clock went on while nobody looked. Its lowest bit tells the kernel the unit: 0 is ms. */
    uint32_t timestamp = f->timestamp;
    if (timestamp & 1)
        timestamp += (uint32_t)(slept_ms * 1000) & ~1u;
    else
        timestamp += (uint32_t)slept_ms & ~1u;
    return set(fd, TCP_TIMESTAMP, &timestamp, sizeof timestamp);
}

static int restore(int fd, const struct tcp_frozen *f, uint64_t slept_ms)
{
    int r;

    if ((r = set_int(fd, TCP_REPAIR, TCP_REPAIR_ON)) < 0 ||
        (r = set_int(fd, TCP_REPAIR_QUEUE, TCP_SEND_QUEUE)) < 0 ||
        (r = set(fd, TCP_QUEUE_SEQ, &f->send_seq, sizeof f->send_seq)) < 0 ||
        (r = set_int(fd, TCP_REPAIR_QUEUE, TCP_RECV_QUEUE)) < 0 ||
        (r = set(fd, TCP_QUEUE_SEQ, &f->recv_seq, sizeof f->recv_seq)) < 0 ||
        (r = connect_silently(fd, f)) < 0 || (r = restore_options(fd, f, slept_ms)) < 0 ||
        (r = set(fd, TCP_REPAIR_WINDOW, f->window, sizeof f->window)) < 0)
        return r;
    set_int(fd, TCP_NODELAY, 1);
    return set_int(fd, TCP_REPAIR,
                   TCP_REPAIR_OFF_NO_WP); /* no window probe: the client sees nothing */
}

int tcp_thaw(const struct tcp_frozen *f, uint64_t slept_ms)
{
    int fd = make_socket(f);
    if (fd < 0)
        return fd;
    int r = restore(fd, f, slept_ms);
    if (r < 0) {
        close(fd); /* still in repair mode: silent */
        return r;
    }
    return fd;
}

int tcp_repair_works(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int r = set_int(fd, TCP_REPAIR, TCP_REPAIR_ON);
    close(fd);
    return r;
}
