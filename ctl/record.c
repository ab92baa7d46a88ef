/* Log lines to events of the simulator (sim/recorded.h):
 *
 *     SECONDS ADDRESS known|unknown|relay|message [COUNT]
 *
 * A message becomes known recipients, a refusal an unknown one, a session's end the offences
 * without lines of their own. The log does not name the account of a password, so guesses count as
 * unknown recipients: the tarpit weighs them the same. */
#include "record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/addr.h"
#include "control/commands.h"
#include "link.h"

enum { FIELD = 256, WAIT_MS = 30000, COUNT_MOST = 1000000 };

/* ---- a line's fields, text or JSON ---- */

struct fields {
    const char *text; /* key=value key="value with spaces" */
    json_t *json;     /* or this */
};

static bool field(const struct fields *f, const char *key, char out[FIELD])
{
    const json_t *value = json_object_get(f->json, key);
    size_t len = strlen(key);

    out[0] = '\0';
    if (json_is_string(value))
        snprintf(out, FIELD, "%s", json_string_value(value));
    else if (json_is_number(value))
        snprintf(out, FIELD, "%.0f", json_number_value(value));
    for (const char *at = f->json ? NULL : f->text; at; at = strchr(at, ' ')) {
        at += *at == ' ';
        if (strncmp(at, key, len) != 0 || at[len] != '=')
            continue;
        at += len + 1;
        bool quoted = *at == '"';
        at += quoted;
        snprintf(out, FIELD, "%.*s", (int)strcspn(at, quoted ? "\"" : " \n"), at);
        break;
    }
    return out[0] != '\0';
}

static long count_of(const struct fields *f, const char *key)
{
    char text[FIELD];
    long n = field(f, key, text) ? strtol(text, NULL, 10) : 0;

    return n < 0 ? 0 : n > COUNT_MOST ? COUNT_MOST : n;
}

/* ---- events ---- */

static void event(struct record *r, double seconds, const char *client, const char *kind,
                  long count)
{
    if (count <= 0)
        return;
    r->before = seconds > r->before ? seconds : r->before; /* the simulator wants them in order */
    fprintf(r->out, "%.3f %s %s %ld\n", r->before, client, kind, count);
    r->events++;
}

static void take_fields(struct record *r, double seconds, const struct fields *f)
{
    char what[FIELD], client[FIELD], why[FIELD];
    struct addr a;

    if (!field(f, "event", what) || !field(f, "client", client) || !addr_parse(span_of(client), &a))
        return;
    long told = (long)json_integer_value(json_object_get(r->refused, client));
    if (strcmp(what, "message") == 0) {
        long recipients = count_of(f, "recipients");
        event(r, seconds, client, "known", recipients);
        if (field(f, "result", why) && strcmp(why, "passed") == 0)
            event(r, seconds, client, "message", recipients);
    } else if (strcmp(what, "refused") == 0) {
        bool known = field(f, "why", why);
        if (known && (strcmp(why, "later") == 0 || strcmp(why, "apart") == 0))
            return; /* the client has done nothing wrong */
        event(r, seconds, client, known && strcmp(why, "relay") == 0 ? "relay" : "unknown", 1);
        json_object_set_new(r->refused, client, json_integer(told + 1));
    } else if (strcmp(what, "summary") == 0) { /* of sessions that got no line of their own */
        event(r, seconds, client, "unknown", count_of(f, "offences"));
    } else if (strcmp(what, "session") == 0) {
        event(r, seconds, client, "unknown", count_of(f, "offences") - told);
        json_object_del(r->refused, client);
    }
}

/* When the line was written, in seconds, and where its text begins; NULL: it does not say when. */
static const char *read_time(const char *line, double *seconds)
{
    struct tm tm = {.tm_isdst = -1};
    const char *rest = strptime(line, "%Y-%m-%d %H:%M:%S", &tm);
    char *end;

    if (rest) {
        *seconds = (double)mktime(&tm) + (*rest == '.' ? strtod(rest, &end) : 0);
        return *rest == '.' ? end : rest;
    }
    *seconds = strtod(line, &end);
    return end != line && *end == ' ' && *seconds > 0 && *seconds < 1e11 ? end : NULL;
}

static void take_text(struct record *r, double seconds, const char *text)
{
    const char *start = strstr(text, "event=");
    const char *object = strchr(text, '{');
    struct fields f = {.text = start};

    if (!start && object)
        f.json = json_loads(object, 0, NULL);
    if (start || json_is_object(f.json))
        take_fields(r, seconds, &f);
    json_decref(f.json);
}

static void take_kept(struct record *r, const json_t *line)
{
    const char *text = json_string_value(json_object_get(line, "line"));

    if (text)
        take_text(r, json_number_value(json_object_get(line, "time_ms")) / 1000, text);
}

void record_line(struct record *r, const char *line)
{
    double seconds;

    if (line[0] == '{') {
        json_t *object = json_loads(line, JSON_DISABLE_EOF_CHECK, NULL);
        take_kept(r, object);
        json_decref(object);
        return;
    }
    const char *text = read_time(line, &seconds);
    if (text)
        take_text(r, seconds, text);
}

/* ---- the command ---- */

static void take_answer(json_t *line, void *arg)
{
    take_kept(arg, line);
}

static int record_file(const struct options *o, struct record *r, const char *path)
{
    FILE *in = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    char *line = NULL;
    size_t room = 0;

    if (!in)
        return report(o, CTL_REFUSED, CONTROL_REFUSED, "%s: %s", path, strerror(errno));
    while (getline(&line, &room, in) >= 0)
        record_line(r, line);
    free(line);
    if (in != stdin)
        fclose(in);
    return CTL_DONE;
}

static int record_ring(const struct options *o, struct record *r)
{
    json_t *args = json_object();
    struct link l;
    int status =
        link_ask(&l, o->socket, control_commands[COMMAND_LOG].name, args, WAIT_MS, take_answer, r);

    json_decref(args);
    return status == CTL_DONE ? CTL_DONE : report(o, status, l.code, "%s", l.error);
}

int record_run(const struct options *o, int argc, char **argv)
{
    struct record r = {.out = stdout, .refused = json_object()};

    if (argc > 1 || (argc == 1 && argv[0][0] == '-' && argv[0][1]))
        return json_decref(r.refused), -1;
    int status = argc ? record_file(o, &r, argv[0]) : record_ring(o, &r);
    json_decref(r.refused);
    if (status == CTL_DONE && r.events == 0 && argc)
        return report(o, CTL_REFUSED, CONTROL_MISSING,
                      "no line describes a client; expected the output of `mirectl log` "
                      "or of `journalctl -u mired -o short-unix`");
    return status;
}
