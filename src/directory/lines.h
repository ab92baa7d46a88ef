/* Files of lines that clerks reread when they change: recipients, passwords. Private to directory
 * and auth.
 *
 * A file may be read while another process writes it. A new version is read when it has been
 * renamed into place, or has not changed for LINES_SETTLE_MS; until then the earlier one answers
 * on. What the new version says is the caller's to judge: it takes it or keeps the earlier one. */
#ifndef MIRED_DIRECTORY_LINES_H
#define MIRED_DIRECTORY_LINES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/bytes.h"

enum {
    LINES_LOOK_MS = 1000,   /* a file is looked at this often at most */
    LINES_SETTLE_MS = 3000, /* unchanged for so long: the writer has finished */
};

/* What a file looked like; zero at first. Times are ms. */
struct lines_mark {
    struct stat seen;    /* the version that was read last, taken or not */
    struct stat coming;  /* a newer one, not read yet */
    uint64_t coming_ms;  /* monotonic: when it was first seen like this; 0: there is none */
    uint64_t changed_ms; /* monotonic: when the first of its changes was seen */
    uint64_t looked_ms;  /* monotonic */
    bool warned;         /* that it cannot be looked at */
};

enum lines_look {
    LINES_SAME,     /* nothing newer than what was read */
    LINES_SETTLING, /* it has just changed, and may be changing still */
    LINES_CHANGED,  /* read it */
};

/* Looks at the file at `now_ms` (monotonic) and `wall_ms`. One that cannot be looked at is warned
 * about once, and the same. */
enum lines_look lines_look(struct lines_mark *m, const char *path, uint64_t now_ms,
                           uint64_t wall_ms);

/* The same without waiting, for callers that have no earlier version, or know that this one is
 * right: only a file that changes while it is looked at, for a tenth of a second, settles. */
enum lines_look lines_look_now(struct lines_mark *m, const char *path, uint64_t wall_ms);

/* All of the file, owned by the caller (buf_free), or -errno. -EAGAIN: it changed meanwhile and
 * must be looked at again. */
int lines_read(struct lines_mark *m, const char *path, struct buf *text);

/* Whether a version with `now` lines may follow one with `before`: one with less than half of them
 * is more likely an export that failed. */
bool lines_may_shrink(uint32_t before, uint32_t now);

#endif
