/* A hierarchical timing wheel: any number of timers, each set, moved and cancelled in constant
 * time.
 *
 * Time is an argument, in ms of any one clock that does not go back; tests own it. Timers are
 * embedded in what they time and linked in place: the wheel allocates nothing. Resolution is 1 ms;
 * a timer never fires early, and fires at the first wheel_run() whose `now` has reached it. Reach:
 * 2^36 ms (two years); what is set further away fires there.
 *
 * One thread. */
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

/* Sets, or moves, a timer. `at` in the past means the next wheel_run(). A zeroed timer is a valid
 * one that is not set. */
void wheel_set(struct wheel *w, struct timer *t, uint64_t at);

/* Does nothing when it is not set. */
void wheel_cancel(struct wheel *w, struct timer *t);

static inline bool wheel_is_set(const struct timer *t)
{
    return t->prev != 0;
}

/* Moves the wheel to `now` and calls `due` for each timer that has become due, in order of their
 * slots, already unset: `due` may set it again, set and cancel others, and free the memory it
 * stands in. A timer set within `due` for `now` or before is called in the next run, so a run
 * always ends. */
void wheel_run(struct wheel *w, uint64_t now, void (*due)(struct timer *t, void *arg), void *arg);

/* The time at which wheel_run() should next be called: never later than the first timer, maybe
 * earlier; WHEEL_IDLE when no timer is set. */
uint64_t wheel_next(const struct wheel *w);

/* For tests: asserts that every timer stands where it belongs. */
void wheel_validate(const struct wheel *w);

#endif
