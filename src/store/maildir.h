/* Delivers one message into one or several Maildirs: into all of them, or into none.
 *
 * Use: maildir_begin(), then recipients and octets in any order, then maildir_commit() or
 * maildir_drop(). Blocking (fsync); one thread for each message. Errors are -errno: -ENOSPC and
 * -EDQUOT mean a full disk; all others are faults of the machine too, never of the message. After
 * an error only maildir_drop() may be called. */
#ifndef MIRED_STORE_MAILDIR_H
#define MIRED_STORE_MAILDIR_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "store/box.h"

struct maildir_message {
    int root; /* the folder that holds all mailboxes; borrowed */
    int fd;   /* the file in the first mailbox's tmp; -1: none yet */
    size_t boxes;
    struct box_path *box;    /* no two the same */
    int64_t begun_s;         /* seconds since 1970 */
    char name[MESSAGE_NAME]; /* of the file, in tmp and in each new */
    uint64_t size;           /* octets that maildir_write() took */
    size_t kept;             /* octets in `pending` */
    char pending[16 * 1024];
};

/* `root` is an open folder, `host` goes into the file's name. */
void maildir_begin(struct maildir_message *m, int root, const char *host);

/* Adds the mailbox of a folded address. One that was added before is not added again. 0 or -errno.
 */
int maildir_add(struct maildir_message *m, struct span local, struct span domain);

/* Appends octets as they are. At least one mailbox must have been added. 0 or -errno. */
int maildir_write(struct maildir_message *m, struct span octets);

/* Returns 0 when the message is on the disk, in `new` of every mailbox, and survives a power cut. On
 * -errno it is in none, also after a power cut unless the disk fails. In both cases the message is
 * finished. Once a day it also removes the leftovers of a mailbox that it delivers to. */
int maildir_commit(struct maildir_message *m);

/* Leaves nothing behind but folders. */
void maildir_drop(struct maildir_message *m);

#endif
