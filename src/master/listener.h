/* The listening sockets: one for each listen address and worker slot, kept by the master so that no
 * accept queue dies with a worker. */
#ifndef MIRED_MASTER_LISTENER_H
#define MIRED_MASTER_LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/bytes.h"

struct config;

struct listener {
    struct addr addr;
    uint32_t slot;
    int fd;
    uint32_t
        since;   /* id of the first generation whose workers have had this socket; 0: not known */
    bool passed; /* by a service manager, which has it too: it is closed but never shut down */
    bool waits;  /* it is bound, and does not listen before listeners_listen() */
};

struct listeners {
    struct listener *at;
    size_t count;
    /* An epoll set that becomes readable when a socket does not listen any more; 0: none yet.
     * listeners_heed() makes it. */
    int lost;
};

/* Binds the addresses of `config` that are not bound yet, for the workers of `generation`, and waits
 * up to `patience_ms` for an address that is in use. Further sockets of an address that is served
 * already do not listen yet: the kernel would give them clients, which no worker greets before the
 * generation serves. Returns 0; or -1 with sentences in *errors, and nothing has changed. */
int listeners_add(struct listeners *l, const struct config *config, uint32_t generation,
                  uint64_t patience_ms, struct buf *errors);

/* Lets all of them listen: their workers are about to serve. Returns 0; or -1 with sentences in
 * *errors, and listeners_cut() closes those that wait. */
int listeners_listen(struct listeners *l, struct buf *errors);

/* From now on l->lost becomes readable for all that listen. */
void listeners_heed(struct listeners *l);

/* Whether somebody has ended the listening of this socket. */
bool listener_is_lost(const struct listener *l);

/* Replaces a socket that does not listen any more: binds another one for its address, or makes the
 * same one listen again, if it was passed or the address cannot be bound. Clients in its queue are
 * lost. Returns 0 if *l has another descriptor, 1 if it has the same one, or -errno: nobody listens
 * there. */
int listeners_mend(struct listeners *l, struct listener *one);

/* Closes the last sockets until `count` are left: undoes listeners_add(). */
void listeners_cut(struct listeners *l, size_t count);

/* Closes the sockets of addresses that `config` does not have: clients are refused from now on,
 * even if other processes still have the descriptor. Passed sockets are only closed, so their
 * clients queue. */
void listeners_drop(struct listeners *l, const struct config *config);

/* Closes all sockets: clients are refused from now on (those of passed sockets queue). */
void listeners_close(struct listeners *l);

/* Sockets for the address, in order of their slots: writes up to `max` indices into l->at and
 * returns how many there are. */
size_t listeners_find(const struct listeners *l, const struct addr *addr, size_t *found,
                      size_t max);

/* Same address and port. */
bool listener_is(const struct listener *l, const struct addr *addr);

#endif
