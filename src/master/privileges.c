/* From root to `user`: the one place where identities change, and capabilities with them. Called in
 * the master to look the user up and to work in the user's folders, and in each child before its
 * body runs.
 *
 * Order matters: groups before the user (setgroups needs root), the user before the capabilities
 * (which PR_SET_KEEPCAPS carries over), all before any octet from the network is read. */
#include "master/privileges.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/capabilities.h"

void identity_become(struct identity *id, const struct passwd *pw)
{
    id->uid = pw->pw_uid;
    id->gid = pw->pw_gid;
    snprintf(id->name, sizeof id->name, "%s", pw->pw_name);
    id->groups = IDENTITY_GROUPS;
    if (id->drop && getgrouplist(id->name, id->gid, id->group, &id->groups) < 0)
        id->groups = -1;
}

int identity_find(struct identity *id, const char *user)
{
    *id = (struct identity){.uid = geteuid(), .gid = getegid()};
    if (geteuid() != 0) {
        snprintf(id->name, sizeof id->name, "uid %u", (unsigned)geteuid());
        return 0;
    }
    errno = 0;
    const struct passwd *pw = getpwnam(user);
    if (!pw)
        return errno ? -errno : -ENOENT;
    id->drop = pw->pw_uid != 0;
    identity_become(id, pw);
    return 0;
}

static int enter_groups(const struct identity *id)
{
    int failed =
        id->groups < 0 ? initgroups(id->name, id->gid) : setgroups((size_t)id->groups, id->group);
    return failed < 0 ? -errno : 0;
}

/* A service manager may have started us as `user`, with a few capabilities (AmbientCapabilities=):
 * drops those that this process does not need. */
static int keep_only(uint64_t keep)
{
    uint64_t have = 0;
    int error = capabilities_permitted(&have);

    if (error || have == 0)
        return error;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return -errno;
    return capabilities_set(have & keep);
}

/* Empties the bounding set, because exec() could otherwise give capabilities back. Older kernels
 * know fewer: stop at the first number that is refused. */
static void empty_bounding_set(void)
{
    for (unsigned long cap = 0; prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0; cap++)
        continue;
}

int privileges_drop(const struct identity *id, uint64_t keep)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    if (geteuid() != 0)
        return keep_only(keep);
    if (!id->drop)
        return 0;
    uint64_t have = 0;
    int error = capabilities_permitted(&have); /* in a container root may have fewer than all */
    if (error)
        return error;
    keep &= have;
    empty_bounding_set();
    if (keep && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
        return -errno;
    error = enter_groups(id);
    if (error)
        return error;
    if (setresgid(id->gid, id->gid, id->gid) < 0 || setresuid(id->uid, id->uid, id->uid) < 0)
        return -errno;
    return capabilities_set(keep);
}

/* Whether a user other than root has capabilities that only the program's file can have given: those
 * of a service manager are ambient, and exec() keeps them. */
static bool has_capabilities_of_file(void)
{
    uint64_t have = 0;

    if (geteuid() == 0 || capabilities_permitted(&have) < 0)
        return false;
    for (unsigned long cap = 0; have >> cap; cap++)
        if (have >> cap & 1 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0) != 1)
            return true;
    return false;
}

int privileges_seal(void)
{
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}) < 0)
        return -errno;
    if (!has_capabilities_of_file() && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    return 0;
}

/* ---- for a while ---- */

int privileges_borrow(struct borrowed *b, const struct identity *id)
{
    *b = (struct borrowed){0};
    if (!id->drop || geteuid() != 0)
        return 0;
    int n = getgroups(BORROWED_GROUPS, b->group); /* root's own */
    if (n < 0)
        return -errno;
    b->groups = (size_t)n;
    b->gid = getegid();
    b->dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
    int error = enter_groups(id);
    if (error)
        return error;
    b->active = true;
    if (setegid(id->gid) == 0 && seteuid(id->uid) == 0)
        return 0;
    error = -errno;
    privileges_return(b);
    return error;
}

/* A partial return would leave an undefined identity, so an error ends the process. */
void privileges_return(struct borrowed *b)
{
    if (!b->active)
        return;
    if (seteuid(0) < 0 || setegid(b->gid) < 0 || setgroups(b->groups, b->group) < 0)
        abort();
    (void)prctl(PR_SET_DUMPABLE, b->dumpable, 0, 0, 0); /* a change of identity takes it away */
    b->active = false;
}
