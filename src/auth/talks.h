/* SCRAM logins between their two messages: a clerk's own table.
 *
 * A client may never say its second message, and a worker may be in a stranger's hands: there are
 * TALKS_MAX places, the oldest talk gives way to a new one, and only the worker that began a talk
 * can go on with it. Whose talk has gone is told "later". */
#ifndef MIRED_AUTH_TALKS_H
#define MIRED_AUTH_TALKS_H

#include <stdint.h>

#include "auth/remote.h"
#include "auth/scram.h"

enum { TALKS_MAX = 1024 };

struct talk {
    uint32_t number; /* never 0 */
    uint16_t slot;
    struct scram_login login;    /* with `at` NULL */
    struct dovecot_auth *at;     /* borrowed; not NULL: it is in Dovecot's hands */
    struct dovecot_talk dovecot; /* then */
};

struct talks {
    uint32_t last;
    struct talk *place[TALKS_MAX];
};

/* A talk without anything in it; NULL without memory. */
struct talk *talks_begin(struct talks *t, uint16_t slot);

/* NULL when there is none of that number, or it is another's. */
struct talk *talks_find(const struct talks *t, uint16_t slot, uint32_t number);

/* Wipes and frees it; what Dovecot has of it is cancelled there. */
void talks_end(struct talks *t, struct talk *talk);

void talks_close(struct talks *t);

#endif
