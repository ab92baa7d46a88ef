/* The clerk: a process that queries directories, many queries at once, and checks passwords, one at
 * a time. */
#ifndef MIRED_CLERK_CLERK_H
#define MIRED_CLERK_CLERK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/siphash.h"
#include "clerk/pairs.h"

struct cache;
struct config;
struct addresses;
struct scram_shapes;

struct clerk_params {
    const struct config *config;
    struct cache *cache; /* what directories said; shared by all clerks */
    struct addresses
        *addresses;            /* of backends with a name, or NULL; the first clerk looks them up */
    uint32_t index;            /* which clerk */
    bool confirmed;            /* files are right as they are: list_file.h */
    bool reloaded;             /* started by a reload */
    int control;               /* channel to the master */
    struct pairs_params pairs; /* to the askers; the last slot is the web process's */
    struct sipkey decoys;      /* the key of made-up salts; never changes */
    struct scram_shapes *shapes; /* the form of Dovecot's real salts */
    _Atomic uint32_t *auth;      /* enum smtp_auth: what the verifiers can do; workers read it */
    _Atomic uint32_t *accepted;  /* for each verifier: see auth.h; clerks only */
    _Atomic uint32_t *logins;    /* for each slot: bookings that right passwords allow (keeper.h) */
};

enum { CLERK_PRECEDENCE = 5 }; /* steps of `nice` before others, as far as RLIMIT_NICE allows */

/* The body of the process; returns its exit status when the master tells it to stop or is gone. */
int clerk_run(const struct clerk_params *params);

#endif
