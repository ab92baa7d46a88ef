/* The spool; see spool.h. Runs in workers. Writes go to the page cache, so a large message uses the
 * system's memory and not the worker's, and the worker hardly waits. */
#include "relay/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { CHUNK = 64 * 1024 };

struct spool {
    struct spool_room *room;
    struct buf memory; /* the whole message, until it moves to the file */
    char *chunk;       /* the part of the file that spool_read() returned last */
    int fd;            /* -1: in memory */
    uint64_t size;
    uint64_t counted; /* in room->used */
    struct sipkey key;
    struct received_count received;
    char last[2]; /* octets */
};

struct spool *spool_new(struct spool_room *room, const struct sipkey *key)
{
    struct spool *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->room = room;
    s->fd = -1;
    s->key = *key;
    return s;
}

void spool_free(struct spool *s)
{
    if (!s)
        return;
    if (s->room->used)
        atomic_fetch_sub(s->room->used, s->counted);
    if (s->fd >= 0)
        close(s->fd);
    buf_free(&s->memory);
    free(s->chunk);
    free(s);
}

static int open_file(const char *folder)
{
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
        return fd < 0 ? -errno : fd;

    char name[4096]; /* a file system without O_TMPFILE */
    snprintf(name, sizeof name, "%s/XXXXXX", folder);
    fd = mkostemp(name, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    unlink(name);
    return fd;
}

static int write_all(int fd, const char *at, size_t n)
{
    while (n) {
        ssize_t done = write(fd, at, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return done < 0 && errno != EDQUOT ? -errno : -ENOSPC;
        at += done;
        n -= (size_t)done;
    }
    return 0;
}

static int to_file(struct spool *s)
{
    int fd = open_file(s->room->folder);
    if (fd < 0)
        return fd;
    s->fd = fd;
    int r = write_all(fd, s->memory.at, s->memory.len);
    buf_free(&s->memory);
    return r;
}

static int count(struct spool *s, size_t n)
{
    if (!s->room->used)
        return 0;
    uint64_t before = atomic_fetch_add(s->room->used, n);
    s->counted += n;
    return before + n > s->room->max ? -ENOSPC : 0;
}

int spool_add(struct spool *s, struct span octets)
{
    int r = count(s, octets.len);

    if (r == 0 && s->fd < 0 && s->memory.len + octets.len > SPOOL_MEMORY)
        r = to_file(s);
    if (r == 0)
        r = s->fd < 0 ? buf_add_span(&s->memory, octets) : write_all(s->fd, octets.at, octets.len);
    if (r < 0)
        return r;
    s->size += octets.len;
    received_scan(&s->received, octets);
    for (size_t i = octets.len > 2 ? octets.len - 2 : 0; i < octets.len; i++) {
        s->last[0] = s->last[1];
        s->last[1] = octets.at[i];
    }
    return 0;
}

uint64_t spool_size(const struct spool *s)
{
    return s->size;
}

uint16_t spool_received(const struct spool *s)
{
    return s->received.count;
}

bool spool_line_ended(const struct spool *s)
{
    return s->size == 0 || (s->last[0] == '\r' && s->last[1] == '\n');
}

struct span spool_read(struct spool *s, uint64_t offset)
{
    struct span none = {NULL, 0}, end = {"", 0};

    if (offset >= s->size)
        return end;
    if (s->fd < 0)
        return span_after(buf_span(&s->memory), offset);
    if (!s->chunk && !(s->chunk = malloc(CHUNK)))
        return none;
    ssize_t n = pread(s->fd, s->chunk, CHUNK, (off_t)offset);
    return n > 0 ? (struct span){s->chunk, (size_t)n} : none;
}

void spool_identify(struct spool *s, uint64_t *hash, bool *named)
{
    struct sameness same;
    struct span some;

    sameness_start(&same, &s->key);
    for (uint64_t at = 0; (some = spool_read(s, at)).len; at += some.len)
        sameness_add(&same, some);
    *hash = sameness_end(&same);
    *named = sameness_is_named(&same);
    /* part of a message may be part of another one, which would count as delivered */
    if (!some.at && (*named = false, getrandom(hash, sizeof *hash, 0) < 0))
        *hash = (uint64_t)(uintptr_t)s;
}
