/* Maps the names that clients type to the verifiers' own names for the accounts; see accounts.c.
 * Each worker has one; not thread-safe. */
#ifndef MIRED_WORKER_ACCOUNTS_H
#define MIRED_WORKER_ACCOUNTS_H

#include <stdint.h>

#include "base/bytes.h"

struct accounts;

/* NULL without memory. */
struct accounts *accounts_open(void);
void accounts_close(struct accounts *a);

/* Records that a verifier's name for `typed` is `name` (empty: it gave none). */
void accounts_learn(struct accounts *a, struct span typed, struct span name);

/* The verifier's name for what a client typed, if it is known; else `typed` itself. Valid until the
 * next accounts_learn(). */
struct span accounts_name(const struct accounts *a, struct span typed);

/* The line of strangers that a query about that name waits in; never 0. Names that may belong to
 * the same account have the same line. */
uint64_t accounts_line(const struct accounts *a, struct span typed);

#endif
