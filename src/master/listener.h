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
    bool passed; /* by a service manager, which has it too: it is closed but never shut down */
};

struct listeners {
    struct listener *at;
    size_t count;
};

/* Binds the addresses of `config` that are not bound yet, and waits up to `patience_ms` for an
 * address that is in use. Returns 0; or -1 with sentences in *errors, and nothing has changed. */
int listeners_add(struct listeners *l, const struct config *config, uint64_t patience_ms,
                  struct buf *errors);

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
