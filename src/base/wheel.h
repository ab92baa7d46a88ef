/* A hierarchical timing wheel: any number of timers, each set, moved and cancelled in constant
 * time.
 *
 * Time is an argument, in ms of any one clock that does not go back; tests own it. Timers are
 * embedded in the caller's objects: the wheel allocates nothing, and no function can fail. The
 * resolution is 1 ms. A timer never fires early; it fires in the first wheel_run() with a `now` of
 * its time or later. The wheel reaches 2^36 ms (two years) ahead; a timer that is set further away
 * fires then.
 *
 * Not thread-safe. */
#ifndef MIRED_BASE_WHEEL_H
#define MIRED_BASE_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

enum { WHEEL_LEVELS = 6, WHEEL_SLOTS = 64 };

struct timer {
    struct timer *next, **prev; /* private; prev is NULL when not set */
    uint64_t at;                /* ms; when it is due */
};

struct wheel {
    uint64_t now;
    uint64_t count;              /* timers set */
    uint64_t busy[WHEEL_LEVELS]; /* a bit for each slot that is not empty */
    struct timer *slot[WHEEL_LEVELS][WHEEL_SLOTS];
};

#define WHEEL_IDLE UINT64_MAX

void wheel_init(struct wheel *w, uint64_t now);

/* Sets a timer, or moves one that is set. `at` in the past means the next wheel_run(). A zeroed
 * timer is valid and not set. The timer's memory must stay until it has fired or is cancelled. */
void wheel_set(struct wheel *w, struct timer *t, uint64_t at);

/* Cancels a timer; does nothing when it is not set. */
void wheel_cancel(struct wheel *w, struct timer *t);

static inline bool wheel_is_set(const struct timer *t)
{
    return t->prev != 0;
}

/* Moves the wheel to `now` and calls `due` for each timer that has become due, in the order of
 * their slots. The timer is no longer set then: `due` may set it again, set and cancel others, and
 * free the memory that the timer is in. A timer that `due` sets for `now` or before fires in the
 * next run, so a run always ends. */
void wheel_run(struct wheel *w, uint64_t now, void (*due)(struct timer *t, void *arg), void *arg);

/* The time at which wheel_run() should next be called: at the first timer or earlier; WHEEL_IDLE
 * when no timer is set. */
uint64_t wheel_next(const struct wheel *w);

/* For tests: asserts that every timer is in the right slot. */
void wheel_validate(const struct wheel *w);

#endif
