/* The event loop: one epoll set, one timing wheel, no threads. Workers, web and master run one
 * each.
 *
 * Events are level-triggered: an event that is armed and not consumed is reported again at once,
 * and the process spins. So a callback must either make progress (octets, a message, a connection)
 * and call loop_moved(), or change what is watched. If it does neither, the event counts as idle.
 *
 * A watch is embedded in the object that owns the descriptor; the loop allocates nothing for it.
 * A watch can be bulk (loop_bulk()): a turn calls all others that are ready, and only a few of these.
 * So what is short waits for little, however many large things are under way.
 *
 * The loop reads the clock once a turn (loop->now, monotonic ms), so all code within a turn sees
 * one time. */
#ifndef MIRED_BASE_LOOP_H
#define MIRED_BASE_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "base/wheel.h"

struct loop;

struct watch {
    /* `events` is of EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLHUP, EPOLLERR. May forget and free itself.
     */
    void (*ready)(struct loop *loop, struct watch *w, uint32_t events);
    int fd;
    uint32_t events; /* asked for; change with loop_want(). LOOP_BULK: see loop_bulk() */
};

enum {
    LOOP_BATCH = 256,
    LOOP_GROUP = 16, /* see loop->prefetch */
    LOOP_FEW = 8,    /* bulk watches that a turn calls */
    LOOP_BULK = 1 << 26,
    LOOP_BULK_OCTETS = 256 * 1024, /* what has so many to send or to receive should be bulk */
};

/* Events of a turn. */
struct loop_batch {
    struct epoll_event *event;
    int at, len;
};

struct loop {
    int epoll;
    uint64_t now;       /* monotonic ms of this turn */
    uint64_t wall;      /* ms since 1970 of this turn */
    struct wheel wheel; /* of alarms, and nothing else */
    bool stop;          /* loop_run() returns at the end of the turn in which this is set */
    /* NULL, or a function that prefetches what a watch's callback will read. The loop divides a
     * turn's watches into groups of up to LOOP_GROUP, and calls prefetch() for each watch of a
     * group before it calls the first callback. prefetch() must change nothing. The loop itself has
     * already prefetched the first prefetch_octets of the object that contains the watch. */
    void (*prefetch)(struct loop *loop, const struct watch *w);
    size_t prefetch_octets;
    uint64_t moved, idle; /* calls of loop_moved(); events after which nothing had changed */
    /* private: the events of this turn, and the set of bulk watches, which is itself watched */
    struct loop_batch batch, few;
    struct watch bulk;
    struct epoll_event events[LOOP_BATCH], few_events[LOOP_FEW];
};

/* A timer of the loop's wheel, with the function to call when it is due. */
struct alarm {
    struct timer timer;
    void (*due)(struct loop *loop, struct alarm *a);
};

/* The watch that is being called has consumed or sent something. */
static inline void loop_moved(struct loop *loop)
{
    loop->moved++;
}

/* Returns 0 or -errno. */
int loop_open(struct loop *loop);

/* Closes the epoll descriptor. It frees neither watches nor alarms, which belong to the caller. */
void loop_close(struct loop *loop);

/* Begins to watch w->fd for w->events; w->ready must be set. Returns 0 or -errno. */
int loop_watch(struct loop *loop, struct watch *w);

/* Changes the events that are watched for; a call that changes nothing makes no system call. */
void loop_want(struct loop *loop, struct watch *w, uint32_t events);

/* Makes a watch bulk, or ordinary again. Two system calls if that is a change. */
void loop_bulk(struct loop *loop, struct watch *w, bool bulk);

/* Stops watching, and drops the events for it that are left in this turn. Does not close w->fd. */
void loop_forget(struct loop *loop, struct watch *w);

static inline void loop_alarm(struct loop *loop, struct alarm *a, uint64_t at)
{
    wheel_set(&loop->wheel, &a->timer, at);
}

static inline void loop_alarm_off(struct loop *loop, struct alarm *a)
{
    wheel_cancel(&loop->wheel, &a->timer);
}

/* One turn: waits for events or the next timer (at most `wait_ms`, -1 for as long as it takes),
 * then calls what is ready and due. If the turn is more than a second late, all that is ready is
 * called before anything that is due. */
void loop_turn(struct loop *loop, int wait_ms);

/* Turns until loop->stop. */
void loop_run(struct loop *loop);

#endif
