/* The spool; see spool.h. Runs in workers. Writes to a file go to the page cache, so a large message
 * uses the system's memory and not the worker's, and the worker hardly waits. They are made of many
 * blocks at once, because the page cache costs the least then.
 *
 * A message is its file's octets and then those in its blocks. Every block but the last is full, so
 * an octet's offset gives its block. */
#include "relay/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/metrics.h"

enum { CHUNK = 64 * 1024, FEW = 4, WRITE_PARTS = 64 };

struct spool {
    struct spool_room *room;
    char **block; /* of the message, and those that it will need next; `few` or a heap block */
    uint32_t blocks, block_room;
    int fd;         /* -1: all is in memory */
    uint64_t filed; /* octets that are in the file and not in blocks */
    char *chunk;    /* part of the file, read last: chunk_len octets from chunk_at on */
    uint64_t chunk_at;
    size_t chunk_len;
    uint64_t size;
    uint64_t counted; /* in room->used */
    uint64_t begun;   /* ms */
    bool fast;        /* its blocks are fast blocks: counted in room->fast */
    struct sipkey key;
    struct received_count received;
    char *few[FEW]; /* enough for most messages */
};

static uint32_t blocks_of(uint64_t memory, uint32_t workers)
{
    uint64_t blocks = memory / BLOCK_SIZE / (workers ? workers : 1);

    return blocks < SPOOL_BLOCKS_LEAST ? SPOOL_BLOCKS_LEAST
           : blocks > UINT32_MAX       ? UINT32_MAX
                                       : (uint32_t)blocks;
}

int spool_room_open(struct spool_room *room, uint32_t workers, uint64_t memory)
{
    uint32_t all = blocks_of(memory, workers);

    room->common = blocks_of(SPOOL_MEMORY, workers);
    if (room->common > all)
        room->common = all;
    room->fast = 0;
    return blocks_open(&room->blocks, all);
}

void spool_room_close(struct spool_room *room)
{
    blocks_close(&room->blocks);
}

struct spool *spool_new(struct spool_room *room, const struct sipkey *key)
{
    struct spool *s = malloc(sizeof *s);

    if (!s)
        return NULL;
    *s = (struct spool){
        .room = room,
        .block = s->few,
        .block_room = FEW,
        .fd = -1,
        .key = *key,
        .begun = *room->now,
    };
    return s;
}

static void keep_blocks(struct spool *s, uint32_t n)
{
    while (s->blocks > n) {
        blocks_give(&s->room->blocks, s->block[--s->blocks]);
        s->room->fast -= s->fast;
    }
}

/* Never below 0, which would count as a full spool. */
static void subtract(_Atomic uint64_t *used, uint64_t n)
{
    uint64_t all = atomic_load(used);

    while (!atomic_compare_exchange_weak(used, &all, all > n ? all - n : 0))
        continue;
}

static void uncount(struct spool *s)
{
    if (!s->room->used)
        return;
    subtract(s->room->used, s->counted);
    s->room->octets -= s->counted;
    metric_set(METRIC_SPOOL, s->room->octets);
}

void spool_free(struct spool *s)
{
    if (!s)
        return;
    uncount(s);
    if (s->fd >= 0)
        close(s->fd);
    keep_blocks(s, 0);
    if (s->block != s->few)
        free(s->block);
    free(s->chunk);
    free(s);
}

/* ---- in a file ---- */

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

static int write_all(int fd, struct iovec *part, uint32_t parts)
{
    while (parts) {
        ssize_t done = writev(fd, part, (int)parts);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return done < 0 && errno != EDQUOT ? -errno : -ENOSPC;
        for (; parts && (size_t)done >= part->iov_len; part++, parts--)
            done -= (ssize_t)part->iov_len;
        if (parts) {
            part->iov_base = (char *)part->iov_base + done;
            part->iov_len -= (size_t)done;
        }
    }
    return 0;
}

/* ---- in memory ---- */

/* How many octets of the message are in block number `i`. */
static size_t octets_in(const struct spool *s, uint32_t i)
{
    uint64_t left = s->size - s->filed - (uint64_t)i * BLOCK_SIZE;

    return left < BLOCK_SIZE ? (size_t)left : BLOCK_SIZE;
}

static uint32_t common_left(const struct spool_room *r)
{
    uint32_t used = r->blocks.max - blocks_free(&r->blocks) - r->fast;

    return used < r->common ? r->common - used : 0;
}

static uint32_t fast_left(const struct spool_room *r)
{
    return r->blocks.max - r->common - r->fast;
}

static bool is_fast(const struct spool *s)
{
    return s->fd < 0 && s->size >= BLOCK_SIZE && s->size >= (*s->room->now - s->begun) * SPOOL_FAST;
}

/* Decides what its blocks count as. */
static void choose_blocks(struct spool *s)
{
    struct spool_room *r = s->room;

    if (s->fast && !is_fast(s))
        r->fast -= s->blocks;
    else if (!s->fast && is_fast(s) && fast_left(r) > s->blocks)
        r->fast += s->blocks;
    else
        return;
    s->fast = !s->fast;
}

/* See spool.h. */
static bool may_grow(const struct spool *s)
{
    uint32_t left = common_left(s->room), all = s->room->common;

    if (s->fast)
        return fast_left(s->room) > s->blocks;
    if (s->fd >= 0)
        return s->blocks < SPOOL_WRITE && left > all / 2;
    return s->blocks == 0 ? left > 0 : left > s->blocks && left > all / SPOOL_RESERVE;
}

static bool add_block(struct spool *s)
{
    choose_blocks(s);
    if (!may_grow(s))
        return false;
    if (s->blocks == s->block_room) {
        uint32_t room = s->block_room * 2 + 1;
        char **more = malloc(room * sizeof *more);
        if (!more)
            return false;
        memcpy(more, s->block, s->blocks * sizeof *more);
        if (s->block != s->few)
            free(s->block);
        s->block = more;
        s->block_room = room;
    }
    s->block[s->blocks] = blocks_take(&s->room->blocks);
    if (!s->block[s->blocks])
        return false;
    s->blocks++;
    s->room->fast += s->fast;
    return true;
}

/* Where the message goes on: `*room` octets in its last block, or in a new one; NULL: it may have no
 * other block. */
static char *next_place(struct spool *s, size_t *room)
{
    uint64_t in_blocks = s->size - s->filed, i = in_blocks / BLOCK_SIZE;
    size_t at = (size_t)(in_blocks % BLOCK_SIZE);

    if (i == s->blocks && !add_block(s))
        return NULL;
    *room = BLOCK_SIZE - at;
    return s->block[i] + at;
}

/* Moves the octets of all blocks to the file. */
static int flush(struct spool *s)
{
    if (s->fd < 0) {
        int fd = open_file(s->room->folder);
        if (fd < 0)
            return fd;
        s->fd = fd;
    }
    /* a part of it may be there already, if the disk was full for a moment */
    if (lseek(s->fd, (off_t)s->filed, SEEK_SET) < 0)
        return -errno;
    for (uint32_t done = 0, n; (uint64_t)done * BLOCK_SIZE < s->size - s->filed; done += n) {
        struct iovec part[WRITE_PARTS];
        for (n = 0; n < WRITE_PARTS && (uint64_t)(done + n) * BLOCK_SIZE < s->size - s->filed; n++)
            part[n] = (struct iovec){s->block[done + n], octets_in(s, done + n)};
        int r = write_all(s->fd, part, n);
        if (r < 0)
            return r;
    }
    s->filed = s->size;
    return 0;
}

int spool_place(struct spool *s, struct iovec *place, int max, size_t octets)
{
    size_t room;
    char *at = next_place(s, &room);
    int n = 0;

    if (!at && s->blocks == SPOOL_WRITE && s->fd >= 0) { /* its next write is due */
        if (flush(s) < 0)
            return 0; /* spool_add() tries it again, and fails too or does it all */
        keep_blocks(s, 0);
        at = next_place(s, &room);
    }
    if (!at)
        return 0;
    for (uint64_t i = (s->size - s->filed) / BLOCK_SIZE; n < max && octets;) {
        place[n] = (struct iovec){at, room < octets ? room : octets};
        octets -= place[n++].iov_len;
        if (++i == s->blocks && (!octets || n == max || !add_block(s)))
            break;
        at = s->block[i];
        room = BLOCK_SIZE;
    }
    return n;
}

void spool_fit(struct spool *s)
{
    keep_blocks(s, (uint32_t)((s->size - s->filed + BLOCK_SIZE - 1) / BLOCK_SIZE));
}

/* The octets may be in one of the blocks. */
static int add_to_file(struct spool *s, struct span octets)
{
    int r = flush(s);

    if (r == 0 && octets.len)
        r = write_all(s->fd, &(struct iovec){(void *)octets.at, octets.len}, 1);
    keep_blocks(s, 0);
    s->size += octets.len;
    s->filed = s->size;
    return r;
}

/* Octets are not copied if they are in their place already. */
static int add(struct spool *s, struct span octets)
{
    while (octets.len) {
        size_t room;
        char *at = next_place(s, &room);
        if (!at)
            return add_to_file(s, octets);
        size_t n = octets.len < room ? octets.len : room;
        if (at != octets.at)
            memmove(at, octets.at, n);
        octets = span_after(octets, n);
        s->size += n;
    }
    return 0;
}

/* ---- both ---- */

static int count(struct spool *s, size_t n)
{
    uint64_t max = s->room->max;

    if (!s->room->used)
        return 0;
    if (s->size + n > SPOOL_SMALL)
        max -= max / SPOOL_SMALL_PART;
    bool fits = atomic_fetch_add(s->room->used, n) + n <= max;
    if (fits) {
        s->counted += n;
        s->room->octets += n;
    } else {
        subtract(s->room->used, n);
    }
    metric_set(METRIC_SPOOL, s->room->octets);
    return fits ? 0 : -EAGAIN;
}

int spool_add(struct spool *s, struct span octets)
{
    uint64_t before = s->size;
    int r = count(s, octets.len);

    if (r == 0)
        r = add(s, octets);
    if (r < 0) {
        s->size = before;
        return r;
    }
    received_scan(&s->received, octets);
    return 0;
}

uint64_t spool_settle(struct spool *s)
{
    uint64_t octets = s->size;

    if (!s->fast || is_fast(s))
        return 0;
    if (flush(s) < 0) { /* it stays in memory; the file may have a part of it */
        if (s->fd >= 0)
            close(s->fd);
        s->fd = -1;
        return 0;
    }
    keep_blocks(s, 0);
    choose_blocks(s);
    return octets;
}

uint64_t spool_size(const struct spool *s)
{
    return s->size;
}

uint16_t spool_received(const struct spool *s)
{
    return s->received.count;
}

static struct span read_file(struct spool *s, uint64_t offset)
{
    struct span none = {NULL, 0};

    if (!s->chunk && !(s->chunk = malloc(CHUNK)))
        return none;
    if (offset < s->chunk_at || offset - s->chunk_at >= s->chunk_len) {
        /* OpenSSL's second attempt to write must have the octets of the first. Links to several
         * backends read in turn, so where a chunk ends must not depend on who has read it. */
        uint64_t from = offset - offset % CHUNK, left = s->filed - from;
        ssize_t n = pread(s->fd, s->chunk, left < CHUNK ? (size_t)left : CHUNK, (off_t)from);
        s->chunk_at = from;
        s->chunk_len = n > 0 ? (size_t)n : 0;
        if (offset - from >= s->chunk_len)
            return none;
    }
    return span_after((struct span){s->chunk, s->chunk_len}, (size_t)(offset - s->chunk_at));
}

struct span spool_read(struct spool *s, uint64_t offset)
{
    if (offset >= s->size)
        return (struct span){"", 0};
    if (offset < s->filed)
        return read_file(s, offset);
    offset -= s->filed;
    uint32_t i = (uint32_t)(offset / BLOCK_SIZE);
    return span_after((struct span){s->block[i], octets_in(s, i)}, (size_t)(offset % BLOCK_SIZE));
}

int spool_file(const struct spool *s, uint64_t *octets)
{
    *octets = s->filed;
    return s->fd;
}

void spool_identify(struct spool *s, struct spool_identity *is)
{
    struct sameness same;
    struct span some;

    sameness_start(&same, &s->key);
    for (uint64_t at = 0; (some = spool_read(s, at)).len; at += some.len)
        sameness_add(&same, some);
    *is = (struct spool_identity){.hash = sameness_end(&same),
                                  .signatures = sameness_signatures(&same),
                                  .named = sameness_is_named(&same)};
    if (some.at)
        return;
    /* part of a message may be part of another one, which would count as delivered */
    *is = (struct spool_identity){.named = false};
    if (getrandom(&is->hash, sizeof is->hash, 0) < 0)
        is->hash = (uint64_t)(uintptr_t)s;
}
