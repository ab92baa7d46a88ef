/* The relay: hands whole messages to backends over pooled connections, within a worker's loop.
 *
 * A hand-over sends MAIL, RCPTs and DATA in one burst, then the message (with BDAT where a backend
 * takes that and the message is in the spool as its sender sent it), to a backend of each route
 * that the recipients have. The client gets the backend's reply, or, if there are several, the one
 * reply that outcome.c makes of them. A hand-over that breaks before the final dot may be retried
 * once on another backend; one that breaks after it is 451 (RFC 1047; RFC 5321 6.1). It never waits
 * for a client, because the message is complete before the hand-over begins.
 *
 * The protocol is in smtp/client.c (sans-I/O), the connections in backend/pool.c. One thread;
 * callbacks come from the loop, never from within relay_send(). */
#ifndef MIRED_RELAY_RELAY_H
#define MIRED_RELAY_RELAY_H

#include <stdint.h>

#include "base/addr.h"
#include "base/loop.h"
#include "dns/names.h"
#include "relay/partial_delivery.h"
#include "relay/spool.h"
#include "smtp/envelope.h"
#include "smtp/reply.h"
#include "smtp/session.h"

struct config;
struct counts;
struct addresses;
struct relay;
struct sharing;

/* The extensions that clients may be offered, from the backends' last EHLO replies. */
struct relay_offer {
    /* enum smtp_offer: what every route has. A route has what each of its backends that is up has;
     * if none is up, what each of them with a known EHLO has. A route without a known EHLO does not
     * count. Nothing until one is known. */
    uint32_t all;
    uint32_t any;      /* what at least one of them has */
    uint64_t size_max; /* octets: the largest limit of all backends, up or not; 0: none known */
    bool settled;      /* of each backend the EHLO is known, or that it is down */
};

struct relay_params {
    const struct config *config;
    struct loop *loop;
    int master; /* the channel to the master, which leads to the built-in store */
    struct partial_delivery *partial;
    const struct addresses *addresses;  /* of backends with a name; NULL: none has a name */
    uint32_t slots;                     /* workers that share each backend's `connections` */
    struct sharing *sharing;            /* with these; NULL: with nobody */
    struct counts *counts;              /* messages of each backend, shared; NULL: not counted */
    const _Atomic uint64_t *spool_used; /* octets in all spools; NULL: not known */
    /* Called when a backend goes up or down, or when its EHLO is known. */
    void (*changed)(void *arg, const struct relay_offer *offer);
    /* Says whether a backend can be reached: when that is first known, and whenever it changes. */
    void (*reached)(void *arg, const char *backend, bool up);
    void *arg;
};

/* Reads what it needs of files, and connects to nothing. The caller closes the relay. NULL without
 * memory. */
struct relay *relay_open(const struct relay_params *params);

/* Opens one connection to each backend, to learn its extensions. Call it once, when this process is
 * confined. */
void relay_begin(struct relay *r);

/* Calls `reached` again for each backend for which it was called before. */
void relay_tell_again(const struct relay *r);

/* Closes idle connections; hand-overs in progress end with 451. */
void relay_close(struct relay *r);

struct relay_message {
    struct envelope *envelope; /* taken: copied before the call returns */
    struct spool *spool;       /* taken over: freed by the relay */
    struct addr client;        /* for XCLIENT and PROXY */
    struct addr server;        /* the address that the client connected to; ADDR_NONE: not known */
    struct client_names names; /* the client's, for XCLIENT and XFORWARD */
    struct span user;          /* authenticated as, or empty; borrowed for the call */
    struct buf header;         /* taken over: what goes before the message, Received: first */
    uint64_t octets;           /* of the message as the client sent it: without stuffing dots, and
                                  without octets that mired has added to it in the spool */
    uint32_t declared;         /* by MAIL's SIZE, or 0 */
    int socket;                /* the client's, open until `done` or relay_abandon(): at the end it
                                  shows whether the client has reset the connection */
    bool utf8, eightbit;       /* asked for by the client: SMTPUTF8, BODY=8BITMIME */
    bool esmtp;                /* it said EHLO */
    bool vouched;              /* its record counts for everybody: the client is exempt, or on a
                                  list that the administrator trusts (docs/mixed-answers.md) */
};

struct relay_result {
    struct reply reply;  /* for the client; arg valid during the call */
    uint32_t accepted;   /* recipients that the backend has now (or had already) */
    uint32_t before;     /* those of them that had it already, from an earlier try */
    const char *backend; /* its name, or "-"; of several with commas between; for the call */
    const char *route;   /* the rules that chose them (struct route), or "default"; likewise */
    const char *why; /* why it is deferred where no backend's reply says so, for the log; NULL: one
                        does, or it is not; for the call */
    bool duplicate_possible;   /* the connection broke after the final dot */
    const struct handover *of; /* private; for relay_next_taken() */
};

/* What the route of a recipient says about a message before its data. */
enum relay_fit {
    RELAY_FITS,
    RELAY_NO_ROUTE,  /* no backend serves its domain */
    RELAY_TOO_LARGE, /* its backends take less than `size` */
    RELAY_LACKS,     /* none of its backends has an extension that MAIL or RCPT asked for */
    RELAY_APART,     /* its backends are down, and the first recipient has another route, whose mail
                        need not wait for them */
};

/* `e` has the recipients before this one; `needs` is of enum smtp_offer; `size` is the SIZE of
 * MAIL, or 0. If all domains have the same backends, MAIL has decided already, and everything
 * fits. */
enum relay_fit relay_fit(const struct relay *r, const struct envelope *e, struct span address,
                         uint32_t needs, uint64_t size);

/* Whether only the built-in store serves the address, which keeps no mail of other domains. */
bool relay_only_stores(const struct relay *r, struct span address);

struct handover;

/* Iterates over the recipients that a backend has given the message in this try, not in an
 * earlier one: start with a zeroed iterator. Only during `done`. */
struct relay_taken {
    struct span address; /* borrowed for the call */
    uint32_t part, at;   /* private */
    struct envelope_recipient to;
};
bool relay_next_taken(const struct relay_result *result, struct relay_taken *i);

/* Begins a hand-over; `done` is called once, later. Returns NULL without memory: everything is
 * freed, and the client should hear 451. The handle is valid until `done` or relay_abandon(). */
struct handover *relay_send(struct relay *r, struct relay_message *m,
                            void (*done)(void *arg, const struct relay_result *result), void *arg);

/* The client has ended its side and may not hear the outcome: the recipients that get the message
 * are recorded, if it has a Message-ID. `done` is still called. */
void relay_unheard(struct handover *h);

/* The client has reset the connection and hears nothing more. True: no backend may have the message
 * yet, and it has no Message-ID, so that a retry could not be told from another message and would
 * be delivered again. Then give the hand-over up: the client still has the message. Reads the whole
 * message once. */
bool relay_would_double(const struct handover *h);

/* The client is gone: `done` will not be called. Parts of the message that have not reached a backend
 * are dropped; parts in flight end by themselves, and partial_delivery records their outcome. True:
 * no recipient has the message, or will get it. */
bool relay_abandon(struct handover *h);

/* What the hand-over waits for: the backend's name in *backend (NULL: no backend has it yet) and
 * the state of its connection. Both strings live as long as the configuration. */
const char *relay_waits_for(const struct handover *h, const char **backend);

#endif
