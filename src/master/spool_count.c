/* Counts again what all workers have in their spools.
 *
 * Workers add to one shared count and subtract from it (relay/spool.h). A worker that is killed takes
 * nothing back, and one that was taken over can write anything there: from then on the spool would be
 * full, and all mail deferred, until mired is started again. So each worker also says what it has
 * itself (METRIC_SPOOL), and the master makes the sum of that the count: when a worker has ended, and
 * with each heartbeat. */
#include "master/master.h"

enum { TRIES = 100 };

/* What all workers say together. False: one of an earlier program may not say it. */
static bool sum_up(const struct master *m, uint64_t *sum)
{
    *sum = 0;
    for (const struct child *c = m->children; c; c = c->next) {
        const struct metrics_row *row =
            c->role == ROLE_WORKER && c->pid ? runtime_row(&m->runtime, c->row) : NULL;
        if (c->role == ROLE_WORKER && !c->generation->config)
            return false;
        if (row)
            *sum += atomic_load(&row->value[METRIC_SPOOL]);
    }
    return true;
}

/* If workers change the count meanwhile, again and again, the next heartbeat tries it. */
void spool_count_again(struct master *m)
{
    for (int i = 0; m->runtime.shared && i < TRIES; i++) {
        _Atomic uint64_t *used = &m->runtime.shared->spool_used;
        uint64_t before = atomic_load(used), sum;
        if (!sum_up(m, &sum) || atomic_compare_exchange_strong(used, &before, sum))
            return;
    }
}
