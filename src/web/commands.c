/* The table of commands.h as data. Linked into the web process and into mirectl. */
#include "web/commands.h"

#include <string.h>

const struct command_about command_table[COMMAND_COUNT] = {
#define COMMAND_ROW(id, name_, arguments_, help_, example_)                                        \
    [COMMAND_##id] = {(name_), (arguments_), (help_), (example_)},
    COMMANDS(COMMAND_ROW)
#undef COMMAND_ROW
};

enum command command_by_name(const char *name)
{
    for (int i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(command_table[i].name, name) == 0)
            return (enum command)i;
    return COMMAND_COUNT;
}
