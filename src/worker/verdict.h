/* The decision on the reply that comes next: what a verdict on RCPT or AUTH hands to the hold.
 *
 * A verdict is booked when it is known (judge.h). The reply that tells it follows at once and must
 * not be judged a second time, whether it waits or not: CONN_HOLD_SET says that it is decided. */
#ifndef MIRED_WORKER_VERDICT_H
#define MIRED_WORKER_VERDICT_H

#include "tarpit/tarpit.h"

struct conn;

/* The next reply is decided and waits hold.ms (0: it goes out at once). hold_reply() takes this
 * off again. Without memory a wait is lost. */
void verdict_hold(struct conn *c, struct tarpit_hold hold);

/* The tarpit gave no permit to look (R5, R7): counts that, and holds the masked reply. */
void verdict_masked(struct conn *c, const struct tarpit_permit *permit);

#endif
