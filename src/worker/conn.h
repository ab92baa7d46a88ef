/* A connection's life: accepted, stepped, closed. The one file that steps a session; what a step
 * wants is the other files' to get, and they come back through conn_run(). */
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

/* A connection of this descriptor, watched, CONN_READING, its session not started. NULL without
 * room for it: the descriptor is still the caller's. */
struct conn *conn_new(struct worker *w, int fd, uint16_t listener, const struct addr *peer,
                      bool exempt);

/* The loop's prefetch (loop.h): prefetches the ledger entry of a client whose input is about to be
 * read. */
void conn_prefetch(struct loop *loop, const struct watch *watch);

/* Takes an accepted descriptor over: greets the client, or waits for its balancer's header. Without
 * room says 421 and closes it. */
void conn_accept(struct worker *w, int fd, uint16_t listener, const struct addr *peer);

/* The client's address is known: begins its session. May free the connection. */
void conn_greet(struct worker *w, struct conn *c);

/* ---- stepping ---- */

/* Steps the session as far as it goes without waiting. May free the connection. Within a run of the
 * same connection it does nothing: that run goes on. */
void conn_run(struct worker *w, struct conn *c);

/* The same with new input: w->input[0..have), what was kept from earlier reads in front of it. */
void conn_run_input(struct worker *w, struct conn *c, size_t have);

/* Changes the phase, notes when it begins, and sets the connection's timer (0: none). */
void conn_phase(struct worker *w, struct conn *c, enum conn_phase phase, uint64_t timer_ms);

/* The connection's timer is due. May free the connection. */
void conn_due(struct loop *loop, struct alarm *a);

/* Puts the reply into the output and counts it; false without memory. */
bool conn_say(struct conn *c, const struct reply *r);

/* The same for the end of a reply that has dripped (R11). */
bool conn_say_end(struct conn *c, const struct reply *r);

/* The connection's work, made when there is none; NULL without memory. */
struct work *conn_work(struct conn *c);

/* Frees the work when nothing is in flight. */
void conn_rest(struct conn *c);

/* ---- end ---- */

/* Frees the connection without a line in the log; its descriptor stays open and is returned. */
int conn_detach(struct worker *w, struct conn *c);

/* Logs and counts the session, closes the descriptor, frees everything. */
void conn_close(struct worker *w, struct conn *c, enum close_reason reason);

/* The same with what more there is to say in the log: "REASON: DETAIL". */
void conn_close_with(struct worker *w, struct conn *c, enum close_reason reason,
                     const char *detail);

/* Tells the client `id` (421 ...) whatever the phase, and closes. */
void conn_shut(struct worker *w, struct conn *c, enum reply_id id);

/* ---- who the client is ---- */

/* Whether clients of that address are never delayed: by `exempt`, or by what the DNS is known to
 * say. */
bool conn_is_exempt(const struct worker *w, const struct addr *peer);

/* The same, or by the ledger, or authenticated: its offences are not booked. */
bool conn_is_spared(struct worker *w, const struct conn *c);

/* The client as the tarpit knows it, made anew at each call: a connection may become exempt at any
 * reply. */
struct tarpit_who conn_who(struct worker *w, struct conn *c);

/* The domain of MAIL FROM; empty for <>, and before MAIL. Good until the envelope changes. */
struct span conn_sender_domain(const struct conn *c);

#endif
