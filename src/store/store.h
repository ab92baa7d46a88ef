/* The built-in store: LMTP (RFC 2033) on a unix socket, Maildir behind it
 * (state/mail/DOMAIN/LOCALPART/). */
#ifndef MIRED_STORE_STORE_H
#define MIRED_STORE_STORE_H

#include <stdbool.h>

struct config;

struct store_params {
    const struct config *config;
    int control; /* channel to the master */
    int listen;  /* the unix socket, listening; the master's */
    int workers; /* notes from the master with connections of workers (NOTE_STORE) */
};

/* Whether a store that was started with one of these configurations also fits the other. */
bool store_is_same(const struct config *a, const struct config *b);

/* The body of the process. One thread for each connection, because fsync blocks. */
int store_run(const struct store_params *params);

#endif
