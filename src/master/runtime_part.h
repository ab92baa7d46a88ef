/* Private to runtime*.c. */
#ifndef MIRED_MASTER_RUNTIME_PART_H
#define MIRED_MASTER_RUNTIME_PART_H

#include "base/bytes.h"
#include "master/runtime.h"

/* Adds "WHAT WHERE: " and the text of `error` (-errno) as a line. Returns -1. */
int runtime_wrong(struct buf *errors, const char *what, const char *where, int error);

/* ---- runtime_sockets.c ---- */

/* Opens those that were not inherited. 0; or -1 with messages. In the folder `run`, as its owner. */
int runtime_open_sockets(struct runtime *h, struct buf *errors);

/* Removes them from the folder `run`. */
void runtime_remove_sockets(const struct runtime *h);

#endif
