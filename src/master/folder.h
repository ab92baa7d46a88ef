/* The folders that the master makes and works in, which may belong to the service's user. */
#ifndef MIRED_MASTER_FOLDER_H
#define MIRED_MASTER_FOLDER_H

#include "master/privileges.h"

/* Makes `path` a folder of `id` with this mode, and its parents where they are missing. A folder
 * that exists is left as it is: it may be the administrator's, or a typing error.
 *
 * Afterwards the process has the identity that may safely use paths in it: root if no other user
 * can change the folder or any part of the path, else `id`. folder_leave() makes it root again;
 * call it after an error, too. 0 or -errno. */
int folder_enter(struct borrowed *b, const char *path, const struct identity *id, mode_t mode);
void folder_leave(struct borrowed *b);

#endif
