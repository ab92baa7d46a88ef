/* Prints results for people. */
#ifndef MIRED_CTL_SHOW_H
#define MIRED_CTL_SHOW_H

#include <jansson.h>
#include <stddef.h>

/* The last line of a result, to standard output. */
void show_recipient(const json_t *result);
void show_route(const json_t *result);
void show_text(const json_t *result);
void show_status(const json_t *result);
void show_clients(const json_t *result);
void show_client(const json_t *result);
void show_config(const json_t *result);
void show_exempt(const json_t *result);
/* One part of a long result, as JSON; the empty last line is not shown. */
void show_line(const json_t *part);

void show_connections(const json_t *result);
/* fleet.c */
void show_fleet(const json_t *result);
void show_advice(const json_t *result);
void show_observed(const json_t *result);
void show_traps(const json_t *result);

/* One client of `clients` as a row, and what stands above its columns. */
const char *show_client_title(void);
void show_client_row(const json_t *client, char *row, size_t room);

/* "3 d 4 h", "4 h 12 min", "12 min 5 s": two units are enough. */
void show_span(double seconds, char *out, size_t room);

#endif
