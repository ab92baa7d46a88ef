/* Steps a connection's session, and collects its replies. Only conn_step.c steps a session. Other
 * files get what a step needs, and continue with conn_run(). All functions run in the worker's
 * loop. */
#ifndef MIRED_WORKER_CONN_STEP_H
#define MIRED_WORKER_CONN_STEP_H

#include <stdbool.h>
#include <stddef.h>

#include "smtp/reply.h"

struct conn;
struct iovec;
struct worker;

/* Steps the session until it must wait. May free the connection. A call within a run of the same
 * connection does nothing, because that run goes on. */
void conn_run(struct worker *w, struct conn *c);

/* The same with new input: w->input[0..have), which begins with the octets kept from earlier
 * reads. */
void conn_run_input(struct worker *w, struct conn *c, size_t have);

/* The same with new octets of a message that were received where the message goes on (spool_place()),
 * in so many places, without octets kept from earlier reads. At most sizeof w->input octets. */
void conn_run_places(struct worker *w, struct conn *c, const struct iovec *place, int places);

/* Adds the reply to the output and counts it; false without memory. */
bool conn_say(struct conn *c, const struct reply *r);

/* The same for the end of a reply that has dripped (R11). */
bool conn_say_end(struct conn *c, const struct reply *r);

#endif
