/* Holds: a reply that is ready and kept back (docs/tarpit.md, R1 to R13). Carries out what the
 * tarpit decides; the offence of a held reply is booked before the hold begins, so however it ends
 * nothing remains to be booked but the client's patience (R12).
 *
 * Times are ms of the loop's clock, a hold lasts CONN_HOLD_MAX_MS at most. */
#ifndef MIRED_WORKER_HOLD_H
#define MIRED_WORKER_HOLD_H

#include <stdbool.h>
#include <stdint.h>

struct conn;
struct reply;
struct worker;

enum hold_outcome {
    HOLD_NONE, /* send the reply now */
    HOLD_HELD, /* it goes out later; the connection is CONN_HELD */
    HOLD_GONE, /* there was no room to hold it (R17): the connection is closed and freed */
};

/* Decides whether the session's next reply waits, and begins its hold. A reply whose verdict is
 * decided (CONN_HOLD_SET, verdict.h) waits as that says; any other is judged here: an offence by
 * R1, a reply of the conversation by R3. Each offence is counted and booked once. Replies before
 * this one are sent first. */
enum hold_outcome hold_reply(struct worker *w, struct conn *c, const struct reply *reply);

/* Goes on with a hold that began in another process: `left` ms remain, c->since_ms is when it began
 * and is kept. With 0 ms left the reply goes out at once. May free the connection. */
void hold_resume(struct worker *w, struct conn *c, uint64_t left);

/* The timer of CONN_HELD: freezes the connection, sends a drip line (R11), or ends the hold. May
 * free the connection. */
void hold_due(struct worker *w, struct conn *c);

/* Sends the held reply now and steps the session. May free the connection. */
void hold_release(struct worker *w, struct conn *c);

/* The client hung up while it was held: notes its patience (R12) and frees the connection. */
void hold_gave_up(struct worker *w, struct conn *c);

/* The client sent something while it was held. Before the greeting that is an offence (early
 * talker), and a 554 takes the greeting's place; but see smtp_early(). May free the connection. */
void hold_spoken(struct worker *w, struct conn *c);

/* Whether the client may have talked before its held greeting, although it has ended its side. */
bool hold_may_be_early(struct worker *w, struct conn *c);

/* Ends the hold without its reply: takes the connection out of the guard and adds up the time.
 * Sends and frees nothing. The connection is CONN_READING afterwards. */
void hold_end(struct worker *w, struct conn *c);

#endif
