/* The last hour of the page's charts: held connections, good mail a second and its p99, with a
 * sample every five seconds.
 *
 * A mapped file (`state`/history), so that there are no gaps after reloads, upgrades and restarts,
 * except while no web process ran. A sample's time gives its place, so the file has no beginning
 * and end that could be damaged, and during a reload two web processes write the same samples into
 * the same places. Without a lock, at worst one sample of a chart is mixed. */
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

/* Opens or creates the file. If that fails, a warning says so, and the history is in memory only,
 * as for a NULL path. Returns 0 or -errno (no memory). */
int history_open(struct history *h, const char *path);
void history_close(struct history *h);

/* Whether there is no sample for `now` (wall ms) yet. */
bool history_is_due(const struct history *h, uint64_t now);

/* Stores a sample for `now`, and sets its at_ms. */
void history_put(struct history *h, uint64_t now, struct history_sample s);

/* Iterates over the samples of the hour before `now`, oldest first; *at is 0 at first. False at the
 * end. Skips samples in the future (the clock was set back). */
bool history_next(const struct history *h, uint64_t now, uint64_t *at, struct history_sample *out);

#endif
