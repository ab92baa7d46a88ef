/* What is wrong with certificates that can be loaded. For `mired -t`, and at start. */
#ifndef MIRED_TLS_CHECK_H
#define MIRED_TLS_CHECK_H

#include <time.h>

#include "base/bytes.h"

struct config_tls;

/* Adds a line to *said for each certificate file that holds one which is expired or not yet valid,
 * and a line marked "warning:" for one that expires within a week. Returns how many lines are
 * without that mark. Files that cannot be read are tls_server_open()'s to tell. */
unsigned tls_check_dates(const struct config_tls *config, time_t now, struct buf *said);

#endif
