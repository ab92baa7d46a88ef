/* Counts what each client and each network uses of a worker: connections, handshakes, octets of
 * messages and of envelopes.
 *
 * While less than half of a resource is in use, there is no limit. Beyond that, a client may have
 * an eighth of the whole and a network a quarter; a client that has more gets no more. So one
 * client never uses more than about half, and a sender that needs less than an eighth is never
 * limited.
 *
 * Counters are selected by a keyed hash of the address, in tables of fixed size. A stranger shares
 * a client's counter with a probability of one in BUDGET_PLACES, and cannot choose which. Pure, not
 * thread-safe. */
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

/* Sets how much there is of a resource. `least` is what each client may have in any case, such as
 * one message. */
void budget_limit(struct budget *b, enum budget_kind kind, uint64_t whole, uint64_t least);

/* Whether this client may have `amount` more while `taken` of the whole is in use. The caller
 * passes `taken`, because it may know the use of other workers too. */
bool budget_allows(const struct budget *b, enum budget_kind kind, const struct addr *client,
                   uint64_t amount, uint64_t taken);

/* Counts `amount` for the client; a negative amount gives back. */
void budget_count(struct budget *b, enum budget_kind kind, const struct addr *client,
                  int64_t amount);

/* Which counter the client's is, of BUDGET_PLACES: clients with the same one have the same
 * budget_of(). */
uint32_t budget_place(const struct budget *b, const struct addr *client);

/* The amount of the client; how much of its parts it uses, which is that amount or half of its
 * network's, whichever is more; and the amount of all clients. */
uint64_t budget_of(const struct budget *b, enum budget_kind kind, const struct addr *client);
uint64_t budget_share(const struct budget *b, enum budget_kind kind, const struct addr *client);
uint64_t budget_taken(const struct budget *b, enum budget_kind kind);

#endif
