/* Upgrade: the master becomes the new program without ending (execve keeps its process id, its
 * children and its descriptors).
 *
 * First the new program checks the configuration (`-t --quick`). If it does not run or finds an
 * error, nothing changes. It does not read the lines of files, because a wrong line only keeps the
 * earlier version of its file in use, and is no reason to stay with the old program. A memory file,
 * whose descriptor is in the environment, has what the new program must know: the descriptors of
 * the runtime and of listeners, and the children. The new program keeps these children as a
 * generation without a configuration. That generation serves until the new program's own one does,
 * and then ends like any generation at a reload: no listener is closed, and no held connection is
 * touched.
 *
 * The memory file is JSON with a format number. A program that does not know the number says
 * so. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "master/master.h"

#define VARIABLE       "MIRED_UPGRADE"
#define VARIABLE_TRIES "MIRED_UPGRADE_TRIES"

enum { FORMAT = 1, TRIES_MOST = 50, TRY_AGAIN_MS = 40 };

/* ---- handing on ---- */

/* The descriptors of the runtime that the new program gets. From an earlier program the last five
 * may be -1. */
enum { RUNTIME_FDS = 10 };
static void runtime_fds(const struct runtime *h, int fd[RUNTIME_FDS])
{
    const int all[RUNTIME_FDS] = {
        h->lock,   h->store_listen, h->control_listen, h->metrics_fd,    h->shared_fd,
        h->log_fd, h->others_fd,    h->counts_fd,      h->store_pair[0], h->store_pair[1]};

    memcpy(fd, all, sizeof all);
}

/* All descriptors that the new program gets; `keep` takes their close-on-exec away, or gives it
 * back. */
static void each_descriptor(const struct master *m, bool keep)
{
    const struct runtime *h = &m->runtime;
    int flag = keep ? 0 : FD_CLOEXEC;
    int fd[RUNTIME_FDS];

    runtime_fds(h, fd);
    for (int i = 0; i < RUNTIME_FDS; i++)
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

static json_t *runtime_down(const struct runtime *h)
{
    return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:[ii], s:I, s:I, s:I}", "lock",
                     h->lock, "store", h->store_listen, "control", h->control_listen, "metrics",
                     h->metrics_fd, "shared", h->shared_fd, "log", h->log_fd, "others",
                     h->others_fd, "counts", h->counts_fd, "store pair", h->store_pair[0],
                     h->store_pair[1], "started", (json_int_t)h->started_ms, "id",
                     (json_int_t)h->id, "layout", (json_int_t)metrics_layout());
}

static json_t *write_down(const struct master *m, struct asker asker)
{
    const struct runtime *h = &m->runtime;
    json_t *handoffs = json_array(), *listeners = json_array(), *children = json_array();
    char text[ADDR_TEXT];
    bool lack = m->inherited_lack;

    for (uint32_t i = 0; i < h->handoffs; i++)
        json_array_append_new(handoffs, json_pack("[ii]", h->handoff[i][0], h->handoff[i][1]));
    for (size_t i = 0; i < m->listeners.count; i++) {
        const struct listener *l = &m->listeners.at[i];
        json_array_append_new(listeners, json_pack("[siiib]", addr_format(&l->addr, text),
                                                   l->addr.port, (int)l->slot, l->fd, l->passed));
    }
    for (const struct child *c = m->children; c; c = c->next) {
        lack = lack || c->state == CHILD_DEAD;
        if (c->pid)
            json_array_append_new(
                children, json_pack("[siiibibb]", role_table[c->role].name, (int)c->index,
                                    (int)c->pid, c->row, c->state == CHILD_LEAVING, c->channel.fd,
                                    c->state == CHILD_STARTING, c->generation->config || c->pongs));
    }
    return json_pack("{s:i, s:o, s:i, s:I, s:b, s:i, s:o, s:o, s:o, s:b}", "format", FORMAT,
                     "house", runtime_down(h), "asker", (int)asker.pid, "tag",
                     (json_int_t)asker.tag, "shorter", asker.accepts_shorter, "generation",
                     (int)m->last_generation, "handoffs", handoffs, "listeners", listeners,
                     "children", children, "lack", lack);
}

/* The memory file, at its beginning, open over exec; -errno. */
static int make_will(const struct master *m, struct asker asker)
{
    json_t *will = write_down(m, asker);
    int fd = will ? memfd_create("mired upgrade", 0) : -1;
    int error = !will ? -ENOMEM : fd < 0 ? -errno : 0;

    if (!error && json_dumpfd(will, fd, 0) < 0)
        error = -ENOMEM;
    if (!error && lseek(fd, 0, SEEK_SET) < 0)
        error = -errno;
    json_decref(will);
    if (error && fd >= 0)
        close(fd);
    return error ? error : fd;
}

enum {
#ifdef SLOW_CHECKER /* of scripts/valgrind */
    CHECK_MS = 120000,
#else
    CHECK_MS = 10000, /* the master does nothing else meanwhile; the unit's watchdog waits 30 s */
#endif
    LOOK_MS = 10,
};

/* What the program says until it ends or `until` is over: false then. Long texts are cut. */
static bool hear(int fd, char *said, size_t room, uint64_t until)
{
    size_t at = 0;
    ssize_t n = 1;

    while (n > 0) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        uint64_t now = clock_mono_ms();
        char rest[512];
        if (now >= until || poll(&p, 1, (int)(until - now)) == 0)
            break;
        n = at < room - 1 ? read(fd, said + at, room - 1 - at) : read(fd, rest, sizeof rest);
        if (n > 0 && at < room - 1)
            at += (size_t)n;
    }
    said[at] = '\0';
    return n <= 0;
}

/* Whether it ends in time; else it is killed. */
static bool await_end(pid_t pid, int *status, bool heard, uint64_t until)
{
    pid_t ended = 0;

    while (heard && (ended = waitpid(pid, status, WNOHANG)) == 0 && clock_mono_ms() < until)
        poll(NULL, 0, LOOK_MS);
    if (ended == 0) {
        kill(pid, SIGKILL);
        (void)waitpid(pid, status, 0);
    }
    return ended == pid;
}

/* Runs the new program with -t and waits for it (it only reads files). 0; or -1 with what it said.
 * Version 0.1, to which somebody may go back, does not know --quick. It does not know all of these
 * children either, and would end with them. */
static int check(const struct master *m, char *said, size_t room)
{
    const char *args[] = {m->program, "-c", m->config_file, "-t", "--quick", NULL};
    posix_spawn_file_actions_t actions;
    enum { USAGE = 2 }; /* the exit status of a program that does not know an option */
    int pair[2], status = 0;
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
    uint64_t until = clock_mono_ms() + CHECK_MS;
    bool heard = hear(pair[0], said, room, until), in_time = await_end(pid, &status, heard, until);
    close(pair[0]);
    bool ended = in_time && WIFEXITED(status);
    if (ended && WEXITSTATUS(status) == 0)
        return 0;
    if (!in_time)
        snprintf(said, room, "%s has not checked the configuration within %d s", m->program,
                 CHECK_MS / 1000);
    else if (ended && WEXITSTATUS(status) == USAGE)
        snprintf(said, room,
                 "%s is a version before 0.2.0, which cannot take over from this one: stop mired "
                 "and start it (systemctl restart mired)",
                 m->program);
    else if (!said[0])
        snprintf(said, room, "%s does not run", m->program);
    return -1;
}

void master_upgrade(struct master *m, struct asker asker)
{
    char text[NOTE_TEXT], number[16];

    if (m->stopping || m->draining) {
        master_refuse(m, asker, "upgrade", "mired is stopping");
        return;
    }
    if (master_is_busy(m)) {
        master_answer_busy(m, asker);
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
    int error = errno; /* the old program is still running, and goes on */
    each_descriptor(m, false);
    unsetenv(VARIABLE);
    close(will);
    master_answer(m, asker, false, "upgrade", strerrordesc_np(error));
}

/* ---- taking over ---- */

struct heir {
    struct master *m;
    struct generation *generation; /* the earlier program's children */
    json_int_t layout;             /* of its metrics */
};

static bool is_open(int fd)
{
    return fd < 0 || fcntl(fd, F_GETFD) >= 0;
}

/* Counters of a program that counts other things in its rows begin again. */
static void leave_metrics(struct runtime *h, uint64_t layout)
{
    if (layout == metrics_layout() || h->metrics_fd < 0)
        return;
    close(h->metrics_fd);
    h->metrics_fd = -1;
}

static int take_runtime(struct heir *heir, json_t *will)
{
    struct runtime *h = &heir->m->runtime;
    struct asker *asker = &heir->m->upgrade_asker;
    json_int_t started, tag, id = (json_int_t)h->id;
    int pid, generation, shorter = 0;

    if (json_unpack(will,
                    "{s:{s:i, s:i, s:i, s:i, s:i, s?:i, s?:i, s?:i, s?:[ii], s:I, s?:I, s?:I}, "
                    "s:i, s:I, s?:b, s:i}",
                    "house", "lock", &h->lock, "store", &h->store_listen, "control",
                    &h->control_listen, "metrics", &h->metrics_fd, "shared", &h->shared_fd, "log",
                    &h->log_fd, "others", &h->others_fd, "counts", &h->counts_fd, "store pair",
                    &h->store_pair[0], &h->store_pair[1], "started", &started, "id", &id, "layout",
                    &heir->layout, "asker", &pid, "tag", &tag, "shorter", &shorter, "generation",
                    &generation) < 0)
        return -EBADMSG;
    h->started_ms = (uint64_t)started;
    h->id = (uint64_t)id;
    *asker = (struct asker){pid, (uint64_t)tag, shorter};
    heir->m->last_generation = heir->generation->id = (uint32_t)generation;
    int fd[RUNTIME_FDS];
    runtime_fds(h, fd);
    for (int i = 0; i < RUNTIME_FDS; i++)
        if (!is_open(fd[i]))
            return -EBADF;
    return 0;
}

static int take_handoff(struct heir *heir, json_t *row)
{
    struct runtime *h = &heir->m->runtime;
    int fd[2];
    int(*pair)[2] = realloc(h->handoff, (h->handoffs + 1) * sizeof *pair);

    if (!pair)
        return -ENOMEM;
    h->handoff = pair;
    if (json_unpack(row, "[ii]", &fd[0], &fd[1]) < 0)
        return -EBADMSG;
    memcpy(pair[h->handoffs++], fd, sizeof fd);
    return is_open(fd[0]) && is_open(fd[1]) ? 0 : -EBADF;
}

static int take_listener(struct heir *heir, json_t *row)
{
    struct listeners *l = &heir->m->listeners;
    struct listener one = {0};
    struct listener *at = realloc(l->at, (l->count + 1) * sizeof *at);
    const char *text;
    int port, slot;

    if (!at)
        return -ENOMEM;
    l->at = at;
    if (json_unpack(row, "[siii]", &text, &port, &slot, &one.fd) < 0 ||
        !addr_parse(span_of(text), &one.addr))
        return -EBADMSG;
    one.addr.port = (uint16_t)port;
    one.slot = (uint32_t)slot;
    one.passed = json_is_true(json_array_get(row, 4)); /* earlier programs do not write it */
    l->at[l->count++] = one;
    return is_open(one.fd) ? 0 : -EBADF;
}

static int take_child(struct heir *heir, json_t *row)
{
    const char *name;
    int index, pid, metrics, leaving, fd;

    if (json_unpack(row, "[siiibi]", &name, &index, &pid, &metrics, &leaving, &fd) < 0)
        return -EBADMSG;
    bool starting = json_is_true(json_array_get(row, 6)); /* version 0.1 does not write the rest */
    for (int role = 0; role < ROLE_COUNT; role++)
        if (strcmp(role_table[role].name, name) == 0) {
            struct child known = {.role = (enum role_id)role,
                                  .index = (uint32_t)index,
                                  .pid = pid,
                                  .row = metrics,
                                  .state = leaving    ? CHILD_LEAVING
                                           : starting ? CHILD_STARTING
                                                      : CHILD_READY,
                                  .pongs = json_is_true(json_array_get(row, 7)),
                                  .channel.fd = fd};
            return is_open(fd) ? child_adopt(heir->m, heir->generation, &known) : -EBADF;
        }
    return -EBADMSG;
}

static int take_each(struct heir *heir, json_t *rows, int (*take)(struct heir *heir, json_t *row))
{
    int error = json_is_array(rows) ? 0 : -EBADMSG;

    for (size_t i = 0; !error && i < json_array_size(rows); i++)
        error = take(heir, json_array_get(rows, i));
    return error;
}

static int take_will(struct heir *heir, json_t *will)
{
    int format = 0;

    if (json_unpack(will, "{s:i}", "format", &format) < 0 || format != FORMAT)
        return -EPROTONOSUPPORT;
    int error = take_runtime(heir, will);
    if (!error)
        error = take_each(heir, json_object_get(will, "handoffs"), take_handoff);
    if (!error)
        error = take_each(heir, json_object_get(will, "listeners"), take_listener);
    if (!error)
        error = take_each(heir, json_object_get(will, "children"), take_child);
    heir->m->inherited_lack = json_is_true(json_object_get(will, "lack"));
    return error;
}

int upgrade_inherit(struct master *m)
{
    const char *number = getenv(VARIABLE);
    struct heir heir = {.m = m, .generation = number ? calloc(1, sizeof *heir.generation) : NULL};

    if (!number)
        return 0;
    if (!heir.generation)
        return -ENOMEM;
    int fd = (int)strtol(number, NULL, 10);
    if (lseek(fd, 0, SEEK_SET) < 0) /* it may have been read before: see upgrade_try_again() */
        return -errno;
    json_t *will = json_loadfd(fd, 0, NULL);
    heir.generation->state = GENERATION_CURRENT;
    m->current = m->generations = heir.generation;
    int error = take_will(&heir, will);
    json_decref(will);
    if (error)
        return error;
    close(fd);
    unsetenv(VARIABLE);
    each_descriptor(m, false);
    leave_metrics(&m->runtime, (uint64_t)heir.layout);
    return 1;
}

/* The will of what has been taken over already. */
static int write_will_again(const struct master *m)
{
    char number[16];
    int will = make_will(m, m->upgrade_asker);

    if (will < 0)
        return will;
    snprintf(number, sizeof number, "%d", will);
    setenv(VARIABLE, number, 1);
    each_descriptor(m, true);
    return will;
}

void upgrade_try_again(const struct master *m, const char *config_file)
{
    const char *text = getenv(VARIABLE_TRIES);
    long tries = text ? strtol(text, NULL, 10) : 0;
    bool taken = !getenv(VARIABLE);
    char program[4096], number[16];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    int will = -1;

    if (n <= 0 || tries < 0 || tries >= TRIES_MOST || (taken && !m))
        return;
    poll(NULL, 0, TRY_AGAIN_MS);
    if (taken && (will = write_will_again(m)) < 0)
        return;
    program[n] = '\0';
    snprintf(number, sizeof number, "%ld", tries + 1);
    setenv(VARIABLE_TRIES, number, 1);
    const char *args[] = {program, "-c", config_file, NULL};
    for (; tries < TRIES_MOST; tries++) {
        execv(program, (char **)args);
        poll(NULL, 0, TRY_AGAIN_MS);
    }
    if (!taken)
        return;
    each_descriptor(m, false);
    unsetenv(VARIABLE);
    close(will);
}

void upgrade_is_done(void)
{
    unsetenv(VARIABLE_TRIES);
}
