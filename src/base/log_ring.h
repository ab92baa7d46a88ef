/* The last lines of the log in memory, for `mirectl log`: one mapping that all processes share.
 *
 * Each process also writes its lines here (log_keep() of log.h), and the web process reads them. A
 * line has a slot of fixed size: a writer takes the next number, and the slot's stamp tells whether
 * the line in it is complete. There is no lock: a process that is killed while it writes leaves one
 * slot that readers skip. If a writer sleeps while 10,000 lines pass, its line may be mixed with
 * another. So readers rely only on this: a line is never longer than a slot. */
#ifndef MIRED_BASE_LOG_RING_H
#define MIRED_BASE_LOG_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

enum { LOG_RING_LINES = 10000, LOG_RING_TEXT = 1000 };

struct log_ring;

/* Octets of the mapping; all zero is an empty ring. Pages that were never written cost nothing. */
size_t log_ring_size(void);

/* Prepares a mapping of log_ring_size() octets, zero or from an earlier program, for use. A mapping
 * with another layout is emptied. NULL stays NULL. */
struct log_ring *log_ring_open(void *mapping);

/* Keeps a line (cut at LOG_RING_TEXT octets). Never blocks. */
void log_ring_put(struct log_ring *r, uint64_t wall_ms, int level, struct span text);

struct log_kept {
    uint64_t wall_ms;
    int level; /* enum log_level */
    size_t len;
    char text[LOG_RING_TEXT + 1]; /* NUL-terminated, without newline */
};

/* The number that the next line gets. Numbers begin at 0. */
uint64_t log_ring_next(const struct log_ring *r);

/* The first number whose line may still be there, by what log_ring_next() has returned. A process
 * that was taken over can change that number at any time, so ask for it once. */
uint64_t log_ring_first(uint64_t next);

/* Reads line `number`; false: it has been overwritten, or is not written yet. */
bool log_ring_read(const struct log_ring *r, uint64_t number, struct log_kept *out);

#endif
