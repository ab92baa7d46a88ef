/* The files of `traps`; see traps.h. */
#include "directory/traps.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "config/config.h"
#include "directory/list_file.h"

struct traps {
    const struct config *config;
    struct list_file **file;
    size_t files;
};

struct traps *traps_open(const struct config *config, bool confirmed)
{
    struct traps *t = calloc(1, sizeof *t);

    if (!t)
        return NULL;
    t->config = config;
    t->file = calloc(config->traps.count + 1, sizeof *t->file);
    bool room = t->file != NULL;
    for (size_t i = 0; room && i < config->traps.count; i++) {
        const char *path = config_list_path(config->traps.at[i]);
        if (!path)
            continue;
        struct list_file *list = list_file_open(&list_traps, path, config->state, LIST_KEEP_COPY,
                                                confirmed, clock_wall_ms());
        room = list != NULL;
        if (room)
            t->file[t->files++] = list;
    }
    if (!room) {
        traps_close(t);
        return NULL;
    }
    return t;
}

void traps_close(struct traps *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->files; i++)
        list_file_close(t->file[i]);
    free(t->file);
    free(t);
}

bool traps_have(struct traps *t, struct span address)
{
    for (size_t i = 0; i < t->files; i++)
        if (list_file_has(t->file[i], address, clock_mono_ms(), clock_wall_ms()) == ANSWER_YES)
            return true;
    return config_is_trap(t->config, address);
}

void traps_look(struct traps *t)
{
    for (size_t i = 0; i < t->files; i++)
        (void)list_file_look(t->file[i], clock_mono_ms(), clock_wall_ms());
}
