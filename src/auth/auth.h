/* Who checks a login. Blocking; used by clerks only, which wipe what was secret afterwards. */
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
    uint32_t clerk;                    /* whose it is: part of each talk's number */
    struct sipkey decoys;              /* what made-up salts are made of */
    struct scram_shapes *shapes;       /* what they are like where Dovecot has the others */
};

/* NULL without memory. */
struct auth *auth_open(const struct auth_params *params);
void auth_close(struct auth *a);

/* Of enum smtp_auth, what can be offered to clients now. PLAIN and LOGIN where any verifier can do
 * them; SCRAM where all can, for a client that is offered it tries nothing else. Rereads and
 * reconnects where that is due; meant to be called every few seconds, and cheap. */
uint32_t auth_offers(struct auth *a);

/* Who is told answers that come later; see below. */
void auth_tell(struct auth *a, auth_answered *answered, void *arg);

/* Where those come from, for poll() (-1: nowhere), and taking what is there. */
int auth_fd(const struct auth *a);
void auth_read(struct auth *a);

/* *answer gets the result: YES, NO or LATER (no verifier could tell), and the account's name where
 * a verifier has one. False: the answer comes later, to whom auth_tell() has named. Takes the same
 * time for an unknown user as for a wrong password: a hash is computed either way. */
bool auth_check(struct auth *a, const struct auth_asker *asker, struct span user,
                struct span password, const struct addr *client, struct answer *answer);

/* SCRAM-SHA-256, in two messages. `binding` is what TLS has to bind to, of the kind that the first
 * message names; `slot` is the worker's, which must be the same both times. *answer gets result,
 * text and talk: MORE, NO or LATER to the first; YES, NO or LATER to the second. A name that nobody
 * has is answered like any other, and found wrong with the second message. */
void auth_scram_begin(struct auth *a, uint16_t slot, struct span message, struct span binding,
                      const struct addr *client, struct answer *answer);
/* False: the answer comes later, as with auth_check(). */
bool auth_scram_go_on(struct auth *a, const struct auth_asker *asker, uint64_t login_id,
                      struct span message, struct answer *answer);

#endif
