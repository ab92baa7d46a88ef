/* The copy of a message that a store which was killed has left in a mailbox: the worker, which has heard
 * no reply, sends the message again (SMTP_AGAIN), and the mailbox must not get a second copy.
 *
 * Two files are the same message if all octets are: the Received: that mired has added has an id that
 * no other message has. Only files whose names say that they were delivered within a day are opened; a
 * name of another form is no message of the store. If a reader has moved the copy into another folder
 * meanwhile, or removed it, it is not found. Blocking. */
#ifndef MIRED_STORE_TWIN_H
#define MIRED_STORE_TWIN_H

#include <stdint.h>

#include "store/box.h"

enum { TWIN_SECONDS = 24 * 3600 };

struct twin {
    char folder[sizeof(struct box_path) + 8]; /* seen from `root` */
    char name[MESSAGE_NAME];
};

/* Looks in `new` and `cur` of the mailbox for the message that is in `file`: `size` octets from its
 * beginning on. Returns 1 and sets `found` if there is a copy, 0 if there is none, or -errno. `now_s` in
 * seconds since 1970. */
int twin_find(int root, const struct box_path *box, int file, uint64_t size, int64_t now_s,
              struct twin *found);

#endif
