/* Whether the resolver answers at all.
 *
 * Queries about clients cannot tell: clients control their own zones and can make them time out. So
 * after several unanswered queries mired probes the root's name servers. Only when the probe times
 * out too is the resolver down; then only the probe is sent until it is answered. One thread. */
#ifndef MIRED_DNS_HEALTH_H
#define MIRED_DNS_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"

struct resolver;

enum {
    HEALTH_MISSES = 5,      /* queries in a row without an answer */
    HEALTH_AGAIN_MS = 1000, /* between two probes while the resolver is down */
};

struct health {
    struct loop *loop;
    struct resolver *resolver;
    struct alarm again;
    uint32_t missed; /* in a row */
    bool down, asking;
};

void health_open(struct health *h, struct loop *loop, struct resolver *resolver);

/* Call it before the resolver is closed; later answers are ignored. */
void health_close(struct health *h);

/* Reports the status with which a query of resolver_ask() ended. A server's failure (SERVFAIL)
 * counts as an answer. */
void health_heard(struct health *h, int status);

/* True: send no query but the probe. */
static inline bool health_is_down(const struct health *h)
{
    return h->down;
}

/* Whether a recent query was answered. */
static inline bool health_is_sound(const struct health *h)
{
    return h->missed < HEALTH_MISSES;
}

#endif
