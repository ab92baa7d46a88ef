/* Results as a person reads them. */
#ifndef MIRED_CTL_SHOW_H
#define MIRED_CTL_SHOW_H

#include <jansson.h>

/* The last line of a result, to standard output. */
void show_text(const json_t *result);
void show_status(const json_t *result);

#endif
