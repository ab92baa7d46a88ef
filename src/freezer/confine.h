/* What the freezer may still do once it serves (base/sandbox.h, SECURITY.md). */
#ifndef MIRED_FREEZER_CONFINE_H
#define MIRED_FREEZER_CONFINE_H

struct config;

/* Confines the process to making sockets, and to the file `state`/frozen that is there by now,
 * unless `sandbox` is off. Call it once, after everything that the process keeps open has been
 * opened, and before it starts a thread. */
void freezer_confine(const struct config *config);

#endif
