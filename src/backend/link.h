/* One connection to a backend: sends and receives its octets, with TLS or without. Private to
 * src/backend.
 *
 * smtp/client.h has the protocol; pool_links.c opens links; pool.c gives them deliveries and handles
 * their end. Everything runs in the worker's loop, and nothing blocks. */
#ifndef MIRED_BACKEND_LINK_H
#define MIRED_BACKEND_LINK_H

#include "backend/pool.h"
#include "base/loop.h"
#include "smtp/client.h"

struct link {
    struct watch watch;
    struct alarm alarm;
    struct outbound outbound;
    struct backend *backend;
    struct delivery *delivery;
    struct link *next, **prev;
    char hello[256];  /* the client's HELO, if the backend takes this connection for the client's */
    SSL *ssl;         /* NULL: not, or not yet, under TLS */
    uint64_t body_at; /* octets of header, message and (DATA) final dot that have been sent */
    const char *why;  /* why it is unusable, static; NULL: not known */
    uint64_t opened_ms;
    uint64_t ready_ms; /* since when it accepts messages; 0: not yet */
    uint64_t begun_ms; /* when its delivery began */
    uint8_t lived_in;  /* the last enum outbound_state before OUTBOUND_DEAD, for the log */
    bool connecting;
    bool silent;     /* the backend gave no answer in time */
    bool plain;      /* without TLS because that has failed lately */
    bool lasting;    /* it was refused for a reason that stays, such as its certificate */
    bool tls_failed; /* the next link does without */
    bool used;       /* it has sent another message before the current one */
    bool reserved;   /* opened for the delivery that it has, and not yet begun: PROXY */
    bool named;      /* ... and the backend has been sent the header that names its client */
    bool slow;       /* ... and has said nothing for POOL_SILENT_MS */
    bool moving;     /* pool.c is in the middle of it, perhaps in an owner's callback */
    bool closed;     /* it was closed meanwhile, and is freed when pool.c is through */
};

static inline struct loop *link_loop(const struct link *l)
{
    return l->backend->pool->params.loop;
}

/* The backend may refuse its client alone, or keep it waiting (for the client's name in the DNS, say),
 * so what happens to it says nothing of other links. */
static inline bool link_is_of_client(const struct link *l)
{
    return l->reserved && l->named;
}

static inline void link_timer(struct link *l, uint64_t ms)
{
    loop_alarm(link_loop(l), &l->alarm, link_loop(l)->now + ms);
}

/* True during the handshake, when only OpenSSL may read octets. */
static inline bool link_is_shaking(const struct link *l)
{
    return l->outbound.state == OUTBOUND_SHAKE && l->outbound.out.len == 0;
}

/* Starts to connect. Returns the descriptor, with the peer's address in *to, or -errno. */
int link_connect(const struct backend *b, struct addr *to);

/* Sends as much as the socket takes: commands, then the message; tells the protocol when the last
 * octet has been sent. False if the link is unusable. */
bool link_write(struct link *l);

/* Reads everything that has arrived; at the end of the connection the state is OUTBOUND_DEAD. */
void link_read(struct link *l);

/* Continues a TLS handshake, if one is due. False: it has failed. */
bool link_shake(struct link *l);

#endif
