/* mirectl's line to mired: a request out, the lines of its result in, with time-outs. */
#ifndef MIRED_CTL_LINK_H
#define MIRED_CTL_LINK_H

#include <jansson.h>
#include <stdbool.h>

#include "base/bytes.h"

/* Exit statuses of mirectl. */
enum { CTL_DONE = 0, CTL_REFUSED = 1, CTL_USAGE = 2, CTL_UNREACHABLE = 3 };

struct link {
    int fd;
    const char *path;
    struct buf in;
    bool heard;       /* something has come */
    bool unanswered;  /* it ended before anything came: the request was not taken up */
    char error[5120]; /* what went wrong, as a sentence that says what to do */
};

/* CTL_DONE, or CTL_UNREACHABLE and l->error. */
int link_open(struct link *l, const char *path);
void link_close(struct link *l);

/* Sends the command with `args` (taken over). */
int link_send(struct link *l, const char *command, json_t *args);

/* Reads one line of the result within `wait_ms`: CTL_DONE and *line (the caller's). *last tells
 * whether it was the last one. An "ok":false is CTL_REFUSED or CTL_USAGE with l->error, and *line
 * too. */
int link_read(struct link *l, int wait_ms, json_t **line, bool *last);

#endif
