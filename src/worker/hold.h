/* Holds: replies that are ready and sent later (docs/tarpit.md, R1 to R13). Carries out the
 * tarpit's decisions. The offence of a held reply is booked before the hold begins, so when the
 * hold ends, only the client's patience is left to book (R12).
 *
 * Times are ms of the loop's clock; a hold lasts CONN_HOLD_MAX_MS at most. */
#ifndef MIRED_WORKER_HOLD_H
#define MIRED_WORKER_HOLD_H

#include <stdbool.h>
#include <stdint.h>

#include "smtp/reply.h"

struct conn;
struct worker;

enum hold_outcome {
    HOLD_NONE, /* send the reply now */
    HOLD_HELD, /* it is sent later; the connection is CONN_HELD */
    HOLD_GONE, /* there was no room to hold it (R17): the connection is closed and freed */
};

/* Decides whether the session's next reply waits, and begins its hold. If the verdict is already
 * decided (CONN_HOLD_SET, verdict.h), the hold is as decided. Other replies are judged here: an
 * offence by R1, a reply without offence by R3. Each offence is counted and booked once. Earlier
 * replies are sent first. */
enum hold_outcome hold_reply(struct worker *w, struct conn *c, const struct reply *reply);

/* Continues a hold that began in another process: `left` ms remain; c->since_ms, when it began,
 * stays. With 0 ms left the reply is sent at once. May free the connection. */
void hold_resume(struct worker *w, struct conn *c, uint64_t left);

/* Ends a hold that began in another process, and its connection, with this reply, because there is no
 * room for it or the worker stops. The client hears its verdict before that, if it is due (`left` is
 * 0). Frees the connection. */
void hold_cut(struct worker *w, struct conn *c, uint64_t left, enum reply_id id);

/* The timer of CONN_HELD: freezes the connection, sends a drip line (R11), or ends the hold. May
 * free the connection. */
void hold_due(struct worker *w, struct conn *c);

/* Sends the held reply now and steps the session. May free the connection. */
void hold_release(struct worker *w, struct conn *c);

/* The client hung up while its reply was held: records its patience (R12) and frees the
 * connection. */
void hold_gave_up(struct worker *w, struct conn *c);

/* The client sent something while its reply was held. Before the greeting that is an offence (early
 * talker), and a 554 replaces the greeting; but see smtp_early(). May free the connection. */
void hold_spoken(struct worker *w, struct conn *c);

/* Whether the client may have talked before its held greeting, although it has ended its side. */
bool hold_may_be_early(struct worker *w, struct conn *c);

/* Ends the hold without its reply: takes the connection out of the guard and adds up the time.
 * Sends and frees nothing. The connection is CONN_READING afterwards. */
void hold_end(struct worker *w, struct conn *c);

#endif
