/* mirectl: steers and watches a running mired over its control socket.
 *
 *   mirectl [-s SOCKET] [--json] COMMAND [ARGUMENTS]
 *
 * It knows how to say things; what is done is done in mired's web process. Commands, arguments and
 * help stand in web/commands.h; here a row for each says how its arguments become JSON and its
 * result words. Exit status: 0 done, 1 refused or not found, 2 usage, 3 mired cannot be reached. */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "import.h"
#include "link.h"
#include "show.h"
#include "web/commands.h"

#define CONTROL_SOCKET "/run/mired/control"

enum { TRIES = 3, AGAIN_MS = 100 };

struct options {
    const char *socket;
    bool json;
};

/* What mirectl does with a command. */
struct use {
    json_t *(*args)(int argc, char **argv); /* NULL: the arguments are wrong */
    void (*show)(const json_t *result);
    int wait_ms; /* for its answer */
};

static json_t *args_none(int argc, char **argv)
{
    return argc == 0 ? json_object() : NULL;
}

static json_t *args_stop(int argc, char **argv)
{
    if (argc > 1 || (argc == 1 && strcmp(argv[0], "--drain") != 0))
        return NULL;
    return json_pack("{s:b}", "drain", argc == 1);
}

/* ADDRESS, and the options that a command has: NAME VALUE, taken as text or as a number. */
struct option_about {
    const char *name, *key;
    bool number, flag;
};

static bool take_option(json_t *args, const struct option_about *o, int argc, char **argv, int *i)
{
    if (o->flag)
        return json_object_set_new(args, o->key, json_true()) == 0;
    if (*i + 1 >= argc)
        return false;
    const char *value = argv[++*i];
    if (!o->number)
        return json_object_set_new(args, o->key, json_string(value)) == 0;
    char *end;
    double n = strtod(value, &end);
    bool whole = n == (double)(json_int_t)n;
    return end != value && !*end &&
           json_object_set_new(args, o->key, whole ? json_integer((json_int_t)n) : json_real(n)) ==
               0;
}

/* `words`: how many other words there must be, at least and at most; the first is the address. */
static json_t *args_with(int argc, char **argv, const struct option_about *options,
                         const char *word_key, int least, int most)
{
    json_t *args = json_object();
    int words = 0;

    for (int i = 0; i < argc; i++) {
        const struct option_about *o = options;
        while (o->name && strcmp(o->name, argv[i]) != 0)
            o++;
        bool good = o->name ? take_option(args, o, argc, argv, &i)
                            : argv[i][0] != '-' && words++ < most &&
                                  json_object_set_new(args, word_key, json_string(argv[i])) == 0;
        if (!good) {
            json_decref(args);
            return NULL;
        }
    }
    if (words < least) {
        json_decref(args);
        return NULL;
    }
    return args;
}

static json_t *args_clients(int argc, char **argv)
{
    static const struct option_about options[] = {
        {"--limit", "limit", .number = true}, {"--sort", "sort", false, false}, {0}};
    return args_with(argc, argv, options, "", 0, 0);
}

static json_t *args_address(int argc, char **argv)
{
    static const struct option_about options[] = {{0}};
    return args_with(argc, argv, options, "address", 1, 1);
}

static json_t *args_exempt(int argc, char **argv)
{
    static const struct option_about options[] = {{"--for", "for", false, false},
                                                  {"--list", "list", .flag = true},
                                                  {"--remove", "remove", .flag = true},
                                                  {0}};
    json_t *args = args_with(argc, argv, options, "address", 0, 1);
    if (args && !json_object_get(args, "list") == !json_object_get(args, "address")) {
        json_decref(args); /* the list or an address, and not both */
        return NULL;
    }
    return args;
}

static json_t *args_penalise(int argc, char **argv)
{
    static const struct option_about options[] = {{"--offences", "offences", .number = true}, {0}};
    return args_with(argc, argv, options, "address", 1, 1);
}

static json_t *args_ledger(int argc, char **argv)
{
    static const struct option_about options[] = {{0}};
    return args_with(argc, argv, options, "what", 1, 1);
}

static const struct use uses[COMMAND_COUNT] = {
    [COMMAND_STATUS] = {args_none, show_status, 5000},
    [COMMAND_RELOAD] = {args_none, show_text, 40000},
    [COMMAND_UPGRADE] = {args_none, show_text, 60000},
    [COMMAND_STOP] = {args_stop, show_text, 5000},
    [COMMAND_CLIENTS] = {args_clients, show_clients, 10000},
    [COMMAND_SHOW] = {args_address, show_client, 5000},
    [COMMAND_RELEASE] = {args_address, show_text, 10000},
    [COMMAND_EXEMPT] = {args_exempt, show_exempt, 10000},
    [COMMAND_PENALISE] = {args_penalise, show_text, 5000},
    [COMMAND_RECIPIENT] = {args_address, show_recipient, 25000},
    [COMMAND_LEDGER] = {args_ledger, show_line, 10000},
};

/* ---- commands that need no running mired ---- */

static int run_import(int argc, char **argv)
{
    return argc == 1 ? import_file(argv[0]) : -1;
}

/* The simulator is a program of its own; it stands beside this one, or on PATH. */
static int run_simulate(int argc, char **argv)
{
    static char name[] = "mired-sim";
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - sizeof name);
    char *slash = n > 0 ? memrchr(path, '/', (size_t)n) : NULL;

    argv[-1] = name;
    if (slash) {
        strcpy(slash + 1, name);
        execv(path, argv - 1);
    }
    execvp(name, argv - 1);
    fprintf(stderr, "mirectl: %s cannot be run: %s\n", name, strerror(errno));
    return CTL_REFUSED;
}

static const struct local {
    struct control_about about;
    int (*run)(int argc, char **argv); /* exit status; -1: usage */
} locals[] = {
    {{"simulate", "[-c FILE] [--attack FILE] [--seed N]",
      "the policy against synthetic or recorded attacks, in virtual time", "mirectl simulate"},
     run_simulate},
    {{"import", "FILE",
      "settings of Windows (.reg), Exchange (Get-ReceiveConnector | fl) or Postfix (postconf -n) "
      "as "
      "lines of mired.conf",
      "mirectl import tarpit.reg"},
     run_import},
};
enum { LOCALS = sizeof locals / sizeof locals[0] };

static const struct local *local_by_name(const char *name)
{
    for (int i = 0; i < LOCALS; i++)
        if (strcmp(locals[i].about.name, name) == 0)
            return &locals[i];
    return NULL;
}

/* ---- help ---- */

static void help_one(FILE *to, const struct control_about *about)
{
    fprintf(to, "usage: mirectl [-s SOCKET] [--json] %s%s%s\n\n  %s\n\nexample:\n  %s\n",
            about->name, *about->arguments ? " " : "", about->arguments, about->help,
            about->example);
}

/* Those of the control socket, then those that need none. */
static const struct control_about *about_at(int i)
{
    return i < COMMAND_COUNT ? &control_commands[i] : &locals[i - COMMAND_COUNT].about;
}

static void help_all(FILE *to)
{
    fprintf(to, "usage: mirectl [-s SOCKET] [--json] COMMAND [ARGUMENTS]\n\n"
                "  -s SOCKET  mired's control socket (" CONTROL_SOCKET ")\n"
                "  --json     the result as JSON\n"
                "  --help     this; with a command: more about it, and an example\n"
                "  --version  the version\n\ncommands:\n");
    for (int i = 0; i < COMMAND_COUNT + LOCALS; i++) {
        const struct control_about *about = about_at(i);
        char what[96];
        snprintf(what, sizeof what, "%s %s", about->name, about->arguments);
        fprintf(to, strlen(what) < 24 ? "  %-24s%s\n" : "  %s\n                          %s\n",
                what, about->help);
    }
    fprintf(to, "\nexamples:\n");
    for (int i = 0; i < COMMAND_COUNT + LOCALS; i++)
        fprintf(to, "  %s\n", about_at(i)->example);
}

/* ---- one command ---- */

static void print_json(const json_t *line)
{
    json_dumpf(line, stdout, JSON_COMPACT | JSON_ENCODE_ANY);
    putchar('\n');
}

static int take_results(struct link *l, const struct use *use, const struct options *o)
{
    bool last = false;
    int status = CTL_DONE;

    while (!last && status == CTL_DONE) {
        json_t *line = NULL;
        status = link_read(l, use->wait_ms, &line, &last);
        if (line && o->json)
            print_json(line);
        else if (status == CTL_DONE)
            use->show(line);
        json_decref(line);
    }
    return status;
}

static int run(const struct options *o, enum control_command command, int argc, char **argv)
{
    const struct use *use = &uses[command];
    json_t *args = use->args(argc, argv);
    struct link l;

    if (!args) {
        help_one(stderr, &control_commands[command]);
        return CTL_USAGE;
    }
    /* A web process that leaves for its successor (a reload, an upgrade) may have taken the
     * connection and not the request: the successor is asked. What it has taken up it answers. */
    int status = CTL_DONE;
    for (int try = 0; try < TRIES; try++) {
        status = link_open(&l, o->socket);
        if (status == CTL_DONE)
            status = link_send(&l, control_commands[command].name, json_incref(args));
        if (status == CTL_DONE)
            status = take_results(&l, use, o);
        if (status != CTL_UNREACHABLE || !l.unanswered || try == TRIES - 1)
            break;
        link_close(&l);
        poll(NULL, 0, AGAIN_MS);
    }
    json_decref(args);
    if (status != CTL_DONE)
        fprintf(stderr, "mirectl: %s\n", l.error);
    link_close(&l);
    return status;
}

static int run_local(const struct local *local, int argc, char **argv)
{
    if (argc == 1 && (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0)) {
        help_one(stdout, &local->about);
        return CTL_DONE;
    }
    int status = local->run(argc, argv);
    if (status >= 0)
        return status;
    help_one(stderr, &local->about);
    return CTL_USAGE;
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
        } else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            enum control_command command =
                i + 1 < argc ? command_by_name(argv[i + 1]) : COMMAND_COUNT;
            if (command < COMMAND_COUNT)
                help_one(stdout, &control_commands[command]);
            else
                help_all(stdout);
            *status = CTL_DONE;
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
    if (i < argc)
        fprintf(stderr, "mirectl: \"%s\" is not an option\n\n", argv[i]);
    help_all(stderr);
    *status = CTL_USAGE;
    return 0;
}

int main(int argc, char **argv)
{
    struct options o = {.socket = CONTROL_SOCKET};
    int status = CTL_DONE, at = read_options(argc, argv, &o, &status);

    if (!at)
        return status;
    if (strcmp(argv[at], "help") == 0) {
        help_all(stdout);
        return CTL_DONE;
    }
    const struct local *local = local_by_name(argv[at]);
    if (local)
        return run_local(local, argc - at - 1, argv + at + 1);
    enum control_command command = command_by_name(argv[at]);
    if (command == COMMAND_COUNT) {
        fprintf(stderr, "mirectl: there is no command \"%s\"; `mirectl --help` lists them\n",
                argv[at]);
        return CTL_USAGE;
    }
    int rest = argc - at - 1;
    char **words = argv + at + 1;
    if (rest == 1 && (strcmp(words[0], "--help") == 0 || strcmp(words[0], "-h") == 0)) {
        help_one(stdout, &control_commands[command]);
        return CTL_DONE;
    }
    for (int i = 0; i < rest; i++) /* --json is understood behind the command too */
        if (strcmp(words[i], "--json") == 0) {
            o.json = true;
            memmove(&words[i], &words[i + 1], (size_t)(rest - i) * sizeof *words);
            rest--;
            i--;
        }
    return run(&o, command, rest, words);
}
