/* Queries from a clerk to a backend: one SMTP session, kept open between queries. Its functions wait
 * for the backend, however slowly it sends, only as long as the times below.
 *
 * The relay's own connections (pool.h) carry mail and never block; this module is for clerks'
 * queries: does this recipient exist, is this password right. SMTP or LMTP, with the same TLS
 * settings as mail to that backend. */
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

enum {
    BACKEND_CLIENT_MS = 5000,       /* to connect, for a TLS handshake, and for each whole reply */
    BACKEND_CLIENT_READY_MS = 20000 /* for all that until the first query */
};

struct backend_client {
    const struct config *config;       /* borrowed */
    const struct addresses *addresses; /* borrowed; of backends with a name */
    size_t index;                      /* of config->backend */
    unsigned turn;                     /* the index of the address that is tried */
    int fd;                            /* -1: not connected */
    SSL_CTX *context;                  /* NULL: no TLS yet */
    SSL *ssl;                          /* NULL: clear text */
    bool secret;                       /* see backend_client_is_secret() */
    bool clear;                        /* this connection is in clear text because TLS failed */
    bool tls_works;                    /* the last handshake has succeeded */
    uint64_t plain_until_ms;           /* its TLS failed and is not required: none until then */
    uint64_t until_ms;                 /* monotonic: the time for this step */
    struct outbound outbound; /* greeting, EHLO and STARTTLS; then its reader and extensions */
    char input[2048];
    struct span left; /* the part of input that is not read yet */
};

/* Prepares a client for backend number `index`; does not connect. */
void backend_client_init(struct backend_client *t, const struct config *config, size_t index,
                         const struct addresses *addresses);

/* Marks the session as secret, for passwords: if the backend is configured with TLS and is not on
 * this machine, it requires TLS, so that an attacker on the path cannot strip it. */
void backend_client_is_secret(struct backend_client *t);

/* Ends a session that is of no use any more: the backend has ended it, or has said more than it was
 * asked for, or TLS is to be tried again. backend_client_ready() does so, too. */
void backend_client_look(struct backend_client *t);

/* Ends the session, if there is one; the next backend_client_ready() begins another. */
void backend_client_close(struct backend_client *t);

/* Closes, and frees what sessions share. */
void backend_client_free(struct backend_client *t);

/* Connects, sends EHLO (LHLO) and negotiates TLS unless that is done already. 0 or -errno. */
int backend_client_ready(struct backend_client *t);

/* Whether several commands may be sent at once (RFC 2920). */
bool backend_client_pipelines(const struct backend_client *t);

/* Whether the backend has an extension (enum outbound_cap). */
bool backend_client_can(const struct backend_client *t, uint32_t cap);

/* Logs a reply that is about mired, not about the query (R24), at most once a minute for each
 * backend and process. Call it before backend_client_close(), which frees the reply's text. Any
 * thread. */
void backend_client_log(const struct backend_client *t, enum reply_stage stage,
                        const struct reply *r);

/* Sends `out` unchanged. Returns 0, or -errno with the session closed. */
int backend_client_say(struct backend_client *t, struct span out);

/* Reads the next reply; its arg is valid until the next call. 0, or -errno with the session closed.
 * After a 421 the backend closes, and the caller should too. */
int backend_client_reply(struct backend_client *t, struct reply *r);

#endif
