/* What the processes of one generation share with each other and with no other generation: the
 * socket pairs between workers and clerks, the workers' proposals to the keeper with the eventfd
 * that wakes it, and two counts: what the verifiers can check, and the right passwords. Master only;
 * the children inherit it. */
#ifndef MIRED_MASTER_GENERATION_SHARE_H
#define MIRED_MASTER_GENERATION_SHARE_H

struct generation;

/* Makes all of it for a generation whose config, slots and clerks are set, and whose bell is -1.
 * Returns 0 or a negative errno; generation_unshare() then frees what there is. */
int generation_share(struct generation *g);

/* Closes and unmaps it in this process. */
void generation_unshare(struct generation *g);

#endif
