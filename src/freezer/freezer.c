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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mapfile.h"
#include "base/metrics.h"
#include "base/scheduling.h"
#include "config/config.h"
#include "freezer/freezer.h"
#include "freezer/releases.h"
#include "freezer/return_channels.h"
#include "freezer/rule.h"
#include "freezer/table.h"
#include "query/notes.h"
#include "query/tally.h"

enum {
    THAW_BATCHES = 8,      /* in one turn of the loop, so that freezing gets a turn too */
    AGAIN_MS = 20,         /* when to try an overloaded worker again */
    ELSEWHERE_MS = 2000,   /* when to try a missing local address or route again */
    DROP_AFTER_MS = 60000, /* if no worker takes it for so long, it is dropped */
    LOCK_MS = 20,          /* how often to check whether the earlier freezer has ended */
    WAYS_MS = 5000, /* after this time all workers have given a new freezer their return channels */
    ROOM_MS = 2000, /* how often to check whether the disk has room for the table again */
};

/* A hold that goes into the table, */
struct coming {
    struct frozen_hold hold;
    const struct handoff_item *item; /* as it came */
    bool noted;                      /* the table has it */
};

/* and out of it. */
struct leaving {
    struct frozen_hold hold;
    struct return_channel *way;
    uint32_t id;
    char room[FROZEN_ROOM];
};

struct freezer {
    struct loop loop;
    const struct freezer_params *params;
    struct frozen_table *table;
    struct calls *calls;
    struct watch control;
    struct alarm due, begin;
    int lock;       /* held by the freezer that has the table */
    bool said_full; /* logged that the disk has no room for it */
    struct return_channels ways;
    uint64_t begun_ms;
    struct handoff in;
    struct coming coming[TCP_JOBS];
    struct leaving leaving[TCP_JOBS];
    uint64_t frozen, thawed, lost;
    struct releases releases;
    struct note asked[RELEASES]; /* releases that wait until this freezer has the table */
    unsigned asked_count;
};

_Static_assert((int)TCP_JOBS >= (int)HANDOFF_BATCH, "what comes together is frozen together");

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

/* ---- thawing ---- */

/* If the error that prevents a thaw may be temporary, when to try again; else 0. */
static uint64_t passes_in_ms(int error)
{
    switch (error) {
    case -EMFILE:
    case -ENFILE:
    case -ENOMEM:
    case -ENOBUFS: return AGAIN_MS;
    case -EADDRNOTAVAIL:
    case -ENETDOWN:
    case -ENETUNREACH:
    case -EHOSTUNREACH: return ELSEWHERE_MS;
    default: return 0;
    }
}

static bool is_given_up(const struct freezer *f, const struct leaving *l)
{
    uint64_t now = f->loop.wall;

    return (!l->way && now > f->begun_ms + WAYS_MS) || now > l->hold.due_ms + DROP_AFTER_MS;
}

/* Takes up to TCP_JOBS due holds for which a worker has room, or which no worker will ever take; *n
 * is their number. Returns whether more may be due. */
static bool take_due(struct freezer *f, size_t *n)
{
    for (size_t i = 0; i < TCP_JOBS; i++) {
        struct leaving *l = &f->leaving[*n];
        if (!table_due(f->table, f->loop.wall, &l->id, &l->hold, l->room))
            return false;
        l->way = return_channels_find(&f->ways, l->hold.slot, l->hold.way);
        if (is_given_up(f, l)) {
            l->way = NULL;
        } else if (!l->way || !return_channel_promise(l->way, l->hold.session.len)) {
            table_again(f->table, l->id, f->loop.wall + AGAIN_MS);
            continue;
        }
        (*n)++;
    }
    return true;
}

static void give(struct freezer *f, const struct leaving *l, int fd)
{
    const struct frozen_hold *h = &l->hold;
    struct handoff_item item = {
        .fd = fd, .way = h->way, .due_ms = h->due_ms, .session = h->session};

    tcp_ends(&h->tcp, &item.local, &item.remote);
    if (h->client.family != ADDR_NONE)
        item.remote = h->client;
    return_channel_give(l->way, &item);
    f->thawed++;
}

static void end_thaw(struct freezer *f, const struct leaving *l, const struct tcp_job *job)
{
    uint64_t again = l->way ? passes_in_ms(job->result) : 0;

    if (again) {
        table_again(f->table, l->id, f->loop.wall + again);
    } else {
        bool given = job->result == 0 && l->way;
        table_drop(f->table, l->id);
        releases_thawed(&f->releases, l->hold.due_ms, given);
        if (given) {
            give(f, l, job->fd);
            return;
        }
        f->lost++; /* a newer connection has its addresses, or no worker takes it: drop it */
        if (job->fd >= 0)
            close(job->fd);
    }
    if (l->way)
        return_channel_excuse(l->way, l->hold.session.len);
}

/* Thaws a batch. Returns whether more may be due. */
static bool thaw_some(struct freezer *f)
{
    struct tcp_job job[TCP_JOBS];
    size_t n = 0;
    bool more = take_due(f, &n);

    for (size_t i = 0; i < n; i++) {
        struct frozen_hold *h = &f->leaving[i].hold;
        job[i].tcp = &h->tcp;
        job[i].slept_ms = f->loop.wall > h->frozen_ms ? f->loop.wall - h->frozen_ms : 0;
    }
    tcp_thaw(f->calls, job, n);
    for (size_t i = 0; i < n; i++)
        end_thaw(f, &f->leaving[i], &job[i]);
    return more;
}

static void due(struct loop *loop, struct alarm *a)
{
    struct freezer *f = freezer_of(loop);

    for (int i = 0; i < THAW_BATCHES && thaw_some(f); i++)
        ;
    return_channels_flush(&f->ways);
    releases_tell(&f->releases, f->loop.wall);
    set_gauge(f);
    set_due(f);
}

/* ---- freezing ---- */

/* Once, however long it lasts. */
static void say_full(struct freezer *f)
{
    if (!f->said_full)
        log_warn("not freezing connections, holds keep their sockets: %s/frozen has no room",
                 f->params->config->state);
    f->said_full = true;
}

/* Handles a packet from a worker: adds its return channels, and keeps connections to freeze;
 * returns how many. */
static size_t take_coming(struct freezer *f, uint16_t slot, struct tcp_job job[TCP_JOBS])
{
    size_t n = 0;

    for (uint32_t i = 0; i < f->in.count; i++) {
        const struct handoff_item *item = &f->in.item[i];
        if (item->kind == HANDOFF_WAY) {
            return_channels_add(&f->ways, item);
            continue;
        }
        struct coming *c = &f->coming[n];
        *c = (struct coming){.item = item,
                             .hold = {.due_ms = item->due_ms,
                                      .frozen_ms = f->loop.wall,
                                      .slot = slot,
                                      .way = item->way,
                                      .client = item->remote,
                                      .session = item->session}};
        job[n++] = (struct tcp_job){.fd = item->fd, .tcp = &c->hold.tcp};
    }
    return n;
}

/* Puts the connections with known state into the table. */
static void note_frozen(struct freezer *f, struct tcp_job *job, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (job[i].result != 0)
            continue;
        job[i].result = table_put(f->table, &f->coming[i].hold);
        f->coming[i].noted = job[i].result == 0;
        if (f->coming[i].noted)
            continue;
        tcp_unfreeze(job[i].fd, job[i].tcp);
        if (job[i].result == -ENOSPC)
            say_full(f);
    }
}

static void stay_ordinary(struct freezer *f, const struct coming *c, int why)
{
    log_debug("cannot freeze a hold, it keeps its socket: %s", strerror(-why));
    if (c->noted)
        table_forget(f->table, &c->hold);
    if (!return_channels_return(&f->ways, c->hold.slot, c->item)) {
        f->lost++;
        close(c->item->fd);
    }
}

static void freeze_batch(struct freezer *f, uint16_t slot)
{
    struct tcp_job job[TCP_JOBS];
    size_t n = take_coming(f, slot, job);

    if (f->params->shared->working)
        tcp_freeze(f->calls, job, n);
    else
        for (size_t i = 0; i < n; i++)
            job[i].result = -EPERM;
    note_frozen(f, job, n);
    tcp_leave(f->calls, job, n);
    for (size_t i = 0; i < n; i++)
        if (job[i].result == 0)
            f->frozen++;
        else
            stay_ordinary(f, &f->coming[i], job[i].result);
}

static void slot_ready(struct loop *loop, struct watch *watch, uint32_t events)
{
    struct freezer *f = freezer_of(loop);
    struct return_channel *way = (struct return_channel *)watch;

    if (events & EPOLLOUT)
        return_channel_flush(way);
    /* Read a batch only if all of it could be given back. */
    if (events & EPOLLIN && way->out.count == 0 && handoff_read(watch->fd, &f->in) == 1) {
        freeze_batch(f, (uint16_t)(way - f->ways.slot));
        return_channels_flush(&f->ways);
        set_gauge(f);
        set_due(f);
    }
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
    set_due(f);
}

/* Reports how many of them are frozen. */
static void count(const struct freezer *f, const struct note *question)
{
    struct network n;

    if (network_parse((struct span){question->text, question->len}, &n))
        channel_tell(f->params->control, NOTE_COUNTED, (int32_t)table_count_of(f->table, &n),
                     question->tag, NULL);
}

/* Says how many of each client are frozen. */
static void tally(const struct freezer *f, const struct note *question)
{
    char text[NOTE_TEXT] = "";
    struct tally t;
    int error = tally_parse(&t, (struct span){question->text, question->len})
                    ? table_tally(f->table, &t)
                    : -EINVAL;

    if (!error)
        tally_format_counts(&t, text, sizeof text);
    channel_tell(f->params->control, NOTE_TALLIED, error, question->tag, text);
}

static void stop(struct freezer *f)
{
    if (f->table && f->params->shared->waiting == 0)
        rule_unset();
    f->loop.stop = true;
}

static void control_ready(struct loop *loop, struct watch *watch, uint32_t events)
{
    struct freezer *f = freezer_of(loop);
    struct note n;
    int r;

    while ((r = channel_read(watch->fd, &n)) == 1) {
        if (n.kind == NOTE_RELEASE)
            release(f, &n);
        if (n.kind == NOTE_COUNT && f->table) /* without the table the number is not known */
            count(f, &n);
        if (n.kind == NOTE_TALLY && f->table)
            tally(f, &n);
        if (n.kind == NOTE_STOP)
            stop(f);
        if (n.kind == NOTE_PING)
            channel_tell(watch->fd, NOTE_PONG, 0, 0, NULL);
    }
    if (r != -EAGAIN) { /* the master is gone: the rule stays for its successor */
        loop_forget(loop, watch);
        loop->stop = true;
    }
}

static int set_rule(const struct config *config)
{
    struct addr *listen = calloc(config->listen_count + 1, sizeof *listen);
    char why[256] = "";

    if (!listen)
        return -ENOMEM;
    for (size_t i = 0; i < config->listen_count; i++)
        listen[i] = config->listen[i].addr;
    int r = rule_set(listen, config->listen_count, why);
    free(listen);
    if (r < 0)
        log_warn("not freezing connections, holds keep their sockets: nftables: %s", why);
    return r;
}

static bool can_work(const struct config *config)
{
    int r = tcp_repair_works();
    if (r < 0) {
        log_warn("not freezing connections, holds keep their sockets: TCP_REPAIR: %s",
                 strerror(-r));
        return false;
    }
    return set_rule(config) == 0;
}

static int begin_serving(struct freezer *f)
{
    const struct freezer_params *params = f->params;
    char path[4096];

    snprintf(path, sizeof path, "%s/frozen", params->config->state);
    int r = table_open(&f->table, path, FREEZER_RECORDS, f->loop.wall, FREEZER_KEEP_MS);
    if (r < 0)
        return r;
    params->shared->waiting--;
    f->begun_ms = f->loop.wall;
    for (uint32_t i = 0; i < params->slots && r == 0; i++) {
        f->ways.slot[i].watch.ready = slot_ready;
        r = loop_watch(&f->loop, &f->ways.slot[i].watch);
    }
    if (r < 0)
        return r;
    bool works = can_work(params->config);
    params->shared->working = works;
    if (works)
        log_debug("freezing connections %s",
                  calls_have_ring(f->calls) ? "in batches, by io_uring" : "call by call");
    if (works && table_count(f->table))
        log_info("%u frozen holds found", table_count(f->table));
    set_gauge(f);
    if (works)
        set_due(f);
    for (unsigned i = 0; i < f->asked_count; i++)
        release(f, &f->asked[i]);
    f->asked_count = 0;
    return 0;
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
        say_full(f);
        loop_alarm(loop, a, loop->now + ROOM_MS);
    } else if (r < 0) {
        log_error("not freezing connections: %s", strerror(-r));
        loop->stop = true;
    } else if (f->said_full) {
        log_info("freezing connections again: there is room");
        f->said_full = false;
    }
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
    if ((r = return_channels_open(&f->ways, &f->loop, params)) < 0)
        return r;
    f->calls = calls_open();
    if (!f->calls)
        return -ENOMEM;
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
    struct frozen_table *whole;
    char path[4096];

    if (!f->table || !table_is_cut(f->table))
        return;
    mapfile_tend(true);
    snprintf(path, sizeof path, "%s/frozen", f->params->config->state);
    int r = table_open(&whole, path, FREEZER_RECORDS, f->loop.wall, FREEZER_KEEP_MS);
    if (r < 0) {
        log_error("cannot check the frozen holds: %s", strerror(-r));
        f->loop.stop = true; /* the master begins another freezer */
        return;
    }
    log_warn("%u of %u frozen holds are left", table_count(whole), table_count(f->table));
    table_close(f->table);
    f->table = whole;
    set_gauge(f);
    set_due(f);
}

static void close_all(struct freezer *f)
{
    if (f->table)
        return_channels_flush(&f->ways);
    return_channels_close(&f->ways);
    if (f->table)
        f->params->shared->working = 0;
    else
        f->params->shared->waiting--;
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
    params->shared->waiting++;
    channel_tell(params->control, NOTE_READY, 0, 0, NULL);
    while (!f->loop.stop) {
        loop_turn(&f->loop, -1);
        open_again_if_cut(f);
    }
    close_all(f);
    return 0;
}
