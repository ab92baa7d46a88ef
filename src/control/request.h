/* One request of the control socket, parsed and checked. Pure. */
#ifndef MIRED_CONTROL_REQUEST_H
#define MIRED_CONTROL_REQUEST_H

#include <jansson.h>

#include "base/bytes.h"
#include "control/commands.h"

struct request {
    enum control_command command;
    json_t *args;     /* an object; the caller frees it with json_decref() */
    const char *code; /* of an error: a code of commands.h */
};

/* Parses one line (without its end). Returns NULL and fills *r; or returns a sentence that says
 * what is wrong (valid until the next call). */
const char *request_parse(struct span line, struct request *r);

/* Arguments; NULL or false if they are missing or of another type. */
const char *request_text(const json_t *args, const char *key);
bool request_flag(const json_t *args, const char *key);

#endif
