/* mirectl's connection to mired: sends a request and reads the lines of its result, with
 * time-outs. */
#ifndef MIRED_CTL_LINK_H
#define MIRED_CTL_LINK_H

#include <jansson.h>
#include <stdbool.h>

#include "base/bytes.h"

/* Exit statuses of mirectl. */
enum { CTL_DONE = 0, CTL_REFUSED = 1, CTL_USAGE = 2, CTL_UNREACHABLE = 3 };

/* "code" of an error that mirectl itself finds, in addition to those of control/commands.h. */
#define CTL_CODE_UNREACHABLE "unreachable"

struct link {
    int fd;
    const char *path;
    struct buf in;
    bool heard;       /* something has come */
    bool unanswered;  /* it ended before any answer: the request was not read */
    char code[32];    /* of what went wrong, as --json names it */
    char error[5120]; /* the same as a sentence that says what to do */
};

/* CTL_DONE, or CTL_UNREACHABLE and l->error. */
int link_open(struct link *l, const char *path);
void link_close(struct link *l);

/* Sends the command with `args` (taken over). */
int link_send(struct link *l, const char *command, json_t *args);

/* Reads one line of the result within `wait_ms`. Returns CTL_DONE and sets *line, which the caller
 * frees; *last says whether it was the last line. For an "ok":false it returns CTL_REFUSED,
 * CTL_USAGE or (of another version) CTL_UNREACHABLE with l->error, and sets *line too. */
int link_read(struct link *l, int wait_ms, json_t **line, bool *last);

/* Does all of that: sends the command to the process that listens at `path` and passes every line
 * but that of an error to `take` (it may keep a reference). A web process that leaves for its
 * successor (a reload, an upgrade) may have taken the connection and not the request: the successor
 * is asked then. `args` stays the caller's. An exit status; l->code and l->error when it is not
 * CTL_DONE. Nothing is left open. */
int link_ask(struct link *l, const char *path, const char *command, json_t *args, int wait_ms,
             void (*take)(json_t *line, void *arg), void *arg);

#endif
