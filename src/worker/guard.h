/* The guard (R17): held connections never take the room of clients without debt.
 *
 * Keeps held connections in order of their clients' debt, and counts how many each client has in
 * this worker. The limits are this worker's share (struct worker: open_max, open_reserve_from,
 * held_max, held_per_client). Owns no connection; closes some to make room, by conn_shut(). */
#ifndef MIRED_WORKER_GUARD_H
#define MIRED_WORKER_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/ring.h"

struct conn;
struct tally;
struct worker;

enum { GUARD_LEVELS = 64 };

struct guard {
    struct ring level[GUARD_LEVELS]; /* by tarpit_depth(); the oldest hold first */
    uint64_t busy; /* a bit for each level with a connection in it; may be set for empty ones */
    uint32_t held;
    uint16_t *client; /* held connections by a hash of the client: 2^client_bits counters */
    unsigned client_bits;
};

/* False without memory. */
bool guard_open(struct guard *g);
void guard_close(struct guard *g);

/* Whether there is room for one more connection of this client; if not, it hears 421. The last
 * `reserve` of the connections is for clients without debt. When all are in use, the held
 * connection deepest in debt is closed, or another one (room_evict(), room_displace()). */
bool guard_admit(struct worker *w, const struct addr *peer, bool exempt);

/* The same for a connection from a balancer, whose client is not known yet. It closes no other one for
 * it but a held or silent one; for a few of them there is room beyond the limit. */
bool guard_admit_balancer(struct worker *w);

/* guard_admit() for the client of a balancer's connection, which is open and counted already. */
bool guard_admit_behind(struct worker *w, const struct addr *peer, bool exempt);

/* Adds a connection to the held ones. May close the one deepest in debt to make room. False: its
 * client already has `held_per_client`, or all other held clients have less debt. */
bool guard_hold(struct worker *w, struct conn *c);

/* Whether guard_hold() would take it without closing another, and the reserve is untouched. */
bool guard_has_room(struct worker *w, struct conn *c);

/* Moves a connection back to worker->awake. Each successful guard_hold() needs one call. */
void guard_release(struct worker *w, struct conn *c);

/* Makes more counters when more connections are held. Call it at the end of a turn, when no
 * connection is in a ring that guard_gather() has filled. */
void guard_grow(struct worker *w);

/* Moves the held connections of a network (NULL: all) into `to`, for a caller that ends their
 * holds. A connection that ends meanwhile leaves that ring like one of the guard's. */
void guard_gather(struct worker *w, const struct network *n, struct ring *to);

/* How many held connections a network has. Reads all held connections. */
uint32_t guard_count(const struct worker *w, const struct network *n);

/* Counts all that are held into the tally. */
void guard_tally(const struct worker *w, struct tally *t);

/* Closes the oldest held connection of those deepest in debt; if none is held, a connection of a
 * silent client (room_evict()). False: there is none to close. */
bool guard_evict(struct worker *w);

#endif
