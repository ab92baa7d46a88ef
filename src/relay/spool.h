/* The spool: holds one message while it comes in and is handed over.
 *
 * A message is in blocks of the worker's memory as long as there is room. For every block that a
 * message has, one more must be free before it gets another; beyond its first block it leaves a
 * part of the blocks (SPOOL_RESERVE) to other messages. So a few large messages share the blocks
 * evenly, and small ones find room. A message that may have no other block moves to an unlinked
 * file in state/spool (O_TMPFILE). From then on it has blocks for its next write only, and only
 * while half of the blocks are free. The client's octets can be received directly into the blocks
 * (spool_place()). A shared counter limits all spools of all workers to spool_max.
 *
 * These are the common blocks (SPOOL_MEMORY). All others are fast blocks, for what messages that
 * come fast (SPOOL_FAST) have beyond their first block: such messages leave soon, so that a little
 * memory is enough for many of them. The blocks of a message that is no longer fast count as common
 * ones, or it moves to a file.
 *
 * The spool is not a queue: the message is gone when the client has its reply. A spool belongs to
 * one worker; not thread-safe. */
#ifndef MIRED_RELAY_SPOOL_H
#define MIRED_RELAY_SPOOL_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/bytes.h"
#include "base/siphash.h"
#include "config/config.h"
#include "relay/blocks.h"
#include "smtp/data.h"
#include "smtp/sameness.h"

enum {
    SPOOL_MEMORY = 32 * 1024 * 1024,  /* octets of the common blocks of all workers */
    SPOOL_BLOCKS_LEAST = 16,          /* of a worker */
    SPOOL_RESERVE = 8,                /* 1/8 of them is for messages that have no block yet */
    SPOOL_FAST = 1500,                /* octets a millisecond since it began: a message is fast */
    SPOOL_WRITE = 16,                 /* blocks of one write to a file */
    SPOOL_SMALL = CONFIG_SPOOL_SMALL, /* octets of a message that may use all of spool_max ... */
    SPOOL_SMALL_PART = CONFIG_SPOOL_SMALL_PART, /* ... of which 1/16 is for such messages */
};

struct spool_room {     /* one for a worker */
    const char *folder; /* of spool files */
    _Atomic uint64_t
        *used;       /* octets in all spools of all workers; shared mapping. The master counts
                               again what METRIC_SPOOL says when a worker ends, so it may be wrong
                               for a moment */
    uint64_t octets; /* in the spools of this worker, as METRIC_SPOOL says */
    uint64_t max;
    const uint64_t *now; /* monotonic ms */
    struct blocks blocks;
    uint32_t common; /* how many of them are common blocks */
    uint32_t fast;   /* fast blocks that messages have */
};

struct spool;

/* Gets the blocks of a worker, of which there are `workers`; `memory` is for all of them together, in
 * octets. Returns 0 or -ENOMEM. */
int spool_room_open(struct spool_room *room, uint32_t workers, uint64_t memory);
void spool_room_close(struct spool_room *room);

/* `room` must outlive the spool; `key` is for spool_identify(). The caller frees the spool. NULL
 * without memory. */
struct spool *spool_new(struct spool_room *room, const struct sipkey *key);
void spool_free(struct spool *s);

/* Where the next octets of the message can be received: fills in up to `max` places, `octets`
 * octets at most together, and returns how many; 0: there is no block. Received octets become part
 * of the message by spool_add(), which does not copy them if they are where the message goes on.
 * The places are valid until spool_fit() or a spool_add() of octets from elsewhere. */
int spool_place(struct spool *s, struct iovec *place, int max, size_t octets);

/* Gives back blocks that spool_place() has taken and that have no octets of the message. */
void spool_fit(struct spool *s);

/* Appends octets. Returns 0; -EAGAIN if spool_max is reached: nothing was added, and the call may be
 * repeated when another message has gone; or -ENOSPC (a full disk), -ENOMEM or -EIO: after these
 * only spool_size(), which has not changed, and spool_free() may be called. */
int spool_add(struct spool *s, struct span octets);

/* Moves a message that was fast and is no longer so to a file, if it has not left meanwhile; not
 * between spool_place() and spool_fit(). Returns how many octets were written. */
uint64_t spool_settle(struct spool *s);

uint64_t spool_size(const struct spool *s);
/* By which a retry is recognised (smtp/sameness.h). */
struct spool_identity {
    uint64_t hash;
    uint64_t signatures; /* the hash of DKIM's signatures; 0: none */
    bool named;          /* the message has a Message-ID */
};

/* Reads the whole message. If its file cannot be read, the hash is a random one, which no other
 * message has. */
void spool_identify(struct spool *s, struct spool_identity *is);
/* The number of Received: lines in the message's header. */
uint16_t spool_received(const struct spool *s);

/* Returns some octets from `offset` on; empty at the end; .at is NULL if the file cannot be
 * read. Octets of the file (spool_file()) are valid until the next call, others as long as the
 * spool. While the spool does not grow, there are as many at each call with the same offset. */
struct span spool_read(struct spool *s, uint64_t offset);

/* The file that the first *octets octets of the message are in; -1: there is none. Both change with
 * spool_place() and spool_add(). */
int spool_file(const struct spool *s, uint64_t *octets);

#endif
