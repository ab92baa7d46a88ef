/* The limits of control groups; see memory.h. Runs in the master, when it reads its configuration. */
#include "base/memory.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_MAX_OCTETS = 4096 };

/* The number in a file, if it is less than `least`; "max" is none. */
static uint64_t less(const char *path, uint64_t least)
{
    char text[32] = "";
    FILE *f = fopen(path, "re");

    if (!f)
        return least;
    (void)!fgets(text, sizeof text, f);
    fclose(f);
    uint64_t octets = strtoull(text, NULL, 10); /* above what there is: the most */
    return octets && octets < least ? octets : least;
}

/* The limits of a group and of each one above it. In a container the path may be the host's, which is
 * not there; the last one is the root, where a container has its own limit. */
static uint64_t group(const char *root, char *path, const char *name, uint64_t least)
{
    char file[LINE_MAX_OCTETS * 2];

    for (;;) {
        snprintf(file, sizeof file, "%s%s/%s", root, path, name);
        least = less(file, least);
        char *slash = strrchr(path, '/');
        if (!slash)
            return least;
        *slash = '\0';
    }
}

/* Whether a list of names with commas between them has "memory". */
static bool has_memory(char *names)
{
    char *rest;

    for (char *name = strtok_r(names, ",", &rest); name; name = strtok_r(NULL, ",", &rest))
        if (strcmp(name, "memory") == 0)
            return true;
    return false;
}

uint64_t memory_within(const char *proc, const char *root, uint64_t machine)
{
    char line[LINE_MAX_OCTETS], version_1[LINE_MAX_OCTETS];
    FILE *f = fopen(proc, "re");

    snprintf(version_1, sizeof version_1, "%s/memory", root);
    while (f && fgets(line, sizeof line, f)) { /* 0::/path, or 4:memory:/path */
        char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;
        if (!path)
            continue;
        *path++ = '\0';
        path[strcspn(path, "\n")] = '\0';
        if (names[1] == '\0')
            machine = group(root, path, "memory.max", machine);
        else if (has_memory(names + 1))
            machine = group(version_1, path, "memory.limit_in_bytes", machine);
    }
    if (f)
        fclose(f);
    return machine;
}

uint64_t memory_of_process(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    uint64_t machine = pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : UINT64_MAX;

    return memory_within("/proc/self/cgroup", "/sys/fs/cgroup", machine);
}
