/* One child of the master: its start, its notes, its end, its restart.
 *
 * Children are forked, never executed: they inherit the configuration and the mappings. Each of
 * them at once closes all descriptors that it does not need. So the end of its channel means that
 * the master is gone, and a compromised worker has only the descriptors that it needs. */
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/container.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/scheduling.h"
#include "config/config.h"
#include "freezer/freezer.h"
#include "master/generation_share.h"
#include "master/master.h"
#include "master/title.h"
#include "query/notes.h"

/* ---- in the child ---- */

/* Ignores these signals, which Ctrl-C and a service manager send to the whole group: the master
 * tells each child when to end. */
static void set_signals(void)
{
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGUSR1, SIGUSR2};
    sigset_t none;

    for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
        signal(ignored[i], SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static __attribute__((noreturn)) void run(struct master *m, struct child *c)
{
    const struct role *role = &role_table[c->role];
    const struct config *config = c->generation->config;
    char name[32];

    if (role->count(config) > 1)
        snprintf(name, sizeof name, "%s %u", role->name, c->index);
    else
        snprintf(name, sizeof name, "%s", role->name);
    title_set(name);
    log_open(config->log, config->log_level, name);
    metrics_use(runtime_row(&m->runtime, c->row));
    metric_set(METRIC_SANDBOX_NONE, 1); /* until it is confined (base/sandbox.h) */
    set_signals();
    int status = role->body(m, c);
    sched_background(); /* ending a process takes CPU time, too */
    _exit(status);
}

/* ---- in the master ---- */

static void forget_channel(struct master *m, struct child *c)
{
    if (c->channel.fd < 0)
        return;
    loop_forget(&m->loop, &c->channel);
    close(c->channel.fd);
    c->channel.fd = -1;
}

static void channel_ready(struct loop *loop, struct watch *watch, uint32_t events)
{
    struct child *c = (struct child *)watch;
    struct note n;
    int r = 1;

    /* A child that sends notes without end gets a turn like the others. */
    for (int i = 0; i < NOTES_IN_TURN && (r = channel_read(watch->fd, &n)) == 1; i++) {
        pid_t pid = c->pid;
        if (n.kind != NOTE_STORE) /* no other note has descriptors, and none may be passed on */
            note_close(&n);
        note_from_child(master_of(loop), c, &n);
        note_close(&n);
        if (child_by_pid(master_of(loop), pid) != c || watch->fd < 0)
            return;
    }
    if (channel_is_over(r))
        forget_channel(master_of(loop), c);
}

/* Children are a process group of their own. The control socket recognises them by it, and takes no
 * command from them, because one may have been taken over (control/socket.c). Their sandbox does
 * not let them leave the group. Called on both sides of fork(), because either may run first. A
 * group ends with its last process. */
static void join_group(pid_t pid, pid_t group)
{
    if (!group || setpgid(pid, group) < 0)
        setpgid(pid, pid);
}

/* After an upgrade: the group of a child that the earlier program started. */
static void adopt_group(struct master *m, pid_t pid)
{
    pid_t group = getpgid(pid);

    if (group > 0 && group != getpgrp())
        m->group = group;
}

static int start(struct master *m, struct child *c)
{
    int pair[2], error = channel_pair(pair);

    /* Also if it cannot be started: what died before may have run for days, and restart_later() would
     * take each try for its first. */
    c->started_ms = m->loop.now;
    if (error)
        return error;
    c->channel = (struct watch){.fd = pair[0], .events = EPOLLIN, .ready = channel_ready};
    /* Before it is forked: afterwards there would be a child that nobody hears. */
    error = loop_watch(&m->loop, &c->channel);
    if (error) {
        close(pair[0]);
        close(pair[1]);
        c->channel.fd = -1;
        return error;
    }
    c->row = runtime_row_take(&m->runtime);
    pid_t pid = fork();
    if (pid == 0) {
        c->channel.fd = pair[1];
        join_group(getpid(), m->group);
        run(m, c);
    }
    if (pid > 0) {
        join_group(pid, m->group);
        m->group = getpgid(pid);
    }
    error = pid < 0 ? -errno : 0;
    close(pair[1]);
    if (error) {
        forget_channel(m, c);
        runtime_row_give(&m->runtime, c->row);
        return error;
    }
    c->pid = pid;
    c->state = CHILD_STARTING;
    c->unanswered = c->unexpected = 0;
    c->owed = 0;
    return 0;
}

static void restart_later(struct master *m, struct child *c)
{
    uint64_t wait = backoff_next(&c->backoff, clock_mono_ms() - c->started_ms);

    c->state = CHILD_DEAD;
    c->pid = 0;
    if (c->role == ROLE_WORKER)
        metric_add(METRIC_WORKER_RESTARTS, 1);
    loop_alarm(&m->loop, &c->restart, m->loop.now + wait);
}

static void restart(struct loop *loop, struct alarm *a)
{
    struct child *c = container_of(a, struct child, restart);
    struct master *m = master_of(loop);

    int error = start(m, c);
    if (error) {
        log_error("cannot start %s %u: %s", role_table[c->role].name, c->index,
                  strerrordesc_np(-error));
        restart_later(m, c);
    }
}

/* Adds the child to the list, or frees it if `error` says that it could not be started. Returns the
 * error. */
static int list(struct master *m, struct child *c, int error)
{
    if (error) {
        free(c);
        return error;
    }
    c->next = m->children;
    m->children = c;
    return 0;
}

int child_add(struct master *m, struct generation *g, enum role_id role, uint32_t index)
{
    struct child *c = calloc(1, sizeof *c);
    if (!c)
        return -ENOMEM;
    c->generation = g;
    c->role = role;
    c->index = index;
    c->restart.due = restart;
    return list(m, c, start(m, c));
}

int child_adopt(struct master *m, struct generation *g, const struct child *known)
{
    struct child *c = calloc(1, sizeof *c);
    if (!c)
        return -ENOMEM;
    *c = *known;
    adopt_group(m, known->pid);
    c->channel = (struct watch){.fd = known->channel.fd, .events = EPOLLIN, .ready = channel_ready};
    c->generation = g;
    c->restart.due = restart;
    c->started_ms = m->loop.now;
    if (c->row >= 0 && c->row < RUNTIME_ROWS)
        m->runtime.row_taken[c->row] = true;
    else
        c->row = -1;
    return list(m, c, c->channel.fd < 0 ? 0 : loop_watch(&m->loop, &c->channel));
}

static void forget_answers(struct child *c)
{
    while (c->answer_count)
        free(c->answers[--c->answer_count].text);
}

static void forget(struct master *m, struct child *c)
{
    struct child **p = &m->children;

    while (*p != c) {
        assert(*p); /* it is in the list */
        p = &(*p)->next;
    }
    *p = c->next;
    loop_alarm_off(&m->loop, &c->restart);
    loop_alarm_off(&m->loop, &c->owing);
    forget_answers(c);
    free(c);
}

/* How many freezers go on when this one stops. Counted here, because a freezer that dies takes
 * nothing back that it has counted itself. */
static uint32_t other_freezers(const struct master *m, const struct child *c)
{
    uint32_t n = 0;

    for (const struct child *k = m->children; k && !m->stopping; k = k->next)
        n += k != c && k->role == ROLE_FREEZER && k->state != CHILD_LEAVING;
    return n;
}

void child_leave(struct master *m, struct child *c, enum note_kind note)
{
    if (c->state == CHILD_DEAD) {
        forget(m, c);
        return;
    }
    c->state = CHILD_LEAVING;
    if (c->role == ROLE_FREEZER && m->runtime.shared)
        m->runtime.shared->freezer.waiting = other_freezers(m, c);
    int error = child_tell(m, c, note);
    /* It has not read for a long time, or cannot be told anything any more. */
    if (note == NOTE_STOP && error && (error == -EAGAIN || !channel_may_again(error)))
        kill(c->pid, SIGKILL);
}

static void owing(struct loop *loop, struct alarm *a);

static void try_again(struct master *m, struct child *c)
{
    enum { AGAIN_MS = 20 };

    c->owing.due = owing;
    loop_alarm(&m->loop, &c->owing, m->loop.now + AGAIN_MS);
}

static int answer(const struct child *c, uint64_t tag, enum note_result result, const char *text)
{
    return c->channel.fd < 0 ? -EPIPE
                             : channel_tell(c->channel.fd, NOTE_RESULT, (int32_t)result, tag, text);
}

/* Sends the answers that are owed, while there is room. */
static void answer_again(struct master *m, struct child *c)
{
    unsigned sent = 0;

    for (; sent < c->answer_count; sent++) {
        struct owed_answer *o = &c->answers[sent];
        const char *text =
            o->text ? o->text : "mired is short of memory; its log says what happened";
        if (channel_may_again(answer(c, o->tag, o->result, text)))
            break;
        free(o->text);
    }
    c->answer_count -= sent;
    memmove(c->answers, c->answers + sent, c->answer_count * sizeof c->answers[0]);
    if (c->answer_count)
        try_again(m, c);
}

/* A note before answers: after a reload NOTE_STOP tells web to take no more commands before it hears
 * that the reload is over. */
static void owing(struct loop *loop, struct alarm *a)
{
    struct child *c = container_of(a, struct child, owing);

    if (c->owed)
        child_tell(master_of(loop), c, c->owed);
    if (!c->owed)
        answer_again(master_of(loop), c);
}

void child_answer(struct master *m, struct child *c, uint64_t tag, enum note_result result,
                  const char *text)
{
    bool waits = c->owed || c->answer_count;

    if (!waits && !channel_may_again(answer(c, tag, result, text)))
        return;
    if (c->answer_count == CHILD_ANSWERS) /* no web process has asked for as many */
        return;
    c->answers[c->answer_count++] = (struct owed_answer){tag, strdup(text), result};
    if (!waits)
        try_again(m, c);
}

void child_tell_later(struct master *m, struct child *c, enum note_kind note)
{
    c->owed = note;
    try_again(m, c);
}

int child_tell(struct master *m, struct child *c, enum note_kind note)
{
    int error = c->channel.fd < 0 ? -EPIPE : channel_tell(c->channel.fd, note, 0, 0, NULL);

    c->owed = 0;
    if (channel_may_again(error))
        child_tell_later(m, c, note);
    return error;
}

struct child *child_by_pid(const struct master *m, pid_t pid)
{
    struct child *c = m->children;

    while (c && (c->pid != pid || pid == 0))
        c = c->next;
    return c;
}

static void log_death(const struct child *c, int status)
{
    struct log_line l;

    log_begin(&l, LOG_WARN, "child_died");
    log_text(&l, "child", role_table[c->role].name);
    log_int(&l, "index", c->index);
    log_int(&l, "pid", c->pid);
    if (WIFSIGNALED(status))
        log_text(&l, "signal", sigabbrev_np(WTERMSIG(status)));
    else
        log_int(&l, "status", WEXITSTATUS(status));
    log_seconds(&l, "ran", clock_mono_ms() - c->started_ms);
    log_end(&l);
}

/* Whether a child that has ended has left sockets that its successor and others cannot use: one that
 * an attacker has taken over can shut down the pairs that it has. Only another generation has new
 * ones. All generations share the pairs to the freezer. */
static bool renews(const struct master *m, const struct child *c)
{
    const struct generation *g = c->generation;
    bool shut = (g == m->current && generation_is_shut(g)) || runtime_handoff_is_shut(&m->runtime);

    if (!shut || m->stopping || m->draining)
        return false;
    log_error("%s %u, or another process, has shut down its sockets to other processes, which no "
              "process of mired does. An attacker may have taken it over: please report it. mired "
              "reloads, which replaces them",
              role_table[c->role].name, c->index);
    return true;
}

/* Whether a store or a web process that has ended has shut down what only its role has. */
static bool renew_own(struct master *m, enum role_id role)
{
    if (role == ROLE_WEB)
        return runtime_renew_control(&m->runtime);
    if (role != ROLE_STORE)
        return false;
    if (channel_is_shut(m->runtime.store_pair)) /* their workers see the end of the connections */
        store_queue_close(&m->loop, &m->store_queue);
    return runtime_renew_store(&m->runtime);
}

/* Its successor has the new sockets. Another process of the role still has those that are shut, so it
 * ends, too. */
static void renew_own_sockets(struct master *m, const struct child *c)
{
    if (m->stopping || !renew_own(m, c->role))
        return;
    log_error("%s %u has shut down the sockets of its role, which no process of mired does. An "
              "attacker may have taken it over: please report it. They are replaced",
              role_table[c->role].name, c->index);
    for (struct child *k = m->children; k; k = k->next)
        if (k != c && k->role == c->role && k->channel.fd >= 0)
            (void)child_tell(m, k, NOTE_STOP);
}

/* Of two freezers only one has the table and works: the other one's death says nothing of it. */
static void freezer_died(struct master *m, const struct child *c)
{
    enum { EARLIER = 1 }; /* an earlier program's freezer says no more than that it works */
    _Atomic uint32_t *working = m->runtime.shared ? &m->runtime.shared->freezer.working : NULL;

    if (working && (*working == (uint32_t)c->pid || *working == EARLIER))
        *working = 0;
}

/* Whether a freezer that only had to thaw what was left has done it. */
static bool has_thawed_all(const struct child *c, int status)
{
    return c->role == ROLE_FREEZER && WIFEXITED(status) && WEXITSTATUS(status) == FREEZER_DONE;
}

/* The file has nothing in it, and the next generation needs no freezer for it. */
static void remove_frozen(const struct master *m)
{
    char path[FREEZER_PATH];

    if (generation_count(m, NULL, ROLE_FREEZER) == 0)
        unlink(freezer_path(m->runtime.state, path));
}

/* Whether a successor of the child, which has ended, can come only with another generation. */
static bool is_irreplaceable(const struct master *m, const struct child *c, bool expected)
{
    return c->generation == m->current && !c->generation->config && c->state != CHILD_LEAVING &&
           !expected;
}

static void ended(struct master *m, struct child *c, int status)
{
    struct generation *g = c->generation;
    bool done = has_thawed_all(c, status);

    if (done &&
        c->state == CHILD_STARTING) { /* it was ready before it ended; see channel_ready() */
        c->state = CHILD_READY;
        generation_child_ready(m, c);
    }
    /* This program cannot restart children of the earlier program, and the earlier clerks end by
     * themselves with the last worker that uses them. */
    bool leaving = c->state == CHILD_LEAVING || !g->config || done;
    bool expected = done || (leaving && WIFEXITED(status) && WEXITSTATUS(status) == 0);

    forget_channel(m, c);
    c->owed = 0;
    forget_answers(c);
    runtime_row_give(&m->runtime, c->row);
    /* what it reported about itself is no longer true */
    if (c->role == ROLE_FREEZER && !expected)
        freezer_died(m, c);
    if (!expected)
        log_death(c, status);
    renew_own_sockets(m, c);
    bool renew = renews(m, c), was_worker = c->role == ROLE_WORKER;
    bool lack = is_irreplaceable(m, c, expected);
    if (was_worker)
        notes_worker_ended(m, c);
    if (leaving || m->stopping) {
        forget(m, c);
        if (done)
            remove_frozen(m);
        generation_child_gone(m, g);
    } else {
        restart_later(m, c);
        generation_child_died(m, g);
    }
    if (was_worker)
        spool_count_again(m);
    if (lack)
        inherited_lack(m);
    if (renew)
        master_reload(m, (struct asker){0});
}

void child_reap(struct master *m)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct child *c = child_by_pid(m, pid);
        if (c)
            ended(m, c, status);
    }
}
