/* One LMTP connection of the store, from greeting to end. Blocking; each connection has a
 * thread. */
#ifndef MIRED_STORE_LMTP_H
#define MIRED_STORE_LMTP_H

struct config;
struct store_words;

/* What all connections share; it does not change while they run. */
struct lmtp_context {
    const struct config *config;
    int root; /* the open folder of all mailboxes */
    int stop; /* readable when the store must end: sessions then end between two messages */
};

/* Serves `fd` and closes it. `words`: how the worker reads addresses; NULL: as this configuration. */
void lmtp_serve(const struct lmtp_context *context, const struct store_words *words, int fd);

#endif
