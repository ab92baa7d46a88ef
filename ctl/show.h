/* Results as a person reads them. */
#ifndef MIRED_CTL_SHOW_H
#define MIRED_CTL_SHOW_H

#include <jansson.h>

/* The last line of a result, to standard output. */
void show_recipient(const json_t *result);
void show_text(const json_t *result);
void show_status(const json_t *result);
void show_clients(const json_t *result);
void show_client(const json_t *result);
void show_exempt(const json_t *result);
/* One part of a long result, as JSON; the empty last line is not shown. */
void show_line(const json_t *part);

#endif
