/* Freezing and thawing one TCP connection; runs in the freezer.
 *
 * A socket in repair mode still takes segments in, and one that came in between reading the
 * sequence number and closing would have been acknowledged and lost. So the socket is made deaf
 * first: it is told to take only segments with the highest TTL there is, which no router leaves and
 * no common system begins with (RFC 5082). What the client sends from then on is not acknowledged,
 * and its kernel sends it again until the connection is back. Whether the connection is quiet is
 * asked last of all, so that a neighbour that does send with TTL 255 finds no more of a gap than
 * one system call. (A socket filter would be tighter still, and costs a hundred times as much: the
 * kernel compiles it.)
 *
 * What one connection costs is its system calls, so none is made that another has answered. */
#include <errno.h>
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

enum { TTL_MAX = 255, TIMESTAMP_OCTETS = 12 };

#ifndef IPV6_MINHOPCOUNT
#define IPV6_MINHOPCOUNT 73 /* linux/in6.h, which does not go with netinet/in.h */
#endif

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

static bool is_mapped(const struct tcp_frozen *f)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

    return f->family == 6 && memcmp(f->remote, mapped, sizeof mapped) == 0;
}

static int set_least_ttl(int fd, const struct tcp_frozen *f, int ttl)
{
    int r = f->family == 4 || is_mapped(f)
                ? setsockopt(fd, IPPROTO_IP, IP_MINTTL, &ttl, sizeof ttl)
                : setsockopt(fd, IPPROTO_IPV6, IPV6_MINHOPCOUNT, &ttl, sizeof ttl);
    return r < 0 ? -errno : 0;
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
    int unread = 1;

    return info->tcpi_state == 1 /* TCP_ESTABLISHED */ && info->tcpi_unacked == 0 &&
           info->tcpi_notsent_bytes == 0 && ioctl(fd, SIOCINQ, &unread) == 0 && unread == 0;
}

static void read_info(struct tcp_frozen *f, const struct tcp_info *info)
{
    f->send_scale = info->tcpi_snd_wscale;
    f->recv_scale = info->tcpi_rcv_wscale;
    f->mss = (uint16_t)(info->tcpi_snd_mss < UINT16_MAX ? info->tcpi_snd_mss : UINT16_MAX);
    if (info->tcpi_options & TCPI_OPT_SACK)
        f->options |= TCP_HAS_SACK;
    if (info->tcpi_options & TCPI_OPT_WSCALE)
        f->options |= TCP_HAS_SCALE;
    if (info->tcpi_options & TCPI_OPT_TIMESTAMPS) {
        f->options |= TCP_HAS_TIMESTAMPS;
        f->mss += TIMESTAMP_OCTETS; /* which the segment's size in use leaves room for */
    }
}

static int read_state(int fd, struct tcp_frozen *f)
{
    struct tcp_info info = {0};
    int r;

    if ((r = sequence(fd, TCP_SEND_QUEUE, &f->send_seq)) < 0 ||
        (r = sequence(fd, TCP_RECV_QUEUE, &f->recv_seq)) < 0 ||
        (r = get(fd, TCP_REPAIR_WINDOW, f->window, sizeof f->window)) < 0 ||
        (r = get(fd, TCP_TIMESTAMP, &f->timestamp, sizeof f->timestamp)) < 0 ||
        (r = get(fd, TCP_INFO, &info, sizeof info)) < 0)
        return r;
    read_info(f, &info);
    return is_quiet(fd, &info) ? 0 : -EAGAIN;
}

int tcp_freeze(int fd, struct tcp_frozen *f)
{
    memset(f, 0, sizeof *f);
    int r = endpoints(fd, f);
    if (r < 0 || (r = set_least_ttl(fd, f, TTL_MAX)) < 0)
        return r;
    r = set_int(fd, TCP_REPAIR, TCP_REPAIR_ON);
    if (r < 0)
        set_least_ttl(fd, f, 0);
    else if ((r = read_state(fd, f)) < 0)
        tcp_unfreeze(fd, f);
    return r;
}

void tcp_unfreeze(int fd, const struct tcp_frozen *f)
{
    set_int(fd, TCP_REPAIR, TCP_REPAIR_OFF_NO_WP);
    set_least_ttl(fd, f, 0);
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
    if (bind(fd, local, len) < 0)
        return -errno;
    if (connect(fd, remote, len) < 0) /* the port is ours already: it is the four that are taken */
        return errno == EADDRNOTAVAIL ? -EADDRINUSE : -errno;
    return 0;
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

void tcp_ends(const struct tcp_frozen *f, struct addr *local, struct addr *remote)
{
    bool is_ip4 = f->family == 4 || is_mapped(f);
    size_t from = is_mapped(f) ? 12 : 0, n = is_ip4 ? 4 : 16;

    *local = (struct addr){.port = f->local_port, .family = is_ip4 ? ADDR_IP4 : ADDR_IP6};
    *remote = (struct addr){.port = f->remote_port, .family = local->family};
    memcpy(local->octets, f->local + from, n);
    memcpy(remote->octets, f->remote + from, n);
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
