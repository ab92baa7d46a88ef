/* Asking a backend, in a clerk: one blocking conversation, kept open between questions.
 *
 * The relay's own connections (pool.h) carry mail and wait for nobody; this is for what clerks ask
 * on the side: is there such a recipient, is this password right. SMTP or LMTP, under TLS as mail
 * to that backend is. */
#ifndef MIRED_RELAY_TALK_H
#define MIRED_RELAY_TALK_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "relay/outbound.h"
#include "smtp/reply.h"
#include "smtp/verdict.h"

struct config;
struct places;

enum { TALK_MS = 5000 /* to connect, and for each reply */ };

struct talk {
    const struct config *config; /* borrowed */
    const struct places *places; /* borrowed; where backends with a name are */
    size_t index;                /* of config->backend */
    unsigned turn;               /* which of its addresses is tried */
    int fd;                      /* -1: not connected */
    SSL_CTX *context;            /* NULL: no TLS yet */
    SSL *ssl;                    /* NULL: clear text */
    bool secret;                 /* see talk_is_secret() */
    bool plain;                  /* its TLS does not work, and is not insisted on */
    struct outbound outbound;    /* greeting, EHLO and STARTTLS; then its reader and abilities */
    char input[2048];
    struct span left; /* of input, not read yet */
};

/* For backend number `index`. */
void talk_init(struct talk *t, const struct config *config, size_t index,
               const struct places *places);

/* What will be said is for nobody else's ears: where the backend is configured with TLS at all, and
 * is not this machine, it is not talked to without, whoever stands between. */
void talk_is_secret(struct talk *t);

/* Ends the conversation, if there is one; the next talk_ready() begins another. */
void talk_close(struct talk *t);

/* Closes, and frees what conversations share. */
void talk_free(struct talk *t);

/* Connects, says EHLO (LHLO) and does what there is to do for TLS, where that has not been done. 0
 * or -errno. */
int talk_ready(struct talk *t);

/* Whether several commands may go out at once (RFC 2920). */
bool talk_pipelines(const struct talk *t);

/* Whether it has an extension (enum outbound_cap). */
bool talk_can(const struct talk *t, uint32_t cap);

/* What it says of us, not of what it was asked, is for the administrator: a line in the log with
 * its words, once a minute for each backend and process (R24). Before talk_close(), which frees
 * them. Any thread. */
void talk_tell(const struct talk *t, enum reply_stage stage, const struct reply *r);

/* Sends what is in `out` as it stands. 0 or -errno; the conversation is closed then. */
int talk_say(struct talk *t, struct span out);

/* The next reply, its arg valid until the next call. 0 or -errno; closed then. Behind a 421 the
 * other side closes, and the caller should. */
int talk_reply(struct talk *t, struct reply *r);

#endif
