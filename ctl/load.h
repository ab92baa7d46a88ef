/* `mirectl ledger load`: lines of JSON, as `ledger dump` writes them, into the ledger. */
#ifndef MIRED_CTL_LOAD_H
#define MIRED_CTL_LOAD_H

#include "options.h"

/* Loads a file ("-": standard input). Good lines are loaded, wrong ones are named by their numbers.
 * Loading the same file again changes nothing (mired merges, src/control/dump.c), so a file may be
 * corrected and loaded again. Returns an exit status: 1 if there were wrong lines. */
int load_file(const struct options *o, const char *path);

#endif
