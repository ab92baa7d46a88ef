/* What a child gives up before it runs its role: descriptors, shared memory, keys, identity and
 * capabilities of the master that its role does not need. A process that an attacker has taken over
 * can then use only what its role needs. */
#ifndef MIRED_MASTER_ROLE_RIGHTS_H
#define MIRED_MASTER_ROLE_RIGHTS_H

#include <stddef.h>
#include <stdint.h>

struct child;
struct master;

/* Gives up everything that is not this child's. Runs in the child, before its role's body and before
 * any thread.
 *
 * keep    `n` descriptors that stay open, besides those of mapped files
 * needs   capabilities that it keeps, as bits
 * return  0 or a negative errno, which has been logged; the child then ends */
int role_give_up(struct master *m, const struct child *c, const int *keep, size_t n,
                 uint64_t needs);

#endif
