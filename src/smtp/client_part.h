/* Private to the client's side of SMTP: what client.c (the envelope, the data and the state
 * machine) and client_hello.c (the session's beginning) use of each other. */
#ifndef MIRED_SMTP_CLIENT_PART_H
#define MIRED_SMTP_CLIENT_PART_H

#include "smtp/client.h"

/* The connection cannot be used any more. */
void outbound_die(struct outbound *o);

/* Sends a command line; without memory the connection dies. */
void outbound_say(struct outbound *o, const char *line);

/* Keeps a reply for the log. */
void outbound_complain(struct outbound *o, enum reply_stage stage, const struct reply *r);

/* Gives up the connection, and keeps the reason for the log. */
void outbound_refused(struct outbound *o, enum reply_stage stage, const struct reply *r);

/* Sends the envelope of o->job, as far as the backend takes it in one burst. */
void outbound_send_envelope(struct outbound *o);

/* client_hello.c: the backend has replied in the state of that name. */
void outbound_on_greeting(struct outbound *o, const struct reply *r);
void outbound_on_hello(struct outbound *o, const struct reply *r);
void outbound_on_starttls(struct outbound *o, const struct reply *r);
void outbound_on_xclient(struct outbound *o, const struct reply *r);
void outbound_on_xhello(struct outbound *o, const struct reply *r);
void outbound_on_xforward(struct outbound *o, const struct reply *r);

#endif
