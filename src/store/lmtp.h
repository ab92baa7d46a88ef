/* One LMTP connection of the store, from greeting to end. Blocking; each connection has a
 * thread. */
#ifndef MIRED_STORE_LMTP_H
#define MIRED_STORE_LMTP_H

struct config;

/* What all connections share; it does not change while they run. */
struct lmtp_context {
    const struct config *config;
    int root; /* the open folder of all mailboxes */
    int stop; /* readable when the store must end: sessions then end between two messages */
};

/* Serves `fd` and closes it. */
void lmtp_serve(const struct lmtp_context *context, int fd);

#endif
