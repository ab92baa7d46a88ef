/* The master's folders, entered without following links of other users.
 *
 * The service's user can at any moment replace a name in its own folders by a link to a folder of
 * root's. So the master never creates, chowns or removes files there by path with root's rights. It
 * walks the path a component at a time, and opens each without following links. As long as every
 * folder so far belongs to root and no other user can write to it, checked names cannot change, and
 * the process acts as root. From the first folder on that others can change, the process acts as
 * the user. The user gains nothing then by replacing names that the user may replace anyway. Links
 * are followed in the same way: root follows only root's links. */
#include "master/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/flush.h"

enum { PATH_ROOM = 4096, LINKS_MAX = 40 };

struct walk {
    struct borrowed *borrowed;
    const struct identity *id;
    int dir;              /* where we are */
    char rest[PATH_ROOM]; /* of the path */
    unsigned links;
};

/* Whether only root can replace files in this folder. In a sticky folder (/tmp) others can only add
 * files. */
static bool is_roots(const struct stat *st)
{
    return st->st_uid == 0 && ((st->st_mode & 022) == 0 || (st->st_mode & S_ISVTX));
}

/* Acts as the user from here on. */
static int become_user(struct walk *w)
{
    return w->borrowed->active ? 0 : privileges_borrow(w->borrowed, w->id);
}

static int stand_in(struct walk *w, int dir)
{
    struct stat st;

    if (w->dir >= 0)
        close(w->dir);
    w->dir = dir;
    if (fstat(dir, &st) < 0)
        return -errno;
    return is_roots(&st) ? 0 : become_user(w);
}

static int stand_at(struct walk *w, const char *path)
{
    int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

    return dir < 0 ? -errno : stand_in(w, dir);
}

/* Takes the next component from the rest; false if none is left. */
static bool next_part(struct walk *w, char part[PATH_ROOM])
{
    size_t skip = strspn(w->rest, "/");
    size_t len = strcspn(w->rest + skip, "/");

    memcpy(part, w->rest + skip, len);
    part[len] = '\0';
    memmove(w->rest, w->rest + skip + len, strlen(w->rest + skip + len) + 1);
    return len > 0;
}

static bool is_last(const struct walk *w)
{
    return w->rest[strspn(w->rest, "/")] == '\0';
}

/* Puts the link's target before the rest. */
static int follow(struct walk *w, int link, const struct stat *st)
{
    char target[PATH_ROOM], rest[PATH_ROOM];

    if (++w->links > LINKS_MAX)
        return -ELOOP;
    ssize_t n = readlinkat(link, "", target, sizeof target - 1);
    if (n < 0)
        return -errno;
    target[n] = '\0';
    int len = snprintf(rest, sizeof rest, "%s/%s", target, w->rest);
    if (len < 0 || (size_t)len >= sizeof rest)
        return -ENAMETOOLONG;
    memcpy(w->rest, rest, (size_t)len + 1);
    int error = st->st_uid == 0 ? 0 : become_user(w);
    return !error && target[0] == '/' ? stand_at(w, "/") : error;
}

/* Gives the folder to the user; only root can have made it. */
static int give(const struct walk *w, int dir, mode_t mode)
{
    struct stat st;

    if (fstat(dir, &st) < 0)
        return -errno;
    if (st.st_uid != geteuid())
        return -EPERM;
    if (fchmod(dir, mode) < 0)
        return -errno;
    if (geteuid() == 0 && w->id->drop && fchown(dir, w->id->uid, w->id->gid) < 0)
        return -errno;
    return 0;
}

/* Flushes the entry of a folder that was made, because mail that is confirmed lies below it. In a
 * folder that the user may not read it stays to the file system. */
static int flush_made(const struct walk *w)
{
    int error = flush_folder(w->dir, ".");

    return error == -EACCES || error == -EINVAL ? 0 : error;
}

/* Makes the folder and enters it. Parents belong to root, not to the user. */
static int make(struct walk *w, const char *part, mode_t mode)
{
    bool last = is_last(w);

    if (mkdirat(w->dir, part, last ? 0700 : 0755) < 0)
        return -errno; /* EEXIST: another process creates files there at the same time */
    int dir = openat(w->dir, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0)
        return -errno;
    int error = last ? give(w, dir, mode) : 0;
    if (!error)
        error = flush_made(w);
    if (error) {
        close(dir);
        return error;
    }
    return stand_in(w, dir);
}

static int step(struct walk *w, const char *part, mode_t mode)
{
    struct stat st;
    int fd = openat(w->dir, part, O_PATH | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return errno == ENOENT ? make(w, part, mode) : -errno;
    int error = fstat(fd, &st) < 0 ? -errno : 0;
    if (!error && S_ISDIR(st.st_mode))
        return stand_in(w, fd);
    if (!error)
        error = S_ISLNK(st.st_mode) ? follow(w, fd, &st) : -ENOTDIR;
    close(fd);
    return error;
}

int folder_enter(struct borrowed *b, const char *path, const struct identity *id, mode_t mode)
{
    struct walk w = {.borrowed = b, .id = id, .dir = -1};
    char part[PATH_ROOM];

    *b = (struct borrowed){0};
    if (strlen(path) >= sizeof w.rest)
        return -ENAMETOOLONG;
    strcpy(w.rest, path);
    int error = stand_at(&w, path[0] == '/' ? "/" : ".");
    while (!error && next_part(&w, part))
        error = step(&w, part, mode);
    if (w.dir >= 0)
        close(w.dir);
    return error;
}

void folder_leave(struct borrowed *b)
{
    privileges_return(b);
}

/* Nobody can make a file in a folder that was removed, not even root. The check at the end finds
 * another folder that took its place meanwhile. */
int folder_make_empty(const char *path)
{
    struct stat st;

    (void)rmdir(path); /* of a master that was killed here */
    if (mkdir(path, 0500) < 0)
        return -errno;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int error = fd < 0 || fchmod(fd, 0555) < 0 ? -errno : 0;
    if (rmdir(path) < 0 && !error)
        error = -errno;
    if (!error && (fstat(fd, &st) < 0 || st.st_nlink > 0))
        error = -EBUSY;
    if (error && fd >= 0)
        close(fd);
    return error ? error : fd;
}
