/* Asking a backend, in a clerk: one blocking conversation, kept open between questions.
 *
 * The relay's own connections (pool.h) carry mail and wait for nobody; this is for what clerks ask
 * on the side: is there such a recipient, is this password right. Plain SMTP or LMTP. */
#ifndef MIRED_RELAY_TALK_H
#define MIRED_RELAY_TALK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "smtp/reader.h"

struct config_backend;

enum { TALK_MS = 5000 /* to connect, and for each reply */ };

struct talk {
    const struct config_backend *backend; /* borrowed */
    const char *hostname;                 /* borrowed; what EHLO says */
    int fd;                               /* -1: not connected */
    struct reply_reader reader;
    char input[2048];
    struct span left; /* of input, not read yet */
};

void talk_init(struct talk *t, const struct config_backend *backend, const char *hostname);

/* Connects and says EHLO (LHLO) where that has not been done. 0 or -errno. */
int talk_ready(struct talk *t);

/* Sends what is in `out` as it stands. 0 or -errno; the conversation is closed then. */
int talk_say(struct talk *t, struct span out);

/* The next reply, its arg valid until the next call. 0 or -errno; closed then. */
int talk_reply(struct talk *t, struct reply *r);

void talk_close(struct talk *t);

#endif
