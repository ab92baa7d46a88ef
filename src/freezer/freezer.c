/* The freezer process: workers' connections in, the same connections out when their replies are
 * due.
 *
 *   worker --descriptors--> freezer: tcp_freeze(), table_put(), close: no socket, no descriptor
 *   table_due() --> tcp_thaw() --descriptors--> worker: sends the reply as if nothing had been
 *
 * A connection that cannot be frozen (something is under way on it) goes straight back and is held
 * as ordinary ones are. What is put in the table is complete before the socket goes, so that a
 * death at any point loses at most the one connection in hand. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/channel.h"
#include "base/clock.h"
#include "base/haste.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/metrics.h"
#include "config/config.h"
#include "freezer/freezer.h"
#include "freezer/rule.h"
#include "freezer/table.h"

enum {
    THAW_BATCH = 256,      /* thawed in one turn, so that freezing gets its turn too */
    AGAIN_MS = 20,         /* a worker that has too much to do is tried again */
    ELSEWHERE_MS = 2000,   /* a local address or a route that is not there now is tried again */
    DROP_AFTER_MS = 60000, /* nobody took it for so long: given up */
    LOCK_MS = 20,          /* between looks whether the freezer before us has ended */
    WAYS_MS = 5000,        /* after which all workers have told a new freezer their ways */
    ROOM_MS = 2000,        /* between looks whether the disk has room for the table again */
};

struct way { /* to a worker slot, or to one worker */
    struct watch watch;
    struct handoff out; /* not yet sent; its descriptors are ours */
    struct way *next;   /* of the workers' own */
    uint32_t name;
};

struct freezer {
    struct loop loop;
    const struct freezer_kit *kit;
    struct frozen_table *table;
    struct watch control;
    struct alarm due, begin;
    int lock;         /* held by who has the table */
    bool said_full;   /* that the disk has no room for it */
    struct way *way;  /* to the slots */
    struct way *ways; /* of workers' own */
    uint64_t begun_ms;
    struct handoff in;
    char room[FROZEN_ROOM];
    uint64_t frozen, thawed, lost;
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
    if (next == UINT64_MAX)
        return;
    uint64_t wait = next > f->loop.wall ? next - f->loop.wall : 1;
    loop_alarm(&f->loop, &f->due, f->loop.now + wait);
}

/* ---- back to the workers ---- */

static void flush(struct freezer *f, struct way *way)
{
    uint32_t n = way->out.count;
    int fd[HANDOFF_BATCH];

    if (n == 0)
        return;
    for (uint32_t i = 0; i < n; i++)
        fd[i] = way->out.item[i].fd;
    int r = handoff_send(way->watch.fd, &way->out);
    if (r == -EPIPE || r == -ECONNRESET) { /* a worker that has died with its way */
        f->lost += n;
        way->out.count = 0;
        way->out.used = 0;
    } else if (r < 0) {
        loop_want(&f->loop, &way->watch, EPOLLIN | EPOLLOUT);
        return;
    }
    loop_want(&f->loop, &way->watch, EPOLLIN);
    for (uint32_t i = 0; i < n; i++)
        close(fd[i]);
}

static void flush_all(struct freezer *f)
{
    for (uint32_t i = 0; i < f->kit->slots; i++)
        flush(f, &f->way[i]);
    for (struct way *way = f->ways; way; way = way->next)
        flush(f, way);
}

/* NULL: the one worker that it could go to is not there. */
static struct way *way_for(struct freezer *f, uint32_t slot, uint32_t name)
{
    uint32_t taking = f->kit->shared->slots;

    if (name) {
        struct way *way = f->ways;
        while (way && way->name != name)
            way = way->next;
        return way;
    }
    if (taking == 0 || taking > f->kit->slots)
        taking = f->kit->slots;
    return &f->way[slot % taking];
}

/* Hands a connection to a worker; false when that worker has too much to do (the descriptor stays
 * ours). */
static bool give_back(struct freezer *f, uint32_t slot, const struct handoff_item *item)
{
    struct way *way = way_for(f, slot, item->way);

    if (!way)
        return false;
    if (handoff_add(&way->out, item) == 0)
        return true;
    flush(f, way);
    return handoff_add(&way->out, item) == 0;
}

static bool has_room(struct freezer *f, struct way *way)
{
    if (way->out.count == HANDOFF_BATCH || way->out.used + FROZEN_SESSION_MAX > HANDOFF_OCTETS)
        flush(f, way);
    return way->out.count < HANDOFF_BATCH && way->out.used + FROZEN_SESSION_MAX <= HANDOFF_OCTETS;
}

/* ---- ways of workers' own ---- */

static void way_forget(struct freezer *f, struct way *way)
{
    struct way **p = &f->ways;

    while (*p != way)
        p = &(*p)->next;
    *p = way->next;
    for (uint32_t i = 0; i < way->out.count; i++)
        close(way->out.item[i].fd);
    f->lost += way->out.count;
    loop_forget(&f->loop, &way->watch);
    close(way->watch.fd);
    free(way);
}

static void own_way_ready(struct loop *loop, struct watch *watch, uint32_t events)
{
    struct freezer *f = freezer_of(loop);
    struct way *way = (struct way *)watch;

    if (events & ~(uint32_t)EPOLLOUT) /* nothing ever comes in on it but its end */
        way_forget(f, way);
    else
        flush(f, way);
}

static void way_add(struct freezer *f, const struct handoff_item *item)
{
    struct way *old = item->way ? way_for(f, 0, item->way) : NULL;
    struct way *way = item->way ? calloc(1, sizeof *way) : NULL;

    if (old)
        way_forget(f, old);
    if (way) {
        way->watch = (struct watch){.fd = item->fd, .events = EPOLLIN, .ready = own_way_ready};
        way->name = item->way;
    }
    if (!way || loop_watch(&f->loop, &way->watch) < 0) {
        free(way);
        close(item->fd); /* which tells the worker */
        return;
    }
    way->next = f->ways;
    f->ways = way;
}

/* ---- thawing ---- */

/* What its worker kept of it died with that worker: the client is told by an end. */
static void end_one(struct freezer *f, uint32_t id, const struct frozen_hold *h)
{
    int fd = tcp_thaw(&h->tcp, f->loop.wall > h->frozen_ms ? f->loop.wall - h->frozen_ms : 0);

    if (fd >= 0)
        close(fd);
    f->lost++;
    table_drop(f->table, id);
}

/* Whether what keeps a connection from being put back may pass: when to look again, or 0. */
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

static void thaw_one(struct freezer *f, uint32_t id, const struct frozen_hold *h)
{
    struct way *way = way_for(f, h->slot, h->way);
    uint64_t now = f->loop.wall;

    if ((!way && now > f->begun_ms + WAYS_MS) || now > h->due_ms + DROP_AFTER_MS) {
        end_one(f, id, h);
        return;
    }
    if (!way || !has_room(f, way)) {
        table_again(f->table, id, now + AGAIN_MS);
        return;
    }
    int fd = tcp_thaw(&h->tcp, now > h->frozen_ms ? now - h->frozen_ms : 0);
    uint64_t again = passes_in_ms(fd);
    if (again) {
        table_again(f->table, id, now + again);
        return;
    }
    if (fd < 0) { /* a newer connection has its addresses */
        f->lost++;
    } else {
        struct handoff_item item = {
            .fd = fd, .way = h->way, .due_ms = h->due_ms, .session = h->session};
        tcp_ends(&h->tcp, &item.local, &item.remote);
        if (h->client.family != ADDR_NONE)
            item.remote = h->client;
        f->thawed++;
        if (!give_back(f, h->slot, &item))
            close(fd);
    }
    table_drop(f->table, id);
}

static void due(struct loop *loop, struct alarm *a)
{
    struct freezer *f = freezer_of(loop);
    struct frozen_hold h;
    uint32_t id;

    for (int i = 0; i < THAW_BATCH && table_due(f->table, loop->wall, &id, &h, f->room); i++)
        thaw_one(f, id, &h);
    flush_all(f);
    set_gauge(f);
    set_due(f);
}

/* ---- freezing ---- */

/* Once, however long it lasts. */
static void say_full(struct freezer *f)
{
    if (!f->said_full)
        log_warn("connections are not frozen while %s/frozen has no room, holds stay ordinary ones",
                 f->kit->config->state);
    f->said_full = true;
}

static void freeze_one(struct freezer *f, uint16_t slot, const struct handoff_item *item)
{
    struct frozen_hold h = {.due_ms = item->due_ms,
                            .slot = slot,
                            .way = item->way,
                            .client = item->remote,
                            .session = item->session};

    if (item->kind == HANDOFF_WAY) {
        way_add(f, item);
        return;
    }
    int r = f->kit->shared->working ? tcp_freeze(item->fd, &h.tcp) : -EPERM;
    if (r == 0) {
        h.frozen_ms = f->loop.wall;
        r = table_put(f->table, &h);
        if (r == 0) {
            f->frozen++;
            close(item->fd);
            return;
        }
        tcp_unfreeze(item->fd, &h.tcp);
        if (r == -ENOSPC)
            say_full(f);
    }
    log_debug("a hold stays an ordinary one: %s", strerror(-r));
    if (!give_back(f, slot, item)) {
        f->lost++;
        close(item->fd);
    }
}

static void way_ready(struct loop *loop, struct watch *watch, uint32_t events)
{
    struct freezer *f = freezer_of(loop);
    struct way *way = (struct way *)watch;

    if (events & EPOLLOUT)
        flush(f, way);
    /* A batch is taken only while there is room to give all of it back. */
    if (events & EPOLLIN && way->out.count == 0 && handoff_read(watch->fd, &f->in) == 1) {
        for (uint32_t i = 0; i < f->in.count; i++)
            freeze_one(f, (uint16_t)(way - f->way), &f->in.item[i]);
        flush_all(f);
        set_gauge(f);
        set_due(f);
    }
}

/* ---- the process ---- */

static void release(struct freezer *f, struct span whom)
{
    struct network n;
    if (network_parse(whom, &n) && table_release(f->table, &n, f->loop.wall))
        set_due(f);
}

/* Says how many of them are frozen. */
static void count(const struct freezer *f, const struct note *question)
{
    struct network n;

    if (network_parse((struct span){question->text, question->len}, &n))
        channel_tell(f->kit->control, NOTE_COUNTED, (int32_t)table_count_of(f->table, &n),
                     question->tag, NULL);
}

static void stop(struct freezer *f)
{
    if (f->table && f->kit->shared->waiting == 0)
        rule_unset();
    f->loop.stop = true;
}

static void control_ready(struct loop *loop, struct watch *watch, uint32_t events)
{
    struct freezer *f = freezer_of(loop);
    struct note n;
    int r;

    while ((r = channel_read(watch->fd, &n)) == 1) {
        if (n.kind == NOTE_RELEASE && f->table)
            release(f, (struct span){n.text, n.len});
        if (n.kind == NOTE_COUNT && f->table) /* without it we know of none, which is no number */
            count(f, &n);
        if (n.kind == NOTE_STOP)
            stop(f);
        if (n.kind == NOTE_PING)
            channel_tell(watch->fd, NOTE_PONG, 0, 0, NULL);
    }
    if (r != -EAGAIN) { /* the master is gone: the rule stays for who comes after it */
        loop_forget(loop, watch);
        loop->stop = true;
    }
}

static int set_rule(const struct config *config)
{
    uint16_t ports[256];
    size_t n = 0;
    char why[256] = "";

    for (size_t i = 0; i < config->listen_count && n < 256; i++) {
        bool there = false;
        for (size_t k = 0; k < n; k++)
            there = there || ports[k] == config->listen[i].addr.port;
        if (!there)
            ports[n++] = config->listen[i].addr.port;
    }
    int r = rule_set(ports, n, why);
    if (r < 0)
        log_warn("connections are not frozen, holds stay ordinary ones: nftables: %s", why);
    return r;
}

static bool can_work(const struct config *config)
{
    int r = tcp_repair_works();
    if (r < 0) {
        log_warn("connections are not frozen, holds stay ordinary ones: TCP_REPAIR: %s",
                 strerror(-r));
        return false;
    }
    return set_rule(config) == 0;
}

static int begin_serving(struct freezer *f)
{
    const struct freezer_kit *kit = f->kit;
    char path[4096];

    snprintf(path, sizeof path, "%s/frozen", kit->config->state);
    int r = table_open(&f->table, path, FREEZER_RECORDS, f->loop.wall, FREEZER_KEEP_MS);
    if (r < 0)
        return r;
    kit->shared->waiting--;
    f->begun_ms = f->loop.wall;
    for (uint32_t i = 0; i < kit->slots && r == 0; i++) {
        f->way[i].watch = (struct watch){.fd = kit->slot[i], .events = EPOLLIN, .ready = way_ready};
        r = loop_watch(&f->loop, &f->way[i].watch);
    }
    if (r < 0)
        return r;
    bool works = can_work(kit->config);
    if (works && table_count(f->table))
        log_info("%u frozen holds found", table_count(f->table));
    kit->shared->working = works;
    set_gauge(f);
    if (works)
        set_due(f);
    return 0;
}

/* Begins once the freezer before this one, if there is any, has let go of the table. */
static void begin(struct loop *loop, struct alarm *a)
{
    struct freezer *f = freezer_of(loop);

    if (flock(f->lock, LOCK_EX | LOCK_NB) < 0) {
        loop_alarm(loop, a, loop->now + LOCK_MS);
        return;
    }
    int r = begin_serving(f);
    haste_usual();
    if (r == -ENOSPC && !f->table) {
        say_full(f);
        loop_alarm(loop, a, loop->now + ROOM_MS);
    } else if (r < 0) {
        log_error("connections are not frozen: %s", strerror(-r));
        loop->stop = true;
    } else if (f->said_full) {
        log_info("there is room for frozen holds again");
        f->said_full = false;
    }
}

static int open_all(struct freezer *f)
{
    const struct freezer_kit *kit = f->kit;
    char path[4096];
    int r = loop_open(&f->loop);

    if (r < 0)
        return r;
    snprintf(path, sizeof path, "%s/frozen.lock", kit->config->state);
    f->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    f->way = calloc(kit->slots, sizeof *f->way);
    if (f->lock < 0 || !f->way)
        return -errno;
    f->due.due = due;
    f->begin.due = begin;
    loop_alarm(&f->loop, &f->begin, f->loop.now);
    f->control = (struct watch){.fd = kit->control, .events = EPOLLIN, .ready = control_ready};
    return loop_watch(&f->loop, &f->control);
}

static void close_all(struct freezer *f)
{
    if (f->table)
        flush_all(f);
    while (f->ways)
        way_forget(f, f->ways);
    if (f->table)
        f->kit->shared->working = 0;
    else
        f->kit->shared->waiting--;
    log_debug("the freezer ends: %lu frozen, %lu thawed, %lu lost", (unsigned long)f->frozen,
              (unsigned long)f->thawed, (unsigned long)f->lost);
    table_close(f->table);
    close(f->lock);
    loop_close(&f->loop);
    free(f->way);
    free(f);
}

int freezer_run(const struct freezer_kit *kit)
{
    struct freezer *f = calloc(1, sizeof *f);
    if (!f)
        return 1;
    f->kit = kit;
    int r = open_all(f);
    if (r < 0) {
        log_error("the freezer cannot start: %s", strerror(-r));
        return 1;
    }
    kit->shared->waiting++;
    channel_tell(kit->control, NOTE_READY, 0, 0, NULL);
    loop_run(&f->loop);
    close_all(f);
    return 0;
}
