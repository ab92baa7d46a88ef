/* Files of lines that clerks reread when they change: recipients, passwords. Private to directory
 * and auth. */
#ifndef MIRED_DIRECTORY_LINES_H
#define MIRED_DIRECTORY_LINES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/bytes.h"

/* What a file looked like when it was read; zero at first. */
struct lines_mark {
    struct stat seen;
    uint64_t looked_ms; /* monotonic; stat at most once a second */
    bool warned;
};

/* Whether the file must be read (again): it looks other than `m` knows. now_ms is monotonic. A file
 * that cannot be looked at is warned about once, and not read. */
bool lines_changed(struct lines_mark *m, const char *path, uint64_t now_ms);

/* All of the file, owned by the caller (buf_free), or -errno. A file that changes meanwhile is read
 * again by the next look. */
int lines_read(struct lines_mark *m, const char *path, struct buf *text);

/* The next line that is neither empty nor a comment, trimmed; *number counts lines from 1. False at
 * the end. */
bool lines_next(struct span *rest, unsigned *number, struct span *line);

#endif
