/* The clerk: a process that queries directories, many queries at once, and checks passwords, one at
 * a time. */
#ifndef MIRED_CLERK_CLERK_H
#define MIRED_CLERK_CLERK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/siphash.h"
#include "query/query.h"

struct cache;
struct config;
struct addresses;
struct scram_shapes;

struct clerk_params {
    const struct config *config;
    struct cache *cache; /* what directories said; shared by all clerks */
    struct addresses
        *addresses;        /* where backends with a name are, or NULL; the first clerk looks */
    uint32_t index;        /* which clerk */
    bool confirmed;        /* begun by a reload: files are right as they are */
    int control;           /* channel to the master */
    int ask[QUERY_QUEUES]; /* questions, to whichever clerk is idle; -1: others take those */
    int own;               /* questions to this one */
    const int *answer;     /* one for each worker slot */
    uint32_t slots;
    struct sipkey decoys;        /* what made-up salts are made of; the same for good */
    struct scram_shapes *shapes; /* and how long they are, where Dovecot has the real ones */
    _Atomic uint32_t *auth; /* enum smtp_auth: what the verifiers can do, told to the workers */
};

enum { CLERK_PRECEDENCE = 5 }; /* steps of `nice` before others, as far as RLIMIT_NICE allows */

/* The body of the process; returns its exit status when the master says stop or is gone. */
int clerk_run(const struct clerk_params *params);

#endif
