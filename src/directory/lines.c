/* Rereading files of lines; see lines.h. Runs in clerks, blocking. */
#include "directory/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

enum {
    YOUNG_MS = 2000, /* lines_look_now(): older files are complete */
    TWICE_MS = 20,   /* the time between two checks, and their number */
    TWICE_TIMES = 5,
};

/* Lines are found by offsets of 32 bits, and the processes that read a file keep it in memory. */
#define SIZE_MAX_READ (2ULL << 30)

static bool same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool same(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           same_time(&a->st_mtim, &b->st_mtim) && same_time(&a->st_ctim, &b->st_ctim);
}

/* Whether another file was moved here: its name or owner changed after its last octet was written.
 * While a file is written, both times are the same. */
static bool was_moved_here(const struct stat *before, const struct stat *now)
{
    return (before->st_ino != now->st_ino || before->st_dev != now->st_dev) &&
           !same_time(&now->st_ctim, &now->st_mtim);
}

/* The age of the last change; 0 if it is in the future. */
static uint64_t age_ms(const struct stat *s, uint64_t wall_ms)
{
    uint64_t changed = (uint64_t)s->st_mtim.tv_sec * 1000 + (uint64_t)s->st_mtim.tv_nsec / 1000000;

    return s->st_mtim.tv_sec >= 0 && changed < wall_ms ? wall_ms - changed : 0;
}

static bool look(struct lines_mark *m, const char *path, struct stat *now)
{
    if (stat(path, now) == 0)
        return true;
    if (!m->warned)
        log_warn("%s: %s; keeping the previous version", path, strerror(errno));
    m->warned = true;
    return false;
}

/* Decides the result of a check. */
static enum lines_look judge(struct lines_mark *m, const struct stat *now, uint64_t now_ms,
                             uint64_t wall_ms)
{
    m->warned = false;
    if (same(&m->seen, now)) {
        m->coming_ms = 0;
        return LINES_SAME;
    }
    if (!m->coming_ms)
        m->changed_ms = now_ms;
    if (!m->coming_ms || !same(&m->coming, now)) {
        m->coming = *now;
        m->coming_ms = now_ms;
    }
    bool settled = was_moved_here(&m->seen, now) || age_ms(now, wall_ms) >= LINES_SETTLE_MS ||
                   now_ms >= m->coming_ms + LINES_SETTLE_MS;
    return settled ? LINES_CHANGED : LINES_SETTLING;
}

enum lines_look lines_look(struct lines_mark *m, const char *path, uint64_t now_ms,
                           uint64_t wall_ms)
{
    struct stat now;

    now_ms = now_ms ? now_ms : 1;
    if (m->looked_ms && now_ms < m->looked_ms + LINES_LOOK_MS)
        return m->coming_ms ? LINES_SETTLING : LINES_SAME;
    m->looked_ms = now_ms;
    if (look(m, path, &now))
        return judge(m, &now, now_ms, wall_ms);
    m->coming_ms = 0;
    return LINES_SAME;
}

enum lines_look lines_look_now(struct lines_mark *m, const char *path, uint64_t wall_ms)
{
    const struct timespec moment = {.tv_nsec = TWICE_MS * 1000000L};
    struct stat first, now;

    if (!look(m, path, &first))
        return LINES_SAME;
    now = first;
    for (int i = 0; i < TWICE_TIMES && age_ms(&first, wall_ms) < YOUNG_MS; i++) {
        nanosleep(&moment, NULL);
        if (!look(m, path, &now))
            return LINES_SAME;
        if (!same(&first, &now))
            return LINES_SETTLING;
    }
    return LINES_CHANGED;
}

/* Whether it can be read at all. */
static int judge_kind(const struct stat *s)
{
    if (S_ISDIR(s->st_mode))
        return -EISDIR;
    if (!S_ISREG(s->st_mode))
        return -ENXIO;
    return (uint64_t)s->st_size > SIZE_MAX_READ ? -EFBIG : 0;
}

/* -EAGAIN: the file has more than `size` octets. So it cannot grow for ever while it is read. */
static int read_all(int fd, uint64_t size, struct buf *text)
{
    while (text->len <= size) {
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
    return -EAGAIN;
}

int lines_read(struct lines_mark *m, const char *path, struct buf *text)
{
    struct stat before = {0}, after;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    int r = fd < 0 ? -errno : 0;

    if (r == 0)
        r = fstat(fd, &before) < 0 ? -errno : judge_kind(&before);
    if (r == 0)
        r = read_all(fd, (uint64_t)before.st_size, text);
    if (r == 0 && fstat(fd, &after) < 0)
        r = -errno;
    if (r == 0 && !same(&before, &after))
        r = -EAGAIN;
    if (r != -EAGAIN) { /* do not try again until the file changes */
        if (fd >= 0 || stat(path, &before) == 0)
            m->seen = before;
        m->coming_ms = 0;
    }
    if (fd >= 0)
        close(fd);
    if (r < 0)
        buf_free(text);
    return r;
}

const char *lines_error(int error)
{
    return error == -ENXIO ? "it is not a regular file" : strerror(-error);
}

bool lines_may_shrink(uint32_t before, uint32_t now)
{
    return (uint64_t)now * 2 >= before;
}
