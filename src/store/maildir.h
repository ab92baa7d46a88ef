/* Delivers one message into one or several Maildirs. Each mailbox has an outcome of its own: it gets
 * the message or fails, whatever becomes of the others.
 *
 * Use: maildir_begin(), then the mailboxes, then octets by maildir_keep() and maildir_flush(), then
 * maildir_prepare(), maildir_deliver(), and maildir_error() for each mailbox; at the end, or at any
 * time before, maildir_drop(). Blocking (fsync), and for ever where a mailbox hangs; courier.h runs it
 * in threads that may. A mailbox that is known to hang fails at once, with -EBUSY (jams.h). Errors are
 * -errno: -ENOSPC and -EDQUOT mean a full disk; all others are faults of the machine too, never of the
 * message. */
#ifndef MIRED_STORE_MAILDIR_H
#define MIRED_STORE_MAILDIR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "store/box.h"

enum maildir_state {
    MAILDIR_OPEN,
    MAILDIR_TAKEN,   /* a thread delivers to it */
    MAILDIR_DONE,    /* `error` is its outcome */
    MAILDIR_GIVEN_UP /* it must not get the message any more */
};

struct maildir_box {
    struct box_path path;
    int error; /* -errno: it does not get the message; 0: it does, or may still get it */
    _Atomic int state;
};

struct maildir_message {
    int root;         /* the folder that holds all mailboxes; borrowed */
    int fd;           /* the file in the holder's tmp; -1: there is none */
    size_t holder;    /* the mailbox whose tmp has the file */
    uint64_t written; /* octets that the file has */
    size_t boxes;
    struct maildir_box *box; /* no two the same */
    int64_t begun_s;         /* seconds since 1970 */
    bool again;              /* set after maildir_begin(): mailboxes may have it already (twin.h) */
    char name[MESSAGE_NAME]; /* of the file, in tmp and in each new */
    uint64_t size;           /* octets that maildir_keep() took */
    size_t kept;             /* octets in `pending` */
    unsigned copies;         /* mailboxes that were to take over the file of another one */
    _Atomic uint64_t moved_ms; /* monotonic: when calls on a mailbox last began or returned */
    char pending[64 * 1024];
};

/* `root` is an open folder, `host` goes into the file's name. */
void maildir_begin(struct maildir_message *m, int root, const char *host);

/* Adds the mailbox of a folded address. One that was added before is not added again. Returns its
 * number or -ENOMEM. */
int maildir_add(struct maildir_message *m, struct span local, struct span domain);

/* Appends as many octets as there is room for, as they are, without touching a mailbox, and returns how
 * many. */
size_t maildir_keep(struct maildir_message *m, struct span octets);

/* Writes out what is kept, which makes room. Returns 0, or -errno when no mailbox can get the message
 * any more. */
int maildir_flush(struct maildir_message *m);

/* Puts the message into `new` of every mailbox that takes it, where it survives a power cut. In those
 * that fail it is not, also after a power cut unless the disk fails. Once a day it also removes the
 * leftovers of a mailbox that it delivers to. After an error of maildir_flush() it does nothing.
 *
 * After the first of these two several threads may run the second one at the same time: each takes
 * mailboxes that no other has taken. Only the first thread calls the first. */
void maildir_prepare(struct maildir_message *m);
void maildir_deliver(struct maildir_message *m);

/* For another thread, at any time: the mailboxes that have no outcome yet get the message no more, and
 * what a thread has put there meanwhile it removes. Their outcome is -ETIMEDOUT. */
void maildir_give_up(struct maildir_message *m);

/* For any thread: whether all mailboxes have their outcome. */
bool maildir_is_over(const struct maildir_message *m);

/* What has become of a mailbox: after maildir_deliver() 0 if it has the message; else -errno. Valid
 * until maildir_drop(). */
int maildir_error(const struct maildir_message *m, size_t box);

/* "DOMAIN/LOCALPART" of a mailbox, for the log. Valid until maildir_drop(). */
const char *maildir_path(const struct maildir_message *m, size_t box);

/* Removes the file from the holder's `tmp`. After it maildir_drop() touches no mailbox. */
void maildir_clean(struct maildir_message *m);

/* Ends the message, and leaves nothing behind but folders and what maildir_deliver() has delivered. */
void maildir_drop(struct maildir_message *m);

#endif
