/* Private to the client's side of SMTP: what client.c (the envelope and the state machine),
 * client_hello.c (the session's beginning) and client_body.c (the message) use of each other. */
#ifndef MIRED_SMTP_CLIENT_PART_H
#define MIRED_SMTP_CLIENT_PART_H

#include "smtp/client.h"

/* The connection cannot be used any more. */
void outbound_die(struct outbound *o);

/* Sends a command line, and waits for the reply in the state `next`; without memory the connection
 * dies. */
void outbound_say(struct outbound *o, const char *line, enum outbound_state next);

/* Keeps a reply for the log. */
void outbound_complain(struct outbound *o, enum reply_stage stage, const struct reply *r);

/* Gives up the connection, and keeps the reason for the log. */
void outbound_refused(struct outbound *o, enum reply_stage stage, const struct reply *r);

/* Sends the envelope of o->job, as far as the backend takes it in one burst. */
void outbound_send_envelope(struct outbound *o);

/* The job has ended. */
void outbound_over(struct outbound *o);

/* Ends the job before its data; the connection can take another job. */
void outbound_over_and_reset(struct outbound *o);

/* Turns a reply to MAIL, RCPT, DATA or the message into the client's reply. If it is about our own
 * session with the backend, the client hears 451, it is no offence of the client (R24), and this
 * returns true. */
bool outbound_translate(struct outbound *o, enum reply_stage stage, struct reply *r);

/* client_body.c: whether o->job goes with BDAT. */
bool outbound_may_chunk(const struct outbound *o);

/* Begins to send the message with BDAT; the envelope has been accepted. */
void outbound_begin_chunks(struct outbound *o);

/* client_body.c: the backend has replied in the state of that name. */
void outbound_on_chunk(struct outbound *o, const struct reply *r);
void outbound_on_data(struct outbound *o, struct reply *r);
void outbound_on_body(struct outbound *o, struct reply *r);
void outbound_on_final(struct outbound *o, struct reply *r);

/* client_hello.c: the backend has replied in the state of that name. */
void outbound_on_greeting(struct outbound *o, const struct reply *r);
void outbound_on_hello(struct outbound *o, const struct reply *r);
void outbound_on_starttls(struct outbound *o, const struct reply *r);
void outbound_on_xclient(struct outbound *o, const struct reply *r);
void outbound_on_xhello(struct outbound *o, const struct reply *r);
void outbound_on_xforward(struct outbound *o, const struct reply *r);

#endif
