/* What the keeper may still do once it serves (base/sandbox.h, SECURITY.md). */
#ifndef MIRED_KEEPER_CONFINE_H
#define MIRED_KEEPER_CONFINE_H

struct config;

/* Confines the process to the memory and the channels that it has, unless `sandbox` is off. Its root
 * directory becomes the folder `empty` (a descriptor, or -1). */
void keeper_confine(const struct config *config, int empty);

#endif
