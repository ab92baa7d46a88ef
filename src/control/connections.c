/* `connections`: the open connections, and what each waits for. The workers have them:
 *
 *   web --NOTE_CONNECTIONS--> master --> every worker, of all generations
 *   web <--NOTE_CONNECTIONS-- master: how many it asked
 *   web <--NOTE_CONNECTIONS_TOLD-- master <-- each of them, in one or several notes
 *
 * The result comes when all workers have answered, or after PATIENCE_MS with the answers so far;
 * `unanswered` says how many workers did not answer. Workers limit their lines
 * (worker/connections.h); `more` says how many connections have none. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/control_part.h"
#include "query/notes.h"
#include "worker/conn_state.h"
#include "worker/connections.h"

/* LINES_MOST: more than the workers of all generations send. */
enum { PATIENCE_MS = 1000, FIELDS = 7, LINES_MOST = 20 * CONNECTIONS_LINES };

struct overview {
    struct alarm alarm; /* first */
    struct steering *steering;
    struct overview *next; /* in steering->overviews */
    uint64_t tag;
    struct control *control;
    json_t *lines;
    bool known; /* how many were asked */
    int64_t asked, told, found;
};

static void drop(void *state)
{
    struct overview *l = state, **p = &l->steering->overviews;

    while (*p != l)
        p = &(*p)->next;
    *p = l->next;
    loop_alarm_off(&l->steering->loop, &l->alarm);
    json_decref(l->lines);
    free(l);
}

static void give_up(struct control *c)
{
    c->tag = 0; /* its list ends with the connection */
}

static void finish(struct overview *l)
{
    struct control *c = l->control;
    json_int_t more = l->found - (json_int_t)json_array_size(l->lines);

    control_done(c, json_pack("{s:O, s:I, s:I}", "connections", l->lines, "more",
                              more > 0 ? more : 0, "unanswered", (json_int_t)(l->asked - l->told)));
    c->tag = 0;
    c->given_up = NULL;
    c->drop = NULL;
    c->state = NULL;
    drop(l);
    control_resume(c);
}

static void time_is_up(struct loop *loop, struct alarm *a)
{
    finish((struct overview *)a);
}

static json_t *flags_of(char *text)
{
    json_t *flags = json_array();
    char *flag;

    while ((flag = strsep(&text, ",")))
        if (*flag)
            json_array_append_new(flags, json_string(flag));
    return flags;
}

/* Turns a line of worker/connections.h into an object; changes the line. */
static json_t *line_of(char *line)
{
    char *field[FIELDS];

    for (int i = 0; i < FIELDS; i++)
        if (!(field[i] = strsep(&line, "\t")))
            return NULL;
    return json_pack("{s:s, s:s, s:s, s:o, s:f, s:f, s:s}", "address", field[0], "id", field[1],
                     "phase", field[2], "flags", flags_of(field[3]), "open_seconds",
                     strtod(field[4], NULL) / 1000, "phase_seconds", strtod(field[5], NULL) / 1000,
                     "waits_for", field[6]);
}

static struct overview *overview_of(const struct steering *s, const struct note *n)
{
    struct overview *l = s->overviews;

    while (l && l->tag != n->tag)
        l = l->next;
    return l && l->control->tag ? l : NULL;
}

void connections_asked(const struct steering *s, const struct note *n)
{
    struct overview *l = overview_of(s, n);

    if (!l)
        return;
    l->known = true;
    l->asked = n->arg;
    if (l->told >= l->asked)
        finish(l);
}

void connections_told(const struct steering *s, const struct note *n)
{
    struct overview *l = overview_of(s, n);
    char text[NOTE_TEXT + 1], *rest = text, *line;

    if (!l)
        return;
    snprintf(text, sizeof text, "%s", n->text);
    while ((line = strsep(&rest, "\n")))
        if (*line && json_array_size(l->lines) < LINES_MOST)
            json_array_append_new(l->lines, line_of(line)); /* refuses NULL */
    if (n->arg < 0)
        return;
    l->found += n->arg;
    l->told++;
    if (l->known && l->told >= l->asked)
        finish(l);
}

/* Makes the request for workers: "NETWORK PHASE". False if an argument is wrong, which has then
 * been reported. */
static bool read_filter(struct control *c, const json_t *args, char *out, size_t room)
{
    const char *client = request_text(args, "client"), *phase = request_text(args, "phase");
    char text[ADDR_TEXT] = "-";
    struct network n;

    if (client && !network_parse(span_of(client), &n)) {
        control_fail(c, CONTROL_USAGE, "\"%.80s\" is neither an address nor a network", client);
        return false;
    }
    if (phase && conn_phase_by_name(phase) == CONN_PHASE_COUNT) {
        control_fail(c, CONTROL_USAGE, "\"%.40s\" is not a phase of a connection", phase);
        return false;
    }
    if (client)
        network_format(&n, text);
    snprintf(out, room, "%s %s", text, phase ? phase : "-");
    return true;
}

void run_connections(struct control *c, const json_t *args)
{
    struct steering *s = c->steering;
    char filter[ADDR_TEXT + 40];

    if (!read_filter(c, args, filter, sizeof filter))
        return;
    struct overview *l = calloc(1, sizeof *l);
    uint64_t tag = steering_tag(s);
    if (!l || channel_tell(s->params->control, NOTE_CONNECTIONS, 0, tag, filter) < 0) {
        free(l);
        control_fail(c, CONTROL_REFUSED, "the workers cannot be asked now");
        return;
    }
    *l = (struct overview){.alarm = {.due = time_is_up},
                           .steering = s,
                           .next = s->overviews,
                           .tag = tag,
                           .control = c,
                           .lines = json_array()};
    s->overviews = l;
    loop_alarm(&s->loop, &l->alarm, s->loop.now + PATIENCE_MS);
    c->tag = tag;
    c->given_up = give_up;
    c->state = l;
    c->drop = drop;
}
