/* What a connection that comes back from the freezer may claim (docs/frozen.md). Its record was
 * written by a worker, perhaps an earlier one that had been taken over, and a record is kept for up to
 * a day. So it must claim nothing that a worker would have had to check: a record that does was not
 * written by mired, and its connection is closed. */
#ifndef MIRED_WORKER_THAW_H
#define MIRED_WORKER_THAW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/bytes.h"
#include "base/siphash.h"

struct conn;
struct worker;

/* A hash of a record and its client, with a key of this worker's own. It stays with the TLS state, so
 * under TLS a record comes back as it was or not at all. */
uint64_t thaw_seal(const struct sipkey *key, const struct addr *client, struct span record);

/* Whether the connection is this client's: it is the other end, or that is a balancer of the listener
 * (`proxy_protocol`), which has named it. */
bool thaw_is_client(const struct worker *w, int fd, uint16_t listener, const struct addr *client);

/* Whether a session without a seal has only what any stranger from its address could have: no login, no
 * TLS, not on this machine if its address is elsewhere, and no recipients in others' domains, but for
 * the networks in `relay`. */
bool thaw_is_strangers(const struct worker *w, const struct conn *c);

#endif
