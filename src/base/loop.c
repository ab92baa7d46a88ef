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
    *loop = (struct loop){0};
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
}

static int control(struct loop *loop, int operation, struct watch *w)
{
    struct epoll_event event = {.events = w->events, .data.ptr = w};

    return epoll_ctl(loop->epoll, operation, w->fd, &event) < 0 ? -errno : 0;
}

int loop_watch(struct loop *loop, struct watch *w)
{
    assert(w->ready);
    loop_moved(loop);
    return control(loop, EPOLL_CTL_ADD, w);
}

void loop_want(struct loop *loop, struct watch *w, uint32_t events)
{
    if (w->events == events)
        return;
    w->events = events;
    loop_moved(loop);
    control(loop, EPOLL_CTL_MOD, w);
}

void loop_forget(struct loop *loop, struct watch *w)
{
    loop_moved(loop);
    control(loop, EPOLL_CTL_DEL, w);
    for (int i = loop->batch_at; i < loop->batch_len; i++)
        if (loop->batch[i].data.ptr == w)
            loop->batch[i].data.ptr = NULL;
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
    return at < loop->batch_len ? loop->batch[at].data.ptr : NULL;
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
    if (!loop->prefetch || loop->batch_len < 2 || loop->batch_at % LOOP_GROUP)
        return;
    for (int i = loop->batch_at ? LOOP_GROUP : 0; i < 2 * LOOP_GROUP; i++)
        ask_for(loop, loop->batch_at + i);
    for (int i = 0; i < LOOP_GROUP; i++)
        prefetch(loop, loop->batch_at + i);
}

void loop_turn(struct loop *loop, int wait_ms)
{
    int n = epoll_wait(loop->epoll, loop->batch, LOOP_BATCH, sleep_ms(loop, wait_ms));

    assert(n >= 0 || errno == EINTR);
    read_clocks(loop);
    loop->batch_len = n > 0 ? n : 0;
    loop->batch_at = 0;
    while (loop->batch_at < loop->batch_len) {
        look_ahead(loop);
        const struct epoll_event *event = &loop->batch[loop->batch_at++];
        struct watch *w = event->data.ptr;
        uint64_t before = loop->moved;
        if (w)
            w->ready(loop, w, event->events);
        if (w && loop->moved == before)
            loop->idle++;
    }
    wheel_run(&loop->wheel, loop->now, alarm_due, loop);
}

void loop_run(struct loop *loop)
{
    while (!loop->stop)
        loop_turn(loop, -1);
}
