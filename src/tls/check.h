/* Checks the dates of certificates that can be loaded. For `mired -t`, and at start. */
#ifndef MIRED_TLS_CHECK_H
#define MIRED_TLS_CHECK_H

#include <time.h>

#include "base/bytes.h"

/* Adds a line to *said for each of `files` that holds a certificate which is expired or not yet
 * valid, and a line marked "warning:" for one that expires within a week. Each line begins with
 * `place`. Returns how many lines are without that mark. Files that cannot be read are
 * tls_server_open()'s to tell. */
unsigned tls_check_dates(char *const files[], size_t count, const char *place, time_t now,
                         struct buf *said);

#endif
