/* One LMTP connection of the store, from greeting to end. Blocking; a thread each. */
#ifndef MIRED_STORE_LMTP_H
#define MIRED_STORE_LMTP_H

struct config;

/* What all connections share; never changed while they run. */
struct lmtp_context {
    const struct config *config;
    int root; /* the open folder of all mailboxes */
    int stop; /* readable once the store is to end: sessions then end as soon as no message is being
                 read */
};

/* Serves `fd` and closes it. */
void lmtp_serve(const struct lmtp_context *context, int fd);

#endif
