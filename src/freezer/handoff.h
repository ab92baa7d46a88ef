/* Connections handed between workers and the freezer: descriptors with what belongs to each, in
 * batches.
 *
 * Each worker slot has one SOCK_SEQPACKET pair for it, kept by the master, so that items in flight
 * survive the death of either side. A worker that keeps part of a connection (its TLS state) gives
 * the freezer a return channel of its own for it, which ends with the worker. A packet is a header,
 * its items and their sessions' octets; the descriptors come as SCM_RIGHTS in the same order. The
 * freezer never reads from a descriptor. */
#ifndef MIRED_FREEZER_HANDOFF_H
#define MIRED_FREEZER_HANDOFF_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/bytes.h"

enum { HANDOFF_BATCH = 32, HANDOFF_OCTETS = 48 * 1024 };

enum handoff_kind {
    HANDOFF_HOLD, /* a connection */
    HANDOFF_WAY,  /* to the freezer: a socket of the worker's own on which to give back */
};

struct handoff_item {
    enum handoff_kind kind;
    int fd;
    uint32_t way;        /* HANDOFF_WAY: its name; HANDOFF_HOLD: goes back on this one only, 0: to
                            whichever worker has the slot */
    uint64_t due_ms;     /* wall: when the held reply is due */
    struct span session; /* the worker's own record */
    /* To the freezer: `remote` is the client's address if it is behind a load balancer. To workers:
     * the connection's two addresses, so that they need not ask the kernel, and again the client's
     * address. Else ADDR_NONE. */
    struct addr local, remote;
};

struct handoff {
    uint32_t count;
    struct handoff_item item[HANDOFF_BATCH];
    uint32_t used;               /* octets of the sessions */
    char octets[HANDOFF_OCTETS]; /* which they stand in */
};

/* Shared by master, freezer and workers: a few words in one mapping. */
struct freezer_shared {
    _Atomic uint32_t waiting; /* another freezer waits for this one's end: the rule stays */
    _Atomic uint32_t working; /* the freezer runs and can do its work */
    _Atomic uint32_t slots;   /* worker slots that take thawed connections */
};

/* Adds an item (it is copied, its session too; the descriptor stays the caller's). 0, or -ENOSPC:
 * send first. */
int handoff_add(struct handoff *h, const struct handoff_item *item);

/* Sends all items; 0 and the batch is empty (the descriptors stay the caller's: it closes its own),
 * or -errno and it is as it was (-EAGAIN: the other side has too much to do). */
int handoff_send(int sock, struct handoff *h);

/* Reads one packet into *h: 1 (the descriptors are the caller's), 0 at the end, -EAGAIN, or
 * -EBADMSG (skipped, its descriptors closed). */
int handoff_read(int sock, struct handoff *h);

#endif
