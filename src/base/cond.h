/* Conditions whose waits end by the clock that nobody sets (clock_mono_ms()): one that was set would end
 * them too early or not at all. To be used and destroyed like others (pthread_cond_timedwait(3)). */
#ifndef MIRED_BASE_COND_H
#define MIRED_BASE_COND_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

static inline void cond_open(pthread_cond_t *c)
{
    pthread_condattr_t clock;

    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(c, &clock);
    pthread_condattr_destroy(&clock);
}

/* Waits for a signal until `ms`. False: it did not come in time. It may return too early, as all waits
 * for a condition may. */
static inline bool cond_wait_until(pthread_cond_t *c, pthread_mutex_t *lock, uint64_t ms)
{
    struct timespec until = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};

    return pthread_cond_timedwait(c, lock, &until) == 0;
}

#endif
