/* Releases under way: which thawed holds belong to one, and what the asker is told of it.
 *
 * A release makes its holds due at a time of its own (`due_ms`, unlike any other's), by which they
 * are known when they come out of the table. It is over when the last one has, or after
 * RELEASE_LAST_MS: holds that are forgotten meanwhile never come. Time is an argument. */
#ifndef MIRED_FREEZER_RELEASES_H
#define MIRED_FREEZER_RELEASES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"

enum { RELEASES = 8, RELEASE_TELL_MS = 500, RELEASE_LAST_MS = 60000 };

struct release {
    uint64_t tag; /* the asker's */
    struct network network;
    uint64_t due_ms, begun_ms, told_ms; /* wall; begun_ms 0: this place is free */
    uint32_t left, answered;
};

struct releases {
    struct release at[RELEASES];
    uint64_t last_due_ms;
    /* What the asker hears: how many holds have been given back so far, and whether that is all. */
    void (*tell)(void *arg, uint64_t tag, uint32_t answered, bool done);
    void *arg;
};

/* When the holds of the next release are to be due: at or right after `now`. */
uint64_t releases_due(struct releases *r, uint64_t now);

/* `count` holds are due at `due_ms`, as releases_due() said. Earlier releases of the same clients
 * end with what they have: their holds are this one's now. */
void releases_begin(struct releases *r, uint64_t tag, const struct network *n, uint64_t due_ms,
                    uint32_t count, uint64_t now);

/* A hold has come out of the table for good; `given`: to a worker, which answers it. */
void releases_thawed(struct releases *r, uint64_t due_ms, bool given);

/* Whether releases_tell() has something to tell, now or later. */
bool releases_under_way(const struct releases *r);

/* Tells those that are over, and twice a second how far the others are. */
void releases_tell(struct releases *r, uint64_t now);

#endif
