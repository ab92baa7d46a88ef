/* The spool: one message while it comes in and is handed on. Memory up to SPOOL_MEMORY octets, then
 * an unlinked file in state/spool (O_TMPFILE). Counted against spool_max over all workers by a
 * shared counter. Never a queue: it is gone when the client has been told. */
#ifndef MIRED_RELAY_SPOOL_H
#define MIRED_RELAY_SPOOL_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/siphash.h"
#include "smtp/data.h"
#include "smtp/sameness.h"

enum { SPOOL_MEMORY = 256 * 1024 };

struct spool_room {         /* one for a worker */
    const char *folder;     /* of spool files */
    _Atomic uint64_t *used; /* octets in all spools of all workers; shared mapping */
    uint64_t max;
};

struct spool;

struct spool *spool_new(struct spool_room *room, const struct sipkey *key); /* NULL: no memory */
void spool_free(struct spool *s);

/* 0, or -ENOSPC (spool_max, disk), -ENOMEM, -EIO. After a failure only spool_free() makes sense. */
int spool_add(struct spool *s, struct span octets);

uint64_t spool_size(const struct spool *s);
/* What a retry is known by (smtp/sameness.h), and whether that is a Message-ID. */
uint64_t spool_hash(const struct spool *s);
bool spool_is_named(const struct spool *s);
/* Received: lines in the message's header. */
uint16_t spool_received(const struct spool *s);
/* True when the last line is ended by CRLF (or it is empty). */
bool spool_line_ended(const struct spool *s);

/* Up to a chunk of octets from `offset` on, borrowed until the next call; empty at the end; .at
 * NULL when the file cannot be read. */
struct span spool_read(struct spool *s, uint64_t offset);

#endif
