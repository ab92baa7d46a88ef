/* Private to src/worker: the worker and a connection as its files see them. Functions are declared
 * in the header of their file.
 *
 * A connection must be cheap while it waits. Every connection has a `struct conn` (a slab object).
 * What only a busy one needs (unread input, unsent output, a query, a message) is in a `struct
 * work`, which is freed when nothing is in flight. So a held harvester is a conn and the few words
 * of its envelope.
 *
 *   worker.c      the process: control, end              listening.c  the listeners
 *   conn.c        accept, greet, close
 *   conn_step.c   the session's steps                    io.c         octets in and out
 *   hold.c        replies kept back, drip, release       verdict.c    the hold of a verdict's reply
 *   guard.c       room for clients without debt (R17)    room.c       what one client may take
 *   freeze.c      to the freezer and back                tls_stash.c  TLS states of frozen ones
 *   recipient.c   verdicts on RCPT                       login.c      verdicts on AUTH
 *   judge.c       what the tarpit says; `observe`        queries.c    queries to the clerks
 *   auth_queue.c  strangers to an account wait in line   accounts.c   what verifiers call accounts
 *   sending.c     what accounts may send (R23)           proposing.c  changes, for the keeper
 *   message.c     spool, hand-over, outcome              proxied.c    clients behind a balancer
 *   tls.c         handshakes, octets under TLS           shakes.c     the pace of handshakes
 *   lists.c       what the DNS says of a client          suspects.c   networks that start in debt
 *   connections.c what is open, for mirectl              conn_state.h names of phases and flags
 *   journal.c     lines of the log                       ration.c     how many a client may cause
 *   budget.c      counters of what clients take          ident.c      ids of sessions, messages
 *   held.c        what the master asks of held ones      who.c        keys of recent clients */
#ifndef MIRED_WORKER_WORKER_PART_H
#define MIRED_WORKER_WORKER_PART_H

#include <assert.h>
#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/bytes.h"
#include "base/container.h"
#include "base/loop.h"
#include "base/ring.h"
#include "base/slab.h"
#include "relay/spool.h"
#include "smtp/session.h"
#include "tarpit/policy.h"
#include "tarpit/tarpit.h"
#include "worker/conn_state.h"
#include "worker/guard.h"
#include "worker/ident.h"
#include "worker/shakes.h"
#include "worker/suspects.h"
#include "worker/tls_stash.h"
#include "worker/who.h"
#include "worker/worker.h"

struct accounts;
struct allowances;
struct auth_queue;
struct budget;
struct config;
struct freezing;
struct handover;
struct listening;
struct lists;
struct login;
struct queries;
struct query;
struct rations;
struct relay;
struct shadows;
struct worker;

/* What a connection has only while something is in flight. */
struct work {
    struct buf in;           /* octets that were read and not yet used */
    struct buf out;          /* to be sent */
    struct tarpit_hold hold; /* with CONN_HOLD_SET */
    struct query *query;
    struct login *login;   /* a SCRAM login has begun */
    struct worker *worker; /* for the relay's callback */
    struct spool *spool;
    struct ring spooling; /* with a spool: in worker->spooling */
    struct ring in_line;  /* waits to begin its handshake (tls.c); else not in a ring */
    bool stood_in_line;   /* it has waited so, and its handshake has not begun yet */
    struct conn *conn;    /* with a spool, or in line: the connection */
    uint64_t window;      /* octets of the message since the timer was set; see io_keeps_pace() */
    uint32_t heard_ms;    /* when the last of them came: the low bits of loop->now */
    uint32_t begun_ms;    /* when the message began; likewise */
    uint32_t pieces;      /* in which the message has come */
    struct handover *handover;
    uint32_t declared;  /* SIZE of the current message */
    uint64_t handed_us; /* when the hand-over began */
    uint64_t in_hand;   /* octets of the message that the relay has, which are still in the spool */
    char id[IDENT_MAX]; /* the message's id, from the making of its header on */
    uint32_t handed_recipients;
    uint32_t allowed; /* R23: recipients of the message in hand that were taken off an allowance */
    bool allowed_new; /* ... of new networks */
};

struct conn {
    struct watch watch;
    struct alarm alarm;
    struct smtp_session smtp;
    struct ring link;  /* in a ring of the guard while CONN_HELD, else in worker->awake */
    struct work *work; /* NULL while nothing is in flight */
    struct addr peer;
    uint32_t since_ms; /* when this phase began: the low bits of loop->now, see conn_waited() */
    uint32_t opened_s; /* wall seconds; gives the session's id, with `peer`: see ident.h */
    uint32_t held_ms;  /* in all */
    uint16_t listener; /* into worker->service */
    uint16_t offences;
    uint16_t messages;
    /* of the last reply to RCPT or the data, or of a refusal since; for the log */
    uint16_t last_code;
    uint32_t hold_ms : 20;       /* from since_ms on: when the held reply is sent; see judge.c */
    uint32_t flags : 12;         /* enum conn_flag */
    uint32_t drip_after_ms : 20; /* from since_ms on: when its first line is sent; 0: no drip */
    uint32_t drip_lines : 6;     /* lines that have been sent */
    uint32_t phase : 3;          /* enum conn_phase */
    uint32_t envelope : 3;       /* how its envelope is counted; see room_count_envelope() */
};

enum { WORKER_TOLD = 64 };

enum { CONN_HOLD_MAX_MS = (1 << 20) - 1 };
static_assert((int)POLICY_HOLD_MAX <= (int)CONN_HOLD_MAX_MS && POLICY_DRIP_LINES < 1 << 6,
              "fields hold it");

/* The budget is 256 octets for a held connection (docs/performance.md): this struct, and the
 * envelope's block, which for a harvester (HELO, MAIL, the refused address) has 48 to 64. */
static_assert(sizeof(struct conn) <= 176, "a held connection must stay within its budget");

/* Of records of mixed answers, for the keeper (proposing.c). */
struct withdrawals {
    uint64_t *key;
    uint32_t count, room;
};

struct worker {
    struct withdrawals withdrawals;
    struct loop loop;
    const struct worker_params *params;
    const struct config *config;
    struct slab conns;
    struct smtp_service *service; /* one for each `listen` */
    struct tarpit tarpit;
    struct whos whos;
    struct relay *relay;
    struct queries *queries;
    struct auth_queue *auth_queue;
    struct accounts *accounts;
    uint32_t auth; /* enum smtp_auth: what the services offer now */
    struct guard guard;
    struct budget *budget;
    bool spool_is_short; /* see room_look_after() */
    struct allowances *allowances;
    struct alarm allowances_alarm;
    uint64_t told[WORKER_TOLD], told_until[WORKER_TOLD]; /* of sending.c: accounts, loop ms */
    struct suspects suspects;
    struct alarm suspects_alarm;
    struct rations *rations; /* of lines of the log; see journal.c */
    struct alarm ration_alarm;
    struct lists *lists;       /* NULL: nothing is asked of the DNS */
    struct freezing *freezing; /* NULL: no freezer */
    struct shadows *shadows;   /* R20; NULL: nothing would have waited yet */
    struct alarm shadow_alarm;
    struct tls_stash stash;
    struct spool_room spool_room;
    struct alarm trim_alarm; /* of the blocks in spool_room */
    SSL **tls;               /* by descriptor; NULL where there is none */
    size_t tls_places;
    struct shakes shakes;
    struct ring *shake_line; /* BUDGET_PLACES: of handshakes that wait (tls.c); all 0 until used */
    struct listening *listening; /* as params->listener */
    struct watch control;
    struct alarm stop_alarm, accept_alarm, offer_alarm, tell_alarm;
    uint64_t warn_of_proxy; /* loop ms: not before */
    uint64_t settle_from;   /* monotonic ms: it waits for the keeper again; see proposing.c */
    /* Events without progress: those that the metric has, and those of a second; see tell_idle().
     */
    uint64_t idle_told, idle_before, idle_since, warn_of_idle;
    struct ring spooling; /* work of connections whose message is coming in, the oldest first */
    struct ring awake;    /* the connections that are not held */
    uint32_t open;
    uint32_t open_max, held_max, held_per_client, open_reserve_from;
    bool sends_xclient; /* a backend is told the client of a message: XCLIENT, XFORWARD */
    bool called;        /* the master has told it to serve; it does when it knows what to offer */
    bool offers;        /* it knows what to offer */
    bool serving, draining, stopping;
    size_t input_in_use;   /* octets of `input` that the running connection uses */
    char input[64 * 1024]; /* the input of the connection that is running */
};

static inline struct worker *worker_of(struct loop *loop)
{
    return container_of(loop, struct worker, loop);
}

static inline struct conn *conn_of_link(struct ring *link)
{
    return container_of(link, struct conn, link);
}

/* How long the connection has been in its phase, in ms. */
static inline uint64_t conn_waited(const struct worker *w, const struct conn *c)
{
    return (uint32_t)w->loop.now - c->since_ms;
}

#endif
