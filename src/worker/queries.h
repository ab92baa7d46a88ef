/* A worker's queries to the clerks, and their answers (query/query.h has the packets).
 *
 * A connection has one query at a time. c->work->query owns it from query_ask() until its answer or
 * the connection's end; then it is freed here. An answer finds its query by an id that is never
 * used twice, so an answer after the time-out (QUERY_TIMEOUT_MS) or the connection's end is
 * dropped. */
#ifndef MIRED_WORKER_QUERIES_H
#define MIRED_WORKER_QUERIES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ring.h"
#include "query/query.h"
#include "tarpit/tarpit.h"

struct conn;
struct queries;
struct worker;

struct query {
    uint64_t id;
    uint64_t login_id; /* QUERY_SCRAM: 0 for the first message, else the clerk's login */
    struct conn *conn;
    struct ring waiting;      /* placed and not sent: the queue to the clerks is full */
    struct ring standing;     /* AUTH_QUEUE_STANDS */
    uint16_t kind;            /* enum query_kind */
    uint64_t strangers;       /* auth_queue.c: the line of a stranger to an account */
    uint64_t asked_ms;        /* loop ms: when the client asked */
    uint8_t queue;            /* enum query_queue */
    uint8_t auth_queue, line; /* auth_queue.c: enum auth_queue_place, and which line */
    bool placed, sent;
    struct tarpit_permit permit;
    uint16_t kept_len; /* a text that stays here: the address as written, or the account */
    uint16_t first_len, second_len; /* texts for the clerk: see query.h */
    char text[];                    /* these three texts, one after another */
};

/* Opens w->queries, which uses params->ask, own and answer. 0 or -errno. */
int queries_open(struct worker *w);
void queries_close(struct queries *a);

/* Makes a query with copies of these texts (`second` may be a password, and is wiped when the query
 * is freed). NULL without memory. */
struct query *query_new(enum query_kind kind, const struct tarpit_permit *permit, struct span kept,
                        struct span first, struct span second);

/* Sends the query, or lets it wait in line (auth_queue.h), and makes the connection CONN_ASKING.
 * Takes over `q`, which may be NULL. False: it cannot be sent and is freed; the phase has not
 * changed. */
bool query_ask(struct worker *w, struct conn *c, struct query *q);

/* The query waited in line and is the next. May free its connection. */
void query_next(struct worker *w, struct query *q);

/* Gives the query an id and sends it, or keeps it while the clerks' queue is full. False without
 * memory, or if the one clerk that has the login cannot take it now. */
bool queries_put(struct worker *w, struct query *q);

/* Removes the query from every queue and frees it; for a query that is answered, or whose
 * connection ends. */
void queries_drop(struct worker *w, struct query *q);

/* A clerk's answer to c->work->query; NULL: none came in time, which is a temporary refusal. The
 * session goes on. May free the connection. */
void query_answered(struct worker *w, struct conn *c, const struct answer *a);

#endif
