/* `mirectl record`: mired's own log as what `mirectl simulate --attack` replays. */
#ifndef MIRED_CTL_RECORD_H
#define MIRED_CTL_RECORD_H

#include <stdio.h>

#include "options.h"

/* An exit status; -1: the words are wrong. */
int record_run(const struct options *o, int argc, char **argv);

struct record {
    FILE *out;
    double before;   /* seconds of the last event */
    json_t *refused; /* by client: refusals that were written since its last session ended */
    unsigned long events;
};

/* One line of a log, as `mirectl log` prints it (with --json or without) or `journalctl -o
 * short-unix`: what it tells of a client is written to r->out. Other lines are left out. */
void record_line(struct record *r, const char *line);

#endif
