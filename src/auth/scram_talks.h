/* SCRAM logins between their two messages: a clerk's own table.
 *
 * A client may never say its second message, and a worker may be in a stranger's hands: there are
 * SCRAM_TALKS_MAX places, the oldest talk gives way to a new one, and only the worker that began a
 * talk can go on with it. Whose talk has gone is told "later". */
#ifndef MIRED_AUTH_SCRAM_TALKS_H
#define MIRED_AUTH_SCRAM_TALKS_H

#include <stdint.h>

#include "auth/remote.h"
#include "auth/scram.h"

enum { SCRAM_TALKS_MAX = 1024 };

struct scram_talk {
    uint32_t number; /* never 0 */
    uint16_t slot;
    struct scram_login login;    /* with `at` NULL */
    struct buf name;             /* then: what the verifier calls the account, or empty */
    struct dovecot_auth *at;     /* borrowed; not NULL: it is in Dovecot's hands */
    struct dovecot_talk dovecot; /* then */
};

struct scram_talks {
    uint32_t last;
    struct scram_talk *place[SCRAM_TALKS_MAX];
};

/* A talk without anything in it; NULL without memory. */
struct scram_talk *scram_talks_begin(struct scram_talks *t, uint16_t slot);

/* NULL when there is none of that number, or it is another's. */
struct scram_talk *scram_talks_find(const struct scram_talks *t, uint16_t slot, uint32_t number);

/* Wipes and frees it; what Dovecot has of it is cancelled there. */
void scram_talks_end(struct scram_talks *t, struct scram_talk *talk);

void scram_talks_close(struct scram_talks *t);

#endif
