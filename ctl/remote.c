/* A table with a row for each command of the control socket: how its words become arguments, how
 * its result is printed, and how long an answer may take. mired's web process carries the commands
 * out. */
#include "remote.h"

#include <poll.h>
#include <stdbool.h>
#include <string.h>

#include "about.h"
#include "base/clock.h"
#include "link.h"
#include "load.h"
#include "log.h"
#include "show.h"
#include "words.h"

static const struct word_option no_options[] = {{0}};

static json_t *args_none(int argc, char **argv)
{
    return words_take(argc, argv, no_options, "", "", 0, 0);
}

static json_t *args_reload(int argc, char **argv)
{
    static const struct word_option options[] = {
        {"--accept-shorter", "accept_shorter", .flag = true}, {0}};
    return words_take(argc, argv, options, "", "", 0, 0);
}

static json_t *args_stop(int argc, char **argv)
{
    static const struct word_option options[] = {{"--drain", "drain", .flag = true}, {0}};
    return words_take(argc, argv, options, "", "", 0, 0);
}

static json_t *args_clients(int argc, char **argv)
{
    static const struct word_option options[] = {
        {"--limit", "limit", .number = true}, {"--sort", "sort", false, false}, {0}};
    return words_take(argc, argv, options, "", "", 0, 0);
}

static json_t *args_connections(int argc, char **argv)
{
    static const struct word_option options[] = {
        {"--phase", "phase", false, false}, {"--client", "client", false, false}, {0}};
    return words_take(argc, argv, options, "", "", 0, 0);
}

static json_t *args_address(int argc, char **argv)
{
    return words_take(argc, argv, no_options, "address", "", 1, 1);
}

static json_t *args_release(int argc, char **argv)
{
    static const struct word_option options[] = {
        {"--all", "all", .flag = true}, {"--undo", "undo", .flag = true}, {0}};
    json_t *args = words_take(argc, argv, options, "address", "", 0, 1);
    bool all = json_object_get(args, "all"), back = json_object_get(args, "undo");
    if (args && ((!json_object_get(args, "address") && !all) || (all && back))) {
        json_decref(args);
        return NULL;
    }
    return args;
}

static json_t *args_exempt(int argc, char **argv)
{
    static const struct word_option options[] = {{"--for", "for", false, false},
                                                 {"--list", "list", .flag = true},
                                                 {"--remove", "remove", .flag = true},
                                                 {0}};
    json_t *args = words_take(argc, argv, options, "address", "", 0, 1);
    if (args && !json_object_get(args, "list") == !json_object_get(args, "address")) {
        json_decref(args); /* the list or an address, and not both */
        return NULL;
    }
    return args;
}

static json_t *args_penalise(int argc, char **argv)
{
    static const struct word_option options[] = {
        {"--offences", "offences", .number = true}, {"--undo", "undo", .flag = true}, {0}};
    return words_take(argc, argv, options, "address", "", 1, 1);
}

/* "flush", and perhaps what. */
static json_t *args_cache(int argc, char **argv)
{
    json_t *args = words_take(argc, argv, no_options, "what", "of", 1, 2);
    const char *what = json_string_value(json_object_get(args, "what"));

    if (what && strcmp(what, "flush") == 0)
        return args;
    json_decref(args);
    return NULL;
}

static json_t *args_observe(int argc, char **argv)
{
    static const struct word_option options[] = {{"--since", "since"}, {0}};
    return words_take(argc, argv, options, "", "", 0, 0);
}

/* There is nothing else that it does, yet --suggest says that it is no more than that. */
static json_t *args_traps(int argc, char **argv)
{
    static const struct word_option options[] = {{"--suggest", "suggest", .flag = true}, {0}};
    json_t *args = words_take(argc, argv, options, "", "", 0, 0);

    if (args && json_object_get(args, "suggest"))
        return args;
    json_decref(args);
    return NULL;
}

/* "dump", or "load FILE". */
static json_t *args_ledger(int argc, char **argv)
{
    json_t *args = words_take(argc, argv, no_options, "what", "file", 1, 2);
    const char *what = json_string_value(json_object_get(args, "what"));
    int wanted = !what ? -1 : strcmp(what, "dump") == 0 ? 1 : strcmp(what, "load") == 0 ? 2 : -1;

    if (wanted >= 0 && (size_t)wanted == json_object_size(args))
        return args;
    json_decref(args);
    return NULL;
}

static const struct use {
    json_t *(*args)(int argc, char **argv); /* NULL: the words are wrong */
    void (*show)(const json_t *result);
    int wait_ms; /* for its answer */
    bool exact;  /* numbers of its JSON are for programs: not rounded */
} uses[COMMAND_COUNT] = {
    [COMMAND_STATUS] = {args_none, show_status, 5000},
    [COMMAND_RELOAD] = {args_reload, show_text, 40000},
    [COMMAND_UPGRADE] = {args_none, show_text, 60000},
    [COMMAND_STOP] = {args_stop, show_text, 5000},
    [COMMAND_CLIENTS] = {args_clients, show_clients, 10000},
    [COMMAND_CONNECTIONS] = {args_connections, show_connections, 5000},
    [COMMAND_SHOW] = {args_address, show_client, 5000},
    [COMMAND_RELEASE] = {args_release, show_text, 90000},
    [COMMAND_EXEMPT] = {args_exempt, show_exempt, 90000},
    [COMMAND_PENALISE] = {args_penalise, show_text, 5000},
    [COMMAND_RECIPIENT] = {args_address, show_recipient, 25000},
    [COMMAND_ROUTE] = {args_address, show_route, 5000},
    [COMMAND_CACHE] = {args_cache, show_text, 10000},
    [COMMAND_LEDGER] = {args_ledger, show_line, 10000, .exact = true},
    [COMMAND_CONFIG] = {args_none, show_config, 5000},
    [COMMAND_ADVISE] = {args_none, show_advice, 30000},
    [COMMAND_FLEET] = {args_none, show_fleet, 5000},
    [COMMAND_TRAPS] = {args_traps, show_traps, 60000},
    [COMMAND_OBSERVE] = {args_observe, show_observed, 30000},
};

struct printing {
    const struct options *options;
    const struct use *use;
    bool mail_waits; /* `status`: mail does not pass now */
};

static void print_line(json_t *line, void *arg)
{
    struct printing *p = arg;

    p->mail_waits = json_is_false(json_object_get(line, "mail_passes"));
    if (p->options->json && p->use->exact)
        print_json(line);
    else if (p->options->json)
        print_rounded(line);
    else
        p->use->show(line);
}

enum { AGAIN_MS = 500 };

/* Asks again while another reload or upgrade is in progress: it may have read the configuration
 * before a hook or a package changed it. */
static int ask(struct link *l, const struct options *o, const char *command, json_t *args,
               struct printing *printing)
{
    uint64_t until = clock_mono_ms() + (uint64_t)printing->use->wait_ms;

    for (;;) {
        int status =
            link_ask(l, o->socket, command, args, printing->use->wait_ms, print_line, printing);
        if (status != CTL_REFUSED || strcmp(l->code, CONTROL_BUSY) != 0 || clock_mono_ms() >= until)
            return status;
        poll(NULL, 0, AGAIN_MS);
    }
}

int remote_run(const struct options *o, enum control_command command, int argc, char **argv)
{
    struct printing printing = {o, &uses[command], false};
    int status;
    if (command == COMMAND_LOG && (status = log_run(o, argc, argv)) >= 0)
        return status;
    json_t *args = printing.use->args ? printing.use->args(argc, argv) : NULL;
    const char *file = json_string_value(json_object_get(args, "file"));
    struct link l;

    if (!args) {
        about_one(stderr, &control_commands[command]);
        return report(o, CTL_USAGE, CONTROL_USAGE, "%s: invalid arguments",
                      control_commands[command].name);
    }
    if (command == COMMAND_LEDGER && file) {
        status = load_file(o, file);
        json_decref(args);
        return status;
    }
    status = ask(&l, o, control_commands[command].name, args, &printing);
    json_decref(args);
    if (status == CTL_DONE)
        return printing.mail_waits ? CTL_REFUSED : CTL_DONE;
    return report(o, status, l.code, "%s", l.error);
}
