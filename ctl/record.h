/* `mirectl record`: turns mired's own log into input for `mirectl simulate --attack`. */
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

/* Reads one line of a log, as printed by `mirectl log` (with --json or without) or `journalctl -o
 * short-unix`, and writes the events of a client in it to r->out. Other lines are skipped. */
void record_line(struct record *r, const char *line);

#endif
