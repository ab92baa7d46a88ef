/* The identity and privileges of a process. */
#ifndef MIRED_MASTER_PRIVILEGES_H
#define MIRED_MASTER_PRIVILEGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct passwd;

enum { IDENTITY_GROUPS = 64 };

/* The identity of children; the master looks it up once, before it forks. Its groups, too: the
 * machine may have them from a directory that is slow or down, and mired then starts all the same. */
struct identity {
    bool drop; /* false: keep the identity (not root, or `user = "root"`) */
    uid_t uid;
    gid_t gid;
    gid_t group[IDENTITY_GROUPS];
    int groups; /* -1: more than there is room for; they are looked up each time */
    char name[64];
};

/* Looks up `user`. Returns 0, -ENOENT if there is no such user, or another -errno. If the process
 * is not root, the identity stays. */
int identity_find(struct identity *id, const char *user);

/* Makes it this user's, with all groups; the rest stays. */
void identity_become(struct identity *id, const struct passwd *pw);

/* Becomes `id` permanently. `keep` is a set of capabilities to keep (1 << CAP_...), 0 for none;
 * programs started from here gain none (no_new_privs). Returns 0 or -errno. */
int privileges_drop(const struct identity *id, uint64_t keep);

/* For the first process, before it reads a key: from here on nobody without root's rights can trace or
 * read it, it leaves no core file, and programs that it starts gain no right. The last is left out if
 * this process has capabilities of its file (setcap), which the program after an upgrade needs again.
 * Children inherit all of it, and exec() the first part not. Returns 0 or -errno. */
int privileges_seal(void);

enum { BORROWED_GROUPS = 64 };

/* Root's identity while it acts as the user. */
struct borrowed {
    gid_t group[BORROWED_GROUPS];
    size_t groups;
    gid_t gid;
    int dumpable;
    bool active;
};

/* Lets root act as `id` until privileges_return(): files are opened, made and removed with the
 * user's rights. Does nothing if there is nothing to drop. Returns 0 or -errno. The process must
 * have only one thread. */
int privileges_borrow(struct borrowed *b, const struct identity *id);

/* Undoes privileges_borrow(); ends the process if it cannot. */
void privileges_return(struct borrowed *b);

#endif
