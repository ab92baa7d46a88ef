/* Reads a dump line by line and sends it in requests of many entries. Here only the JSON is
 * checked; mired checks the entries. */
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/commands.h"
#include "link.h"

enum { LINE_MAX_LOAD = 4096, REQUEST_MAX = CONTROL_LINE_MAX / 2, WAIT_MS = 30000, NAMED_MAX = 100 };

struct load {
    const struct options *options;
    const char *path;
    json_t *entries; /* of the request to come */
    size_t size;     /* of their lines */
    json_t *wrong;   /* the first NAMED_MAX */
    json_int_t loaded, wrong_count;
    struct link link;
};

static void note_wrong(struct load *l, json_int_t line, const char *error)
{
    if (l->wrong_count++ >= NAMED_MAX)
        return;
    fprintf(stderr, "%s:%lld: %s\n", l->path, line, error);
    json_array_append_new(l->wrong, json_pack("{s:I, s:s}", "line", line, "error", error));
}

static void take_result(json_t *result, void *arg)
{
    struct load *l = arg;
    size_t i;
    json_t *one;

    l->loaded += json_integer_value(json_object_get(result, "loaded"));
    json_array_foreach(json_object_get(result, "wrong"), i, one)
    {
        const char *error = json_string_value(json_object_get(one, "error"));
        note_wrong(l, json_integer_value(json_object_get(one, "line")), error ? error : "refused");
    }
}

/* Sends what has been gathered. An exit status. */
static int send_entries(struct load *l)
{
    if (json_array_size(l->entries) == 0)
        return CTL_DONE;
    json_t *args = json_pack("{s:s, s:O}", "what", "load", "entries", l->entries);
    int status = link_ask(&l->link, l->options->socket, control_commands[COMMAND_LEDGER].name, args,
                          WAIT_MS, take_result, l);
    json_decref(args);
    json_array_clear(l->entries);
    l->size = 0;
    return status;
}

static int take_line(struct load *l, const char *text, size_t len, json_int_t number)
{
    json_error_t error;

    if (strspn(text, " \t\r\n") == len)
        return CTL_DONE;
    if (len > LINE_MAX_LOAD) {
        note_wrong(l, number, "longer than any line of a dump");
        return CTL_DONE;
    }
    json_t *entry = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(entry)) {
        note_wrong(l, number, entry ? "not an object" : error.text);
        json_decref(entry);
        return CTL_DONE;
    }
    if (json_object_get(entry, "ok")) { /* the end of a dump --json */
        json_decref(entry);
        return CTL_DONE;
    }
    json_object_set_new(entry, "line", json_integer(number));
    json_array_append_new(l->entries, entry);
    l->size += len;
    return l->size > REQUEST_MAX ? send_entries(l) : CTL_DONE;
}

static int read_lines(struct load *l, FILE *in)
{
    char *text = NULL;
    size_t room = 0;
    ssize_t len;
    int status = CTL_DONE;

    for (json_int_t n = 1; status == CTL_DONE && (len = getline(&text, &room, in)) >= 0; n++)
        status = take_line(l, text, (size_t)len, n);
    free(text);
    return status == CTL_DONE ? send_entries(l) : status;
}

static int tell(const struct load *l, int status)
{
    const struct options *o = l->options;

    if (status != CTL_DONE)
        return report(o, status, l->link.code, "%s (%lld entries were loaded before)",
                      l->link.error, l->loaded);
    if (l->wrong_count > NAMED_MAX)
        fprintf(stderr, "%s: and %lld more lines\n", l->path, l->wrong_count - NAMED_MAX);
    if (o->json) {
        json_t *line =
            json_pack("{s:i, s:b, s:I, s:I, s:O}", "v", CONTROL_VERSION, "ok", l->wrong_count == 0,
                      "loaded", l->loaded, "wrong_lines", l->wrong_count, "wrong", l->wrong);
        if (l->wrong_count) {
            json_object_set_new(line, "code", json_string(CONTROL_REFUSED));
            json_object_set_new(line, "error", json_string("some lines are invalid"));
        }
        print_json(line);
        json_decref(line);
    } else {
        printf("%lld entries loaded%s\n", l->loaded,
               l->wrong_count ? "; invalid lines were skipped: correct them and load again" : "");
    }
    return l->wrong_count ? CTL_REFUSED : CTL_DONE;
}

int load_file(const struct options *o, const char *path)
{
    struct load l = {.options = o, .path = path, .entries = json_array(), .wrong = json_array()};
    FILE *in = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");

    if (!in || !l.entries || !l.wrong) {
        json_decref(l.entries);
        json_decref(l.wrong);
        return report(o, CTL_REFUSED, CONTROL_REFUSED, "%s: %s", path, strerror(errno));
    }
    int status = tell(&l, read_lines(&l, in));
    if (in != stdin)
        fclose(in);
    json_decref(l.entries);
    json_decref(l.wrong);
    return status;
}
