/* Releases in progress: which thawed holds belong to each, and the reports to the process that
 * asked. Not thread-safe.
 *
 * Each release has a different time (`due_ms`) at which it makes its holds due. By this time they
 * are recognised when they come out of the table. A release ends with its last hold, or after
 * RELEASE_LAST_MS, because holds that are forgotten meanwhile never come. Time is an argument. */
#ifndef MIRED_FREEZER_RELEASES_H
#define MIRED_FREEZER_RELEASES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"

enum { RELEASES = 8, RELEASE_TELL_MS = 500, RELEASE_LAST_MS = 60000 };

struct release {
    uint64_t tag; /* of the note that asked */
    struct network network;
    uint64_t due_ms, begun_ms, told_ms; /* wall; begun_ms 0: this place is free */
    uint32_t left, answered;
};

struct releases {
    struct release at[RELEASES];
    uint64_t last_due_ms;
    uint64_t late_due_ms; /* of what comes late and belongs to no release */
    /* Reports how many holds have been given back so far, and whether the release has ended. */
    void (*tell)(void *arg, uint64_t tag, uint32_t answered, bool done);
    void *arg;
};

/* The time at which the next release makes its holds due: `now` or right after it. */
uint64_t releases_due(struct releases *r, uint64_t now);

/* Begins a release: `count` holds are due at `due_ms`, from releases_due(). Earlier releases of the
 * same clients end, because their holds now belong to this one. */
void releases_begin(struct releases *r, uint64_t tag, const struct network *n, uint64_t due_ms,
                    uint32_t count, uint64_t now);

/* Whether a release of this client is under way. */
bool releases_concern(const struct releases *r, const struct addr *client);

/* A hold of this client comes into the table when its client has been released already: when it is
 * due. It belongs to the release of its client that is under way, if there is one: releases_came(),
 * when it is in the table, adds it to that. Otherwise nobody counts it any more. */
uint64_t releases_late(struct releases *r, const struct addr *client, uint64_t now);
void releases_came(struct releases *r, uint64_t due_ms);

/* A hold has left the table; `given`: a worker has it and answers it. */
void releases_thawed(struct releases *r, uint64_t due_ms, bool given);

/* The wall clock was set by `by` ms, and the holds in the table are due so much later. */
void releases_clock_was_set(struct releases *r, int64_t by);

/* Whether releases_tell() must be called, now or later. */
bool releases_under_way(const struct releases *r);

/* Reports releases that have ended, and twice a second the progress of the others. */
void releases_tell(struct releases *r, uint64_t now);

#endif
