/* The pace of handshakes; see shakes.h. */
#include "worker/shakes.h"

#include <math.h>

static double live(const struct shakes_client *c, uint64_t now)
{
    return c->fruitless * exp2(-(double)(now - c->at) / SHAKES_HALF_LIFE_MS);
}

uint64_t shakes_wait(struct shakes *s, uint64_t client, bool in_debt, uint64_t wait_ms,
                     uint64_t most_ms, uint64_t now)
{
    struct shakes_client *c = &s->client[client % SHAKES_PLACES];
    uint64_t at = now + wait_ms;

    if (!in_debt && live(c, now) < SHAKES_FREE)
        return wait_ms;
    if (at < c->next)
        at = c->next;
    if (at - now < most_ms)
        c->next = at + SHAKES_APART_MS;
    return at - now;
}

void shakes_fruitless(struct shakes *s, uint64_t client, uint64_t now)
{
    struct shakes_client *c = &s->client[client % SHAKES_PLACES];

    c->fruitless = live(c, now) + 1;
    c->at = now;
}
