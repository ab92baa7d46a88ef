/* A worker's proposals; see proposing.h. */
#include "worker/proposing.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "relay/partial_delivery.h"
#include "tarpit/ledger.h"
#include "tarpit/ledger_proposals.h"
#include "worker/worker.h"
#include "worker/worker_part.h"

enum { WAIT_MS = 250, SHORT_WAIT_MS = 2, NO_WAIT_MS = 2500, WITHDRAWALS_MAX = 1 << 16 };

/* Withdrawals that found no place in the ring. They wait here, because a record that stays would lose
 * the next message with the same octets. */
static void keep_for_later(struct worker *w, uint64_t key)
{
    struct withdrawals *d = &w->withdrawals;

    if (d->count == d->room) {
        uint32_t room = d->room ? 2 * d->room : 64;
        uint64_t *more = room <= WITHDRAWALS_MAX ? realloc(d->key, room * sizeof *more) : NULL;
        if (!more)
            return; /* turns_withdraw() has noted it for as long as the master runs */
        d->key = more;
        d->room = room;
    }
    d->key[d->count++] = key;
}

static void write_kept(struct worker *w)
{
    struct withdrawals *d = &w->withdrawals;

    while (d->count &&
           proposals_write(w->params->proposals,
                           &(struct proposal){.op = PROPOSE_ELSE, .hash = d->key[d->count - 1]}))
        d->count--;
}

static void wake_keeper(const struct worker *w)
{
    const uint64_t ring = 1;

    (void)!write(w->params->bell, &ring, sizeof ring);
}

void proposing_flush(struct worker *w)
{
    if (w->withdrawals.count)
        write_kept(w);
    if (w->params->proposals && proposals_must_wake(w->params->proposals))
        wake_keeper(w);
}

static void change(void *arg, const struct partial_change *what)
{
    struct worker *w = arg;
    const struct worker_params *p = w->params;

    bool written = proposals_write(p->proposals, &(struct proposal){.op = PROPOSE_ELSE,
                                                                    .kind = what->of_backend,
                                                                    .hash = what->key,
                                                                    .label = what->flags,
                                                                    .a = what->value,
                                                                    .b = what->until});
    if (what->until)
        return;
    turns_withdraw(p->turns, p->generation, p->proposals, what->key, !written);
    if (!written)
        keep_for_later(w, what->key);
}

static bool may_believe(void *arg, uint64_t key)
{
    const struct worker *w = arg;

    return turns_may_believe(w->params->turns, key);
}

/* A mixed answer is rare, and its sender may come back at once, to another worker. So this waits
 * until the keeper has done it: microseconds. If the keeper is away, other answers hardly wait for
 * 2.5 s, and the keeper is told that a record of this message would come too late. */
static void settle(void *arg)
{
    struct worker *w = arg;
    uint64_t begun = clock_mono_ms(), most = begun < w->settle_from ? SHORT_WAIT_MS : WAIT_MS;
    bool done;

    proposing_flush(w);
    while (!(done = proposals_are_done(w->params->proposals)) && clock_mono_ms() <= begun + most)
        sched_yield();
    if (done)
        return;
    if (most == WAIT_MS)
        w->settle_from = begun + WAIT_MS + NO_WAIT_MS;
    proposals_give_up(w->params->proposals);
}

int proposing_open(struct worker *w)
{
    const struct worker_params *p = w->params;

    if (!p->proposals)
        return 0;
    proposals_give_up(p->proposals); /* what a worker that died here had written */
    if (!proposals_are_done(p->proposals))
        wake_keeper(w); /* that worker may have died after it saw that the keeper sleeps */
    int error = ledger_propose_to(p->ledger, p->proposals, p->turns);
    if (!error && partial_propose_to(p->partial, change, settle, w) < 0)
        log_warn("the memory of mixed answers cannot be protected from this process");
    partial_believe_if(p->partial, may_believe);
    return error;
}

void proposing_close(struct worker *w)
{
    if (!w->params->proposals)
        return;
    proposing_flush(w);
    proposals_attach(w->params->proposals, false);
    free(w->withdrawals.key);
    w->withdrawals = (struct withdrawals){0};
}
