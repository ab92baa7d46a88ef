/* SCRAM logins between their two messages: a clerk's own table.
 *
 * A client may never say its second message, and a worker may be in a stranger's hands: there are
 * SCRAM_LOGINS_MAX places, the oldest pending gives way to a new one, and only the worker that
 * began a pending can go on with it. Whose pending has gone is told "later". */
#ifndef MIRED_AUTH_SCRAM_LOGINS_H
#define MIRED_AUTH_SCRAM_LOGINS_H

#include <stdint.h>

#include "auth/remote.h"
#include "auth/scram.h"

enum { SCRAM_LOGINS_MAX = 1024 };

struct scram_pending {
    uint32_t number; /* never 0 */
    uint16_t slot;
    struct scram_login login;     /* with `at` NULL */
    struct buf name;              /* then: what the verifier calls the account, or empty */
    struct dovecot_auth *at;      /* borrowed; not NULL: it is in Dovecot's hands */
    struct dovecot_login dovecot; /* then */
};

struct scram_logins {
    uint32_t last;
    struct scram_pending *place[SCRAM_LOGINS_MAX];
};

/* A pending without anything in it; NULL without memory. */
struct scram_pending *scram_logins_begin(struct scram_logins *t, uint16_t slot);

/* NULL when there is none of that number, or it is another's. */
struct scram_pending *scram_logins_find(const struct scram_logins *t, uint16_t slot,
                                        uint32_t number);

/* Wipes and frees it; what Dovecot has of it is cancelled there. */
void scram_logins_end(struct scram_logins *t, struct scram_pending *pending);

void scram_logins_close(struct scram_logins *t);

#endif
