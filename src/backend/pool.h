/* Connections to backends, kept open and shared by a worker's hand-overs. Private to src/relay.
 *
 * A backend has links (connections) and a queue of hand-overs that wait for one. A link is busy for
 * the milliseconds of one burst. What is not known of a backend (is it up, what can it do) is
 * learnt by connecting to it. */
#ifndef MIRED_BACKEND_POOL_H
#define MIRED_BACKEND_POOL_H

#include <openssl/types.h>

#include "base/loop.h"
#include "config/config.h"
#include "relay/relay.h"
#include "smtp/client.h"

struct relay;
struct link;

enum {
    POOL_COMPLAINT_MS = 60000, /* between two lines of the log on what a backend says of us */
    POOL_CONNECT_MS = 10000,
    POOL_REPLY_MS = 60000, /* to anything before the final dot */
    POOL_FINAL_MS =
        540000, /* to the final dot: below the client's own 10 minutes (RFC 5321 4.5.3.2.6) */
    POOL_WRITE_MS = 60000, /* without progress */
    POOL_IDLE_MS = 60000,  /* kept open unused */
    POOL_WAIT_MS = 60000,  /* a hand-over for a free link */
    POOL_RETRY_MS = 1000,  /* first attempt after a backend went down; doubles */
    POOL_RETRY_MAX_MS = 10000,
    POOL_BREAKS_MAX =
        3, /* of one hand-over before its data, for a store or server that changes places */
};

struct handover {
    struct relay *relay;
    struct handover *next;   /* in its backend's queue */
    struct backend *backend; /* where it waits or runs; NULL: nowhere */
    struct link *link;       /* which has it in hand; NULL: it waits */
    struct alarm alarm;      /* waiting for too long; or an end that is told from the loop */
    struct job job;
    struct envelope envelope;
    struct spool *spool;
    struct buf header;
    struct addr client;
    struct client_names names;
    struct buf user; /* authenticated as, or empty */
    uint32_t tried;  /* a bit for each backend that broke with it */
    uint8_t breaks;  /* of connections under it, so far */
    bool refused; /* the last connection was refused as ours: the same backend will do so again */
    bool lacking; /* a backend could not take it for want of an extension */
    bool abandoned;
    void (*done)(void *arg, const struct relay_result *result);
    void *arg;
};

struct backend {
    SSL_CTX *tls; /* NULL: none is spoken */
    struct relay *relay;
    const struct config_backend *config;
    uint32_t index;
    struct link *links;
    uint32_t open, connecting, open_max;
    struct handover *queue, **queue_tail;
    struct alarm retry;
    uint64_t backoff_ms;
    unsigned turn;          /* which address of its name is tried */
    struct ability ability; /* as the last of its connections told */
    uint64_t complained_ms; /* when the log was told last what it says of us; 0: never */
    bool known, up;
    bool learnt;       /* `ability` has been told, in this process or an earlier one */
    bool plain;        /* its TLS does not work, and is not insisted on */
    bool told_missing; /* that it has no XCLIENT or XFORWARD */
};

struct relay {
    struct relay_params params;
    struct backend *backend;
    size_t backends;
    uint32_t turn; /* round robin */
    bool closing;
};

void pool_open(struct relay *r, struct backend *b, uint32_t index);
void pool_close(struct backend *b);

/* Lets a hand-over run on this backend: at once, or when a link is free. False: it cannot be
 * reached, and nothing has been begun. */
bool pool_put(struct backend *b, struct handover *h);

/* Takes it out of the queue, or away from its link, which is then closed. */
void pool_drop(struct handover *h);

/* ---- told by the pool, in relay.c ---- */

/* The job has come to its end. */
void handover_over(struct handover *h);
/* The link broke under it (`started`), or none could be had. job.sent tells whether the backend may
 * have the message. */
void handover_broke(struct handover *h, bool started);
/* A backend's state or abilities have changed. */
void relay_changed(struct relay *r);

#endif
