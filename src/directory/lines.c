/* Rereading files of lines; see lines.h. Runs in clerks, blocking. */
#include "directory/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

enum { LOOK_MS = 1000 };

static bool same(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

bool lines_changed(struct lines_mark *m, const char *path, uint64_t now_ms)
{
    struct stat now;

    if (m->looked_ms && now_ms < m->looked_ms + LOOK_MS)
        return false;
    m->looked_ms = now_ms ? now_ms : 1;
    if (stat(path, &now) < 0) {
        if (!m->warned)
            log_warn("%s: %s; what was read before is used on", path, strerror(errno));
        m->warned = true;
        return false;
    }
    if (same(&m->seen, &now))
        return false;
    m->warned = false;
    return true;
}

static int read_all(int fd, struct buf *text)
{
    for (;;) {
        char *to = buf_room(text, 65536);
        if (!to)
            return -ENOMEM;
        ssize_t n = read(fd, to, 65536);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : 0;
        text->len += (uint32_t)n;
    }
}

int lines_read(struct lines_mark *m, const char *path, struct buf *text)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int r = fd < 0 ? -errno : 0;

    if (r == 0 && fstat(fd, &m->seen) < 0)
        r = -errno;
    if (r == 0)
        r = read_all(fd, text);
    if (fd >= 0)
        close(fd);
    if (r < 0)
        buf_free(text);
    return r;
}

bool lines_next(struct span *rest, unsigned *number, struct span *line)
{
    while (rest->len) {
        size_t end = span_find(*rest, '\n');
        struct span whole = span_first(*rest, end);
        *rest = span_after(*rest, end + (end < rest->len));
        ++*number;
        if (whole.len && whole.at[whole.len - 1] == '\r')
            whole.len--;
        *line = span_trim(whole);
        if (line->len && line->at[0] != '#')
            return true;
    }
    return false;
}
