/* The list of mirectl's commands, and its help; see about.h. */
#include "about.h"

#include <string.h>

#include "options.h"

static const struct control_about locals[LOCAL_COUNT] = {
#define LOCAL_ROW(id, name_, arguments_, help_, example_)                                          \
    [LOCAL_##id] = {(name_), (arguments_), (help_), (example_)},
    LOCALS(LOCAL_ROW)
#undef LOCAL_ROW
};

const struct control_about *about_at(int i)
{
    return i < COMMAND_COUNT ? &control_commands[i] : &locals[i - COMMAND_COUNT];
}

const struct control_about *about_by_name(const char *name)
{
    for (int i = 0; i < ABOUT_COUNT; i++)
        if (strcmp(about_at(i)->name, name) == 0)
            return about_at(i);
    return NULL;
}

enum local_command local_by_name(const char *name)
{
    for (int i = 0; i < LOCAL_COUNT; i++)
        if (strcmp(locals[i].name, name) == 0)
            return (enum local_command)i;
    return LOCAL_COUNT;
}

void about_one(FILE *to, const struct control_about *about)
{
    fprintf(to, "usage: mirectl [-s SOCKET] [--json] %s%s%s\n\n  %s\n\nexample:\n  %s\n",
            about->name, *about->arguments ? " " : "", about->arguments, about->help,
            about->example);
}

void about_all(FILE *to)
{
    fprintf(to, "usage: mirectl [-s SOCKET] [--json] COMMAND [ARGUMENTS]\n\n"
                "  -s SOCKET  mired's control socket (" CONTROL_SOCKET ")\n"
                "  --json     print results and errors as JSON\n"
                "  --help     print this; after a command: its help and an example\n"
                "  --version  print the version\n\ncommands:\n");
    for (int i = 0; i < ABOUT_COUNT; i++) {
        const struct control_about *about = about_at(i);
        char what[128];
        snprintf(what, sizeof what, "%s %s", about->name, about->arguments);
        fprintf(to, strlen(what) < 24 ? "  %-24s%s\n" : "  %s\n                          %s\n",
                what, about->help);
    }
    fprintf(to, "\nexamples:\n");
    for (int i = 0; i < ABOUT_COUNT; i++)
        fprintf(to, "  %s\n", about_at(i)->example);
}
