/* A worker's proposals; see proposing.h. */
#include "worker/proposing.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "relay/partial_delivery.h"
#include "tarpit/ledger.h"
#include "tarpit/ledger_proposals.h"
#include "worker/worker.h"
#include "worker/worker_part.h"

enum { WAIT_MS = 100, NO_WAIT_MS = 1000 };

void proposing_flush(struct worker *w)
{
    const uint64_t ring = 1;

    if (w->params->proposals && proposals_must_wake(w->params->proposals))
        (void)!write(w->params->bell, &ring, sizeof ring);
}

static void change(void *arg, const struct partial_change *what)
{
    const struct worker *w = arg;

    proposals_write(w->params->proposals, &(struct proposal){.op = PROPOSE_ELSE,
                                                             .kind = what->of_backend,
                                                             .hash = what->key,
                                                             .label = what->flags,
                                                             .a = what->value,
                                                             .b = what->until});
}

/* A mixed answer is rare, and its sender may come back at once, to another worker. So this waits
 * until the keeper has done it: microseconds. If the keeper is away, no other answer waits for a
 * second. */
static void settle(void *arg)
{
    struct worker *w = arg;
    uint64_t begun = clock_mono_ms();

    proposing_flush(w);
    while (!proposals_are_done(w->params->proposals) && begun >= w->settle_from) {
        if (clock_mono_ms() > begun + WAIT_MS)
            w->settle_from = begun + WAIT_MS + NO_WAIT_MS;
        sched_yield();
    }
}

int proposing_open(struct worker *w)
{
    const struct worker_params *p = w->params;

    if (!p->proposals)
        return 0;
    int error = ledger_propose_to(p->ledger, p->proposals, p->turns);
    if (!error && partial_propose_to(p->partial, change, settle, w) < 0)
        log_warn("the memory of mixed answers cannot be protected from this process");
    return error;
}

void proposing_close(struct worker *w)
{
    if (!w->params->proposals)
        return;
    proposing_flush(w);
    proposals_attach(w->params->proposals, false);
}
