/* SCRAM logins between their two messages: a table of one clerk. Not thread-safe.
 *
 * A client may never send its second message, and a worker may be compromised. So there are
 * SCRAM_LOGINS_MAX places, a new login replaces the oldest, and only the worker that began a login
 * can continue it. A login that was replaced gets the answer "later". */
#ifndef MIRED_AUTH_SCRAM_LOGINS_H
#define MIRED_AUTH_SCRAM_LOGINS_H

#include <stdint.h>

#include "auth/remote.h"
#include "auth/scram.h"

enum { SCRAM_LOGINS_MAX = 1024 };

struct scram_pending {
    uint32_t number; /* never 0 */
    uint16_t slot;
    struct scram_login login; /* if `at` is NULL */
    struct buf name;          /* if `at` is NULL: the verifier's name for the account, or empty */
    struct dovecot_auth *at;  /* borrowed; if not NULL, Dovecot handles the login */
    struct dovecot_login dovecot; /* if `at` is not NULL */
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
