/* Passes connections between workers and the freezer: descriptors, with the data that belongs to
 * each, in batches.
 *
 * The master keeps one SOCK_SEQPACKET pair for each worker slot, so that items in flight survive
 * the death of either side. A worker that keeps part of a connection (its TLS state) gives the
 * freezer a return channel of its own, which ends with the worker. A packet has a header, the items
 * and the octets of their sessions; the descriptors are sent as SCM_RIGHTS in the same order. The
 * freezer never reads from a descriptor. */
#ifndef MIRED_FREEZER_HANDOFF_H
#define MIRED_FREEZER_HANDOFF_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/bytes.h"

enum { HANDOFF_BATCH = 32, HANDOFF_OCTETS = 48 * 1024 };

enum handoff_kind {
    HANDOFF_HOLD,    /* a connection */
    HANDOFF_CHANNEL, /* to the freezer: a return channel of the worker's own */
};

struct handoff_item {
    enum handoff_kind kind;
    int fd;
    uint32_t
        way; /* HANDOFF_CHANNEL: its name; HANDOFF_HOLD: the only return channel to use, 0: any */
    uint64_t due_ms;     /* wall: when the held reply is due */
    struct span session; /* the worker's own record */
    /* To the freezer: `remote` is the client's address. `direct`: the client is the other end of
     * the connection, so the freezer need only check that; otherwise the client is behind
     * a balancer. To workers: the connection's two addresses, or the client's; `direct`: the freezer
     * has them from the connection itself. Otherwise ADDR_NONE. */
    struct addr local, remote;
    bool direct;
};

struct handoff {
    uint32_t count;
    struct handoff_item item[HANDOFF_BATCH];
    uint32_t used;               /* octets of the sessions */
    char octets[HANDOFF_OCTETS]; /* of the sessions */
};

/* Shared by master, freezer and workers: a few words in one mapping. */
struct freezer_shared {
    /* Set by the master before it stops a freezer: how many others go on. They need the rule. */
    _Atomic uint32_t waiting;
    _Atomic uint32_t working; /* the process id of the freezer that has the table and works, or 0 */
    _Atomic uint32_t slots;   /* worker slots that take thawed connections */
};

/* Adds a copy of an item and of its session; the caller keeps the descriptor. Returns 0, or
 * -ENOSPC: send first. */
int handoff_add(struct handoff *h, const struct handoff_item *item);

/* Sends all items. Returns 0, and the batch is empty (the caller keeps its descriptors and closes
 * them); or -errno, and the batch is unchanged (-EAGAIN: the other side is overloaded). */
int handoff_send(int sock, struct handoff *h);

/* Reads one packet into *h. Returns 1 (the caller owns the descriptors), 0 at the end, -EAGAIN, or
 * -EBADMSG (skipped, and its descriptors closed). */
int handoff_read(int sock, struct handoff *h);

#endif
