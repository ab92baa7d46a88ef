/* Private to the scanners of messages: data.c, which decides, and data_skip.c, which skips octets
 * that need no decision. */
#ifndef MIRED_SMTP_DATA_PART_H
#define MIRED_SMTP_DATA_PART_H

#include "smtp/data.h"

/* data_scan.state */
enum data_state {
    LINE_START,
    DOT_PUT_IN, /* as LINE_START; the stuffing dot for the next dot was added (BDAT) */
    DOT_DUE,    /* as LINE_START; the next octet is a dot (BDAT) */
    IN_LINE,
    AFTER_CR,
    CR_DUE /* the next octet is a bare LF, which is mended (BDAT) */
};

/* Skips blocks of DATA_BLOCK octets at the beginning of `in` as long as they are good, and returns
 * how many octets these are: 0 where the first block needs the scanner, where NULs are allowed, or
 * on a processor without vectors. A block with a bare CR or LF, with a line that may be too long, or
 * with a dot that is not certainly a stuffing dot is not skipped. `stuffed`: a dot at the start of a
 * line may be a stuffing dot (DATA), else none is skipped (BDAT). Adds the stuffing dots to *dots.
 * Sets d->bad and d->nul for a NUL; otherwise changes only d->state and d->line. Not in DOT_DUE or
 * CR_DUE. */
enum { DATA_BLOCK = 64 };
size_t data_skip(struct data_scan *d, struct span in, bool stuffed, size_t *dots);

/* The instructions that data_skip() uses. It begins with the best that the processor has. */
enum data_vectors { DATA_SCALAR, DATA_SSE2, DATA_AVX2 };

/* Limits data_skip() to these; false if the processor lacks them. For tests; not thread-safe. */
bool data_use_vectors(enum data_vectors most);

#endif
