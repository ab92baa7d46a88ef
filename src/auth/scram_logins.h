/* SCRAM logins between their two messages: a clerk's own table.
 *
 * A client may never send its second message, and a worker may be compromised: so there are
 * SCRAM_LOGINS_MAX places, a new login replaces the oldest, and only the worker that began a login
 * can continue it. A login that was replaced is answered "later". */
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
    struct buf name;              /* then: the verifier's name for the account, or empty */
    struct dovecot_auth *at;      /* borrowed; not NULL: Dovecot handles the login */
    struct dovecot_login dovecot; /* then */
};

struct scram_logins {
    uint32_t last;
    struct scram_pending *place[SCRAM_LOGINS_MAX];
};

/* Creates an empty pending login; NULL without memory. */
struct scram_pending *scram_logins_begin(struct scram_logins *t, uint16_t slot);

/* NULL when there is none with that number, or another worker began it. */
struct scram_pending *scram_logins_find(const struct scram_logins *t, uint16_t slot,
                                        uint32_t number);

/* Wipes and frees the login, and cancels it at Dovecot. */
void scram_logins_end(struct scram_logins *t, struct scram_pending *pending);

void scram_logins_close(struct scram_logins *t);

#endif
