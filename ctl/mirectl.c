/* mirectl: controls and watches a running mired over its control socket.
 *
 *   mirectl [-s SOCKET] [--json] COMMAND [ARGUMENTS]
 *
 * This file parses the options before the command and dispatches the rest: remote.c has the
 * commands that mired runs, the table below those that mirectl runs itself. Exit status: 0 done, 1
 * refused or not found, 2 usage, 3 mired cannot be reached (or is of another version). */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "about.h"
#include "import.h"
#include "link.h"
#include "options.h"
#include "record.h"
#include "remote.h"
#include "top.h"

void print_json(const json_t *line)
{
    json_dumpf(line, stdout, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
    putchar('\n');
}

static void round_all(json_t *value)
{
    const char *key;
    json_t *item;
    size_t i;

    if (json_is_real(value))
        json_real_set(value, round(json_real_value(value) * 1000) / 1000);
    json_object_foreach(value, key, item)
    {
        round_all(item);
    }
    json_array_foreach(value, i, item)
    {
        round_all(item);
    }
}

void print_rounded(json_t *line)
{
    round_all(line);
    print_json(line);
}

int report(const struct options *o, int status, const char *code, const char *format, ...)
{
    char text[5120];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fprintf(stderr, "mirectl: %s\n", text);
    if (o->json) {
        json_t *line = json_pack("{s:i, s:b, s:s, s:s}", "v", CONTROL_VERSION, "ok", 0, "code",
                                 code, "error", text);
        if (!line) /* a word of the command line that is not UTF-8 */
            line = json_pack("{s:i, s:b, s:s, s:s}", "v", CONTROL_VERSION, "ok", 0, "code", code,
                             "error", "see standard error");
        print_json(line);
        json_decref(line);
    }
    return status;
}

/* ---- what mirectl does itself ---- */

static int run_import(const struct options *o, int argc, char **argv)
{
    return argc == 1 ? import_file(o, argv[0]) : -1;
}

/* Becomes the program of that name in the folder of `path`; returns when there is none. */
static void run_beside(const char *path, const char *name, char **words)
{
    const char *slash = strrchr(path, '/');
    char *other = NULL;

    if (slash && asprintf(&other, "%.*s/%s", (int)(slash - path), path, name) > 0)
        execv(other, words);
    free(other);
}

/* The simulator is a program of its own; it stands beside this one, or on PATH. */
static int run_simulate(const struct options *o, int argc, char **argv)
{
    static char name[] = "mired-sim", json[] = "--json";
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    char **words = calloc((size_t)argc + 3, sizeof *words);
    int count = 0;

    if (!words)
        return report(o, CTL_REFUSED, CONTROL_REFUSED, "not enough memory");
    words[count++] = name;
    if (o->json)
        words[count++] = json;
    for (int i = 0; i < argc; i++)
        words[count++] = argv[i];
    self[n > 0 ? n : 0] = '\0';
    run_beside(self, name, words);
    run_beside(o->program, name, words);
    execvp(name, words);
    free(words);
    return report(o, CTL_REFUSED, CONTROL_REFUSED,
                  "%s cannot be run: %s; it is part of mired and installed beside mirectl", name,
                  strerror(errno));
}

/* An exit status; -1: the words are wrong. */
static int (*const locals[LOCAL_COUNT])(const struct options *o, int argc, char **argv) = {
    [LOCAL_TOP] = top_run,
    [LOCAL_SIMULATE] = run_simulate,
    [LOCAL_IMPORT] = run_import,
    [LOCAL_RECORD] = record_run,
};

static int run_local(const struct options *o, enum local_command command, int argc, char **argv)
{
    int status = locals[command](o, argc, argv);

    if (status >= 0)
        return status;
    about_one(stderr, about_at(COMMAND_COUNT + (int)command));
    return report(o, CTL_USAGE, CONTROL_USAGE, "%s: invalid arguments",
                  about_at(COMMAND_COUNT + (int)command)->name);
}

/* ---- words ---- */

static bool is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

/* Help about the command, or about all. */
static int help(const struct options *o, const char *command)
{
    const struct control_about *about = command ? about_by_name(command) : NULL;

    if (command && !about)
        return report(o, CTL_USAGE, CONTROL_USAGE,
                      "unknown command \"%s\"; `mirectl --help` lists all commands", command);
    if (about)
        about_one(stdout, about);
    else
        about_all(stdout);
    return CTL_DONE;
}

/* Reads what stands before the command; returns where that is, or 0 when `status` says it all. */
static int read_options(int argc, char **argv, struct options *o, int *status)
{
    int i = 1;

    for (; i < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "-s") == 0 && i + 1 < argc) {
            o->socket = argv[++i];
        } else if (strcmp(argv[i], "--json") == 0) {
            o->json = true;
        } else if (is_help(argv[i])) {
            *status = help(o, argv[i + 1]);
            return 0;
        } else if (strcmp(argv[i], "--version") == 0 || strcmp(argv[i], "-V") == 0) {
            puts("mirectl " MIRED_VERSION);
            *status = CTL_DONE;
            return 0;
        } else {
            break;
        }
    }
    if (i < argc && argv[i][0] != '-')
        return i;
    about_all(stderr);
    *status = i < argc ? report(o, CTL_USAGE, CONTROL_USAGE, "unknown option \"%s\"", argv[i])
                       : report(o, CTL_USAGE, CONTROL_USAGE, "missing command");
    return 0;
}

/* --json is understood behind the command too. Returns how many words are left. */
static int take_json(struct options *o, int count, char **words)
{
    int kept = 0;

    for (int i = 0; i < count; i++)
        if (strcmp(words[i], "--json") == 0)
            o->json = true;
        else
            words[kept++] = words[i];
    return kept;
}

static int run(struct options *o, int argc, char **argv)
{
    int status = CTL_DONE, at = read_options(argc, argv, o, &status);

    if (!at)
        return status;
    const char *name = argv[at];
    char **words = argv + at + 1;
    int count = take_json(o, argc - at - 1, words);
    if (strcmp(name, "help") == 0)
        return help(o, count ? words[0] : NULL);
    if (count == 1 && is_help(words[0]))
        return help(o, name);
    enum local_command local = local_by_name(name);
    if (local < LOCAL_COUNT)
        return run_local(o, local, count, words);
    enum control_command command = command_by_name(name);
    if (command == COMMAND_COUNT)
        return help(o, name);
    return remote_run(o, command, count, words);
}

/* A script takes what was written for the whole if the status does not say otherwise: half of a list
 * of recipients refuses the others. */
int main(int argc, char **argv)
{
    struct options o = {.socket = CONTROL_SOCKET, .program = argv[0]};
    int status = run(&o, argc, argv);
    bool lost = ferror(stdout);

    if (fclose(stdout) == 0 && !lost)
        return status;
    fputs("mirectl: the result is not written, or only a part of it; is the disk full?\n", stderr);
    return status == CTL_DONE ? CTL_REFUSED : status;
}
