/* Checks the dates of certificates. For `mired -t`, and in the master at start and reload. */
#ifndef MIRED_TLS_CHECK_H
#define MIRED_TLS_CHECK_H

#include <time.h>

#include "base/bytes.h"

/* Adds a line to *said for each of `files` with a certificate that is expired or not yet valid, and
 * a line marked "warning:" for one that expires within a week. Each line begins with `place`.
 * Returns how many lines are without that mark. Ignores files that cannot be read:
 * tls_server_open() reports them. */
unsigned tls_check_dates(char *const files[], size_t count, const char *place, time_t now,
                         struct buf *said);

#endif
