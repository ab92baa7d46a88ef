/* What the fleet process may still do once it serves (base/sandbox.h, SECURITY.md). */
#ifndef MIRED_FLEET_CONFINE_H
#define MIRED_FLEET_CONFINE_H

struct config;

/* Confines the process to connections to Redis, which may be at any port that a cluster names,
 * unless `sandbox` is off. Call it once, after everything that the process keeps open has been
 * opened. */
void fleet_confine(const struct config *config);

#endif
