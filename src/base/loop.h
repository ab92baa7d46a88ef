/* The event loop: one epoll set, one timing wheel, no threads. Workers, web and master run one
 * each.
 *
 * Events are level-triggered: an event that is armed and not consumed is reported again at once,
 * and the process spins. So a callback either makes progress (octets, a message, a connection) and
 * calls loop_moved(), or changes what is watched. An event after which neither has happened counts
 * as idle.
 *
 * A watch is embedded in what it watches; the loop allocates nothing per descriptor. Time is
 * sampled once a turn (loop->now, monotonic ms): code that runs within a turn sees one time. */
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
    uint32_t events; /* asked for; change with loop_want() */
};

enum {
    LOOP_BATCH = 256,
    LOOP_GROUP = 16, /* see loop->prefetch */
};

struct loop {
    int epoll;
    uint64_t now;       /* monotonic ms of this turn */
    uint64_t wall;      /* ms since 1970 of this turn */
    struct wheel wheel; /* of alarms, and nothing else */
    bool stop;          /* loop_run() returns at the end of the turn in which this is set */
    /* NULL, or told of each watch of a group, up to LOOP_GROUP of a turn's, before the first of
     * them is called: to ask memory for what they will want. It changes nothing. For the first
     * prefetch_octets of the watch and what it is part of, memory has been asked before. */
    void (*prefetch)(struct loop *loop, const struct watch *w);
    size_t prefetch_octets;
    uint64_t moved, idle;    /* loop_moved() so far; events that came to nothing */
    int batch_at, batch_len; /* private: the events of this turn */
    struct epoll_event batch[LOOP_BATCH];
};

/* A timer of the loop's wheel with what to do when it is due. */
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

/* Closes the epoll descriptor; watches and alarms are only forgotten. */
void loop_close(struct loop *loop);

/* Begins to watch w->fd for w->events; w->ready must be set. Returns 0 or -errno. */
int loop_watch(struct loop *loop, struct watch *w);

/* Changes what is asked for; a call that changes nothing costs no system call. */
void loop_want(struct loop *loop, struct watch *w, uint32_t events);

/* Stops watching; events of this turn that are still to come for it are dropped. Does not close. */
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
 * then calls what is ready and due. */
void loop_turn(struct loop *loop, int wait_ms);

/* Turns until loop->stop. */
void loop_run(struct loop *loop);

#endif
