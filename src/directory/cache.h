/* What directories said lately: one table that all clerks share, of every generation, and that
 * outlives restarts.
 *
 * An answer is fresh for its source's `cache` or `negative_cache`. In the last part of that it is
 * due: still the answer, but to be asked for anew by one clerk (cache_claim). Then it is old: worth
 * something only while the source is down. Nothing but YES and NO is kept, and addresses only as
 * keyed hashes. Beside the answers stands which sources are down, so that one clerk finds that out
 * and one at a time tries again.
 *
 * Times are wall ms, given by the caller. All functions may be called by several processes at once,
 * never block and leave no lock behind when a process dies in the middle: at worst an answer is
 * missing. */
#ifndef MIRED_DIRECTORY_CACHE_H
#define MIRED_DIRECTORY_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "query/query.h"

struct cache;

/* Whose answers they are. */
struct cache_source {
    uint64_t id; /* cache_source_id() */
    uint64_t good_ms, bad_ms;
};

enum cache_age { CACHE_NONE, CACHE_FRESH, CACHE_DUE, CACHE_OLD };

enum {
    CACHE_PLACES = 1 << 19, /* 12 MiB, as far as they are used */
    CACHE_DUE_PART = 5,     /* the last fifth of an answer's time */
    CACHE_CLAIM_MS = 20000, /* who claimed an answer and died holds up its renewal for so long */
    CACHE_DOWN_MS = 500,    /* a source that could not be asked is left alone for so long */
    CACHE_PROBE_MS = 15000, /* ... and by all the others while one of them tries */
};

/* Opens or begins the table at `path` (NULL: memory only) with room for `places` answers, rounded
 * up to a power of two. Before the processes that share it are started. 0 or -errno. */
int cache_open(struct cache **out, const char *path, uint32_t places);
void cache_close(struct cache *c);

/* An id for the source that `description` describes: the same one as long as it is the same. */
uint64_t cache_source_id(const struct cache *c, struct span description);

/* How old the answer for that key is, and the answer unless there is none. */
enum cache_age cache_find(const struct cache *c, const struct cache_source *s, struct span key,
                          uint64_t now, enum answer_result *result);

/* True for the one who is to renew an answer that is there; false: somebody else is at it. */
bool cache_claim(struct cache *c, const struct cache_source *s, struct span key, uint64_t now);

/* Forgetting: what was got up to `now` is as if it had never been asked. The answer for one key;
 * all of a source, its being down as well; all that say NO, of every source. */
void cache_forget(struct cache *c, const struct cache_source *s, struct span key);
void cache_forget_source(struct cache *c, const struct cache_source *s, uint64_t now);
void cache_forget_unknown(struct cache *c, uint64_t now);

/* Without room, what is old goes first, then who does not exist, then who does. */
void cache_put(struct cache *c, const struct cache_source *s, struct span key, uint64_t now,
               enum answer_result result);

/* Whether the source was down when somebody last tried. */
bool cache_is_down(const struct cache *c, const struct cache_source *s);

/* Of a source that is down: true for the one who is to try it now, and says what came of it. */
bool cache_may_try(struct cache *c, const struct cache_source *s, uint64_t now);

/* It was asked. Returns whether that was news. */
bool cache_source_was(struct cache *c, const struct cache_source *s, bool down, uint64_t now);

#endif
