/* Room for every client: what one client may take of a worker (budget.h), and which connection
 * makes room when it runs short (field notes 26). Exempt and authenticated clients are counted and
 * never limited. Refusals are temporary: 421 to a connection, 452 to a recipient or a message. */
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

/* Whether this client may have one more connection. */
bool room_for_connection(const struct worker *w, const struct addr *peer);

/* A connection of c->peer has come (by 1) or gone (by -1). */
void room_count(struct worker *w, const struct conn *c, int by);

/* Closes a connection whose client has been silent for 10 s or more; false when there is none. Not
 * while a connection is at work (CONN_RUNNING): it could be that one. */
bool room_evict(struct worker *w);

/* Whether the message of this connection may have so many octets more. */
bool room_for_octets(struct worker *w, struct conn *c, uint64_t octets);

/* Octets of a message have come, or (negative) have been given back. */
void room_count_octets(struct worker *w, const struct conn *c, int64_t octets);

/* At the end of a turn: when the spool is short of room, closes one client that stopped in the
 * middle of its message. */
void room_look_after(struct worker *w);

/* The envelope of this connection has so many octets now. */
void room_count_envelope(struct worker *w, struct conn *c, uint32_t octets);

/* Whether the envelope may take one more recipient. */
bool room_for_recipient(struct worker *w, const struct conn *c);

#endif
