/* The event loop. Each worker, web and the master have one. It knows only descriptors and times.
 *
 * A turn: sleep until a descriptor is ready or an alarm is due, read the clocks once, call the
 * watches that are ready, then the alarms that are due. Watches come first, so that octets that
 * arrived in time are read before their time-out fires. Without alarms the loop sleeps in the
 * kernel until something happens. */
#include "base/loop.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/container.h"

static void read_clocks(struct loop *loop)
{
    loop->now = clock_mono_ms();
    loop->wall = clock_wall_ms();
}

int loop_open(struct loop *loop)
{
    *loop = (struct loop){.bulk.fd = -1};
    loop->batch.event = loop->events;
    loop->few.event = loop->few_events;
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll < 0)
        return -errno;
    read_clocks(loop);
    wheel_init(&loop->wheel, loop->now);
    return 0;
}

void loop_close(struct loop *loop)
{
    close(loop->epoll);
    loop->epoll = -1;
    if (loop->bulk.fd >= 0)
        close(loop->bulk.fd);
    loop->bulk.fd = -1;
}

static int control(struct loop *loop, int operation, struct watch *w)
{
    struct epoll_event event = {.events = w->events & ~(uint32_t)LOOP_BULK, .data.ptr = w};
    int set = w->events & LOOP_BULK ? loop->bulk.fd : loop->epoll;

    return epoll_ctl(set, operation, w->fd, &event) < 0 ? -errno : 0;
}

int loop_watch(struct loop *loop, struct watch *w)
{
    assert(w->ready);
    w->events &= ~(uint32_t)LOOP_BULK;
    loop_moved(loop);
    return control(loop, EPOLL_CTL_ADD, w);
}

void loop_want(struct loop *loop, struct watch *w, uint32_t events)
{
    events |= w->events & LOOP_BULK;
    uint32_t before = w->events;

    if (before == events)
        return;
    w->events = events;
    loop_moved(loop);
    if (control(loop, EPOLL_CTL_MOD, w) < 0) /* Linux needs no memory for it, other kernels may */
        w->events = before;                  /* so the next one that wants something asks again */
}

static void drop(const struct loop_batch *b, const struct watch *w)
{
    for (int i = b->at; i < b->len; i++)
        if (b->event[i].data.ptr == w)
            b->event[i].data.ptr = NULL;
}

void loop_forget(struct loop *loop, struct watch *w)
{
    loop_moved(loop);
    control(loop, EPOLL_CTL_DEL, w);
    drop(&loop->batch, w);
    drop(&loop->few, w);
}

/* How long to sleep: until the first alarm, at most `wait_ms`; -1: until something happens. */
static int sleep_ms(const struct loop *loop, int wait_ms)
{
    uint64_t next = wheel_next(&loop->wheel);

    if (next == WHEEL_IDLE || wait_ms == 0)
        return wait_ms;
    uint64_t now = clock_mono_ms(), ms = next > now ? next - now : 0;
    if (wait_ms > 0 && ms > (uint64_t)wait_ms)
        return wait_ms;
    return ms < INT_MAX ? (int)ms : INT_MAX;
}

static void alarm_due(struct timer *t, void *arg)
{
    struct alarm *a = container_of(t, struct alarm, timer);

    a->due(arg, a);
}

static const struct watch *watch_at(const struct loop *loop, int at)
{
    return at < loop->batch.len ? loop->batch.event[at].data.ptr : NULL;
}

/* Prefetches the watch at that place of the batch. */
static void ask_for(const struct loop *loop, int at)
{
    enum { CACHE_LINE = 64 };
    const char *watch = (const char *)watch_at(loop, at);

    for (size_t octets = 0; watch && octets < loop->prefetch_octets; octets += CACHE_LINE)
        __builtin_prefetch(watch + octets);
}

static void prefetch(struct loop *loop, int at)
{
    const struct watch *w = watch_at(loop, at);

    if (w)
        loop->prefetch(loop, w);
}

/* A wait for uncached memory takes as long as a thousand instructions, and many prefetches together
 * take hardly longer than one. So the loop handles events in groups, and prefetches everything that
 * a group will read before it calls the group's first watch. It prefetches the watches themselves a
 * group earlier, because they point to the rest. */
static void look_ahead(struct loop *loop)
{
    if (!loop->prefetch || loop->batch.len < 2 || loop->batch.at % LOOP_GROUP)
        return;
    for (int i = loop->batch.at ? LOOP_GROUP : 0; i < 2 * LOOP_GROUP; i++)
        ask_for(loop, loop->batch.at + i);
    for (int i = 0; i < LOOP_GROUP; i++)
        prefetch(loop, loop->batch.at + i);
}

/* Waits for events of a set. */
static void wait_for(struct loop_batch *b, int epoll, int most, int wait_ms)
{
    int n = epoll_wait(epoll, b->event, most, wait_ms);

    assert(n >= 0 || errno == EINTR);
    b->len = n > 0 ? n : 0;
    b->at = 0;
}

/* Calls the next watch of a batch. */
static void call_next(struct loop *loop, struct loop_batch *b)
{
    const struct epoll_event *event = &b->event[b->at++];
    struct watch *w = event->data.ptr;
    uint64_t before = loop->moved;

    if (w)
        w->ready(loop, w, event->events);
    if (w && loop->moved == before)
        loop->idle++;
}

/* ---- bulk ---- */

/* The kernel reports those that have waited longest first, so each of them has its turn. */
static void bulk_ready(struct loop *loop, struct watch *w, uint32_t events)
{
    wait_for(&loop->few, w->fd, LOOP_FEW, 0);
    while (loop->few.at < loop->few.len)
        call_next(loop, &loop->few);
    loop_moved(loop); /* those without progress have been counted */
}

static bool has_bulk(struct loop *loop)
{
    if (loop->bulk.fd >= 0)
        return true;
    loop->bulk =
        (struct watch){.fd = epoll_create1(EPOLL_CLOEXEC), .ready = bulk_ready, .events = EPOLLIN};
    if (loop->bulk.fd < 0 || loop_watch(loop, &loop->bulk) == 0)
        return loop->bulk.fd >= 0;
    close(loop->bulk.fd);
    loop->bulk.fd = -1;
    return false;
}

void loop_bulk(struct loop *loop, struct watch *w, bool bulk)
{
    if (!!(w->events & LOOP_BULK) == bulk || (bulk && !has_bulk(loop)))
        return;
    control(loop, EPOLL_CTL_DEL, w);
    w->events ^= LOOP_BULK;
    if (control(loop, EPOLL_CTL_ADD, w) == 0)
        return;
    w->events ^= LOOP_BULK; /* no memory for the other set: there is some in the one that it left */
    control(loop, EPOLL_CTL_ADD, w);
}

static void call_batch(struct loop *loop)
{
    while (loop->batch.at < loop->batch.len) {
        look_ahead(loop);
        call_next(loop, &loop->batch);
    }
}

/* The process has not run for a while: it, or the machine, was stopped, and epoll_wait() has returned
 * nothing because of that. What has come meanwhile is served before it counts as missing. Not for long,
 * and on a clock that goes on: under full load there is always more, and timers must run as well. */
static void catch_up(struct loop *loop)
{
    enum { ROUNDS = 64, MOST_MS = 200 };
    uint64_t end = loop->now + MOST_MS;

    for (int i = 0; i < ROUNDS && loop->now < end && !loop->stop; i++) {
        wait_for(&loop->batch, loop->epoll, LOOP_BATCH, 0);
        if (loop->batch.len == 0)
            return;
        read_clocks(loop);
        call_batch(loop);
    }
}

void loop_turn(struct loop *loop, int wait_ms)
{
    enum { LATE_MS = 1000 };
    uint64_t before = loop->now;
    int sleep = sleep_ms(loop, wait_ms);

    wait_for(&loop->batch, loop->epoll, LOOP_BATCH, sleep);
    read_clocks(loop);
    call_batch(loop);
    if (sleep >= 0 && loop->now > before + (uint64_t)sleep + LATE_MS)
        catch_up(loop);
    wheel_run(&loop->wheel, loop->now, alarm_due, loop);
}

void loop_run(struct loop *loop)
{
    while (!loop->stop)
        loop_turn(loop, -1);
}
