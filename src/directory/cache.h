/* What a directory said lately: a bounded table by keyed hash, one for each source of a clerk.
 *
 * An answer is fresh for the source's `cache` or `negative_cache`; older ones are kept as long as
 * there is room, for when the source is down. Nothing but YES and NO is kept. One thread. */
#ifndef MIRED_DIRECTORY_CACHE_H
#define MIRED_DIRECTORY_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "clerk/ask.h"

struct cache;

/* Room for `places` answers (rounded up to a power of two) of 16 octets; NULL without memory. */
struct cache *cache_open(uint32_t places, uint64_t good_ms, uint64_t bad_ms);
void cache_close(struct cache *c);

/* The answer for that key at monotonic `now_ms`; false when there is none, or an old one and
 * `stale` is not allowed. */
bool cache_find(const struct cache *c, struct span key, uint64_t now_ms, bool stale,
                enum answer_result *result);
void cache_put(struct cache *c, struct span key, uint64_t now_ms, enum answer_result result);

#endif
