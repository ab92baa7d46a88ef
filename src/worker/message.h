/* Messages: spooled as a whole, then handed over to a backend, whose reply becomes the client's.
 * The client hears 250 only after the backend has said it. */
#ifndef MIRED_WORKER_MESSAGE_H
#define MIRED_WORKER_MESSAGE_H

#include <stdbool.h>

#include "base/bytes.h"

struct conn;
struct iovec;
struct worker;

/* The worker's memory for messages. Returns 0 or -ENOMEM. */
int message_open(struct worker *w);
void message_close(struct worker *w);

/* Answers SMTP_MESSAGE: begins a spool. Always true; without memory message_add() fails. */
bool message_begin(struct worker *w, struct conn *c);

/* Counts octets of the message that have come, because its client must keep a pace
 * (`data_rate`). */
void message_heard(struct worker *w, struct conn *c, size_t octets);

/* Call it when octets have been used: a connection whose message is large, takes long, or comes in
 * small pieces is bulk for the loop until the message ends, and so is one that brings no mail forward
 * until it does. */
void message_rank(struct worker *w, struct conn *c);

/* Where the next octets of the message can be received (spool_place()); 0: nowhere. */
int message_place(struct conn *c, struct iovec *place, int max, size_t octets);
/* Gives back the places that have not been filled. */
void message_fit(struct conn *c);

/* Answers SMTP_BODY: adds octets. Without room for them it calls smtp_body_failed(), and the
 * session replies 452. */
void message_add(struct worker *w, struct conn *c, struct span body);

/* Answers SMTP_MESSAGE_VOID: frees the spool. */
void message_void(struct worker *w, struct conn *c);

/* Answers SMTP_MESSAGE_END: hands the message over. True: the outcome is known already. False: the
 * connection is CONN_HANDING. */
bool message_end(struct worker *w, struct conn *c);

/* Whether to give the message of a connection in CONN_HANDING up, because its client has reset the
 * connection: no backend may have the message yet, and its retry would be delivered again. */
bool message_would_double(const struct conn *c);

/* The timer of CONN_HANDING: hands over a message that waited for its client's names. May free the
 * connection. */
void message_due(struct worker *w, struct conn *c);

/* The connection ends: frees the spool and abandons the hand-over. */
void message_forget(struct worker *w, struct conn *c);

#endif
