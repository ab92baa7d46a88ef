/* What a worker changes in the ledger and in the memory of mixed answers goes to the keeper as
 * proposals (tarpit/ledger_proposals.h). */
#ifndef MIRED_WORKER_PROPOSING_H
#define MIRED_WORKER_PROPOSING_H

struct worker;

/* From now on the worker can only read both, and proposes. Returns 0 or -ENOMEM. Without a keeper
 * (params->proposals is NULL, in tests) it changes them itself. */
int proposing_open(struct worker *w);

/* Wakes the keeper if it sleeps and there are proposals: at the end of a turn of the loop. */
void proposing_flush(struct worker *w);

/* The worker proposes no more. */
void proposing_close(struct worker *w);

#endif
