/* Who a process is, and what it may do. */
#ifndef MIRED_MASTER_PRIVILEGES_H
#define MIRED_MASTER_PRIVILEGES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What children become; looked up once, by the master, before it forks. */
struct identity {
    bool drop; /* false: stay who we are (not root, or `user = "root"`) */
    uid_t uid;
    gid_t gid;
    char name[64];
};

/* 0, or -ENOENT when there is no such user, or another -errno. Not root: whoever we are. */
int identity_find(struct identity *id, const char *user);

/* Becomes `id` for good. `keep` is a set of capabilities (1 << CAP_...) that survive, 0 for none;
 * no process started from here gains any (no_new_privs). 0 or -errno. */
int privileges_drop(const struct identity *id, uint64_t keep);

/* Makes `path` a folder of `id` with this mode, and its parents where they are missing. One that is
 * there is left as it is: it may be the administrator's, or a typing error. 0 or -errno. */
int privileges_folder(const char *path, const struct identity *id, mode_t mode);

#endif
