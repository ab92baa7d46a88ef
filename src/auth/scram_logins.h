/* SCRAM logins between their two messages: a table of one clerk. Not thread-safe.
 *
 * A client may never send its second message, and a worker may be compromised. So there are
 * SCRAM_LOGINS_MAX places, which the worker slots share (places.h), and only the worker that began a
 * login can continue it. A login that has lost its place gets the answer "later". */
#ifndef MIRED_AUTH_SCRAM_LOGINS_H
#define MIRED_AUTH_SCRAM_LOGINS_H

#include <stdint.h>

#include "auth/places.h"
#include "auth/remote.h"
#include "auth/scram.h"

enum { SCRAM_LOGINS_MAX = 1024 };

struct scram_pending {
    struct place place;       /* its number is never 0 */
    struct scram_login login; /* if `at` is NULL */
    struct buf name;          /* if `at` is NULL: the verifier's name for the account, or empty */
    bool settling;            /* a file is being rewritten: a wrong proof gets "later" */
    struct dovecot_auth *at;  /* borrowed; if not NULL, Dovecot handles the login */
    struct dovecot_login dovecot; /* if `at` is not NULL */
};

struct scram_logins {
    uint32_t last;
    struct places *places;
};

/* False without memory. `slots`: of workers. `from`: logins have the numbers after it. Take the time in
 * us: no clerk begins as many logins, so a second message for a clerk that has died never matches a
 * login of the one that has its place. */
bool scram_logins_open(struct scram_logins *t, uint32_t slots, uint32_t from);

/* Gives the login, which the table then owns, a place and a number. False: it had no place and is
 * gone. */
bool scram_logins_add(struct scram_logins *t, struct scram_pending *pending, uint16_t slot);

/* NULL when there is none with that number, or another worker began it. */
struct scram_pending *scram_logins_find(const struct scram_logins *t, uint16_t slot,
                                        uint32_t number);

/* Removes the login from the table, and ends it. */
void scram_logins_end(struct scram_logins *t, struct scram_pending *pending);

void scram_logins_close(struct scram_logins *t);

/* Wipes and frees a login that is in no table, and cancels it at Dovecot. */
void scram_pending_end(struct scram_pending *pending);

#endif
