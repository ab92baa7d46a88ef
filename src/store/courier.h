/* Takes messages to their mailboxes in threads of their own, so that a mailbox that hangs (a folder on
 * a file server that is gone) holds up neither the session nor the message's other mailboxes for long.
 *
 * If nothing moves for COURIER_SLOW_MS while one mailbox gets its copy, another thread goes on with
 * the rest. After COURIER_PATIENCE_MS the mailboxes without an outcome are given up: their recipients
 * hear 451. A thread cannot be taken out of the kernel, so it is left there; when it comes back, it
 * removes what it has put into a mailbox that was given up, and ends.
 *
 * One courier for each session, used by one thread; it has one message at a time: courier_begin(), the
 * mailboxes, octets, courier_commit(), courier_end(). Errors as in maildir.h, and -ETIMEDOUT. */
#ifndef MIRED_STORE_COURIER_H
#define MIRED_STORE_COURIER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"
#include "store/maildir.h"

enum { COURIER_SLOW_MS = 2000, COURIER_PATIENCE_MS = 20000 };

struct hand;
struct delivery;

/* Zeroed at first. */
struct courier {
    struct hand *hand;         /* the thread that works for it now */
    struct delivery *delivery; /* the message */
};

/* False without memory. The message is that of maildir_begin(). */
bool courier_begin(struct courier *c, int root, const char *host);

/* The message, for the functions of maildir.h that touch no mailbox: maildir_add() before the first
 * octets, maildir_path(), and maildir_error() after courier_commit(). */
struct maildir_message *courier_message(const struct courier *c);

/* Returns 0, or -errno when no mailbox can get the message any more. */
int courier_write(struct courier *c, struct span octets);
void courier_commit(struct courier *c);

/* Ends the message, if there is one. */
void courier_end(struct courier *c);

/* Ends the session's thread. */
void courier_close(struct courier *c);

#endif
