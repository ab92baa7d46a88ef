/* The spool: holds one message while it comes in and is handed over. It is in memory up to
 * SPOOL_MEMORY octets, then in an unlinked file in state/spool (O_TMPFILE). A shared counter limits
 * all spools of all workers to spool_max. The spool is not a queue: the message is gone when the
 * client has its reply. A spool belongs to one worker; not thread-safe. */
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

/* `room` must outlive the spool; `key` is for spool_identify(). The caller frees the spool. NULL without
 * memory. */
struct spool *spool_new(struct spool_room *room, const struct sipkey *key);
void spool_free(struct spool *s);

/* Appends octets. Returns 0, -ENOSPC (spool_max, or a full disk), -ENOMEM or -EIO. After a failure
 * only spool_free() may be called. */
int spool_add(struct spool *s, struct span octets);

uint64_t spool_size(const struct spool *s);
/* Reads the whole message and finds the hash by which a retry is recognised (smtp/sameness.h), and
 * whether the message has a Message-ID. If its file cannot be
 * read, the hash is a random one, which no other message has. */
void spool_identify(struct spool *s, uint64_t *hash, bool *named);
/* The number of Received: lines in the message's header. */
uint16_t spool_received(const struct spool *s);
/* True if the message ends with CRLF or is empty. */
bool spool_line_ended(const struct spool *s);

/* Returns up to a chunk of octets from `offset` on, valid until the next call; empty at the end;
 * .at is NULL if the file cannot be read. */
struct span spool_read(struct spool *s, uint64_t offset);

#endif
