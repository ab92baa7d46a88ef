/* Batches of connections into the table and out of it (freezer_part.h). A batch shares its entries
 * into the kernel (calls.h). */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "config/config.h"
#include "freezer/freezer_part.h"

enum {
    AGAIN_MS = 20,         /* when to try an overloaded worker again */
    ELSEWHERE_MS = 2000,   /* when to try a missing local address or route again */
    DROP_AFTER_MS = 60000, /* if no worker takes it for so long, it is dropped */
    CHANNELS_MS =
        5000, /* after this time all workers have given a new freezer their return channels */
    CLOSED_MS = 5000, /* after this time a worker has closed what it has sent to be frozen */
};

/* ---- thawing ---- */

/* Whether the frozen connection itself may still be there: its worker has sent the descriptor, and was
 * stopped before it closed its own. Otherwise such addresses belong to a newer connection. */
static bool may_be_open(const struct freezer *f, const struct frozen_hold *h)
{
    return f->loop.wall >= h->frozen_ms && f->loop.wall - h->frozen_ms < CLOSED_MS;
}

/* If the error that prevents a thaw may be temporary, when to try again; else 0. */
static uint64_t passes_in_ms(const struct freezer *f, const struct frozen_hold *h, int error)
{
    switch (error) {
    case -EADDRINUSE: return may_be_open(f, h) ? AGAIN_MS : 0;
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

    return (!l->way && now > f->begun_ms + CHANNELS_MS) || now > l->hold.due_ms + DROP_AFTER_MS;
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
    struct handoff_item item = {.fd = fd,
                                .way = h->way,
                                .due_ms = h->due_ms,
                                .session = h->session,
                                .direct = h->client.family == ADDR_NONE};

    tcp_ends(&h->tcp, &item.local, &item.remote);
    if (h->client.family != ADDR_NONE)
        item.remote = h->client;
    return_channel_give(l->way, &item);
    f->thawed++;
}

static void end_thaw(struct freezer *f, const struct leaving *l, const struct tcp_job *job)
{
    uint64_t again = l->way ? passes_in_ms(f, &l->hold, job->result) : 0;

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
bool batch_thaw(struct freezer *f)
{
    struct tcp_job job[TCP_JOBS];
    uint32_t id[TCP_JOBS];
    size_t n = 0;
    bool more = take_due(f, &n);

    for (size_t i = 0; i < n; i++) {
        struct frozen_hold *h = &f->leaving[i].hold;
        job[i].tcp = &h->tcp;
        job[i].slept_ms = f->loop.wall > h->frozen_ms ? f->loop.wall - h->frozen_ms : 0;
    }
    tcp_thaw(f->calls, job, n);
    for (size_t i = 0; i < n; i++)
        id[i] = f->leaving[i].id;
    table_expect_drops(f->table, id, n);
    for (size_t i = 0; i < n; i++)
        end_thaw(f, &f->leaving[i], &job[i]);
    return more;
}

/* ---- freezing ---- */

/* A connection that was on its way when its client was released is due now. A release of many holds
 * takes its time, in which the freezer may not read what is on its way: so it counts until its end. */
static uint64_t due_of(struct freezer *f, const struct handoff_item *item)
{
    if (item->due_ms <= f->loop.wall ||
        !(releases_concern(&f->releases, &item->remote) ||
          released_lately(&f->released, &item->remote, 0, f->loop.now)))
        return item->due_ms;
    return releases_late(&f->releases, &item->remote, f->loop.wall);
}

/* Handles a packet from a worker: adds its return channels, and keeps connections to freeze;
 * returns how many. */
static size_t take_coming(struct freezer *f, uint16_t slot, struct tcp_job job[TCP_JOBS])
{
    size_t n = 0;

    for (uint32_t i = 0; i < f->in.count; i++) {
        const struct handoff_item *item = &f->in.item[i];
        if (item->kind == HANDOFF_CHANNEL) {
            return_channels_add(&f->ways, slot, item);
            continue;
        }
        struct coming *c = &f->coming[n];
        *c = (struct coming){.item = item,
                             .hold = {.due_ms = due_of(f, item),
                                      .frozen_ms = f->loop.wall,
                                      .slot = slot,
                                      .way = item->way,
                                      .session = item->session}};
        job[n] = (struct tcp_job){.fd = item->fd, .tcp = &c->hold.tcp};
        if (item->direct)
            job[n].remote = item->remote;
        else
            c->hold.client = item->remote;
        n++;
    }
    return n;
}

/* Puts the connections with known state into the table. */
static void note_frozen(struct freezer *f, struct tcp_job *job, size_t n)
{
    const struct frozen_hold *hold[TCP_JOBS];
    size_t known = 0;

    for (size_t i = 0; i < n; i++)
        if (job[i].result == 0)
            hold[known++] = &f->coming[i].hold;
    table_expect(f->table, hold, known);
    for (size_t i = 0; i < n; i++) {
        if (job[i].result != 0)
            continue;
        job[i].result = table_put(f->table, &f->coming[i].hold);
        f->coming[i].noted = job[i].result == 0;
        if (f->coming[i].noted)
            continue;
        tcp_unfreeze(job[i].fd, job[i].tcp);
        if (job[i].result == -ENOSPC)
            freezer_say_full(f);
    }
}

/* Nobody has compared the client's address with the other end (`direct`): the worker does. */
static void stay_ordinary(struct freezer *f, const struct coming *c, int why)
{
    struct handoff_item item = *c->item;

    item.direct = false;
    item.due_ms = c->hold.due_ms; /* earlier, if its client was released meanwhile */
    log_debug("cannot freeze a hold, it keeps its socket: %s", strerror(-why));
    if (c->noted)
        table_forget(f->table, &c->hold);
    if (!return_channels_return(&f->ways, c->hold.slot, &item)) {
        f->lost++;
        close(c->item->fd);
    }
}

void batch_freeze(struct freezer *f, uint16_t slot)
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
        if (job[i].result == 0) {
            f->frozen++;
            releases_came(&f->releases, f->coming[i].hold.due_ms);
        } else {
            stay_ordinary(f, &f->coming[i], job[i].result);
        }
}
