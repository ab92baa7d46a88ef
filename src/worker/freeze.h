/* Holds to the freezer and back (R18, docs/frozen.md).
 *
 * A hold goes with the turn's batch; its descriptor is closed here once the freezer has it. Any
 * worker of the slot takes it back when its reply is due; under TLS only the one that keeps its TLS
 * state (tls_stash.h). */
#ifndef MIRED_WORKER_FREEZE_H
#define MIRED_WORKER_FREEZE_H

#include <stdbool.h>

struct conn;
struct worker;

/* 0 or -errno; 0 too when there is no freezer. */
int freeze_open(struct worker *w);
/* Sends the batch, and takes no more back. */
void freeze_close(struct worker *w);

/* Whether a hold of this connection (c->hold_ms) is worth freezing: there is a freezer, the worker
 * does not stop, and the hold lasts 500 ms longer than `freeze_after`. */
bool freeze_may(const struct worker *w, const struct conn *c);

/* Hands a held connection to the freezer. True: it goes with this turn's batch, and the connection
 * is freed here. False: the freezer does not work, or the connection has input, output or TLS
 * records that need its socket; it is as it was. */
bool freeze_try(struct worker *w, struct conn *c);

/* Sends the batch; called at the end of each turn. Connections that the freezer does not take are
 * held here again. */
void freeze_flush(struct worker *w);

/* Begins to take connections back. 0 or -errno. */
int freeze_start_taking(struct worker *w);
/* Takes no more back: another worker has the slot, or soon will. */
void freeze_stop_taking(struct worker *w);

#endif
