/* One line on standard error that is written over; see progress.h. */
#include "progress.h"

#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

static unsigned step;
static bool shown;

void progress_step(const char *what, const char *setting)
{
    step++;
    if (!isatty(STDERR_FILENO))
        return;
    fprintf(stderr, "\rstep %u: %s, %s ...\033[K", step, what, setting);
    fflush(stderr);
    shown = true;
}

void progress_clear(void)
{
    if (shown)
        fputs("\r\033[K", stderr);
    shown = false;
}
