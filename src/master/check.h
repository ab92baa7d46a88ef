/* `mired -t`: finds errors that reading the configuration alone does not find. */
#ifndef MIRED_MASTER_CHECK_H
#define MIRED_MASTER_CHECK_H

#include <stdbool.h>

#include "base/bytes.h"

struct config;
struct generation;

/* Checks the user, the certificates and, unless `quick`, every line of every file that the
 * configuration names, with the rights of the user that will read them. Adds a line for each
 * mistake to *said, and lines marked "warning:" for things that work but are probably mistakes.
 * Changes nothing. Returns the number of lines without that mark. */
unsigned check_all(const struct config *config, bool quick, struct buf *said);

/* Checks only whether a new generation would reject a file of recipients, passwords, traps or
 * suspects as a whole; the reload then fails. `before` is the generation that it replaces: its clerks
 * know how many logins a file of passwords had, and no clerk of the new one does. NULL: files may be
 * shorter than before. */
unsigned check_lists(const struct config *config, const struct generation *before,
                     struct buf *said);

#endif
