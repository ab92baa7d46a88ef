/* The master process: from a checked configuration to the last child's end.
 *
 * One loop over signals, the children's channels and a few alarms. If it is started as root it
 * stays root, because a reload may have to bind a port below 1024 and read files that only root may
 * read. So it reads nothing that a stranger wrote, and its children drop root's rights.
 * docs/architecture.md (Processes, Reload and upgrade) has the picture. */
#include "master/master.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/sandbox.h"
#include "base/scheduling.h"
#include "config/config.h"
#include "master/activation.h"
#include "master/check.h"
#include "master/notify.h"
#include "query/notes.h"

enum { START_PATIENCE_MS = 4000 }; /* the workers of a master that was killed end within 3 s */

/* ---- reload ---- */

static void log_result(bool done, const char *event, const char *text)
{
    struct log_line l;

    log_begin(&l, done ? LOG_INFO : LOG_ERROR, event);
    log_text(&l, "result", done ? "done" : "failed");
    log_text(&l, "text", text);
    log_end(&l);
}

static void tell_result(struct master *m, struct asker asker, enum note_result result,
                        const char *text)
{
    struct child *c = child_by_pid(m, asker.pid);

    if (c)
        child_answer(m, c, asker.tag, result, text);
}

void master_answer_busy(struct master *m, struct asker asker)
{
    tell_result(m, asker, RESULT_BUSY, "another reload or upgrade is in progress");
}

void master_answer(struct master *m, struct asker asker, bool done, const char *event,
                   const char *text)
{
    log_result(done, event, text);
    tell_result(m, asker, done ? RESULT_DONE : RESULT_FAILED, text);
}

void master_refuse(struct master *m, struct asker asker, const char *event, const char *text)
{
    enum { EVERY_MS = 1000 };

    if (log_is_due(&m->refused_ms, EVERY_MS, clock_mono_ms()))
        log_result(false, event, text);
    tell_result(m, asker, RESULT_FAILED, text);
}

/* Logs each line of *b as a sentence of its own. */
void master_log_lines(enum log_level level, const struct buf *text)
{
    struct span rest = buf_span(text);

    while (rest.at && rest.len) {
        size_t end = span_find(rest, '\n');
        if (end && level == LOG_WARN)
            log_warn("%.*s", (int)end, rest.at);
        else if (end)
            log_error("%.*s", (int)end, rest.at);
        rest = span_after(rest, end + 1);
    }
}

static void answer_errors(struct master *m, struct asker asker, const char *event,
                          struct buf *errors)
{
    char text[NOTE_TEXT];

    snprintf(text, sizeof text, "%.*s", (int)errors->len, errors->at ? errors->at : "");
    master_answer(m, asker, false, event, text);
}

void master_tell_ready(const struct master *m, const char *serves)
{
    if (m->stopping || m->draining)
        return;
    if (serves)
        notify_tell("READY=1\nSTATUS=%s", serves);
    else
        notify_tell("READY=1");
}

static void tell_fixed(const char *key, const char *keeps)
{
    log_warn("`%s` changes only with a restart; keeping %s", key, keeps);
}

static void turn_has_come(struct loop *loop, struct alarm *alarm)
{
    struct master *m = master_of(loop);

    m->reload_waits = false;
    master_reload(m, m->waiting_asker);
}

/* True if this reload has to wait; it begins by itself then. */
static bool waits(struct master *m, struct asker asker)
{
    uint64_t ms = reload_pace_wait(&m->pace, m->loop.now);

    if (ms == 0)
        return false;
    m->reload_waits = true;
    m->waiting_asker = asker;
    m->reload_alarm.due = turn_has_come;
    loop_alarm(&m->loop, &m->reload_alarm, m->loop.now + ms);
    return true;
}

void master_reload(struct master *m, struct asker asker)
{
    struct buf errors = {0};
    struct config *config;

    if (m->stopping || m->draining) {
        master_refuse(m, asker, "reload", "mired is stopping");
        return;
    }
    if (master_is_busy(m)) { /* what is in progress may have read the files before they changed */
        m->reload_again = m->reload_again || (asker.pid == 0 && !m->reload_waits);
        master_answer_busy(m, asker);
        return;
    }
    if (waits(m, asker))
        return;
    if (!m->runtime.open) { /* an upgrade has failed half-way, and only the program's start can
                               mend that */
        reload_pace_take(&m->pace, m->loop.now);
        master_upgrade(m, asker);
        return;
    }
    notify_tell("RELOADING=1\nMONOTONIC_USEC=%lu", (unsigned long)clock_mono_us());
    int read = config_read(m->config_file, &config, &errors);
    if (read == 0) {
        master_log_lines(LOG_WARN, &errors);
        buf_free(&errors);
        (void)config_keep_fixed(config, m->runtime.fixed, tell_fixed);
    }
    if (read == 0 && check_lists(config, asker.accepts_shorter ? NULL : m->current, &errors) > 0) {
        config_free(config);
    } else if (read == 0) {
        buf_free(&errors); /* warnings only; the processes that read these files log them, too */
        reload_pace_take(&m->pace, m->loop.now);
        if (generation_start(m, config, asker, 0, &errors) == 0) {
            buf_free(&errors);
            return; /* the answer comes when the new generation serves */
        }
    }
    master_tell_ready(m, NULL);
    answer_errors(m, asker, "reload", &errors);
    buf_free(&errors);
}

/* ---- the end ---- */

static void kill_all(struct loop *loop, struct alarm *a)
{
    struct master *m = master_of(loop);

    for (struct child *c = m->children; c; c = c->next)
        if (c->pid) {
            log_warn("%s %u did not stop in time; killing it", role_table[c->role].name, c->index);
            kill(c->pid, SIGKILL);
        }
}

void master_stop(struct master *m, int status)
{
    struct log_line l;

    if (m->stopping)
        return;
    m->stopping = true;
    m->status = status;
    notify_tell("STOPPING=1");
    if (m->children) {
        log_begin(&l, LOG_INFO, "stop");
        log_seconds(&l, "up", clock_since(m->runtime.started_ms, clock_wall_ms()));
        log_end(&l);
    }
    for (struct child *c = m->children, *next; c; c = next) {
        next = c->next;
        child_leave(m, c, NOTE_STOP);
    }
    m->stop_alarm.due = kill_all;
    loop_alarm(&m->loop, &m->stop_alarm, m->loop.now + NOTE_STOP_MS);
}

void master_drain(struct master *m)
{
    if (m->draining || m->stopping)
        return;
    m->draining = true;
    notify_tell("STOPPING=1\nSTATUS=draining");
    log_info("draining: refusing new clients; connected clients may finish");
    if (m->current)
        generation_give_up_coming(m, "mired is draining");
    listeners_close(&m->listeners);
    for (struct child *c = m->children, *next; c; c = next) {
        next = c->next;
        if (c->role == ROLE_WORKER)
            child_leave(m, c, NOTE_DRAIN);
    }
}

/* ---- signals ---- */

static void signal_ready(struct loop *loop, struct watch *watch, uint32_t events)
{
    struct master *m = master_of(loop);
    struct signalfd_siginfo info;

    while (read(watch->fd, &info, sizeof info) == (ssize_t)sizeof info) {
        switch (info.ssi_signo) {
        case SIGCHLD: child_reap(m); break;
        case SIGHUP: master_reload(m, (struct asker){0}); break;
        case SIGTERM:
        case SIGINT: master_stop(m, 0); break;
        default: break;
        }
    }
}

static int watch_signals(struct master *m)
{
    static const int ignored[] = {SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM};
    static const int wanted[] = {SIGCHLD, SIGHUP, SIGTERM, SIGINT};
    sigset_t set;

    for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
        signal(ignored[i], SIG_IGN);
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        sigaddset(&set, wanted[i]);
    sigprocmask(SIG_SETMASK, &set, NULL);
    m->signals = (struct watch){.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC),
                                .events = EPOLLIN,
                                .ready = signal_ready};
    return m->signals.fd < 0 ? -errno : loop_watch(&m->loop, &m->signals);
}

/* ---- the process ---- */

static void raise_descriptors(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur == files.rlim_max)
        return;
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

static void log_start(const struct master *m, const struct config *config)
{
    struct log_line l;

    log_begin(&l, LOG_INFO, "start");
    log_text(&l, "version", MIRED_VERSION);
    log_text(&l, "config", m->config_file);
    log_int(&l, "pid", getpid());
    if (geteuid() == 0 && !m->runtime.identity.drop)
        log_text(&l, "warning", "all processes stay root");
    log_end(&l);
}

/* Says what no process of this program will have; a reload changes nothing about it. */
static void tell_sandbox(const struct config *config)
{
    const char *lack;
    unsigned at = 0;
    bool grave;

    if (!sandbox_is_built())
        return;
    if (!config->sandbox) {
        log_info("`sandbox` is off: a process that is taken over can do what its user can");
        return;
    }
    (void)sandbox_probe();
    while ((lack = sandbox_lack(sandbox_available(), &at, &grave)))
        if (grave)
            log_warn("%s", lack);
        else
            log_info("%s", lack);
}

/* Creates the runtime and its first generation. */
static int open_all(struct master *m, struct config *config)
{
    struct buf errors = {0};

    activation_take(&m->listeners, config); /* nothing after an upgrade: the variables are gone */
    int error = loop_open(&m->loop);
    if (!error)
        error = watch_signals(m);
    if (error) {
        upgrade_try_again(NULL, m->config_file);
        log_error("cannot start: %s", strerrordesc_np(-error));
        config_free(config);
        return -1;
    }
    runtime_init(&m->runtime);
    int inherited = upgrade_inherit(m);
    if (inherited < 0) {
        upgrade_try_again(NULL, m->config_file);
        log_error("cannot take over from the previous program: %s", strerrordesc_np(-inherited));
        config_free(config);
        return -1;
    }
    if (runtime_open(&m->runtime, config, &errors) < 0) {
        if (inherited)
            upgrade_try_again(m, m->config_file);
        config_free(config);
        error = -1;
    } else {
        metrics_use(runtime_row(&m->runtime, RUNTIME_MASTER_ROW));
        log_keep(m->runtime.log);
        log_start(m, config);
        tell_sandbox(config);
        upgrade_is_done();
        error = generation_start(m, config, m->upgrade_asker, START_PATIENCE_MS, &errors);
    }
    if (error && inherited) { /* the processes from before the upgrade still serve */
        answer_errors(m, m->upgrade_asker, "upgrade", &errors);
        error = 0;
    }
    master_log_lines(LOG_ERROR, &errors);
    buf_free(&errors);
    return error;
}

/* The path of this program, where a later version will be. */
static const char *own_path(void)
{
    static char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);

    path[n > 0 ? n : 0] = '\0';
    return path;
}

int master_run(const char *config_file, struct config *config, struct buf *warnings)
{
    struct master *m = calloc(1, sizeof *m);
    if (!m)
        return 1;
    m->config_file = config_file;
    m->pid = getpid();
    m->program = own_path();
    log_open(config->log, config->log_level, "master");
    master_log_lines(LOG_WARN, warnings);
    raise_descriptors();
    sched_background(); /* for us and for children, until they serve */
    if (open_all(m, config) < 0)
        master_stop(m, 1);
    inherited_start(m);
    child_reap(m); /* children that ended during execve */
    heartbeat_start(m);
    while (!(m->stopping && !m->children)) {
        if (m->draining && !generation_count(m, NULL, ROLE_WORKER))
            master_stop(m, 0);
        if (!m->stopping || m->children)
            loop_turn(&m->loop, -1);
    }
    int status = m->status;
    generation_release_all(m);
    store_queue_close(&m->loop, &m->store_queue);
    listeners_close(&m->listeners);
    runtime_close(&m->runtime);
    close(m->signals.fd);
    loop_close(&m->loop);
    free(m);
    return status;
}
