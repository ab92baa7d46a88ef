/* What verifiers call the accounts whose names clients type; see accounts.c. A worker's own. */
#ifndef MIRED_WORKER_ACCOUNTS_H
#define MIRED_WORKER_ACCOUNTS_H

#include <stdint.h>

#include "base/bytes.h"

struct accounts;

/* NULL without memory. */
struct accounts *accounts_open(void);
void accounts_close(struct accounts *a);

/* A verifier was asked about `typed` and calls that account `name` (empty: it did not say). */
void accounts_learn(struct accounts *a, struct span typed, struct span name);

/* The verifier's name for what a client typed, as far as it is known: `typed` itself where nothing
 * else is. Valid until the next accounts_learn(). */
struct span accounts_name(const struct accounts *a, struct span typed);

/* Which line of strangers a query about that name stands in: never 0. Names that may turn out to
 * be one account have one line. */
uint64_t accounts_line(const struct accounts *a, struct span typed);

#endif
