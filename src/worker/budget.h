/* What one client and one network have of a worker's room: connections, handshakes, octets of
 * messages and of envelopes.
 *
 * A budget limits nobody while there is plenty of room. When half of what there is is taken, a
 * client may have an eighth of it and a network a quarter; a client that has more gets no more. So one
 * client never takes more than about half, and no sender that comes with less than an eighth ever
 * notices.
 *
 * Clients are counted by a keyed hash of their address, in tables of fixed size: a stranger shares
 * a client's counter with a chance of one in BUDGET_PLACES, and cannot choose whose. Pure, one
 * thread. */
#ifndef MIRED_WORKER_BUDGET_H
#define MIRED_WORKER_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/siphash.h"

enum budget_kind {
    BUDGET_CONNECTIONS, /* open */
    BUDGET_HANDSHAKES,  /* begun and not finished */
    BUDGET_SPOOL,       /* octets of messages */
    BUDGET_ENVELOPES,   /* octets of long envelopes */
    BUDGET_KINDS
};

enum { BUDGET_PLACES = 1 << 13, BUDGET_CLIENT_PART = 8, BUDGET_NETWORK_PART = 4 };

struct budget;

/* NULL without memory. `key` is secret. */
struct budget *budget_open(const struct sipkey *key);
void budget_close(struct budget *b);

/* How much there is. `least` is what a client may have whatever its part is: one message, say. */
void budget_limit(struct budget *b, enum budget_kind kind, uint64_t whole, uint64_t least);

/* Whether this client may have `amount` more, when `taken` of the whole is taken already (by all:
 * it may be known better than here). */
bool budget_allows(const struct budget *b, enum budget_kind kind, const struct addr *client,
                   uint64_t amount, uint64_t taken);

/* Counts; a negative amount gives back. */
void budget_count(struct budget *b, enum budget_kind kind, const struct addr *client,
                  int64_t amount);

/* What is counted for the client, and for all. */
uint64_t budget_of(const struct budget *b, enum budget_kind kind, const struct addr *client);
uint64_t budget_taken(const struct budget *b, enum budget_kind kind);

#endif
