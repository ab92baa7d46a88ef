/* `mirectl log`. */
#ifndef MIRED_CTL_LOG_H
#define MIRED_CTL_LOG_H

#include "options.h"

/* Prints the last lines of mired's log, or those about one address; goes on with --follow. An exit
 * status; -1: the words are wrong. */
int log_run(const struct options *o, int argc, char **argv);

#endif
