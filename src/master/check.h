/* `mired -t`: what reading the configuration alone does not show. */
#ifndef MIRED_MASTER_CHECK_H
#define MIRED_MASTER_CHECK_H

#include <stdbool.h>

#include "base/bytes.h"

struct config;

/* Looks at the user, the certificates and, unless `quick`, at every line of every file that the
 * configuration names, as the user who will read them. Adds a line for each mistake to *said, and
 * lines marked "warning:" for what works and is probably not meant. Changes nothing. Returns how
 * many lines are without that mark. */
unsigned check_all(const struct config *config, bool quick, struct buf *said);

/* Only what would make a new generation refuse a file of recipients, passwords, traps or suspects
 * as a whole: the reload fails. */
unsigned check_lists(const struct config *config, struct buf *said);

#endif
