/* The users of processes; see users.h. Only root does anything here.
 *
 * Root opens folders below `state` through descriptors, follows no links, and changes the owner of
 * nothing that does not belong to one of mired's users. So a user of mired's that puts something
 * else in the place of a folder gains nothing. */
#include "master/users.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/capabilities.h"
#include "base/log.h"
#include "config/config.h"
#include "master/folder.h"

static const char *const titles[USERS_KINDS] = {[USERS_WORKER] = "worker",
                                                [USERS_CLERK] = "clerk",
                                                [USERS_STORE] = "store",
                                                [USERS_KEEPER] = "keeper",
                                                [USERS_OTHER] = "other"};

/* The folders below `state` that do not belong to USER. USER's group can use all but the mailboxes,
 * for the processes that run as USER. Files there are replaced and never changed; list_file.c lets
 * all users of the folder read them. */
static const struct {
    const char *name;
    enum users_kind kind;
    mode_t mode;
    bool tree; /* with what is in it */
} folders[] = {{"spool", USERS_WORKER, 0770, false},
               {"worker-lists", USERS_WORKER, S_ISGID | 0770, true},
               {"lists", USERS_CLERK, S_ISGID | 0770, true},
               {"mail", USERS_STORE, 0700, true}};
enum { FOLDERS = sizeof folders / sizeof *folders };

const char *users_title(enum users_kind kind)
{
    return titles[kind];
}

static bool same(const struct identity *a, const struct identity *b)
{
    return a->uid == b->uid;
}

bool users_is_apart(const struct users *u, enum users_kind kind)
{
    return !same(&u->of[kind], &u->of[USERS_OTHER]);
}

void users_find(struct users *u, const struct identity *all)
{
    for (int kind = 0; kind < USERS_KINDS; kind++) {
        struct identity *id = &u->of[kind];
        char name[sizeof id->name];

        *id = *all;
        if (!all->drop || kind == USERS_OTHER ||
            (size_t)snprintf(name, sizeof name, "%s-%s", all->name, titles[kind]) >= sizeof name)
            continue;
        const struct passwd *pw = getpwnam(name);
        if (!pw || pw->pw_uid == 0 || pw->pw_uid == all->uid)
            continue;
        identity_become(id, pw);
    }
}

/* ---- folders ---- */

/* Gives the file to `to` if it belongs to `from`. The descriptor may be for its path alone. */
static int give(int fd, const struct identity *from, uid_t uid, gid_t gid)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -errno;
    if (st.st_uid != from->uid)
        return 0;
    return fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

enum { DEEPEST = 64 };

/* Everything below the folder, whose descriptor it closes. */
static int give_tree(int folder, const struct identity *from, uid_t uid, gid_t gid, int depth)
{
    DIR *d = fdopendir(folder);
    int error = d ? 0 : -errno;

    if (!d)
        close(folder);
    for (const struct dirent *e; d && !error && (e = readdir(d));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        int fd = openat(dirfd(d), e->d_name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        int below = fd < 0 || depth == 0
                        ? -1
                        : openat(dirfd(d), e->d_name,
                                 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
        if (below >= 0)
            error = give_tree(below, from, uid, gid, depth - 1);
        if (!error && fd >= 0)
            error = give(fd, from, uid, gid);
        if (fd >= 0)
            close(fd);
    }
    if (d)
        closedir(d);
    return error;
}

/* The folder, opened by root without following links; made if it is missing (only mailboxes are). */
static int open_folder(int state, const char *name, const struct users *u)
{
    int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(state, name, flags);

    if (fd >= 0 || errno != ENOENT)
        return fd < 0 ? -errno : fd;
    if (mkdirat(state, name, 0700) < 0)
        return -errno;
    fd = openat(state, name, flags);
    if (fd < 0)
        return -errno;
    struct stat st;
    if (fstat(fd, &st) == 0 && st.st_uid == 0 &&
        fchown(fd, u->of[USERS_OTHER].uid, u->of[USERS_OTHER].gid) == 0)
        return fd;
    int error = -errno;
    close(fd);
    return error;
}

/* What root is told where it may not change an owner: it lacks a capability, or the file system maps
 * root to nobody (NFS). -EPERM says here that a folder belongs to somebody else. */
static int refused(int error)
{
    return error == -EPERM ? -EACCES : error;
}

/* Gives away the content before the folder: if mired ends in between, the next start continues. */
static int settle(int fd, size_t i, const struct users *u)
{
    const struct identity *all = &u->of[USERS_OTHER], *to = &u->of[folders[i].kind];
    gid_t gid = folders[i].mode & 070 ? all->gid : to->gid;
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -errno;
    if (st.st_uid != all->uid && st.st_uid != to->uid)
        return -EPERM;
    /* changes nothing, but says whether the folder could follow its content */
    if (st.st_uid == all->uid && fchown(fd, st.st_uid, st.st_gid) < 0)
        return refused(-errno);
    if (st.st_uid == all->uid && folders[i].tree) {
        int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int error = again < 0 ? -errno : give_tree(again, all, to->uid, gid, DEEPEST);
        if (error)
            return refused(error);
        log_info("%s now belongs to the user %s", folders[i].name, to->name);
    }
    if (st.st_uid == to->uid && st.st_gid == gid && (st.st_mode & 07777) == folders[i].mode)
        return 0;
    if (fchown(fd, to->uid, gid) < 0 || fchmod(fd, folders[i].mode) < 0)
        return refused(-errno);
    return 0;
}

/* Processes that run as other users must pass through it. Done as USER, which owns it. */
static int open_way(int state, const struct users *u)
{
    struct borrowed b;
    struct stat st;
    bool apart = false;

    for (int kind = 0; kind < USERS_KINDS; kind++)
        apart = apart || users_is_apart(u, kind);
    if (!apart || fstat(state, &st) < 0 || st.st_mode & S_IXOTH ||
        st.st_uid != u->of[USERS_OTHER].uid)
        return 0;
    int error = privileges_borrow(&b, &u->of[USERS_OTHER]);
    if (!error && fchmod(state, (st.st_mode & 07777) | S_IXOTH) < 0)
        error = -errno;
    privileges_return(&b);
    return error;
}

/* Whether a folder has its user already, or, with `missing`, does not exist yet. */
static bool is_given(int state, size_t i, const struct users *u, bool missing)
{
    struct stat st;

    return fstatat(state, folders[i].name, &st, AT_SYMLINK_NOFOLLOW) < 0
               ? missing
               : st.st_uid == u->of[folders[i].kind].uid;
}

/* Leaves out the users that do not have their folder. Returns whether there were any. */
static bool leave_out(struct users *u, int state, bool missing)
{
    bool any = false;

    for (size_t i = 0; i < FOLDERS; i++)
        if (users_is_apart(u, folders[i].kind) && !is_given(state, i, u, missing)) {
            u->of[folders[i].kind] = u->of[USERS_OTHER];
            any = true;
        }
    return any;
}

/* ---- capabilities ---- */

static const struct {
    unsigned number;
    const char *name;
} to_become[] = {{CAP_SETUID, "CAP_SETUID"}, {CAP_SETGID, "CAP_SETGID"}},
  to_give[] = {{CAP_CHOWN, "CAP_CHOWN"},
               {CAP_DAC_OVERRIDE, "CAP_DAC_OVERRIDE"},
               {CAP_FOWNER, "CAP_FOWNER"},
               {CAP_FSETID, "CAP_FSETID"}};

/* The names of those that this process lacks, with commas. */
static void add_missing(struct buf *names, unsigned number, const char *name)
{
    uint64_t have = 0;

    if (capabilities_permitted(&have) < 0 || !(have & (uint64_t)1 << number))
        buf_addf(names, "%s%s", names->len ? ", " : "", name);
}

int users_check_root(const struct users *u, struct buf *errors)
{
    const struct identity *all = &u->of[USERS_OTHER];
    struct buf names = {0};

    for (size_t i = 0; all->drop && i < sizeof to_become / sizeof *to_become; i++)
        add_missing(&names, to_become[i].number, to_become[i].name);
    int error = names.len ? -1 : 0;
    if (error)
        buf_addf(errors,
                 "root has no %.*s here (a container, or CapabilityBoundingSet of the unit?), and "
                 "so cannot start processes as %s; grant it, or start mired as %s\n",
                 (int)names.len, names.at, all->name, all->name);
    buf_free(&names);
    return error;
}

/* Whether root may change owners. If not, users that do not have their folder yet are left out. */
static bool may_give(struct users *u, int state)
{
    struct buf names = {0};

    for (size_t i = 0; i < sizeof to_give / sizeof *to_give; i++)
        add_missing(&names, to_give[i].number, to_give[i].name);
    bool may = names.len == 0;
    if (!may && leave_out(u, state, false))
        log_warn("root has no %.*s here (a container, or CapabilityBoundingSet of the unit?), and "
                 "so cannot give all users their folders; not all processes have a user of their "
                 "own",
                 (int)names.len, names.at);
    buf_free(&names);
    return may;
}

static int open_state(const struct users *u, const char *path)
{
    struct borrowed b;
    int error = folder_enter(&b, path, &u->of[USERS_OTHER], 0750);
    int fd = error ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (!error && fd < 0)
        error = -errno;
    folder_leave(&b);
    return error ? error : fd;
}

/* A folder that the administrator has put elsewhere, or given to somebody, stays as it is. */
static int give_up(struct users *u, size_t i, const char *path, int error, struct buf *errors)
{
    struct identity *id = &u->of[folders[i].kind];

    if (error == -EACCES) {
        log_warn("%s/%s: root cannot change its owner (NFS with root_squash?), so %s is not used",
                 path, folders[i].name, id->name);
        *id = u->of[USERS_OTHER];
        return 0;
    }
    if (error == -EPERM || error == -ELOOP || error == -ENOTDIR) {
        log_warn("%s/%s is a link or belongs to another user, so %s is not used", path,
                 folders[i].name, id->name);
        *id = u->of[USERS_OTHER];
        return 0;
    }
    if (error)
        buf_addf(errors, "%s/%s: %s\n", path, folders[i].name, strerrordesc_np(-error));
    return error;
}

const struct identity *users_of_folder(const struct users *u, const char *name)
{
    for (size_t i = 0; i < FOLDERS; i++)
        if (strcmp(folders[i].name, name) == 0)
            return &u->of[folders[i].kind];
    return &u->of[USERS_OTHER];
}

/* Root started mired before, and this time somebody else does, who cannot change the owner. */
static void warn_of_owners(const char *path)
{
    char folder[PATH_MAX];
    struct stat st;

    for (size_t i = 0; i < FOLDERS; i++)
        if ((size_t)snprintf(folder, sizeof folder, "%s/%s", path, folders[i].name) <
                sizeof folder &&
            stat(folder, &st) == 0 && st.st_uid != geteuid() &&
            faccessat(AT_FDCWD, folder, R_OK | W_OK | X_OK, AT_EACCESS) < 0)
            log_warn("%s belongs to uid %u, so mired, started as uid %u, cannot use it; run "
                     "chown -R %u:%u %s/, and restart mired",
                     folder, (unsigned)st.st_uid, (unsigned)geteuid(), (unsigned)geteuid(),
                     (unsigned)getegid(), path);
}

int users_settle(struct users *u, const char *path, bool as_is, struct buf *errors)
{
    const struct identity *all = &u->of[USERS_OTHER];

    if (!all->drop) {
        warn_of_owners(path);
        return 0;
    }
    int state = open_state(u, path), error = state < 0 ? state : 0;
    if (!error && as_is && leave_out(u, state, true))
        log_info("some processes get a user of their own only when mired is started again");
    bool give = !error && may_give(u, state);
    if (!error)
        error = open_way(state, u);
    if (error)
        buf_addf(errors, "%s: %s\n", path, strerrordesc_np(-error));
    for (size_t i = 0; give && i < FOLDERS && !error; i++)
        if (users_is_apart(u, folders[i].kind)) {
            int fd = open_folder(state, folders[i].name, u);
            error = fd < 0 ? fd : settle(fd, i, u);
            if (fd >= 0)
                close(fd);
            if (error == -EACCES && is_given(state, i, u, false))
                error = 0; /* somebody else has given it */
            error = give_up(u, i, path, error, errors);
        }
    /* The store cannot flush the entry of its mailboxes itself. */
    if (!error && fsync(state) < 0) {
        error = -errno;
        buf_addf(errors, "%s: %s\n", path, strerrordesc_np(errno));
    }
    if (state >= 0)
        close(state);
    return error ? -1 : 0;
}

void users_settle_socket(const struct users *u, const char *run, const char *name)
{
    const struct identity *all = &u->of[USERS_OTHER];
    struct stat st;

    if (!users_is_apart(u, USERS_WORKER))
        return;
    int folder = open_state(u, run);
    int fd = folder < 0 ? -1 : openat(folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode) &&
        give(fd, all, u->of[USERS_WORKER].uid, all->gid) < 0)
        log_warn("%s/%s: cannot change its owner: %s", run, name, strerror(errno));
    if (fd >= 0)
        close(fd);
    if (folder >= 0)
        close(folder);
}

/* ---- what a configuration names ---- */

static bool can(const struct identity *id, const char *path, int how)
{
    struct borrowed b;

    if (privileges_borrow(&b, id) < 0)
        return false;
    bool may = faccessat(AT_FDCWD, path, how, AT_EACCESS) == 0;
    privileges_return(&b);
    return may;
}

/* The first path that users of that kind would need and cannot use. */
struct need {
    const struct users *u;
    enum users_kind kind;
    const char *path;
};

static void need(struct need *n, const char *path, int how)
{
    if (n->path || !path || path[0] != '/' || can(&n->u->of[n->kind], path, how))
        return;
    n->path = path;
}

static void need_backends(struct need *n, const struct config *c)
{
    for (size_t i = 0; i < c->backend_count; i++)
        if (c->backend[i].kind != BACKEND_STORE)
            need(n, c->backend[i].path, W_OK);
}

static const char *missing_to_clerks(const struct users *u, const struct config *c)
{
    struct need n = {u, USERS_CLERK, NULL};

    for (size_t i = 0; i < c->recipients_count; i++) {
        const struct config_recipients *r = &c->recipients[i];
        need(&n, r->path, r->kind == RECIPIENTS_FILE ? R_OK : W_OK);
        need(&n, r->password_file, R_OK);
    }
    for (size_t i = 0; i < c->auth_count; i++)
        need(&n, c->auth[i].path, c->auth[i].kind == AUTH_FILE ? R_OK : W_OK);
    for (size_t i = 0; i < c->traps.count; i++)
        need(&n, config_list_path(c->traps.at[i]), R_OK);
    need_backends(&n, c);
    return n.path;
}

static const char *missing_to_workers(const struct users *u, const struct config *c)
{
    struct need n = {u, USERS_WORKER, NULL};

    need(&n, c->allowance.file, R_OK);
    for (size_t i = 0; i < c->suspect.count; i++)
        need(&n, config_list_path(c->suspect.at[i]), R_OK);
    need_backends(&n, c);
    return n.path;
}

static void run_as_all(struct users *u, enum users_kind kind, const char *missing, struct buf *said)
{
    if (!users_is_apart(u, kind) || !missing)
        return;
    buf_addf(said, "%s cannot be used by %s; %ss run as %s\n", missing, u->of[kind].name,
             titles[kind], u->of[USERS_OTHER].name);
    u->of[kind] = u->of[USERS_OTHER];
}

struct users users_for(const struct users *u, const struct config *config, struct buf *said)
{
    struct users now = *u;

    if (users_is_apart(u, USERS_CLERK))
        run_as_all(&now, USERS_CLERK, missing_to_clerks(u, config), said);
    if (users_is_apart(u, USERS_WORKER))
        run_as_all(&now, USERS_WORKER, missing_to_workers(u, config), said);
    return now;
}
