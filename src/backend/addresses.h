/* The addresses of backends that are configured by name: one process fills the table, and all
 * processes that connect to backends read it.
 *
 * A clerk looks names up, because that blocks; workers never do. The one writer fills a second copy
 * of an entry and then makes it current. So readers get a consistent set of addresses, and a
 * process that dies leaves no lock. */
#ifndef MIRED_BACKEND_ADDRESSES_H
#define MIRED_BACKEND_ADDRESSES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/addr.h"

struct config;
struct config_backend;
struct addresses;

enum {
    ADDRESSES_EACH = 8, /* addresses of one name that are used */
    ADDRESSES_LOOK_UP_S = 60,
    ADDRESSES_AGAIN_S = 2, /* while a name cannot be looked up */
};

/* Makes a table for the backends of `config`, shared with processes that are forked later. *out is
 * NULL if no backend has a name. Returns 0 or -errno. */
int addresses_open(struct addresses **out, const struct config *config);
void addresses_close(struct addresses *p);

/* From now on this process can only read the table (base/shared.h): a worker that was taken over
 * cannot send the mail of others elsewhere. Returns 0 or -errno. */
int addresses_read_only(struct addresses *p);

/* Looks up all names, blocking. A name that is not found keeps its earlier addresses, and is logged
 * once. Returns how many names have no address at all. One caller at a time. */
size_t addresses_look_up(struct addresses *p, const struct config *config);

/* Finds the address of backend number `index`: the configured one, or of the addresses of its name
 * number `turn` (modulo their count). False if none is known yet. `p` may be NULL. */
bool addresses_find(const struct addresses *p, const struct config_backend *backend, size_t index,
                    unsigned turn, struct addr *addr);

#endif
