/* The freezer process: workers' connections in, the same connections out when their replies are
 * due.
 *
 *   worker --descriptors--> tcp_freeze(), table_put(), tcp_leave(): no socket, no descriptor
 *   table_due(), tcp_thaw(), table_drop() --descriptors--> worker: sends the reply as if nothing
 *   had been
 *
 * A connection that cannot be frozen now (octets are in flight on it) goes straight back and
 * becomes an ordinary hold. A record in the table is complete before its socket is closed, so if
 * the freezer dies at any point, at most its current batch is lost. A batch shares its entries into
 * the kernel (calls.h). */
#include <errno.h>
#include <fcntl.h>
#include <nss.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mapfile.h"
#include "base/metrics.h"
#include "base/sandbox.h"
#include "base/scheduling.h"
#include "config/config.h"
#include "freezer/confine.h"
#include "freezer/freezer_part.h"
#include "query/tally.h"

enum {
    THAW_BATCHES = 8, /* in one turn of the loop, so that freezing gets a turn too */
    LOCK_MS = 20,     /* how often to check whether the earlier freezer has ended */
    ROOM_MS = 2000,   /* how often to check whether the disk has room for the table again */
    GIVEN_MS = 100,   /* how often to check whether the workers have taken the last ones */
};

static struct freezer *freezer_of(struct loop *loop)
{
    return (struct freezer *)loop; /* the loop is its first member */
}

static void set_gauge(struct freezer *f)
{
    metric_set(METRIC_FROZEN, table_count(f->table));
}

static void set_due(struct freezer *f)
{
    uint64_t next = table_next(f->table);
    bool telling = releases_under_way(&f->releases);

    if (next == UINT64_MAX && !telling)
        return;
    uint64_t wait = next > f->loop.wall ? next - f->loop.wall : 1;
    if (telling && wait > RELEASE_TELL_MS)
        wait = RELEASE_TELL_MS;
    loop_alarm(&f->loop, &f->due, f->loop.now + wait);
}

/* A process that is confined cannot make the file or set it aside: the master begins another freezer,
 * which can. */
static void leave_to_next(struct freezer *f, int error)
{
    log_error("cannot open %s/frozen: %s; another freezer begins", f->params->config->state,
              error == -ESTALE ? "it is damaged or of another version" : strerror(-error));
    f->loop.stop = true;
}

static int open_table(const struct freezer *f, struct frozen_table **table)
{
    char path[FREEZER_PATH];

    return table_open(table, freezer_path(f->params->config->state, path), FREEZER_RECORDS,
                      f->loop.wall, FREEZER_KEEP_MS);
}

/* Checks all of the table and builds its lists. */
static void open_again(struct freezer *f)
{
    struct frozen_table *whole;
    int r = open_table(f, &whole);

    if (r < 0) {
        leave_to_next(f, r);
        return;
    }
    log_warn("%u of %u frozen holds are left", table_count(whole), table_count(f->table));
    table_close(f->table);
    f->table = whole;
    set_gauge(f);
    set_due(f);
}

static int64_t wall_ahead(const struct freezer *f)
{
    return (int64_t)(f->loop.wall - f->loop.now);
}

/* Holds are due at a wall time, which outlives processes. When the clock is set, or the machine
 * was suspended, what is left of each hold stays as long as it was. To be called before the wall
 * time is used. */
static void follow_clock(struct freezer *f)
{
    int64_t by = clock_set_by(&f->wall_ahead, wall_ahead(f));

    if (!by || !f->table || table_is_cut(f->table))
        return;
    log_warn("the clock was set by %+ld s", (long)(by / 1000));
    table_clock_was_set(f->table, by);
    releases_clock_was_set(&f->releases, by);
    open_again(f);
}

/* ---- the end of a freezer that only thaws ---- */

bool freezer_is_wanted(const struct config *config)
{
    return config->tarpit.freeze == FREEZE_AUTO && config->tarpit.time > 0;
}

const char *freezer_path(const char *state, char path[FREEZER_PATH])
{
    snprintf(path, FREEZER_PATH, "%s/frozen", state);
    return path;
}

static bool only_thaws(const struct freezer *f)
{
    return !freezer_is_wanted(f->params->config);
}

/* Workers give connections only to a freezer that works; the master looks who that was when one
 * dies. */
static void set_working(struct freezer *f, bool works)
{
    f->params->shared->working = works && !only_thaws(f) ? (uint32_t)getpid() : 0;
}

static bool has_given_all(const struct freezer *f)
{
    for (uint32_t i = 0; i < f->params->slots; i++)
        if (f->ways.slot[i].out.count)
            return false;
    for (const struct return_channel *way = f->ways.own; way; way = way->next)
        if (way->out.count)
            return false;
    return true;
}

/* Whether workers have sent what this process has not read. */
static bool has_coming(const struct freezer *f)
{
    for (uint32_t i = 0; i < f->params->slots; i++) {
        struct pollfd p = {.fd = f->params->slot[i], .events = POLLIN | POLLRDHUP};
        if (poll(&p, 1, 0) > 0 && p.revents == POLLIN)
            return true;
    }
    return false;
}

/* Ends when nothing is left to thaw. The rule goes, too: nobody needs it any more. */
static void end_if_done(struct freezer *f)
{
    if (!only_thaws(f) || table_count(f->table) || releases_under_way(&f->releases))
        return;
    if (!has_given_all(f) || has_coming(f)) { /* a worker is overloaded, or was not heard yet */
        loop_alarm(&f->loop, &f->due, f->loop.now + GIVEN_MS);
        return;
    }
    rule_unset(f->rule);
    f->done = true;
    f->loop.stop = true;
}

static void due(struct loop *loop, struct alarm *a)
{
    struct freezer *f = freezer_of(loop);

    follow_clock(f);
    for (int i = 0; i < THAW_BATCHES && batch_thaw(f); i++)
        ;
    return_channels_flush(&f->ways);
    releases_tell(&f->releases, f->loop.wall);
    set_gauge(f);
    set_due(f);
    end_if_done(f);
}

void freezer_say_full(struct freezer *f)
{
    if (!f->said_full)
        log_warn("not freezing connections, holds keep their sockets: %s/frozen has no room",
                 f->params->config->state);
    f->said_full = true;
}

static void slot_ready(struct loop *loop, struct watch *watch, uint32_t events)
{
    struct freezer *f = freezer_of(loop);
    struct return_channel *way = (struct return_channel *)watch;

    follow_clock(f);
    if (events & EPOLLOUT)
        return_channel_flush(way);
    /* Read a batch only if all of it could be given back. */
    if (!(events & EPOLLIN) || way->out.count > 0)
        return;
    int r = handoff_read(watch->fd, &f->in);
    if (r == 1) {
        batch_freeze(f, (uint16_t)(way - f->ways.slot));
        return_channels_flush(&f->ways);
        set_gauge(f);
        set_due(f);
    } else if (r == 0 && channel_has_ended(watch->fd)) {
        /* a worker that was taken over has shut it; epoll reports that whatever is wanted */
        loop_forget(loop, watch);
    }
}

/* ---- the rule ---- */

bool freezer_is_same(const struct config *a, const struct config *b)
{
    if (a->listen_count != b->listen_count)
        return false;
    for (size_t i = 0; i < a->listen_count; i++)
        if (!addr_equal(&a->listen[i].addr, &b->listen[i].addr) ||
            a->listen[i].addr.port != b->listen[i].addr.port)
            return false;
    return a->sandbox == b->sandbox && a->log == b->log && a->log_level == b->log_level &&
           strcmp(a->state, b->state) == 0;
}

static int set_rule(struct freezer *f)
{
    const struct config *config = f->params->config;
    struct addr *listen = calloc(config->listen_count + 1, sizeof *listen);
    char why[256] = "";

    if (!listen)
        return -ENOMEM;
    for (size_t i = 0; i < config->listen_count; i++)
        listen[i] = config->listen[i].addr;
    uint32_t before = rule_number();
    int r = rule_set(f->rule, config->state, f->params->owner, listen, config->listen_count, why);
    f->rule_number = rule_number();
    if (r < 0 || !before || f->rule_number != before + 1)
        f->rule_number = 0; /* somebody else has changed rules at the same time */
    if (r == 0)
        rule_unset_earlier(listen, config->listen_count);
    free(listen);
    if (r < 0)
        log_warn("not freezing connections, holds keep their sockets: nftables: %s", why);
    return r;
}

static bool can_work(struct freezer *f)
{
    int r = tcp_repair_works();
    if (r < 0) {
        log_warn("not freezing connections, holds keep their sockets: TCP_REPAIR: %s",
                 strerror(-r));
        return false;
    }
    return set_rule(f) == 0;
}

/* ---- the process ---- */

static void tell_released(void *arg, uint64_t tag, uint32_t answered, bool done)
{
    const struct freezer *f = arg;

    channel_tell(f->params->control, NOTE_RELEASED, (int32_t)answered, tag, done ? "done" : "more");
}

/* While the earlier freezer still has the table, a release waits: during a reload the earlier one
 * may end before it has answered. It does not wait while the disk has no room for the table. */
static void wait_for_table(struct freezer *f, const struct note *asked)
{
    if (f->said_full || f->asked_count == RELEASES) {
        channel_tell(f->params->control, NOTE_RELEASED, -EINPROGRESS, asked->tag, "done");
        return;
    }
    tell_released(f, asked->tag, 0, false);
    f->asked[f->asked_count++] = *asked;
}

/* Makes the holds of an address or a network due; due() reports when all are answered. */
static void release(struct freezer *f, const struct note *asked)
{
    struct network n;

    if (!f->table) {
        wait_for_table(f, asked);
        return;
    }
    if (!network_parse((struct span){asked->text, asked->len}, &n))
        return;
    tell_released(f, asked->tag, 0, false); /* reading all of a large table takes a second */
    uint64_t when = releases_due(&f->releases, f->loop.wall);
    uint32_t count = table_release(f->table, &n, when);
    releases_begin(&f->releases, asked->tag, &n, when, count, f->loop.wall);
    released_note(&f->released, &n, clock_mono_ms()); /* after that second */
    set_due(f);
}

/* Reports how many of them are frozen. */
static void count(const struct freezer *f, const struct note *query)
{
    struct network n;

    if (network_parse((struct span){query->text, query->len}, &n))
        channel_tell(f->params->control, NOTE_COUNTED, (int32_t)table_count_of(f->table, &n),
                     query->tag, NULL);
}

/* Says how many of each client are frozen. */
static void tally(const struct freezer *f, const struct note *query)
{
    char text[NOTE_TEXT] = "";
    struct tally t;
    int error = tally_parse(&t, (struct span){query->text, query->len}) ? table_tally(f->table, &t)
                                                                        : -EINVAL;

    if (!error)
        tally_format_counts(&t, text, sizeof text);
    channel_tell(f->params->control, NOTE_TALLIED, error, query->tag, text);
}

/* A reload keeps this freezer. It is also how people restore the rule when somebody has flushed all
 * rules, and when what prevented freezing is gone. */
static void kept(struct freezer *f)
{
    if (!f->table) /* still waits for the earlier freezer, and will set the rule */
        return;
    if (f->params->shared->working && f->rule_number && rule_number() == f->rule_number)
        return;
    set_working(f, can_work(f));
    set_due(f);
}

static void stop(struct freezer *f)
{
    if (f->table && f->params->shared->waiting == 0)
        rule_unset(f->rule);
    f->loop.stop = true;
}

static void control_ready(struct loop *loop, struct watch *watch, uint32_t events)
{
    struct freezer *f = freezer_of(loop);
    struct note n;

    follow_clock(f);
    /* One in a turn, because each may read the whole table, and the web process may have been taken
     * over and ask without end. */
    int r = channel_read_text(watch->fd, &n);
    if (r == 1) {
        if (n.kind == NOTE_RELEASE)
            release(f, &n);
        if (n.kind == NOTE_COUNT && f->table) /* without the table the number is not known */
            count(f, &n);
        if (n.kind == NOTE_TALLY && f->table)
            tally(f, &n);
        if (n.kind == NOTE_KEPT)
            kept(f);
        if (n.kind == NOTE_STOP)
            stop(f);
        if (n.kind == NOTE_PING)
            channel_tell(watch->fd, NOTE_PONG, 0, 0, NULL);
    }
    if (channel_is_over(r)) { /* the master is gone: the rule stays for its successor */
        loop_forget(loop, watch);
        loop->stop = true;
    }
}

static int begin_serving(struct freezer *f)
{
    const struct freezer_params *params = f->params;
    int r = f->unprepared ? f->unprepared : open_table(f, &f->table);

    if (r < 0)
        return r;
    f->begun_ms = f->loop.wall;
    f->wall_ahead = wall_ahead(f);
    for (uint32_t i = 0; i < params->slots && r == 0; i++) {
        f->ways.slot[i].watch.ready = slot_ready;
        r = loop_watch(&f->loop, &f->ways.slot[i].watch);
    }
    if (r < 0)
        return r;
    bool works = can_work(f);
    set_working(f, works);
    if (works && !only_thaws(f))
        log_debug("freezing connections %s",
                  calls_have_ring(f->calls) ? "in batches, by io_uring" : "call by call");
    if (table_count(f->table))
        log_info("%u frozen holds found", table_count(f->table));
    set_gauge(f);
    if (params->config->tarpit.time == 0) /* nobody waits any more */
        table_release(f->table, NULL, f->loop.wall);
    set_due(f); /* also without the rule: a client that only waits has noticed nothing */
    for (unsigned i = 0; i < f->asked_count; i++)
        release(f, &f->asked[i]);
    f->asked_count = 0;
    end_if_done(f);
    return 0;
}

/* The file could not be made before this process was confined, and now only another process can
 * make it. */
static bool has_room_for_file(const struct freezer *f)
{
    struct statvfs now;

    return f->unprepared && statvfs(f->params->config->state, &now) == 0 &&
           (now.f_bavail > f->room.f_bavail || now.f_favail > f->room.f_favail);
}

/* Opens the table when the earlier freezer, if there is one, has closed it. */
static void begin(struct loop *loop, struct alarm *a)
{
    struct freezer *f = freezer_of(loop);

    if (flock(f->lock, LOCK_EX | LOCK_NB) < 0) {
        loop_alarm(loop, a, loop->now + LOCK_MS);
        return;
    }
    int r = begin_serving(f);
    sched_normal();
    if (r == -ENOSPC && !f->table) {
        freezer_say_full(f);
        loop_alarm(loop, a, loop->now + ROOM_MS);
        if (has_room_for_file(f))
            loop->stop = true;
    } else if (r < 0 && !f->table) {
        leave_to_next(f, r);
    } else if (r < 0) {
        log_error("not freezing connections: %s", strerror(-r));
        loop->stop = true;
    } else if (f->said_full) {
        log_info("freezing connections again: there is room");
        f->said_full = false;
    }
}

/* Does what this process cannot do when it is confined. Not while an earlier freezer has the table:
 * this one takes over the file as it is then, and if the file does not fit, leaves it to the next. */
static void prepare(struct freezer *f)
{
    char path[4096];

    if (flock(f->lock, LOCK_EX | LOCK_NB) < 0)
        return;
    (void)freezer_path(f->params->config->state, path);
    int r = table_prepare(path, FREEZER_RECORDS);
    f->unprepared = r == -EDQUOT ? -ENOSPC : r;
    if (r < 0 && statvfs(f->params->config->state, &f->room) < 0)
        f->room = (struct statvfs){0};
}

/* libnftables takes the number of the rule's user for a name first, and the C library would ask all
 * services of nsswitch.conf for it. A confined process may not load their modules. */
static void look_up_no_names(void)
{
    (void)__nss_configure_lookup("passwd", "files");
}

static int open_all(struct freezer *f)
{
    const struct freezer_params *params = f->params;
    char path[4096];
    int r = loop_open(&f->loop);

    if (r < 0)
        return r;
    snprintf(path, sizeof path, "%s/frozen.lock", params->config->state);
    f->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (f->lock < 0)
        return -errno;
    prepare(f);
    look_up_no_names();
    if ((r = rule_name(params->config->state, f->rule)) < 0)
        return r;
    f->calls = calls_open();
    if (!f->calls)
        return -ENOMEM;
    if ((r = return_channels_open(&f->ways, &f->loop, f->calls, params)) < 0)
        return r;
    f->due.due = due;
    f->releases.tell = tell_released;
    f->releases.arg = f;
    f->begin.due = begin;
    loop_alarm(&f->loop, &f->begin, f->loop.now);
    f->control = (struct watch){.fd = params->control, .events = EPOLLIN, .ready = control_ready};
    return loop_watch(&f->loop, &f->control);
}

/* After its file was truncated, the rest of a table is checked as after a crash. */
static void open_again_if_cut(struct freezer *f)
{
    if (!f->table || !table_is_cut(f->table))
        return;
    mapfile_tend(true);
    open_again(f);
}

static void close_all(struct freezer *f)
{
    if (f->table)
        return_channels_flush(&f->ways);
    return_channels_close(&f->ways);
    if (f->table)
        f->params->shared->working = 0;
    log_debug("the freezer stops: %lu frozen, %lu thawed, %lu lost", (unsigned long)f->frozen,
              (unsigned long)f->thawed, (unsigned long)(f->lost + f->ways.lost));
    table_close(f->table);
    close(f->lock);
    loop_close(&f->loop);
    calls_close(f->calls);
    free(f);
}

int freezer_run(const struct freezer_params *params)
{
    struct freezer *f = calloc(1, sizeof *f);
    if (!f)
        return 1;
    f->params = params;
    int r = open_all(f);
    if (r < 0) {
        log_error("the freezer cannot start: %s", strerror(-r));
        return 1;
    }
    freezer_confine(params->config);
    int status = note_ready(params->control, sandbox_compiled());
    while (status == 0 && !f->loop.stop) {
        loop_turn(&f->loop, -1);
        open_again_if_cut(f);
    }
    if (f->done)
        status = FREEZER_DONE;
    close_all(f);
    return status;
}
