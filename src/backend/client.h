/* Asking a backend, in a clerk: one blocking conversation, kept open between questions.
 *
 * The relay's own connections (pool.h) carry mail and wait for nobody; this is for what clerks ask
 * on the side: is there such a recipient, is this password right. SMTP or LMTP, under TLS as mail
 * to that backend is. */
#ifndef MIRED_BACKEND_CLIENT_H
#define MIRED_BACKEND_CLIENT_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "smtp/client.h"
#include "smtp/reply.h"
#include "smtp/verdict.h"

struct config;
struct addresses;

enum { BACKEND_CLIENT_MS = 5000 /* to connect, and for each reply */ };

struct backend_client {
    const struct config *config;       /* borrowed */
    const struct addresses *addresses; /* borrowed; where backends with a name are */
    size_t index;                      /* of config->backend */
    unsigned turn;                     /* which of its addresses is tried */
    int fd;                            /* -1: not connected */
    SSL_CTX *context;                  /* NULL: no TLS yet */
    SSL *ssl;                          /* NULL: clear text */
    bool secret;                       /* see backend_client_is_secret() */
    bool plain;                        /* its TLS does not work, and is not insisted on */
    struct outbound outbound; /* greeting, EHLO and STARTTLS; then its reader and abilities */
    char input[2048];
    struct span left; /* of input, not read yet */
};

/* For backend number `index`. */
void backend_client_init(struct backend_client *t, const struct config *config, size_t index,
                         const struct addresses *addresses);

/* What will be said is for nobody else's ears: where the backend is configured with TLS at all, and
 * is not this machine, it is not talked to without, whoever stands between. */
void backend_client_is_secret(struct backend_client *t);

/* Ends the conversation, if there is one; the next backend_client_ready() begins another. */
void backend_client_close(struct backend_client *t);

/* Closes, and frees what conversations share. */
void backend_client_free(struct backend_client *t);

/* Connects, says EHLO (LHLO) and does what there is to do for TLS, where that has not been done. 0
 * or -errno. */
int backend_client_ready(struct backend_client *t);

/* Whether several commands may go out at once (RFC 2920). */
bool backend_client_pipelines(const struct backend_client *t);

/* Whether it has an extension (enum outbound_cap). */
bool talk_can(const struct backend_client *t, uint32_t cap);

/* What it says of us, not of what it was asked, is for the administrator: a line in the log with
 * its words, once a minute for each backend and process (R24). Before backend_client_close(), which
 * frees them. Any thread. */
void talk_tell(const struct backend_client *t, enum reply_stage stage, const struct reply *r);

/* Sends what is in `out` as it stands. 0 or -errno; the conversation is closed then. */
int backend_client_say(struct backend_client *t, struct span out);

/* The next reply, its arg valid until the next call. 0 or -errno; closed then. Behind a 421 the
 * other side closes, and the caller should. */
int backend_client_reply(struct backend_client *t, struct reply *r);

#endif
