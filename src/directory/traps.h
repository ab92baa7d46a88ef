/* The files of `traps` (R15): addresses that only harvesters know, one a line. Private to
 * src/directory. Runs in clerks. */
#ifndef MIRED_DIRECTORY_TRAPS_H
#define MIRED_DIRECTORY_TRAPS_H

#include <stdbool.h>

#include "base/bytes.h"

struct config;
struct traps;

/* Reads the files that `config->traps` names. `confirmed`: see list_file_open(). NULL without
 * memory. */
struct traps *traps_open(const struct config *config, bool confirmed);
void traps_close(struct traps *t);

/* Whether `address` (folded) is a trap. The time does not depend on the number of traps. If a file
 * cannot be read or has a wrong line, its earlier version counts, or no address of it is a trap. */
bool traps_have(struct traps *t, struct span address);

/* Checks the files for changes. */
void traps_look(struct traps *t);

#endif
