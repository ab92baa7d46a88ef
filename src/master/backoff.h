/* When a child that died is started again: the first time at once, then with growing delays.
 * Pure. */
#ifndef MIRED_MASTER_BACKOFF_H
#define MIRED_MASTER_BACKOFF_H

#include <stdint.h>

enum {
    BACKOFF_FIRST_MS = 100,
    BACKOFF_MAX_MS = 10000,
    BACKOFF_RESET_MS = 60000, /* a child that ran for so long counts as healthy */
};

struct backoff {
    uint32_t deaths; /* in a row, each before BACKOFF_RESET_MS */
};

/* A child died after `ran_ms`. Returns in how many ms it is started again: 0, then 100, doubled
 * each time up to 10 s. */
uint64_t backoff_next(struct backoff *b, uint64_t ran_ms);

#endif
