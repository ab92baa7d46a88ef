/* `mired -t`: errors that reading the configuration alone does not find. */
#ifndef MIRED_MASTER_CHECK_H
#define MIRED_MASTER_CHECK_H

#include <stdbool.h>

#include "base/bytes.h"

struct config;

/* Looks at the user, the certificates and, unless `quick`, at every line of every file that the
 * configuration names, with the rights of the user that will read them. Adds a line for each
 * mistake to *said, and lines marked "warning:" for what works and is probably a mistake. Changes
 * nothing. Returns the number of lines without that mark. */
unsigned check_all(const struct config *config, bool quick, struct buf *said);

/* Only what would make a new generation refuse a file of recipients, passwords, traps or suspects
 * as a whole: the reload fails. */
unsigned check_lists(const struct config *config, struct buf *said);

#endif
