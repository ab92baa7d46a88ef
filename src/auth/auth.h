/* Checks logins with the configured verifiers. Blocking; used only by clerks, which wipe secrets
 * afterwards. */
#ifndef MIRED_AUTH_AUTH_H
#define MIRED_AUTH_AUTH_H

#include <stdbool.h>

#include "auth/remote.h"
#include "auth/scram.h"
#include "base/addr.h"
#include "base/bytes.h"
#include "base/siphash.h"
#include "query/query.h"

struct config;
struct auth;
struct addresses;

struct auth_params {
    const struct config *config;
    const struct addresses *addresses; /* where backends with a name are; NULL: none has one */
    uint32_t clerk;                    /* the clerk's index, part of each login_id */
    struct sipkey decoys;              /* the key for made-up salts */
    struct scram_shapes *shapes;       /* the form of Dovecot's real salts */
};

/* NULL without memory. */
struct auth *auth_open(const struct auth_params *params);
void auth_close(struct auth *a);

/* Of enum smtp_auth, what can be offered to clients now. PLAIN and LOGIN where any verifier can do
 * them; SCRAM where all can, because clients that see it try no other mechanism. Rereads files and
 * reconnects when due; cheap, to be called every few seconds. */
uint32_t auth_offers(struct auth *a);

/* Sets the callback for answers that come later; see below. */
void auth_tell(struct auth *a, auth_answered *answered, void *arg);

/* The descriptor to poll() for them (-1: none), and reading what is there. */
int auth_fd(const struct auth *a);
void auth_read(struct auth *a);

/* *answer gets the result: YES, NO or LATER (no verifier could tell), and the account's name if the
 * verifier says it. False: the answer comes later, through auth_tell()'s callback. Takes the same
 * time for an unknown user and a wrong password: it computes a hash in both cases. */
bool auth_check(struct auth *a, const struct auth_asker *asker, struct span user,
                struct span password, const struct addr *client, struct answer *answer);

/* SCRAM-SHA-256, in two messages. `binding` is what TLS has to bind to, of the kind that the first
 * message names; `slot` is the worker's, which must be the same both times. *answer gets result,
 * text and login_id: MORE, NO or LATER to the first; YES, NO or LATER to the second. An unknown
 * name gets the same kind of answer as a known one, and fails with the second message. */
void auth_scram_begin(struct auth *a, uint16_t slot, struct span message, struct span binding,
                      const struct addr *client, struct answer *answer);
/* False: the answer comes later, as with auth_check(). */
bool auth_scram_go_on(struct auth *a, const struct auth_asker *asker, uint64_t login_id,
                      struct span message, struct answer *answer);

#endif
