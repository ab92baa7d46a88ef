/* What a worker may still do once it serves (base/sandbox.h, SECURITY.md). */
#ifndef MIRED_WORKER_CONFINE_H
#define MIRED_WORKER_CONFINE_H

#include <stdbool.h>

struct config;

/* The key for whose sake workers of this configuration keep the machine's root directory, because
 * they open by path what it names: "allowance.file". NULL: there is none. `lists`: as below. */
const char *worker_needs_root(const struct config *config, bool lists);

/* Confines the process to its backends, the DNS and its spool, unless `sandbox` is off. Everything
 * else that a worker uses is open by now. `lists`: files of `suspect` are not whole yet and will be
 * read again; the file of allowances always is. `dns`: the worker asks the DNS, for which it may send
 * by UDP to any host. Unless worker_needs_root() the folder of the spool becomes the root directory:
 * files in it have no names, so it is empty. Returns what is in force (enum sandbox_force). Call it
 * once, before the first connection is accepted. */
unsigned worker_confine(const struct config *config, bool lists, bool dns);

#endif
