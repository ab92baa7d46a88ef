/* What a worker may still do once it serves (base/sandbox.h, SECURITY.md). */
#ifndef MIRED_WORKER_CONFINE_H
#define MIRED_WORKER_CONFINE_H

#include <stdbool.h>

struct config;

/* Confines the process to its backends, the DNS and its spool, unless `sandbox` is off. Everything
 * else that a worker uses is open by now. `lists`: files of `suspect` are not whole yet and will be
 * read again; the file of allowances always is. Call it once, before the first connection is accepted. */
void worker_confine(const struct config *config, bool lists);

#endif
