/* What a worker has of the ledger: memory of any content for its ring of proposals, for its own table
 * and for those that workers share. */
#ifndef MIRED_PROOF_ANY_WORKER_H
#define MIRED_PROOF_ANY_WORKER_H

#include "any_ledger.h"

#include <errno.h>

#include "tarpit/ledger_proposer.h"

/* Exactly as large as what is in it; pages have one octet here (small). */
static void *any_memory(size_t size)
{
    char *at = malloc(size);

    if (at)
        Frama_C_make_unknown(at, size);
    else
        errno = ENOMEM;
    return at;
}

void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    return any_memory(size);
}

int munmap(void *at, size_t size)
{
    return 0;
}

int sched_yield(void)
{
    return 0;
}

/* Whether the ledger is a worker's now. */
static bool is_worker(struct ledger *l)
{
    struct proposals *p = any_memory(proposals_size());
    struct turns *t = any_memory(turns_size());

    return p && t && ledger_propose_to(l, p, any_choice ? t : NULL) == 0;
}

#endif
