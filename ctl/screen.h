/* The screen of `mirectl top` (ncurses). */
#ifndef MIRED_CTL_SCREEN_H
#define MIRED_CTL_SCREEN_H

#include "options.h"

struct top_options {
    int limit, sort; /* of picture_sorts[] */
    int interval_ms;
    long count; /* pictures; 0: without end */
};

/* Follows mired until `q` is typed. An exit status; -1 when this terminal has no screen. */
int screen_run(const struct options *o, const struct top_options *t);

#endif
