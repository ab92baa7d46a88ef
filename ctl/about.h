/* All of mirectl's commands in one list: those of the control socket (control/commands.h), and
 * those that mirectl does itself. Help, completions and the tests use it. */
#ifndef MIRED_CTL_ABOUT_H
#define MIRED_CTL_ABOUT_H

#include <stdio.h>

#include "control/commands.h"

/* L(identifier, name, arguments, help, example) */
#define LOCALS(L)                                                                                  \
    L(TOP, "top", "[--limit N] [--sort held|offences|good] [--interval SECONDS] [--count N]",      \
      "the worst clients and what is held, live", "mirectl top --sort held")                       \
    L(SIMULATE, "simulate", "[-c FILE] [--attack FILE] [--seed N]",                                \
      "the policy against synthetic or recorded attacks, in virtual time", "mirectl simulate")     \
    L(RECORD, "record", "[FILE]",                                                                  \
      "convert a log of mired (\"-\": standard input; default: the running mired's last lines) "   \
      "to the input of simulate --attack",                                                         \
      "mirectl record >attack")                                                                    \
    L(IMPORT, "import", "FILE",                                                                    \
      "convert settings of Windows (.reg, MetaBase.xml), Exchange (Get-ReceiveConnector | fl) or " \
      "Postfix (postconf -n) to lines of mired.conf, or a CSV table to a file of recipients",      \
      "mirectl import tarpit.reg")

enum local_command {
#define LOCAL_ID(id, name, arguments, help, example) LOCAL_##id,
    LOCALS(LOCAL_ID)
#undef LOCAL_ID
        LOCAL_COUNT
};

enum { ABOUT_COUNT = COMMAND_COUNT + LOCAL_COUNT };

/* The commands in the order of the help; NULL after the last. */
const struct control_about *about_at(int i);
const struct control_about *about_by_name(const char *name);

/* The command with that name; LOCAL_COUNT if there is none. */
enum local_command local_by_name(const char *name);

/* Prints more about one command, with an example; or a list of all. */
void about_one(FILE *to, const struct control_about *about);
void about_all(FILE *to);

#endif
