/* Passes the decision about a verdict on RCPT or AUTH to the hold of the next reply.
 *
 * A verdict is booked when it is known (judge.h). The reply that tells it follows at once and must
 * not be judged a second time, whether it waits or not: CONN_HOLD_SET says that it is decided. */
#ifndef MIRED_WORKER_VERDICT_H
#define MIRED_WORKER_VERDICT_H

#include "tarpit/tarpit.h"

struct conn;

/* Decides the next reply: it waits hold.ms (0: it is sent at once). hold_reply() uses this up.
 * Without memory the wait is lost. */
void verdict_hold(struct conn *c, struct tarpit_hold hold);

/* The tarpit's permit says "masked" (R5, R7): counts that, and holds the masked reply. */
void verdict_masked(struct conn *c, const struct tarpit_permit *permit);

#endif
