/* Colours on a terminal; see colour.h. */
#include "colour.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool wanted(void)
{
    static int known = -1;
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

    if (known < 0)
        known = isatty(STDOUT_FILENO) && !(no && *no) && term && strcmp(term, "dumb") != 0;
    return known;
}

const char *colour_on(enum colour colour)
{
    static const char *const codes[] = {"", "\033[32m", "\033[33m", "\033[31m"};

    return wanted() ? codes[colour] : "";
}

const char *colour_off(enum colour colour)
{
    return wanted() && colour != COLOUR_NONE ? "\033[0m" : "";
}
