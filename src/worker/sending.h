/* What accounts that are logged in may send (R23): asks tarpit/allowance.h at RCPT and when a
 * message is whole, tells the client when it goes on, and tells the administrator.
 *
 * Runs in a worker's loop. Of clients that are not logged in it knows nothing, and without
 * allowances it costs nothing. */
#ifndef MIRED_WORKER_SENDING_H
#define MIRED_WORKER_SENDING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "smtp/reply.h"

struct conn;
struct worker;

/* Opens the allowances' file, and looks at it again and again. False without memory. */
bool sending_open(struct worker *w);
void sending_close(struct worker *w);

enum { SENDING_TEXT = 256 };

/* Whether one more recipient beside those of the envelope fits. If not, the reply to it is in *r;
 * its argument stands in `text`. */
bool sending_recipient(struct worker *w, struct conn *c, struct reply *r, char text[SENDING_TEXT]);

/* A message is whole: takes its recipients from the allowance, or returns false and the reply as
 * above. sending_over() gives back what did not come of it. */
bool sending_message(struct worker *w, struct conn *c, struct reply *r, char text[SENDING_TEXT]);

/* The hand-over has ended. `unsent`: recipients of the message that no backend has. */
void sending_over(struct worker *w, struct conn *c, uint32_t unsent);

/* Whether a login with the right password is let in: it is not where the account looks stolen and
 * the client's network is new to it. */
bool sending_may_log_in(struct worker *w, struct conn *c, struct span account);

/* Such a login is told to the client: its network begins to be known to the account. */
void sending_logged_in(struct worker *w, struct conn *c, struct span account);

#endif
