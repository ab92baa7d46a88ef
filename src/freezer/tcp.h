/* A TCP connection taken out of the kernel and put back (TCP_REPAIR; linux/net/ipv4/tcp.c, CRIU's
 * use of it).
 *
 * What is kept is what another kernel could not guess: addresses, sequence numbers, windows,
 * options and the time stamp. Closing a socket in repair mode sends nothing; connecting one in
 * repair mode sends nothing either and is established at once. Needs CAP_NET_ADMIN, and
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
    /* From here on: which connection it is. */
    uint8_t family; /* 4 or 6; IPv4 on an IPv6 socket is kept as it was: 6, mapped */
    uint16_t local_port, remote_port; /* host order */
    /* Network order; IPv4 uses the first four octets. A link-local IPv6 address is of one link
     * only: that link's index stands in its octets 4 to 7, which are 0 on the wire. */
    uint8_t local[16], remote[16];
};

enum tcp_option { TCP_HAS_SACK = 1, TCP_HAS_TIMESTAMPS = 2, TCP_HAS_SCALE = 4 };

/* A connection on its way out of the kernel, or back into it. */
struct tcp_job {
    int fd;     /* its socket; tcp_thaw() makes it */
    int result; /* 0 or -errno; the next step skips what has failed */
    struct tcp_frozen *tcp;
    uint64_t slept_ms; /* tcp_thaw(): since the freeze */
};

enum { TCP_JOBS = 32 }; /* at most, of one call of what follows */

/* Takes connections apart into *job->tcp and leaves their sockets in repair mode, deaf: the caller
 * notes *job->tcp safely, then calls tcp_leave(). Where a result is not 0 the socket is as it was;
 * -EAGAIN: not quiet (something is unacknowledged, or the client has begun to close). */
void tcp_freeze(struct calls *c, struct tcp_job *job, size_t n);

/* Closes the sockets of those frozen, which their clients will not notice. One that has octets
 * unread after all is as it was before the freeze, and its result is -EAGAIN: its *job->tcp must be
 * forgotten. */
void tcp_leave(struct calls *c, struct tcp_job *job, size_t n);

/* Takes back a tcp_freeze() that went well, instead of tcp_leave(): the socket hears again and is
 * as it was. */
void tcp_unfreeze(int fd, const struct tcp_frozen *f);

/* Makes sockets of *job->tcp that go on where the others left off. job->fd is the descriptor
 * (non-blocking, close-on-exec), or -1. -EADDRINUSE: a newer connection has the same four
 * addresses and ports; -EADDRNOTAVAIL: this machine has not its local address (now). */
void tcp_thaw(struct calls *c, struct tcp_job *job, size_t n);

/* Both ends; IPv4-mapped is IPv4 here. */
void tcp_ends(const struct tcp_frozen *f, struct addr *local, struct addr *remote);

/* Whether this process may do any of it here: 0 or -errno. Tries it on a socket of its own. */
int tcp_repair_works(void);

#endif
