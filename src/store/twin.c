/* Copies that a killed store has left; see twin.h. Runs in the store. */
#include "store/twin.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK = 8 * 1024 };

/* Names begin with the second of their delivery (message_name()). */
static bool is_recent(const char *name, int64_t now_s)
{
    char *end;
    long long s = strtoll(name, &end, 10);

    return end != name && *end == '.' && s > now_s - TWIN_SECONDS && s < now_s + TWIN_SECONDS;
}

/* Reads `n` octets, or fewer only at the end of the file. Returns their number or -errno. */
static ssize_t read_block(int fd, char *block, size_t n, uint64_t at)
{
    size_t have = 0;

    while (have < n) {
        ssize_t got = pread(fd, block + have, n - have, (off_t)(at + have));
        if (got < 0 && errno != EINTR)
            return -errno;
        if (got == 0)
            break;
        have += got > 0 ? (size_t)got : 0;
    }
    return (ssize_t)have;
}

/* 1: the first `size` octets of both are the same; 0: they are not, or cannot be read in `b`. */
static int compare(int a, int b, uint64_t size)
{
    char one[BLOCK], other[BLOCK];

    for (uint64_t at = 0; at < size;) {
        size_t n = size - at < BLOCK ? (size_t)(size - at) : BLOCK;
        ssize_t got = read_block(a, one, n, at);
        if (got != (ssize_t)n)
            return got < 0 ? (int)got : -EIO;
        if (read_block(b, other, n, at) != (ssize_t)n || memcmp(one, other, n) != 0)
            return 0;
        at += n;
    }
    return 1;
}

static int is_twin(int folder, const char *name, int file, uint64_t size)
{
    struct stat st;
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0) /* a reader has taken it away, or it is none of the store's */
        return errno == EMFILE || errno == ENFILE || errno == EIO ? -errno : 0;
    int result = 0;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == size)
        result = compare(file, fd, size);
    close(fd);
    return result;
}

static int find_in(DIR *d, int file, uint64_t size, int64_t now_s, char name[MESSAGE_NAME])
{
    const struct dirent *e;
    int result = 0;

    errno = 0;
    while (!result && (e = readdir(d))) {
        if (is_recent(e->d_name, now_s))
            result = is_twin(dirfd(d), e->d_name, file, size);
        if (result == 1)
            snprintf(name, MESSAGE_NAME, "%s", e->d_name);
        errno = 0;
    }
    return result || !errno ? result : -errno;
}

/* Readers move messages from `new` to `cur`, so `cur` comes last. */
int twin_find(int root, const struct box_path *box, int file, uint64_t size, int64_t now_s,
              struct twin *found)
{
    static const char *const inner[] = {"new", "cur"};
    int result = 0;

    for (size_t i = 0; i < sizeof inner / sizeof *inner && !result; i++) {
        snprintf(found->folder, sizeof found->folder, "%s/%s", box->text, inner[i]);
        int fd = openat(root, found->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 && errno == ENOENT) /* no mailbox: no copy */
            continue;
        DIR *d = fd < 0 ? NULL : fdopendir(fd);
        if (!d) {
            result = -errno;
            if (fd >= 0)
                close(fd);
            return result;
        }
        result = find_in(d, file, size, now_s, found->name);
        closedir(d);
    }
    return result;
}
