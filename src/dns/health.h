/* Whether the resolver answers at all.
 *
 * Questions about clients do not tell: whoever comes from an address may let the name servers of
 * its names be silent. So after several that were not answered a question that is nobody's (the
 * root's name servers) is asked, and only when that stays without an answer, too, is the resolver
 * taken for down; from then on it alone is asked, until it is answered. One thread. */
#ifndef MIRED_DNS_HEALTH_H
#define MIRED_DNS_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"

struct resolver;

enum {
    HEALTH_MISSES = 5,      /* questions in a row without an answer */
    HEALTH_AGAIN_MS = 1000, /* between two questions to one that is down */
};

struct health {
    struct loop *loop;
    struct resolver *resolver;
    struct alarm again;
    uint32_t missed; /* in a row */
    bool down, asking;
};

void health_open(struct health *h, struct loop *loop, struct resolver *resolver);

/* Before the resolver is closed; what is open then is answered into the void. */
void health_close(struct health *h);

/* A question has ended with this status of resolver_ask(). That a server cannot find out is an
 * answer, too. */
void health_heard(struct health *h, int status);

/* Nothing but its own question is to be asked now. */
static inline bool health_is_down(const struct health *h)
{
    return h->down;
}

/* Whether lately something has been answered. */
static inline bool health_is_sound(const struct health *h)
{
    return h->missed < HEALTH_MISSES;
}

#endif
