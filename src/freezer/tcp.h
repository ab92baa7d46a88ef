/* Takes TCP connections out of the kernel and puts them back (TCP_REPAIR, as CRIU uses it;
 * linux/net/ipv4/tcp.c). All functions run in the freezer; `c` collects their system calls
 * (calls.h).
 *
 * The kept state is what the kernel needs to continue the connection: addresses, sequence numbers,
 * windows, options and the time stamp. Closing a socket in repair mode sends nothing. Connecting
 * one in repair mode sends nothing either, and it is established at once. Needs CAP_NET_ADMIN, and
 * CAP_NET_BIND_SERVICE for ports below 1024. */
#ifndef MIRED_FREEZER_TCP_H
#define MIRED_FREEZER_TCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "freezer/calls.h"

struct tcp_frozen {
    uint32_t window[5]; /* struct tcp_repair_window */
    uint32_t send_seq, recv_seq;
    uint32_t timestamp; /* ours at the freeze; see tcp_thaw() */
    uint16_t mss;
    uint8_t send_scale, recv_scale; /* window scaling, shifts */
    uint8_t options;                /* enum tcp_option */
    /* The fields from here on identify the connection. */
    uint8_t family; /* 4 or 6; IPv4 on an IPv6 socket is kept as it was: 6, mapped */
    uint16_t local_port, remote_port; /* host order */
    /* Network order; IPv4 uses the first four octets. A link-local IPv6 address is valid on one
     * link only: octets 4 to 7, which are 0 on the wire, have the index of that link. */
    uint8_t local[16], remote[16];
};

enum tcp_option { TCP_HAS_SACK = 1, TCP_HAS_TIMESTAMPS = 2, TCP_HAS_SCALE = 4 };

/* One connection that is being frozen or thawed. */
struct tcp_job {
    int fd;     /* its socket; tcp_thaw() opens it */
    int result; /* 0 or -errno; later steps skip jobs that have failed */
    struct tcp_frozen *tcp;
    uint64_t slept_ms; /* tcp_thaw(): since the freeze */
    /* tcp_freeze(): the other end if the caller was told it, else ADDR_NONE. To check it costs less
     * than to ask for it, because the ring does it with other calls; -EPERM if it is wrong. It
     * counts for IPv4 sockets only: the IPv6 address of a peer may name a link. */
    struct addr remote;
};

enum { TCP_JOBS = 32 }; /* the most jobs in one call of the functions below */

/* Reads the state of connections into *job->tcp, and leaves their sockets in repair mode, where
 * they ignore incoming segments. The caller stores *job->tcp safely and then calls tcp_leave(). If
 * a result is not 0, its socket is unchanged; -EAGAIN: octets are unacknowledged, or the client has
 * begun to close. */
void tcp_freeze(struct calls *c, struct tcp_job *job, size_t n);

/* Closes the sockets of frozen connections, without sending anything. If a socket has unread octets
 * after all, it is as before the freeze and its result is -EAGAIN: the caller must forget its
 * *job->tcp. */
void tcp_leave(struct calls *c, struct tcp_job *job, size_t n);

/* Undoes a successful tcp_freeze(), instead of tcp_leave(): the socket is as before. */
void tcp_unfreeze(int fd, const struct tcp_frozen *f);

/* Makes sockets from *job->tcp that continue the connections. job->fd is the descriptor
 * (non-blocking, close-on-exec), which the caller owns, or -1. -EADDRINUSE: a newer connection has
 * the same addresses and ports; -EADDRNOTAVAIL: this machine does not have the local address
 * (now). */
void tcp_thaw(struct calls *c, struct tcp_job *job, size_t n);

/* The addresses of both ends; IPv4-mapped ones become IPv4. */
void tcp_ends(const struct tcp_frozen *f, struct addr *local, struct addr *remote);

/* Tries on a socket of its own whether this process can freeze connections here. Returns 0 or
 * -errno. */
int tcp_repair_works(void);

#endif
