/* Remembers the last releases; see released.h. In the freezer and in workers. Pure. */
#include "freezer/released.h"

#include <stddef.h>

/* Where the network is, or the oldest place. */
static size_t place_for(struct released *r, const struct network *n, uint64_t now)
{
    for (size_t i = 0; i < RELEASED_PLACES; i++)
        if (r->last[i].until > now && network_equal(&r->last[i].network, n))
            return i;
    size_t oldest = r->next++ % RELEASED_PLACES;
    if (r->last[oldest].until > now)
        r->all_until = r->last[oldest].until;
    return oldest;
}

void released_note(struct released *r, const struct network *n, uint64_t now)
{
    size_t place = place_for(r, n, now);

    r->last[place].network = *n;
    r->last[place].until = now + RELEASED_MS;
}

bool released_lately(const struct released *r, const struct addr *client, uint64_t since,
                     uint64_t now)
{
    if (r->all_until > now)
        return true;
    for (size_t i = 0; i < RELEASED_PLACES; i++)
        if (r->last[i].until > now && r->last[i].until >= since + RELEASED_MS &&
            network_concerns(&r->last[i].network, client))
            return true;
    return false;
}
