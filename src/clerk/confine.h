/* What a clerk may still do once it serves (base/sandbox.h, SECURITY.md). */
#ifndef MIRED_CLERK_CONFINE_H
#define MIRED_CLERK_CONFINE_H

struct config;

/* Confines the process to its directories and verifiers, and the files that the configuration
 * names, unless `sandbox` is off. Call it once, after everything that the process keeps open has
 * been opened, and before it starts a thread. */
void clerk_confine(const struct config *config);

#endif
