/* A temporary folder of mailboxes for a test, and a look into it. */
#ifndef MIRED_TESTS_UNIT_STORE_SANDBOX_H
#define MIRED_TESTS_UNIT_STORE_SANDBOX_H

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct sandbox {
    char path[64];
    int root;
};

static int sandbox_open(void **state)
{
    struct sandbox *s = calloc(1, sizeof *s);
    strcpy(s->path, "/tmp/mired-store-XXXXXX");
    if (!mkdtemp(s->path))
        return -1;
    s->root = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *state = s;
    return 0;
}

static int sandbox_close(void **state)
{
    struct sandbox *s = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", s->path);
    close(s->root);
    int status = system(command);
    free(s);
    return status;
}

/* How many files stand in a folder; -1 when there is none. The name of one of them in `name`. */
static int sandbox_count(const struct sandbox *s, const char *folder, char name[1024])
{
    char path[512];
    int count = 0;
    snprintf(path, sizeof path, "%s/%s", s->path, folder);
    DIR *d = opendir(path);
    if (!d)
        return -1;
    for (struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] == '.')
            continue;
        count++;
        if (name)
            snprintf(name, 1024, "%s/%s", path, e->d_name);
    }
    closedir(d);
    return count;
}

/* The octets of the only file in a folder; the caller frees them. */
static char *sandbox_read(const struct sandbox *s, const char *folder, size_t *len)
{
    char name[1024];
    if (sandbox_count(s, folder, name) != 1)
        return NULL;
    struct stat st;
    int fd = open(name, O_RDONLY);
    fstat(fd, &st);
    char *text = calloc(1, (size_t)st.st_size + 1);
    *len = (size_t)read(fd, text, (size_t)st.st_size);
    close(fd);
    return text;
}

#endif
