/* Passes the decision about a reply from the verdict to the hold (verdict.h). */
#include "worker/verdict.h"
#include "worker/journal.h"

#include "base/metrics.h"
#include "worker/conn.h"
#include "worker/worker_part.h"

void verdict_hold(struct conn *c, struct tarpit_hold hold)
{
    c->flags |= CONN_HOLD_SET;
    if (hold.ms ? conn_work(c) != NULL : c->work != NULL)
        c->work->hold = hold;
}

void verdict_masked(struct conn *c, const struct tarpit_permit *permit)
{
    journal_step(c, "masks the verdict", "%s; nothing is looked up",
                 permit->shielded ? "the client is on the shield (R7)"
                                  : "its turn is too far away (R5)");
    metric_add(permit->shielded ? METRIC_VERDICT_SHIELD : METRIC_VERDICT_MASKED, 1);
    verdict_hold(c, permit->hold);
}
