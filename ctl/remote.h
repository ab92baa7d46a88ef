/* Commands that a running mired carries out. */
#ifndef MIRED_CTL_REMOTE_H
#define MIRED_CTL_REMOTE_H

#include "control/commands.h"
#include "options.h"

/* Asks, and prints the result. An exit status. */
int remote_run(const struct options *o, enum control_command command, int argc, char **argv);

#endif
