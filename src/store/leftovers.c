/* Leftovers in `tmp` of a mailbox; see leftovers.h. Runs in the store. */
#include "store/leftovers.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* The later of two times counts, because linking a file into `new` changes only its ctime. */
static bool is_left(int folder, const char *name, int64_t now_s)
{
    struct stat st;

    if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
        return false;
    int64_t used_s = st.st_mtime > st.st_ctime ? st.st_mtime : st.st_ctime;
    return used_s < now_s - LEFTOVERS_SECONDS;
}

unsigned leftovers_remove(int root, const char *mailbox, int64_t now_s)
{
    char path[PATH_MAX];
    unsigned removed = 0;

    snprintf(path, sizeof path, "%s/tmp", mailbox);
    int fd = openat(root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        if (fd >= 0)
            close(fd);
        return 0;
    }
    for (const struct dirent *e; (e = readdir(d));)
        if (is_left(fd, e->d_name, now_s) && unlinkat(fd, e->d_name, 0) == 0)
            removed++;
    closedir(d);
    return removed;
}
