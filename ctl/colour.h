/* Colours on a terminal. */
#ifndef MIRED_CTL_COLOUR_H
#define MIRED_CTL_COLOUR_H

enum colour { COLOUR_NONE, COLOUR_GOOD, COLOUR_WARN, COLOUR_BAD };

/* The escape sequences before and after a word of that colour on standard output. Empty if that is
 * not a terminal, or if the environment has NO_COLOR (https://no-color.org) or TERM=dumb. */
const char *colour_on(enum colour colour);
const char *colour_off(enum colour colour);

#endif
