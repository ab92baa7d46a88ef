/* Files of lines that clerks reread when they change: recipients, passwords. Private to directory
 * and auth.
 *
 * Another process may be writing a file while it is read. So a new version is read when it has been
 * renamed into place, or has not changed for LINES_SETTLE_MS; until then the earlier one stays in
 * use. The caller decides whether to take the new version or to keep the earlier one. Blocks; not
 * thread-safe for one mark. */
#ifndef MIRED_DIRECTORY_LINES_H
#define MIRED_DIRECTORY_LINES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/bytes.h"

enum {
    LINES_LOOK_MS = 1000,   /* the least time between two checks of a file */
    LINES_SETTLE_MS = 3000, /* if unchanged for so long, the writer has finished */
};

/* The state of a file at the last check; zero at first. Times are ms. */
struct lines_mark {
    struct stat seen;    /* the version that was read last, accepted or not */
    struct stat coming;  /* a newer version, not read yet */
    uint64_t coming_ms;  /* monotonic: when it was first seen in this state; 0: there is none */
    uint64_t changed_ms; /* monotonic: when the first of its changes was seen */
    uint64_t looked_ms;  /* monotonic */
    bool warned;         /* a warning says that it cannot be checked */
};

enum lines_look {
    LINES_SAME,     /* nothing newer than what was read */
    LINES_SETTLING, /* it has just changed, and may still change */
    LINES_CHANGED,  /* read it */
};

/* Checks the file at `now_ms` (monotonic) and `wall_ms`. If that fails, logs one warning and
 * returns LINES_SAME. */
enum lines_look lines_look(struct lines_mark *m, const char *path, uint64_t now_ms,
                           uint64_t wall_ms);

/* The same without waiting, for callers that have no earlier version, or know that this one is
 * right. Returns LINES_SETTLING only if the file changes during the check, which takes a tenth of a
 * second. */
enum lines_look lines_look_now(struct lines_mark *m, const char *path, uint64_t wall_ms);

/* Reads the whole file into *text, which the caller frees with buf_free(). Returns 0 or -errno;
 * -EAGAIN if the file changed meanwhile and must be checked again. Never waits for a writer: a pipe or
 * a device is -ENXIO, and of a file that grows only what was there at first is read. */
int lines_read(struct lines_mark *m, const char *path, struct buf *text);

/* The words for an error of lines_read(). */
const char *lines_error(int error);

/* Whether a version with `now` lines may replace one with `before` lines. With less than half of
 * them it is more likely a failed export. */
bool lines_may_shrink(uint32_t before, uint32_t now);

#endif
