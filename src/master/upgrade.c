/* Upgrade: the master becomes the new program without ending (execve keeps its process id, its
 * children and its descriptors).
 *
 * Before that the new program is asked to check the configuration (`-t`): one that does not run, or
 * does not like it, changes nothing. What the new program must know stands in a memory file whose
 * number is in the environment: descriptors of the house and of listeners, and the children. These
 * are taken in as a generation without a configuration: it serves until the new program's own
 * generation does, and then leaves as any generation leaves at a reload: no listener is ever
 * closed, no held connection is touched.
 *
 * A line a thing, words by spaces; a line of an unknown kind is an error, for the two programs
 * would not mean the same. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "master/master.h"

#define VARIABLE "MIRED_UPGRADE"
#define FORMAT   "mired-upgrade 1"

extern char **environ;

/* ---- handing on ---- */

/* All descriptors that the new program gets; `keep` takes their close-on-exec away, or gives it
 * back. */
static void each_descriptor(const struct master *m, bool keep)
{
    const struct house *h = &m->house;
    int flag = keep ? 0 : FD_CLOEXEC;
    int fd[] = {h->lock, h->store_listen, h->control_listen, h->metrics_fd, h->shared_fd};

    for (size_t i = 0; i < sizeof fd / sizeof fd[0]; i++)
        fcntl(fd[i], F_SETFD, flag);
    for (uint32_t i = 0; i < h->handoffs; i++)
        for (int end = 0; end < 2; end++)
            fcntl(h->handoff[i][end], F_SETFD, flag);
    for (size_t i = 0; i < m->listeners.count; i++)
        fcntl(m->listeners.at[i].fd, F_SETFD, flag);
    for (const struct child *c = m->children; c; c = c->next)
        if (c->channel.fd >= 0)
            fcntl(c->channel.fd, F_SETFD, flag);
}

static void write_down(const struct master *m, struct asker asker, FILE *f)
{
    const struct house *h = &m->house;
    char text[ADDR_TEXT];

    fprintf(f, "%s\n", FORMAT);
    fprintf(f, "house %d %d %d %d %d %lu\n", h->lock, h->store_listen, h->control_listen,
            h->metrics_fd, h->shared_fd, (unsigned long)h->started_ms);
    fprintf(f, "asker %ld %lu %u\n", (long)asker.pid, (unsigned long)asker.tag,
            m->last_generation);
    for (uint32_t i = 0; i < h->handoffs; i++)
        fprintf(f, "handoff %d %d\n", h->handoff[i][0], h->handoff[i][1]);
    for (size_t i = 0; i < m->listeners.count; i++) {
        const struct listener *l = &m->listeners.at[i];
        fprintf(f, "listen %s %u %u %d\n", addr_format(&l->addr, text), l->addr.port, l->slot,
                l->fd);
    }
    for (const struct child *c = m->children; c; c = c->next)
        if (c->pid)
            fprintf(f, "child %s %u %ld %d %d %d\n", role_table[c->role].name, c->index,
                    (long)c->pid, c->row, c->state == CHILD_LEAVING, c->channel.fd);
}

/* The memory file, at its beginning, open over exec; -errno. */
static int make_will(const struct master *m, struct asker asker)
{
    int fd = memfd_create("mired upgrade", 0);
    if (fd < 0)
        return -errno;
    int copy = dup(fd);
    FILE *f = copy < 0 ? NULL : fdopen(copy, "w");
    if (!f) {
        close(fd);
        return -ENOMEM;
    }
    write_down(m, asker, f);
    if (fclose(f) != 0 || lseek(fd, 0, SEEK_SET) < 0) {
        close(fd);
        return -EIO;
    }
    return fd;
}

/* Runs the new program with -t and waits for it (it only reads files). 0; or -1 with what it said.
 */
static int check(const struct master *m, char *said, size_t room)
{
    const char *args[] = {m->program, "-c", m->config_file, "-t", NULL};
    posix_spawn_file_actions_t actions;
    int pair[2], status = 0;
    size_t at = 0;
    pid_t pid;

    said[0] = '\0';
    if (pipe2(pair, O_CLOEXEC) < 0)
        return -1;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, pair[1], STDERR_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    int error = posix_spawn(&pid, m->program, &actions, NULL, (char **)args, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(pair[1]);
    if (error) {
        snprintf(said, room, "%s: %s", m->program, strerrordesc_np(error));
        close(pair[0]);
        return -1;
    }
    for (ssize_t n = 1; n > 0;) {
        char rest[512];
        n = at < room - 1 ? read(pair[0], said + at, room - 1 - at)
                          : read(pair[0], rest, sizeof rest);
        if (n > 0 && at < room - 1)
            at += (size_t)n;
    }
    said[at] = '\0';
    close(pair[0]);
    if (waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    if (at == 0)
        snprintf(said, room, "%s does not run", m->program);
    return -1;
}

void master_upgrade(struct master *m, struct asker asker)
{
    char text[NOTE_TEXT], number[16];

    if (m->stopping || m->draining || m->coming || !m->current) {
        master_answer(m, asker, false, "upgrade", "mired is starting, reloading or stopping");
        return;
    }
    if (check(m, text, sizeof text) < 0) {
        master_answer(m, asker, false, "upgrade", text);
        return;
    }
    int will = make_will(m, asker);
    if (will < 0) {
        master_answer(m, asker, false, "upgrade", strerrordesc_np(-will));
        return;
    }
    log_info("upgrade: %s takes over from %s", m->program, MIRED_VERSION);
    snprintf(number, sizeof number, "%d", will);
    setenv(VARIABLE, number, 1);
    each_descriptor(m, true);
    const char *args[] = {m->program, "-c", m->config_file, NULL};
    execv(m->program, (char **)args);
    int error = errno; /* the old one is still there, and goes on */
    each_descriptor(m, false);
    unsetenv(VARIABLE);
    close(will);
    master_answer(m, asker, false, "upgrade", strerrordesc_np(error));
}

/* ---- taking over ---- */

struct heir {
    struct master *m;
    struct generation *generation; /* the earlier program's children */
};

static int keep_private(int fd)
{
    return fd < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 ? 0 : -errno;
}

static int take_house(struct heir *heir, const char *line)
{
    struct house *h = &heir->m->house;
    unsigned long started;

    if (sscanf(line, "house %d %d %d %d %d %lu", &h->lock, &h->store_listen, &h->control_listen,
               &h->metrics_fd, &h->shared_fd, &started) != 6)
        return -EBADMSG;
    h->started_ms = started;
    int fd[] = {h->lock, h->store_listen, h->control_listen, h->metrics_fd, h->shared_fd};
    for (size_t i = 0; i < sizeof fd / sizeof fd[0]; i++)
        if (keep_private(fd[i]) < 0)
            return -EBADF;
    return 0;
}

static int take_asker(struct heir *heir, const char *line)
{
    unsigned long tag;
    long pid;

    if (sscanf(line, "asker %ld %lu %u", &pid, &tag, &heir->m->last_generation) != 3)
        return -EBADMSG;
    heir->m->upgrade_asker = (struct asker){(pid_t)pid, tag};
    heir->generation->id = heir->m->last_generation;
    return 0;
}

static int take_handoff(struct heir *heir, const char *line)
{
    struct house *h = &heir->m->house;
    int fd[2];
    int(*pair)[2] = realloc(h->handoff, (h->handoffs + 1) * sizeof *pair);

    if (!pair)
        return -ENOMEM;
    h->handoff = pair;
    if (sscanf(line, "handoff %d %d", &fd[0], &fd[1]) != 2 || keep_private(fd[0]) < 0 ||
        keep_private(fd[1]) < 0)
        return -EBADMSG;
    memcpy(pair[h->handoffs++], fd, sizeof fd);
    return 0;
}

static int take_listener(struct heir *heir, const char *line)
{
    struct listeners *l = &heir->m->listeners;
    struct listener one = {0};
    struct listener *at = realloc(l->at, (l->count + 1) * sizeof *at);
    unsigned port, slot;
    char text[ADDR_TEXT];
    static_assert(ADDR_TEXT == 64, "as the format says");

    if (!at)
        return -ENOMEM;
    l->at = at;
    if (sscanf(line, "listen %63s %u %u %d", text, &port, &slot, &one.fd) != 4 ||
        !addr_parse(span_of(text), &one.addr) || port > 65535 || keep_private(one.fd) < 0)
        return -EBADMSG;
    one.addr.port = (uint16_t)port;
    one.slot = slot;
    l->at[l->count++] = one;
    return 0;
}

static int take_child(struct heir *heir, const char *line)
{
    char name[32];
    unsigned index;
    long pid;
    int row, leaving, fd;

    if (sscanf(line, "child %31s %u %ld %d %d %d", name, &index, &pid, &row, &leaving, &fd) != 6 ||
        keep_private(fd) < 0)
        return -EBADMSG;
    for (int role = 0; role < ROLE_COUNT; role++)
        if (strcmp(role_table[role].name, name) == 0) {
            struct child known = {.role = (enum role_id)role,
                                  .index = index,
                                  .pid = (pid_t)pid,
                                  .row = row,
                                  .state = leaving ? CHILD_LEAVING : CHILD_READY,
                                  .channel.fd = fd};
            return child_adopt(heir->m, heir->generation, &known);
        }
    return -EBADMSG;
}

static int take_line(struct heir *heir, const char *line)
{
    static const struct {
        const char *word;
        int (*take)(struct heir *heir, const char *line);
    } kinds[] = {{"house ", take_house},     {"asker ", take_asker}, {"handoff ", take_handoff},
                 {"listen ", take_listener}, {"child ", take_child}, {0}};

    for (size_t i = 0; kinds[i].word; i++)
        if (strncmp(line, kinds[i].word, strlen(kinds[i].word)) == 0)
            return kinds[i].take(heir, line);
    return -EBADMSG;
}

static int read_will(struct heir *heir, FILE *f)
{
    char line[256];
    int error = 0;

    if (!fgets(line, sizeof line, f) || strcmp(line, FORMAT "\n") != 0)
        return -EPROTONOSUPPORT;
    while (!error && fgets(line, sizeof line, f))
        error = take_line(heir, line);
    return error;
}

int upgrade_inherit(struct master *m)
{
    const char *number = getenv(VARIABLE);
    struct heir heir = {.m = m};
    FILE *f;

    if (!number)
        return 0;
    f = fdopen(atoi(number), "r");
    unsetenv(VARIABLE);
    if (!f)
        return -errno;
    heir.generation = calloc(1, sizeof *heir.generation);
    if (!heir.generation) {
        fclose(f);
        return -ENOMEM;
    }
    heir.generation->ask[0] = heir.generation->ask[1] = -1;
    heir.generation->state = GENERATION_CURRENT;
    m->current = m->generations = heir.generation;
    int error = read_will(&heir, f);
    fclose(f);
    return error ? error : 1;
}
