/* A connection's life: accepted, greeted, timed, closed. conn_step.h steps its session. All
 * functions run in the worker's loop. */
#ifndef MIRED_WORKER_CONN_H
#define MIRED_WORKER_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/bytes.h"
#include "base/loop.h"
#include "smtp/reply.h"
#include "tarpit/tarpit.h"
#include "worker/conn_state.h"

struct conn;
struct work;
struct worker;

/* ---- beginning ---- */

/* Makes a connection for this descriptor: it is watched and CONN_READING, and its session is not
 * started. NULL without room; the caller then keeps the descriptor. */
struct conn *conn_new(struct worker *w, int fd, uint16_t listener, const struct addr *peer,
                      bool exempt);

/* The loop's prefetch (loop.h): prefetches the ledger entry of a client before its input is
 * read. */
void conn_prefetch(struct loop *loop, const struct watch *watch);

/* Takes over an accepted descriptor: greets the client, or waits for the balancer's header. Without
 * room it sends 421 and closes the descriptor. */
void conn_accept(struct worker *w, int fd, uint16_t listener, const struct addr *peer);

/* Begins the session of a client whose address is known. May free the connection. */
void conn_greet(struct worker *w, struct conn *c);

/* ---- phases ---- */

/* Changes the phase, records when it begins, and sets the connection's timer (ms; 0: none). */
void conn_phase(struct worker *w, struct conn *c, enum conn_phase phase, uint64_t timer_ms);

/* The connection's timer is due. May free the connection. */
void conn_due(struct loop *loop, struct alarm *a);

/* The connection's work, made when there is none; NULL without memory. */
struct work *conn_work(struct conn *c);

/* Frees the work when nothing is in flight. */
void conn_rest(struct conn *c);

/* ---- end ---- */

/* Frees the connection without a line in the log. Returns its descriptor, which stays open. */
int conn_detach(struct worker *w, struct conn *c);

/* Logs and counts the session, closes the descriptor, frees everything. */
void conn_close(struct worker *w, struct conn *c, enum close_reason reason);

/* The same with a detail for the log: "REASON: DETAIL". */
void conn_close_with(struct worker *w, struct conn *c, enum close_reason reason,
                     const char *detail);

/* Sends the reply `id` (421 ...), whatever the phase, and closes. */
void conn_shut(struct worker *w, struct conn *c, enum reply_id id);

/* ---- who the client is ---- */

/* Whether clients with that address are exempt, by `exempt` or by what is known from the DNS. */
bool conn_is_exempt(const struct worker *w, const struct addr *peer);

/* Whether it may send to domains that are not ours: it has logged in, or is in `relay`. */
bool conn_may_relay(const struct worker *w, const struct conn *c);

/* Whether the client's offences are not booked: it is exempt, also by the ledger, or logged in. */
bool conn_is_spared(struct worker *w, const struct conn *c);

/* The client for the tarpit. It is computed at each call, because a connection may become exempt at
 * any reply. */
struct tarpit_who conn_who(struct worker *w, struct conn *c);

/* The domain of MAIL FROM; empty for <>, and before MAIL. Valid until the envelope changes. */
struct span conn_sender_domain(const struct conn *c);

#endif
