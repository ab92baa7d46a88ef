/* `mirectl top`: chooses the form. In a terminal it is the screen (screen.c). Into a pipe, or with
 * --count, it is a table for each interval, or one table without an interval. */
#include "top.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "picture.h"
#include "screen.h"
#include "show.h"
#include "words.h"

enum { LIMIT_DEFAULT = 20, LIMIT_MOST = 1000, INTERVAL_MS = 2000, INTERVAL_MOST_S = 3600 };

static int sort_by_name(const char *name)
{
    for (int i = 0; i < PICTURE_SORTS; i++)
        if (strcmp(picture_sorts[i], name) == 0)
            return i;
    return -1;
}

/* False when a value is out of its limits. */
static bool read_words(const json_t *args, struct top_options *t)
{
    const json_t *limit = json_object_get(args, "limit"), *count = json_object_get(args, "count");
    const json_t *interval = json_object_get(args, "interval");
    const char *sort = json_string_value(json_object_get(args, "sort"));
    double seconds = interval ? json_number_value(interval) : INTERVAL_MS / 1000.0;

    *t = (struct top_options){.limit = limit ? (int)json_integer_value(limit) : LIMIT_DEFAULT,
                              .sort = sort ? sort_by_name(sort) : 1,
                              .interval_ms = (int)(seconds * 1000),
                              .count = count      ? (long)json_integer_value(count)
                                       : interval ? 0
                                                  : 1};
    return t->limit >= 1 && t->limit <= LIMIT_MOST && t->sort >= 0 && seconds >= 0.1 &&
           seconds <= INTERVAL_MOST_S && (!count || t->count >= 1);
}

static void print_plain(const struct picture *p)
{
    char line[PICTURE_LINES][PICTURE_WIDTH], when[32];
    time_t now = time(NULL);

    strftime(when, sizeof when, "%H:%M:%S", localtime(&now));
    picture_lines(p, line);
    printf("%s, at %s\n", line[0], when);
    for (int i = 1; i < PICTURE_LINES; i++)
        puts(line[i]);
    putchar('\n');
    show_clients(p->clients);
}

static void print_picture(const struct options *o, const struct picture *p, long number)
{
    if (o->json) {
        json_t *line = json_pack("{s:O, s:O}", "status", p->status, "clients",
                                 json_object_get(p->clients, "clients"));
        print_rounded(line);
        json_decref(line);
        return;
    }
    if (number)
        putchar('\n');
    print_plain(p);
}

static int follow_plain(const struct options *o, const struct top_options *t)
{
    struct timespec pause = {t->interval_ms / 1000, t->interval_ms % 1000 * 1000000L};
    struct picture p = {0};
    int status = CTL_DONE;

    for (long n = 0; status == CTL_DONE && (t->count == 0 || n < t->count); n++) {
        if (n)
            nanosleep(&pause, NULL);
        status = picture_take(&p, o, picture_sorts[t->sort], t->limit);
        if (status == CTL_DONE)
            print_picture(o, &p, n);
        if (fflush(stdout) != 0)
            break;
    }
    if (status != CTL_DONE)
        report(o, status, p.code, "%s", p.error);
    picture_drop(&p);
    return status;
}

int top_run(const struct options *o, int argc, char **argv)
{
    static const struct word_option options[] = {{"--limit", "limit", .number = true},
                                                 {"--sort", "sort", false, false},
                                                 {"--interval", "interval", .number = true},
                                                 {"--count", "count", .number = true},
                                                 {0}};
    json_t *args = words_take(argc, argv, options, "", "", 0, 0);
    struct top_options t;
    bool right = args && read_words(args, &t), count = json_object_get(args, "count") != NULL;
    int status = -1;

    json_decref(args);
    if (!right)
        return -1;
    if (!o->json && !count && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))
        status = screen_run(o, &t);
    return status >= 0 ? status : follow_plain(o, &t);
}
