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
#include <stdint.h>

#include "base/addr.h"

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
    uint8_t local[16], remote[16];    /* network order; IPv4 uses the first four octets */
};

enum tcp_option { TCP_HAS_SACK = 1, TCP_HAS_TIMESTAMPS = 2, TCP_HAS_SCALE = 4 };

/* Takes the connection apart into *f and leaves `fd` in repair mode, deaf: the caller notes *f
 * safely, then closes fd, which the client will not notice. 0; -EAGAIN: not quiet (something is
 * unread or unacknowledged, or the client has begun to close), fd is as it was; other -errno:
 * cannot be repaired, fd is as it was. */
int tcp_freeze(int fd, struct tcp_frozen *f);

/* Takes back a tcp_freeze() that went well: fd hears again and is as it was. */
void tcp_unfreeze(int fd, const struct tcp_frozen *f);

/* Makes a socket of *f that goes on where the other left off `slept_ms` ago. Returns the descriptor
 * (non-blocking, close-on-exec) or -errno; -EADDRINUSE: a newer connection has the same four
 * addresses and ports; -EADDRNOTAVAIL: this machine has not its local address (now). */
int tcp_thaw(const struct tcp_frozen *f, uint64_t slept_ms);

/* Both ends; IPv4-mapped is IPv4 here. */
void tcp_ends(const struct tcp_frozen *f, struct addr *local, struct addr *remote);

/* Whether this process may do any of it here: 0 or -errno. Tries it on a socket of its own. */
int tcp_repair_works(void);

#endif
