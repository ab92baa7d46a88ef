/* Parses requests of the control socket. Pure; used by the web process, and by tests.
 *
 * socket.c decides which users may connect, but all input is still checked: a line that is not
 * understood gets a sentence as the answer and changes nothing. */
#include "control/request.h"

#include <stdio.h>
#include <string.h>

static char sentence[256];

static const char *fields(json_t *line, struct request *r)
{
    const char *command;
    int version;
    json_t *args = NULL;

    if (json_unpack(line, "{s:i, s:s, s?:o}", "v", &version, "command", &command, "args", &args) <
        0)
        return "a request is {\"v\":1,\"command\":NAME,\"args\":{...}}";
    if (version != CONTROL_VERSION) {
        snprintf(sentence, sizeof sentence,
                 "this mired (%s) speaks version %d of the control protocol, but the mirectl "
                 "speaks version %d; use the mirectl that was installed with it, or restart mired",
                 MIRED_VERSION, CONTROL_VERSION, version);
        r->code = CONTROL_OTHER;
        return sentence;
    }
    r->command = command_by_name(command);
    if (r->command == COMMAND_COUNT) {
        snprintf(sentence, sizeof sentence,
                 "this mired (%s) has no command \"%.40s\"; this mirectl is newer: `mirectl "
                 "upgrade` switches mired to the installed version",
                 MIRED_VERSION, command);
        r->code = CONTROL_OTHER;
        return sentence;
    }
    if (args && !json_is_object(args))
        return "\"args\" is not an object";
    r->args = args ? json_incref(args) : json_object();
    return r->args ? NULL : "not enough memory";
}

const char *request_parse(struct span line, struct request *r)
{
    json_error_t error;
    json_t *parsed = json_loadb(line.at, line.len, JSON_REJECT_DUPLICATES, &error);

    *r = (struct request){.command = COMMAND_COUNT, .code = CONTROL_USAGE};
    if (!parsed) {
        snprintf(sentence, sizeof sentence, "this is not JSON: %.160s", error.text);
        return sentence;
    }
    const char *wrong = fields(parsed, r);
    json_decref(parsed);
    return wrong;
}

const char *request_text(const json_t *args, const char *key)
{
    return json_string_value(json_object_get(args, key));
}

bool request_flag(const json_t *args, const char *key)
{
    return json_is_true(json_object_get(args, key));
}
