/* Makes the folders that the master works in, which may belong to the service's user. Master
 * only. */
#ifndef MIRED_MASTER_FOLDER_H
#define MIRED_MASTER_FOLDER_H

#include "master/privileges.h"

/* Makes the folder `path` for `id` with this mode, and missing parents. An existing folder stays
 * unchanged, because it may be the administrator's, or the path may be a typing error.
 *
 * Afterwards the process has the identity that may safely use paths in it: root if no other user
 * can change the folder or any part of the path, else `id`. folder_leave() makes it root again;
 * call it after an error, too. Returns 0 or -errno. */
int folder_enter(struct borrowed *b, const char *path, const struct identity *id, mode_t mode);
void folder_leave(struct borrowed *b);

/* Makes the folder `path`, opens it and removes it: it is empty for ever. Returns its descriptor, for
 * the caller to close, or -errno. */
int folder_make_empty(const char *path);

#endif
