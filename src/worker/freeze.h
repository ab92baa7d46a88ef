/* Moves holds to the freezer and back (R18, docs/frozen.md).
 *
 * A hold is sent with the batch of this turn; its descriptor is closed here when the freezer has
 * it. Any worker of the slot takes it back when its reply is due; with TLS only the worker that
 * keeps its TLS state (tls_stash.h). A connection that comes back needs room like a new one; if
 * there is none, it hears its reply, if that is due, and 421. */
#ifndef MIRED_WORKER_FREEZE_H
#define MIRED_WORKER_FREEZE_H

#include <stdbool.h>

struct conn;
struct network;
struct worker;

/* Returns 0 or -errno; 0 also if there is no freezer. */
int freeze_open(struct worker *w);
/* Sends the batch, and takes back no more connections. */
void freeze_close(struct worker *w);

/* Whether a hold of this connection (c->hold_ms) is worth freezing: there is a freezer, the worker
 * does not stop, and the hold lasts 500 ms longer than `freeze_after`. */
bool freeze_may(const struct worker *w, const struct conn *c);

/* Gives a held connection to the freezer. True: it is in the batch of this turn, and the connection
 * is freed here. False: the freezer does not work, or the connection has input, output or TLS
 * records that need its socket; nothing has changed. */
bool freeze_try(struct worker *w, struct conn *c);

/* Whether the batch has something that freeze_flush() will send or take back. */
bool freeze_is_sending(const struct worker *w);

/* Sends the batch; called at the end of each turn. Connections that the freezer does not take are
 * held here again, if they would be let in now (guard_admit()). */
void freeze_flush(struct worker *w);

/* These clients are released: what is on its way back to this worker is answered when it arrives
 * (freezer/released.h). */
void freeze_released(struct worker *w, const struct network *n);

/* Begins to take connections back. 0 or -errno. */
int freeze_start_taking(struct worker *w);
/* Takes back no more, because another worker has the slot or will have it soon. */
void freeze_stop_taking(struct worker *w);

#endif
