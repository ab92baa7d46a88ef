/* The addresses of backends that are configured by name: one process fills the table, and all
 * processes that connect to backends read it.
 *
 * A clerk looks names up (lookers.h), because that blocks; workers never do. The one writer fills a
 * second copy of an entry and then makes it current. So readers get a consistent set of addresses,
 * and a process that dies leaves no lock. */
#ifndef MIRED_BACKEND_ADDRESSES_H
#define MIRED_BACKEND_ADDRESSES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/addr.h"

struct config;
struct config_backend;
struct addresses;

enum { ADDRESSES_EACH = 8 }; /* addresses of one name that are used */

/* Makes a table for the backends of `config`, shared with processes that are forked later. *out is
 * NULL if no backend has a name. Returns 0 or -errno. */
int addresses_open(struct addresses **out, const struct config *config);
void addresses_close(struct addresses *p);

/* Copies what an earlier table knows of the same names, so that mail need not wait for the first
 * look-up. For the process that has made both tables, before others have the new one. The clerk that
 * filled `earlier` may have been taken over: only addresses are copied. */
void addresses_inherit(struct addresses *p, const struct config *config,
                       const struct addresses *earlier, const struct config *before);

/* From now on this process can only read the table (base/shared.h): a worker that was taken over
 * cannot send the mail of others elsewhere. Returns 0 or -errno. */
int addresses_read_only(struct addresses *p);

/* Looks up the name of backend number `index`, blocking, for all backends that have it. A name that
 * is not found keeps its earlier addresses, and is logged once. Returns whether any address of it is
 * known. Thread-safe for different names. */
bool addresses_look_up(struct addresses *p, const struct config *config, size_t index);

/* The first backend that has the same name as backend number `index`, which has one. */
size_t addresses_first_of_name(const struct config *config, size_t index);

/* Finds the address of backend number `index`: the configured one, or of the addresses of its name
 * number `turn` (modulo their count). False if none is known yet. `p` may be NULL. */
bool addresses_find(const struct addresses *p, const struct config_backend *backend, size_t index,
                    unsigned turn, struct addr *addr);

#endif
