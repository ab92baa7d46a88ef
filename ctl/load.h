/* `mirectl ledger load`: lines of JSON, as `ledger dump` writes them, into the ledger. */
#ifndef MIRED_CTL_LOAD_H
#define MIRED_CTL_LOAD_H

#include "options.h"

/* "-": standard input. Good lines are taken in, wrong ones named by their numbers; 1 when there
 * were any. Loading the same file again changes nothing (mired merges, src/control/dump.c), so a file
 * may be mended and loaded again. An exit status. */
int load_file(const struct options *o, const char *path);

#endif
