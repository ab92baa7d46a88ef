/* Process titles, so that an administrator sees which process is which. Called in children.
 *
 * The command line that /proc shows is the memory in which the arguments stood; it is overwritten
 * in place. argv itself is not used after that (children never execute anything). */
#include "master/title.h"

#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

static char *arguments;
static size_t room;

void title_init(int argc, char **argv)
{
    arguments = argv[0];
    room = strlen(argv[0]) + 1;
    for (int i = 1; i < argc && argv[i] == arguments + room; i++)
        room += strlen(argv[i]) + 1;
}

void title_set(const char *name)
{
    char title[64];

    snprintf(title, sizeof title, "mired %s", name);
    prctl(PR_SET_NAME, title, 0, 0, 0);
    if (!arguments || room < 2)
        return;
    memset(arguments, 0, room);
    snprintf(arguments, room, "mired: %s", name);
}
