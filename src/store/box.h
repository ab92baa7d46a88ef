/* A mailbox: its folders on the disk, and what this process knows of it. Paths are seen from the
 * folder of all mailboxes, `root`. Thread-safe; may block. */
#ifndef MIRED_STORE_BOX_H
#define MIRED_STORE_BOX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "store/folder.h"

struct box_path {
    char text[2 * FOLDER_NAME]; /* DOMAIN/LOCALPART */
};

/* The path of a folded address. */
void box_path(struct box_path *box, struct span local, struct span domain);

/* A hash of a path or of its beginning, for tables of this process; never 0. */
uint64_t box_hash(struct span path);

/* Makes what is missing of its folders. Returns 0 or -errno. */
int box_make(int root, const struct box_path *box);

/* Flushes the entries that lead to `new`, once in the life of this process. Returns 0 or -errno. */
int box_flush(int root, const struct box_path *box);

/* A shunned mailbox could not hold the file of a message, and the other mailboxes of the message had
 * to pay for that. box_trust() ends it. The memory is one of this process and of limited size. */
void box_shun(const struct box_path *box);
void box_trust(const struct box_path *box);
bool box_is_shunned(const struct box_path *box);

/* Removes the leftovers in `tmp` (leftovers.h), once a day. `now_s` in seconds since 1970. */
void box_clean(int root, const struct box_path *box, int64_t now_s);

#endif
