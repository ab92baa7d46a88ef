/* From root to `user`: the one place where identities and capabilities change. Called in the master
 * to look the user up and to make folders, and in each child before its body runs.
 *
 * Order matters: groups before the user (setgroups needs root), the user before the capabilities
 * (which PR_SET_KEEPCAPS carries over), all before any octet from the network is read. */
#include "master/privileges.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

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
    id->uid = pw->pw_uid;
    id->gid = pw->pw_gid;
    snprintf(id->name, sizeof id->name, "%s", user);
    return 0;
}

static int set_capabilities(uint64_t caps)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    uint32_t low = (uint32_t)caps, high = (uint32_t)(caps >> 32);
    struct __user_cap_data_struct data[2] = {{.effective = low, .permitted = low},
                                             {.effective = high, .permitted = high}};

    return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

static int get_permitted(uint64_t *caps)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];

    if (syscall(SYS_capget, &head, data) < 0)
        return -errno;
    *caps = (uint64_t)data[1].permitted << 32 | data[0].permitted;
    return 0;
}

/* A service manager may have started us as `user`, with a few capabilities (AmbientCapabilities=):
 * those that this process has no need of go. */
static int keep_only(uint64_t keep)
{
    uint64_t have = 0;
    int error = get_permitted(&have);

    if (error || have == 0)
        return error;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return -errno;
    return set_capabilities(have & keep);
}

/* What an exec could give back; only its own limit takes that away. Unknown to older kernels: the
 * first number that is refused is the end. */
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
    empty_bounding_set();
    if (keep && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
        return -errno;
    if (initgroups(id->name, id->gid) < 0 || setresgid(id->gid, id->gid, id->gid) < 0 ||
        setresuid(id->uid, id->uid, id->uid) < 0)
        return -errno;
    return set_capabilities(keep);
}

/* Makes the folders above `path` that are missing; they are the administrator's, not the user's. */
static int make_parents(const char *path)
{
    char part[4096];
    size_t len = strlen(path);

    if (len >= sizeof part)
        return -ENAMETOOLONG;
    memcpy(part, path, len + 1);
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(part, 0755) < 0 && errno != EEXIST)
            return -errno;
        *slash = '/';
    }
    return 0;
}

int privileges_folder(const char *path, const struct identity *id, mode_t mode)
{
    struct stat st;
    int error = make_parents(path);

    if (error)
        return error;
    if (mkdir(path, mode) == 0) {
        if (chmod(path, mode) < 0 || (id->drop && chown(path, id->uid, id->gid) < 0))
            return -errno;
        return 0;
    }
    if (errno != EEXIST)
        return -errno;
    if (stat(path, &st) < 0)
        return -errno;
    return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}
