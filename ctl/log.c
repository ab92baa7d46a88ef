/* `mirectl log`: the last 10,000 lines of mired's log, all or those about one address. With
 * --follow it asks again twice a second; a reload or an upgrade in between changes nothing. */
#include "log.h"

#include <stdio.h>
#include <time.h>

#include "control/commands.h"
#include "link.h"
#include "words.h"

enum { WAIT_MS = 10000, PAUSE_MS = 500 };

struct shown {
    const struct options *options;
    json_int_t next; /* the line to ask for next */
    unsigned long lines;
};

static void print_text(const json_t *line)
{
    json_int_t ms = json_integer_value(json_object_get(line, "time_ms"));
    const char *text = json_string_value(json_object_get(line, "line"));
    time_t s = (time_t)(ms / 1000);
    struct tm tm;
    char when[32];

    localtime_r(&s, &tm);
    strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &tm);
    printf("%s.%03d %s\n", when, (int)(ms % 1000), text ? text : "");
}

static void take(json_t *line, void *arg)
{
    struct shown *s = arg;
    const json_t *next = json_object_get(line, "next");

    if (next) {
        s->next = json_integer_value(next);
        return;
    }
    s->lines++;
    if (s->options->json)
        print_json(line);
    else
        print_text(line);
}

static int ask(const struct options *o, json_t *args, struct shown *s, struct link *l)
{
    json_object_set_new(args, "after", json_integer(s->next));
    return link_ask(l, o->socket, control_commands[COMMAND_LOG].name, args, WAIT_MS, take, s);
}

static int follow(const struct options *o, json_t *args, struct shown *s, struct link *l)
{
    const struct timespec pause = {0, PAUSE_MS * 1000000L};
    int status = CTL_DONE;

    json_object_del(args, "limit"); /* it was for the beginning */
    while (status == CTL_DONE && fflush(stdout) == 0) {
        nanosleep(&pause, NULL);
        status = ask(o, args, s, l);
    }
    return status;
}

int log_run(const struct options *o, int argc, char **argv)
{
    static const struct word_option options[] = {
        {"--follow", "follow", .flag = true}, {"--limit", "limit", .number = true}, {0}};
    json_t *args = words_take(argc, argv, options, "about", "", 0, 1);
    bool following = json_object_get(args, "follow") != NULL;
    struct shown shown = {.options = o};
    struct link l;

    if (!args)
        return -1;
    int status = ask(o, args, &shown, &l);
    if (status == CTL_DONE && following)
        status = follow(o, args, &shown, &l);
    json_decref(args);
    if (status != CTL_DONE)
        return report(o, status, l.code, "%s", l.error);
    if (!shown.lines && !o->json)
        fputs("mirectl: no match in mired's last 10,000 lines\n", stderr);
    return CTL_DONE;
}
