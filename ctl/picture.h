/* What `mirectl top` shows at one moment, and lines of it that the screen and the plain form share.
 */
#ifndef MIRED_CTL_PICTURE_H
#define MIRED_CTL_PICTURE_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "link.h"
#include "options.h"

enum { PICTURE_SORTS = 3, PICTURE_LINES = 3, PICTURE_WIDTH = 160 };
extern const char *const picture_sorts[PICTURE_SORTS];

struct picture {
    json_t *status, *clients; /* results of those two commands; the picture's own */
    uint64_t at_ms;           /* monotonic; 0: none was taken yet */
    double passed, offences;  /* a second, since the picture before; below 0: not known */
    int exit_status;          /* of the last taking; when it is not CTL_DONE the rest is older */
    char code[32], error[5120];
};

/* Takes a new one in the place of *p. An exit status. */
int picture_take(struct picture *p, const struct options *o, const char *sort, int limit);
void picture_drop(struct picture *p);

/* The lines above the table. */
void picture_lines(const struct picture *p, char line[PICTURE_LINES][PICTURE_WIDTH]);

#endif
