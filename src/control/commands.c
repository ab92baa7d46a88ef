/* The table of commands.h as data. Linked into the web process and into mirectl. */
#include "control/commands.h"

#include <string.h>

const struct control_about control_commands[COMMAND_COUNT] = {
#define COMMAND_ROW(id, name_, arguments_, help_, example_)                                        \
    [COMMAND_##id] = {(name_), (arguments_), (help_), (example_)},
    COMMANDS(COMMAND_ROW)
#undef COMMAND_ROW
};

enum control_command command_by_name(const char *name)
{
    for (int i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(control_commands[i].name, name) == 0)
            return (enum control_command)i;
    return COMMAND_COUNT;
}
