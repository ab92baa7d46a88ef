/* The pace of reloads, as a virtual schedule (GCRA): each reload spends RELOAD_EVERY_MS. */
#include "master/reload_pace.h"

uint64_t reload_pace_wait(const struct reload_pace *p, uint64_t now)
{
    uint64_t ahead = (uint64_t)(RELOAD_AT_ONCE - 1) * RELOAD_EVERY_MS;

    return p->spent_until > now + ahead ? p->spent_until - now - ahead : 0;
}

void reload_pace_take(struct reload_pace *p, uint64_t now)
{
    p->spent_until = (p->spent_until > now ? p->spent_until : now) + RELOAD_EVERY_MS;
}
