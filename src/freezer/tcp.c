/* Freezing and thawing one TCP connection; runs in the freezer.
 *
 * A socket in repair mode still accepts segments. One that arrives between reading the sequence
 * number and closing would be acknowledged and lost. So the socket first gets an option to accept
 * only segments with the highest TTL, which no routed segment has and no common system uses (RFC
 * 5082). Octets that the client sends from then on are not acknowledged, and its kernel sends them
 * again until the connection is back. Right before the batch is closed, each socket is checked for
 * unread octets, so that a neighbour that does send with TTL 255 has only the time that closing
 * takes. (A socket filter would leave no gap, but costs a hundred times as much, because the kernel
 * compiles it.)
 *
 * The cost of a connection is its system calls, so there are no unnecessary ones, and those that
 * only set an option are made together for many connections (calls.h). */
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "freezer/tcp.h"

_Static_assert(sizeof(struct tcp_repair_window) == sizeof(((struct tcp_frozen *)0)->window), "");

enum { OPTION_MSS = 2, OPTION_SCALE = 3, OPTION_SACK = 4, OPTION_TIMESTAMPS = 8 };

enum { TIMESTAMP_OCTETS = 12 };

#ifndef IPV6_MINHOPCOUNT
#define IPV6_MINHOPCOUNT 73 /* from linux/in6.h, which conflicts with netinet/in.h */
#endif

static int get(int fd, int name, void *value, socklen_t len)
{
    return getsockopt(fd, IPPROTO_TCP, name, value, &len) < 0 ? -errno : 0;
}

/* Values of options, which must exist until the calls are made. */
static const int repair_on = TCP_REPAIR_ON, repair_off = TCP_REPAIR_OFF_NO_WP;
static const int send_queue = TCP_SEND_QUEUE, recv_queue = TCP_RECV_QUEUE;
static const int ttl_most = 255, ttl_any = 0, one = 1;

static void set_int(struct calls *c, struct tcp_job *job, int name, const int *value)
{
    calls_add_set(c, &job->result, job->fd, IPPROTO_TCP, name, value, sizeof *value);
}

static bool is_mapped(const struct tcp_frozen *f)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

    return f->family == 6 && memcmp(f->remote, mapped, sizeof mapped) == 0;
}

/* Whether the IPv4 option applies; on an IPv6 socket it does for mapped IPv4. */
static bool ttl_is_ip4(const struct tcp_frozen *f)
{
    return f->family == 4 || is_mapped(f);
}

enum { SCOPE_AT = 4 };

static bool is_link_local(const uint8_t octets[16])
{
    return octets[0] == 0xfe && (octets[1] & 0xc0) == 0x80;
}

static void note_ip6(const struct sockaddr_in6 *from, uint8_t to[16])
{
    uint32_t scope = from->sin6_scope_id;

    memcpy(to, &from->sin6_addr, 16);
    if (is_link_local(to))
        memcpy(to + SCOPE_AT, &scope, sizeof scope);
}

/* Returns the scope, or 0. */
static uint32_t take_ip6(const uint8_t from[16], uint8_t to[16])
{
    uint32_t scope = 0;

    memcpy(to, from, 16);
    if (is_link_local(to)) {
        memcpy(&scope, from + SCOPE_AT, sizeof scope);
        memset(to + SCOPE_AT, 0, sizeof scope);
    }
    return scope;
}

typedef int name_call(int fd, struct sockaddr *sa, socklen_t *len);

/* Asks the kernel for one end. */
static int ask_end(name_call *name, int fd, uint8_t *family, uint8_t octets[16], uint16_t *port)
{
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } end = {.in.sin_port = 0};
    socklen_t len = sizeof end;

    if (name(fd, &end.any, &len) < 0)
        return -errno;
    *family = end.in.sin_family == AF_INET ? 4 : 6;
    *port = ntohs(end.in.sin_port); /* at the same place in both families */
    if (*family == 4)
        memcpy(octets, &end.in.sin_addr, 4);
    else
        note_ip6(&end.in6, octets);
    return 0;
}

static bool is_told(const struct tcp_job *job)
{
    return job->tcp->family == 4 && job->remote.family == ADDR_IP4;
}

/* A worker that was taken over could name the end of another connection, whose record this one
 * would replace, or any number of ends that do not exist. */
static int check_told(const struct tcp_job *job, struct sockaddr_in *peer, int got)
{
    socklen_t len = sizeof *peer;

    if (got != (int)len && getsockopt(job->fd, SOL_SOCKET, SO_PEERNAME, peer, &len) < 0)
        return -errno;
    return peer->sin_port == htons(job->remote.port) &&
                   memcmp(&peer->sin_addr, job->remote.octets, sizeof peer->sin_addr) == 0
               ? 0
               : -EPERM;
}

static int endpoints(const struct tcp_job *job)
{
    struct tcp_frozen *f = job->tcp;
    uint8_t family = 0;
    int r = ask_end(getsockname, job->fd, &family, f->local, &f->local_port);

    if (r < 0)
        return r;
    f->family = family;
    if (!is_told(job))
        return ask_end(getpeername, job->fd, &family, f->remote, &f->remote_port);
    memcpy(f->remote, job->remote.octets, 4);
    f->remote_port = job->remote.port;
    return 0;
}

static bool is_quiet(const struct tcp_info *info)
{
    return info->tcpi_state == 1 /* TCP_ESTABLISHED */ && info->tcpi_unacked == 0 &&
           info->tcpi_notsent_bytes == 0;
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
        f->mss += TIMESTAMP_OCTETS; /* the current segment size leaves room for it */
    }
}

static int read_state(int fd, struct tcp_frozen *f)
{
    struct tcp_info info = {0};
    int r;

    if ((r = get(fd, TCP_QUEUE_SEQ, &f->recv_seq, sizeof f->recv_seq)) < 0 ||
        (r = get(fd, TCP_REPAIR_WINDOW, f->window, sizeof f->window)) < 0 ||
        (r = get(fd, TCP_TIMESTAMP, &f->timestamp, sizeof f->timestamp)) < 0 ||
        (r = get(fd, TCP_INFO, &info, sizeof info)) < 0)
        return r;
    read_info(f, &info);
    return is_quiet(&info) ? 0 : -EAGAIN;
}

static void make_deaf(struct calls *c, struct tcp_job *job)
{
    if (ttl_is_ip4(job->tcp))
        calls_add_set(c, &job->result, job->fd, IPPROTO_IP, IP_MINTTL, &ttl_most, sizeof ttl_most);
    else
        calls_add_set(c, &job->result, job->fd, IPPROTO_IPV6, IPV6_MINHOPCOUNT, &ttl_most,
                      sizeof ttl_most);
    set_int(c, job, TCP_REPAIR, &repair_on);
    set_int(c, job, TCP_REPAIR_QUEUE, &send_queue);
}

void tcp_freeze(struct calls *c, struct tcp_job *job, size_t n)
{
    struct sockaddr_in peer[TCP_JOBS] = {0}; /* valgrind does not see that io_uring fills it */
    int got[TCP_JOBS] = {0};

    for (size_t i = 0; i < n; i++) {
        *job[i].tcp = (struct tcp_frozen){0};
        job[i].result = endpoints(&job[i]);
        if (job[i].result == 0)
            make_deaf(c, &job[i]);
        if (job[i].result == 0 && is_told(&job[i]))
            calls_add_get(c, &got[i], job[i].fd, SO_PEERNAME, &peer[i], sizeof peer[i]);
    }
    calls_make(c);
    for (size_t i = 0; i < n; i++) {
        if (job[i].result == 0 && is_told(&job[i]))
            job[i].result = check_told(&job[i], &peer[i], got[i]);
        if (job[i].result == 0)
            job[i].result = get(job[i].fd, TCP_QUEUE_SEQ, &job[i].tcp->send_seq, sizeof(uint32_t));
        if (job[i].result == 0)
            set_int(c, &job[i], TCP_REPAIR_QUEUE, &recv_queue);
    }
    calls_make(c);
    for (size_t i = 0; i < n; i++) {
        if (job[i].result == 0)
            job[i].result = read_state(job[i].fd, job[i].tcp);
        if (job[i].result < 0 && job[i].tcp->family)
            tcp_unfreeze(job[i].fd, job[i].tcp);
    }
}

void tcp_leave(struct calls *c, struct tcp_job *job, size_t n)
{
    int unread[TCP_JOBS] = {0}, closing[TCP_JOBS];
    size_t leaving = 0;

    for (size_t i = 0; i < n; i++)
        if (job[i].result == 0)
            calls_add_unread(c, &unread[i], job[i].fd);
    calls_make(c);
    for (size_t i = 0; i < n; i++) {
        if (unread[i] != 0) {
            job[i].result = unread[i] < 0 ? unread[i] : -EAGAIN;
            tcp_unfreeze(job[i].fd, job[i].tcp);
        } else if (job[i].result == 0) {
            closing[leaving++] = job[i].fd;
        }
    }
    calls_close_all(c, closing, leaving);
}

void tcp_unfreeze(int fd, const struct tcp_frozen *f)
{
    setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &repair_off, sizeof repair_off);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one); /* see tcp_thaw() */
    if (ttl_is_ip4(f))
        setsockopt(fd, IPPROTO_IP, IP_MINTTL, &ttl_any, sizeof ttl_any);
    else
        setsockopt(fd, IPPROTO_IPV6, IPV6_MINHOPCOUNT, &ttl_any, sizeof ttl_any);
}

/* Data of one connection that the calls refer to until they are made. */
struct thaw {
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } local, remote;
    socklen_t len;
    struct tcp_repair_opt option[4];
    uint32_t timestamp;
    int connected; /* the result of connect() and later calls, apart from that of bind() */
    int shared;    /* the result of SO_REUSEADDR; without it the connection goes on, too */
};

static void fill_ends(const struct tcp_frozen *f, struct thaw *t)
{
    in_port_t local = htons(f->local_port), remote = htons(f->remote_port);

    if (f->family == 4) {
        t->local.in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = local};
        t->remote.in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = remote};
        memcpy(&t->local.in.sin_addr, f->local, 4);
        memcpy(&t->remote.in.sin_addr, f->remote, 4);
        t->len = sizeof t->local.in;
    } else {
        t->local.in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = local};
        t->remote.in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = remote};
        t->local.in6.sin6_scope_id = take_ip6(f->local, t->local.in6.sin6_addr.s6_addr);
        t->remote.in6.sin6_scope_id = take_ip6(f->remote, t->remote.in6.sin6_addr.s6_addr);
        t->len = sizeof t->local.in6;
    }
}

static size_t fill_options(const struct tcp_frozen *f, struct tcp_repair_opt option[4])
{
    size_t n = 0;

    option[n++] = (struct tcp_repair_opt){OPTION_MSS, f->mss};
    if (f->options & TCP_HAS_SCALE)
        option[n++] =
            (struct tcp_repair_opt){OPTION_SCALE, f->send_scale | (uint32_t)f->recv_scale << 16};
    if (f->options & TCP_HAS_SACK)
        option[n++] = (struct tcp_repair_opt){OPTION_SACK, 0};
    if (f->options & TCP_HAS_TIMESTAMPS)
        option[n++] = (struct tcp_repair_opt){OPTION_TIMESTAMPS, 0};
    return n;
}

/* The time stamp after the time that has passed. Its lowest bit tells the kernel the unit: 0 is
 * ms. */
static uint32_t timestamp_after(uint32_t then, uint64_t slept_ms)
{
    return then + ((uint32_t)(then & 1 ? slept_ms * 1000 : slept_ms) & ~1u);
}

/* Adds all steps but the last one, the end of repair mode: an incomplete socket must never send
 * anything. */
static void restore(struct calls *c, struct tcp_job *job, struct thaw *t)
{
    const struct tcp_frozen *f = job->tcp;
    const int tcp = IPPROTO_TCP, fd = job->fd;

    fill_ends(f, t);
    t->connected = 0;
    set_int(c, job, TCP_REPAIR, &repair_on);
    set_int(c, job, TCP_REPAIR_QUEUE, &send_queue);
    calls_add_set(c, &job->result, fd, tcp, TCP_QUEUE_SEQ, &f->send_seq, sizeof f->send_seq);
    set_int(c, job, TCP_REPAIR_QUEUE, &recv_queue);
    calls_add_set(c, &job->result, fd, tcp, TCP_QUEUE_SEQ, &f->recv_seq, sizeof f->recv_seq);
    calls_add_bind(c, &job->result, fd, &t->local.any, t->len);
    calls_add_connect(c, &t->connected, fd, &t->remote.any, t->len);
    size_t len = fill_options(f, t->option) * sizeof *t->option;
    calls_add_set(c, &t->connected, fd, tcp, TCP_REPAIR_OPTIONS, t->option, (socklen_t)len);
    if (f->options & TCP_HAS_TIMESTAMPS) {
        t->timestamp = timestamp_after(f->timestamp, job->slept_ms);
        calls_add_set(c, &t->connected, fd, tcp, TCP_TIMESTAMP, &t->timestamp, sizeof t->timestamp);
    }
    calls_add_set(c, &t->connected, fd, tcp, TCP_REPAIR_WINDOW, f->window, sizeof f->window);
    calls_add_set(c, &t->connected, fd, tcp, TCP_NODELAY, &one, sizeof one);
}

/* If connect() has no address, bind() has succeeded: another connection has the same addresses and
 * ports. */
static void take_result(struct tcp_job *job, const struct thaw *t)
{
    if (job->result == 0)
        job->result = t->connected == -EADDRNOTAVAIL ? -EADDRINUSE : t->connected;
}

static void make_sockets(struct calls *c, struct tcp_job *job, size_t n)
{
    int made[TCP_JOBS] = {0};

    for (size_t i = 0; i < n; i++)
        calls_add_socket(c, &made[i], job[i].tcp->family == 4 ? AF_INET : AF_INET6,
                         SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC);
    calls_make(c);
    for (size_t i = 0; i < n; i++) {
        job[i].fd = made[i] < 0 ? -1 : made[i];
        job[i].result = made[i] < 0 ? made[i] : 0;
    }
}

void tcp_thaw(struct calls *c, struct tcp_job *job, size_t n)
{
    struct thaw thaw[TCP_JOBS];

    make_sockets(c, job, n);
    for (size_t i = 0; i < n; i++)
        if (job[i].result == 0)
            restore(c, &job[i], &thaw[i]);
    calls_make(c);
    for (size_t i = 0; i < n; i++) {
        take_result(&job[i], &thaw[i]);
        if (job[i].result != 0)
            continue;
        set_int(c, &job[i], TCP_REPAIR, &repair_off); /* no window probe: the client sees nothing */
        /* Other connections have this from their listener, and the end of repair mode takes it away.
         * Without it the kernel would keep the port for a minute after mired has closed this one, and
         * mired could not be started again meanwhile. */
        thaw[i].shared = 0;
        calls_add_set(c, &thaw[i].shared, job[i].fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    }
    calls_make(c);
    for (size_t i = 0; i < n; i++) {
        if (job[i].result == 0 || job[i].fd < 0)
            continue;
        close(job[i].fd); /* still in repair mode: silent */
        job[i].fd = -1;
    }
}

void tcp_ends(const struct tcp_frozen *f, struct addr *local, struct addr *remote)
{
    bool is_ip4 = f->family == 4 || is_mapped(f);
    size_t from = is_mapped(f) ? 12 : 0, n = is_ip4 ? 4 : 16;

    *local = (struct addr){.port = f->local_port, .family = is_ip4 ? ADDR_IP4 : ADDR_IP6};
    *remote = (struct addr){.port = f->remote_port, .family = local->family};
    if (n == 16) {
        (void)take_ip6(f->local, local->octets);
        (void)take_ip6(f->remote, remote->octets);
    } else {
        memcpy(local->octets, f->local + from, n);
        memcpy(remote->octets, f->remote + from, n);
    }
}

int tcp_repair_works(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int r = setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &repair_on, sizeof repair_on);
    r = r < 0 ? -errno : 0;
    close(fd);
    return r;
}
