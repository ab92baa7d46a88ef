/* What the store may still do once it serves (base/sandbox.h, SECURITY.md). */
#ifndef MIRED_STORE_CONFINE_H
#define MIRED_STORE_CONFINE_H

struct config;

/* Confines the process to its mailboxes, unless `sandbox` is off. The folder of all mailboxes (`mail`,
 * a descriptor) becomes its root directory. Call it once, after everything that the process keeps
 * open has been opened, and before it starts a thread. */
void store_confine(const struct config *config, int mail);

#endif
