/* Room for every client: limits what one client may use of a worker (budget.h), and decides which
 * connection is closed when room runs short (field notes 26). Exempt and logged-in clients are
 * counted but never limited. Refusals are temporary: 421 to a connection, 452 to a recipient or a
 * message. */
#ifndef MIRED_WORKER_ROOM_H
#define MIRED_WORKER_ROOM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"

struct conn;
struct worker;

/* False without memory, or without random octets for the key. */
bool room_open(struct worker *w);
void room_close(struct worker *w);

/* Whether the connection is counted but not limited: exempt or logged in. */
bool room_is_free(const struct conn *c);

/* Whether this client may have one more connection. */
bool room_for_connection(const struct worker *w, const struct addr *peer);

/* Counts a new connection of c->peer (`by` is 1) or one that ended (-1). */
void room_count(struct worker *w, const struct conn *c, int by);

/* Closes a connection whose client has been silent for 10 s or more; false if there is none. Do not
 * call it during conn_run() (CONN_RUNNING), because it could close that connection. */
bool room_evict(struct worker *w);

/* For one more connection of `peer` where all are in use, nobody is held and nobody silent: closes one
 * whose client is there and takes its time, however little that is, if it has less claim to its place
 * than the newcomer. A client that has delivered good mail (`proven`) takes the place of one that has
 * not; among equals, the place of a client, or one of a network, that has many more. False: there is
 * none. Do not call it during conn_run(). */
bool room_displace(struct worker *w, const struct addr *peer, bool proven);

/* Whether the message of this connection may have `octets` more. */
bool room_for_octets(struct worker *w, struct conn *c, uint64_t octets);

/* Counts octets of a message; negative when they are given back. */
void room_count_octets(struct worker *w, const struct conn *c, int64_t octets);

/* Call it at the end of a turn: if the spool is short of room, closes a connection whose client has
 * stopped in the middle of its message. */
void room_look_after(struct worker *w);

/* Counts the envelope of this connection, which has `octets` now. */
void room_count_envelope(struct worker *w, struct conn *c, uint32_t octets);

/* Whether the envelope may take one more recipient. */
bool room_for_recipient(struct worker *w, const struct conn *c);

#endif
