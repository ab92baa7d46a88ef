/* Colours on a terminal. */
#ifndef MIRED_CTL_COLOUR_H
#define MIRED_CTL_COLOUR_H

enum colour { COLOUR_NONE, COLOUR_GOOD, COLOUR_WARN, COLOUR_BAD };

/* What begins and what ends a word of that colour on standard output: empty texts where it is no
 * terminal, or where the environment has NO_COLOR (https://no-color.org) or TERM=dumb. */
const char *colour_on(enum colour colour);
const char *colour_off(enum colour colour);

#endif
