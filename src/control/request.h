/* One request of the control socket, parsed and checked. Pure. */
#ifndef MIRED_CONTROL_REQUEST_H
#define MIRED_CONTROL_REQUEST_H

#include <jansson.h>

#include "base/bytes.h"
#include "control/commands.h"

struct request {
    enum control_command command;
    json_t *args;     /* an object; the caller's, json_decref() */
    const char *code; /* of what is wrong: one of commands.h */
};

/* Reads one line (without its end). NULL and *r; or a sentence that says what is wrong (good until
 * the next call). */
const char *request_parse(struct span line, struct request *r);

/* Arguments: NULL or the default when they are not there or of another type. */
const char *request_text(const json_t *args, const char *key);
bool request_flag(const json_t *args, const char *key);

#endif
