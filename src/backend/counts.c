/* Messages of each backend; see counts.h. Places are never given back, so a backend that is
 * configured again continues its count. A site never needs a thousand names. */
#include "backend/counts.h"

#include <stdio.h>
#include <string.h>

uint32_t counts_place(const struct counts *c, const char *backend)
{
    uint32_t i = 0;

    if (!c)
        return COUNTS_PLACES;
    while (i < COUNTS_PLACES && c->at[i].name[0] &&
           strncmp(c->at[i].name, backend, COUNTS_NAME - 1) != 0)
        i++;
    return i < COUNTS_PLACES && c->at[i].name[0] ? i : COUNTS_PLACES;
}

void counts_name(struct counts *c, const char *backend)
{
    if (counts_place(c, backend) < COUNTS_PLACES)
        return;
    for (uint32_t i = 0; i < COUNTS_PLACES; i++)
        if (!c->at[i].name[0]) {
            snprintf(c->at[i].name, COUNTS_NAME, "%s", backend);
            return;
        }
}

void counts_add(struct counts *c, uint32_t place)
{
    if (c && place < COUNTS_PLACES)
        atomic_fetch_add_explicit(&c->at[place].messages, 1, memory_order_relaxed);
}
