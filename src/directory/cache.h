/* Recent answers of directories: one table that the clerks of all generations share and that
 * outlives restarts.
 *
 * An answer is fresh for its source's `cache` or `negative_cache`. In the last part of that time it
 * is due: still valid, but one clerk renews it (cache_claim()). After that time the answer is old,
 * and used only while the source is down. The table has only YES and NO, and addresses only as
 * keyed hashes. It also records which sources are down, so that one clerk at a time retries them.
 *
 * Times are wall ms, given by the caller. All functions may be called by several processes at once,
 * never block and leave no lock behind when a process dies in the middle: at worst an answer is
 * lost. */
#ifndef MIRED_DIRECTORY_CACHE_H
#define MIRED_DIRECTORY_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "query/query.h"

struct cache;
struct sharing;

/* The source of an answer. */
struct cache_source {
    uint64_t id; /* cache_source_id() */
    uint64_t good_ms, bad_ms;
};

enum cache_age { CACHE_NONE, CACHE_FRESH, CACHE_DUE, CACHE_OLD };

enum {
    CACHE_PLACES = 1 << 19, /* 12 MiB when all are in use */
    CACHE_DUE_PART = 5,     /* the last fifth of an answer's time */
    CACHE_CLAIM_MS = 20000, /* a clerk that dies after a claim delays the renewal by this long */
    CACHE_DOWN_MS = 500,    /* between two tries of a source that is down */
    CACHE_PROBE_MS = 15000, /* while one clerk tries it, the others wait for so long at most */
};

/* Opens or creates the table at `path` (NULL: memory only) with room for `places` answers, rounded
 * up to a power of two. Call it before the processes that share it start. Returns 0 or -errno. */
int cache_open(struct cache **out, const char *path, uint32_t places);
void cache_close(struct cache *c);

/* How the processes that share the table share the connections of sources. It ends with the table. */
struct sharing *cache_sharing(const struct cache *c);

/* An id for the source with this description; the same description has the same id. */
uint64_t cache_source_id(const struct cache *c, struct span description);

/* Returns the age of the answer for that key, and sets *result unless there is none. */
enum cache_age cache_find(const struct cache *c, const struct cache_source *s, struct span key,
                          uint64_t now, enum answer_result *result);

/* True: this caller must renew the answer; false: another clerk is renewing it. */
bool cache_claim(struct cache *c, const struct cache_source *s, struct span key, uint64_t now);

/* Remove answers that were received up to `now`: the answer for one key; all answers of a source,
 * and that it is down; all NO answers of every source. */
void cache_forget(struct cache *c, const struct cache_source *s, struct span key);
void cache_forget_source(struct cache *c, const struct cache_source *s, uint64_t now);
void cache_forget_unknown(struct cache *c, uint64_t now);

/* Stores an answer. In a full set it evicts old answers first, then NO, then YES. */
void cache_put(struct cache *c, const struct cache_source *s, struct span key, uint64_t now,
               enum answer_result result);

/* Whether the source was down at the last attempt. */
bool cache_is_down(const struct cache *c, const struct cache_source *s);

/* For a source that is down. True: this caller must try it now and report with cache_source_was().
 */
bool cache_may_try(struct cache *c, const struct cache_source *s, uint64_t now);

/* Records whether the source was down in a query. True if that is a change. */
bool cache_source_was(struct cache *c, const struct cache_source *s, bool down, uint64_t now);

#endif
