/* `mirectl top`: the worst clients and what is held, live. */
#ifndef MIRED_CTL_TOP_H
#define MIRED_CTL_TOP_H

#include "options.h"

/* In a terminal a screen that follows and takes keys; else, and with --count, plain tables; with
 * --json objects. Exit status; -1 when the words are wrong. */
int top_run(const struct options *o, int argc, char **argv);

#endif
