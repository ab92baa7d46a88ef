/* The messages of the load generators, cut out of one long text, and their sizes. */
#ifndef MIRED_BENCH_MESSAGE_H
#define MIRED_BENCH_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

enum { MESSAGE_MIX_MAX = 20 * 1000 * 1000 };

/* Adds a header, and lines of 72 octets up to `size` octets in all, CRLF included; 257 is the
 * least. The caller frees the buffer. */
void message_compose(struct buf *message, const char *from, const char *to, size_t size);

/* The first part of it, of whole lines and of at most `size` octets. */
struct span message_cut(const struct buf *message, size_t size);

/* The next size of a stream of real mail: log-normal with the median 30 KB and the mean 150 KB, but
 * at most MESSAGE_MIX_MAX. `seed` is any number but 0, and changes with each call. */
size_t message_mix(uint64_t *seed);

#endif
