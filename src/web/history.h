/* The last hour of what the page draws: connections held, good mail a second and its p99, a sample
 * every five seconds.
 *
 * A mapped file (`state`/history), so that reloads, upgrades and restarts leave no gap but the time
 * that nobody served. A sample's place follows from its time, so the file has no beginning and no
 * end that could be damaged, and the two web processes of a reload write the same into the same
 * places: without a lock the worst is one sample that mixes theirs, in a picture. */
#ifndef MIRED_WEB_HISTORY_H
#define MIRED_WEB_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mapfile.h"

enum { HISTORY_EVERY_MS = 5000, HISTORY_SAMPLES = 720 };

struct history_sample {
    uint64_t at_ms; /* wall time, a multiple of HISTORY_EVERY_MS; 0: there is none */
    uint64_t held, frozen;
    double per_second, p99_ms; /* NAN: not known */
};

struct history {
    struct mapfile file;
    struct history_sample *sample; /* HISTORY_SAMPLES, by time */
};

/* Opens or begins the file; where that cannot be (NULL: from the start) the history is this
 * process' own, and a warning says so. Returns 0 or -errno (no memory). */
int history_open(struct history *h, const char *path);
void history_close(struct history *h);

/* Whether the place of `now` (wall ms) is still to be filled. */
bool history_is_due(const struct history *h, uint64_t now);

/* Keeps a sample of `now`; its at_ms is set here. */
void history_put(struct history *h, uint64_t now, struct history_sample s);

/* Goes over the samples of the hour before `now`, oldest first; *at is 0 at first. False at the
 * end. What lies in the future (the clock was set back) is left out. */
bool history_next(const struct history *h, uint64_t now, uint64_t *at, struct history_sample *out);

#endif
