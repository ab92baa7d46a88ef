/* The options before mirectl's command, which apply to all commands. */
#ifndef MIRED_CTL_OPTIONS_H
#define MIRED_CTL_OPTIONS_H

#include <jansson.h>
#include <stdbool.h>

#define CONTROL_SOCKET "/run/mired/control"

struct options {
    const char *socket;
    const char *program; /* as it was called */
    bool json;           /* every result and every error is JSON on standard output */
};

/* A line of JSON to standard output. */
void print_json(const json_t *line);

/* The same with all its numbers rounded to a thousandth. The line is changed. */
void print_rounded(json_t *line);

/* Reports an error: the sentence on standard error, and with --json an object like those of
 * control/commands.h on standard output. Returns `status`. */
int report(const struct options *o, int status, const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
