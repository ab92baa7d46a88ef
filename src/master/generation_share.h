/* What the processes of one generation share with each other and with no other generation: the
 * socket pairs between workers and clerks, the workers' proposals to the keeper with the eventfds
 * that wake it, and two counts: what the verifiers can check, and the right passwords. Master only;
 * the children inherit it.
 *
 * Each slot has pairs of its own, because an attacker may have taken its worker over: it can shut
 * them down or flood them, and the other slots do not notice. With very many workers and clerks
 * several slots share their pairs to one clerk for second messages of SCRAM logins. */
#ifndef MIRED_MASTER_GENERATION_SHARE_H
#define MIRED_MASTER_GENERATION_SHARE_H

#include <stdbool.h>
#include <stdint.h>

#include "query/query.h"

struct generation;

/* Makes all of it for a generation whose config, slots and clerks are set.
 * Returns 0 or a negative errno; generation_unshare() then frees what there is. */
int generation_share(struct generation *g);

/* Closes and unmaps it in this process. */
void generation_unshare(struct generation *g);

/* How many logins that file of passwords had when the generation's clerks took it; 0: they have
 * none. */
uint32_t generation_logins(const struct generation *g, const char *path);

/* Unmaps what the verifiers can check in this process, which does not need it. */
void generation_forget_offers(struct generation *g);

/* Lets this process, a worker, only read what the verifiers can check: a worker that was taken over
 * could switch AUTH off for all. Returns 0 or -errno. */
int generation_offers_read_only(const struct generation *g);

/* The pair for a slot's queries of one queue, and the one for its second messages to one clerk. */
int *generation_ask(const struct generation *g, uint32_t slot, enum query_queue queue);
int *generation_own(const struct generation *g, uint32_t slot, uint32_t clerk);

/* Whether a process has shut down one of the pairs: then the slot cannot be served any more, whatever
 * worker has it. */
bool generation_is_shut(const struct generation *g);

#endif
