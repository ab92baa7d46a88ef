/* Names of sessions and messages for the log and the Received: line. Pure. */
#ifndef MIRED_WORKER_IDENT_H
#define MIRED_WORKER_IDENT_H

#include <stdint.h>

#include "base/addr.h"

enum { IDENT_SESSION = 10, IDENT_MAX = 24 };

/* "k3v9x2m7qf": computed from the client's address and the time at which the connection was opened,
 * so that it need not be stored, and is the same after a frozen hold. NUL-terminated; returns
 * `out`. */
const char *ident_session(const struct addr *peer, uint32_t opened_s, char out[IDENT_MAX]);

/* "k3v9x2m7qf-1c9a0k": the id of a message, whose hand-over began at `handed_us` (any clock). An
 * atom of RFC 5322. */
const char *ident_message(const struct addr *peer, uint32_t opened_s, uint64_t handed_us,
                          char out[IDENT_MAX]);

#endif
