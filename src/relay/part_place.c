/* Chooses the backend of its route that a part of a hand-over gets; see relay_part.h. */
#include <stdatomic.h>

#include "config/config.h"
#include "relay/relay_part.h"

static bool fits(const struct backend *b, const struct part *p)
{
    return b->ability.size_max == 0 || p->delivery.job.size <= b->ability.size_max;
}

/* A backend that is slow or away must not fill the spool while others have mail to hand over.
 * Beyond half of the spool, each backend gets a worker's share of the other half. */
static bool has_its_share(const struct relay *r, const struct backend *b)
{
    const struct relay_params *params = &r->params;
    uint64_t half = params->config->spool_max / 2;

    if (r->in_use < 2 || !params->spool_used || atomic_load(params->spool_used) < half)
        return false;
    return r->held[b->index] > half / (params->slots ? params->slots : 1);
}

/* If a message is too large for this backend, it goes to another one, even if that is down now. If
 * it is too large for all backends of the route, it is refused in a backend's own words. */
static bool can_take(const struct relay *r, const struct backend *b, struct part *p)
{
    if (has_its_share(r, b))
        return false;
    if (!fits(b, p))
        for (size_t i = 0; i < p->route.count; i++)
            if (fits(&r->backend[p->route.section[i]], p))
                return false;
    if (!b->known || !b->up || (outbound_needs(&p->delivery.job) & ~b->ability.caps) == 0)
        return true;
    p->lacking = true;
    return false;
}

void part_leave(struct part *p)
{
    if (p->held && p->delivery.backend)
        p->handover->relay->held[p->delivery.backend->index] -= p->held;
    p->held = 0;
}

bool part_put(struct part *p, struct backend *b)
{
    struct relay *r = p->handover->relay;

    if (!pool_put(b, &p->delivery))
        return false;
    p->held = p->delivery.job.size;
    r->held[b->index] += p->held;
    return true;
}

bool part_place(struct part *p)
{
    struct relay *r = p->handover->relay;
    size_t count = p->route.count;
    bool in_turn = r->params.config->balance == BALANCE_ROUND_ROBIN;
    size_t first = in_turn ? r->turn[p->route.list]++ : 0;

    for (int down = 0; down < 2; down++)
        for (size_t i = 0; i < count; i++) {
            size_t at = (first + i) % count;
            struct backend *b = &r->backend[p->route.section[at]];
            if (p->tried >> at & 1 || (b->known && !b->up) != down || !can_take(r, b, p))
                continue;
            if (part_put(p, b))
                return true;
            p->tried |= UINT64_C(1) << at;
        }
    return false;
}

uint64_t part_backend_bit(const struct part *p, const struct backend *b)
{
    for (size_t i = 0; i < p->route.count; i++)
        if (p->route.section[i] == b->index)
            return UINT64_C(1) << i;
    return 0;
}
