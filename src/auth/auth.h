/* Checks logins with the configured verifiers. Waits for no other server: what a verifier behind a
 * connection says comes later. Not thread-safe; used only by clerks, which wipe secrets afterwards. */
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
struct sharing;

struct auth_params {
    const struct config *config;
    const struct addresses *addresses; /* of backends with a name; NULL: none has a name */
    struct sharing *sharing;           /* of all clerks; NULL: there is none */
    uint32_t slots;                    /* of workers, and the web process's */
    uint32_t clerk;                    /* the clerk's index, part of each login_id */
    struct sipkey decoys;              /* the key for made-up salts */
    struct scram_shapes *shapes;       /* the form of Dovecot's real salts */
    _Atomic uint32_t *accepted; /* for each section, see file_auth_open(); NULL: not shared */
};

/* NULL, and errno, without memory. */
struct auth *auth_open(const struct auth_params *params);
void auth_close(struct auth *a);

/* The mechanisms (enum smtp_auth) that clients can be offered now: PLAIN and LOGIN if any verifier
 * can do them; SCRAM if the verifiers of all domains can, because mired does not know at EHLO who
 * will log in, and a client that sees SCRAM tries no other mechanism. Rereads files when due. Cheap;
 * call it every few seconds. */
uint32_t auth_offers(struct auth *a);

/* An answer that comes later, from auth_read(), auth_look_after() or any other call here. */
typedef void auth_answered(void *arg, const struct auth_asker *asker, const struct answer *answer);
void auth_tell(struct auth *a, auth_answered *answered, void *arg);

/* The descriptor to poll() for these answers (-1: none), and the function that reads them. Call
 * auth_fd() before each wait, because verifiers reconnect. */
int auth_fd(struct auth *a);
void auth_read(struct auth *a);
/* Ends what has waited too long, and reconnects. Returns in how many ms to call it again; -1: not for
 * a reason of its own. */
int auth_look_after(struct auth *a);
/* Whether auth_look_after() will compute hashes, for about a millisecond. */
bool auth_has_checks(const struct auth *a);
/* Waits, for a moment at most, until the verifiers have said what they offer. For the start. */
void auth_settle(struct auth *a);

/* Checks a password. True: *answer has the result, YES, NO or LATER (no verifier could decide), and
 * the account's name if the verifier says it. False: the answer comes later, through auth_tell()'s
 * callback. An unknown user takes the same time as a wrong password, because a hash is computed in
 * both cases. */
bool auth_check(struct auth *a, const struct auth_asker *asker, struct span user,
                struct span password, const struct addr *client, struct answer *answer);

/* SCRAM-SHA-256, in two messages. `binding` is TLS's binding data, of the kind that the first
 * message names; the asker's slot must be the same both times. False: the answer comes later. *answer gets
 * result, text and login_id: MORE, NO or LATER for the first message; YES, NO or LATER for the
 * second. An unknown name gets the same kind of answer as a known one, and fails with the second
 * message. */
bool auth_scram_begin(struct auth *a, const struct auth_asker *asker, struct span message,
                      struct span binding, const struct addr *client, struct answer *answer);
bool auth_scram_go_on(struct auth *a, const struct auth_asker *asker, uint64_t login_id,
                      struct span message, struct answer *answer);

#endif
