/* Limits what logged-in accounts may send (R23): asks tarpit/allowance.h at RCPT and when a message
 * is complete, tells the client when it may send again, and logs refusals for the administrator.
 *
 * Runs in a worker's loop. It does nothing for clients that have not logged in, and costs nothing
 * without allowances. */
#ifndef MIRED_WORKER_SENDING_H
#define MIRED_WORKER_SENDING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "smtp/reply.h"

struct conn;
struct worker;

/* Opens the file of allowances, and checks it regularly. Call it when this process is confined, because
 * another one may have written the file's copy. False without memory. */
bool sending_open(struct worker *w);
void sending_close(struct worker *w);

enum { SENDING_TEXT = 256 };

/* Whether one more recipient fits, in addition to those of the envelope. If not, *r is the reply;
 * its argument is in `text`. */
bool sending_recipient(struct worker *w, struct conn *c, struct reply *r, char text[SENDING_TEXT]);

/* Call it when a message is complete: takes its recipients from the allowance, or returns false and
 * the reply as above. sending_over() gives back recipients that did not get the message. */
bool sending_message(struct worker *w, struct conn *c, struct reply *r, char text[SENDING_TEXT]);

/* The hand-over has ended. `unsent`: recipients of the message that no backend has. */
void sending_over(struct worker *w, struct conn *c, uint32_t unsent);

/* Whether a login with the right password is accepted. With `stolen = "refuse"` it is not if the
 * account looks stolen and the client's network is new to it. */
bool sending_may_log_in(struct worker *w, struct conn *c, struct span account);

/* Records an accepted login: its network begins to become known to the account. */
void sending_logged_in(struct worker *w, struct conn *c, struct span account);

#endif
