/* Which worker slot's query a source gets next; see source_slots.h. Runs in clerks. */
#include "directory/source_slots.h"

#include <stdbool.h>
#include <stdlib.h>

struct queries {
    uint32_t waiting, running;
    uint64_t last; /* the number of its last turn; 0: it had none */
};

struct source_slots {
    uint32_t slots, first;
    bool known; /* `first` is right */
    uint64_t turns;
    struct queries slot[];
};

struct source_slots *source_slots_open(uint32_t slots)
{
    struct source_slots *s = calloc(1, sizeof *s + slots * sizeof s->slot[0]);

    if (s)
        s->slots = slots;
    return s;
}

void source_slots_wait(struct source_slots *s, uint32_t slot)
{
    s->slot[slot].waiting++;
    s->known = false;
}

void source_slots_leave(struct source_slots *s, uint32_t slot)
{
    s->slot[slot].waiting--;
    s->known = false;
}

void source_slots_begin(struct source_slots *s, uint32_t slot)
{
    s->slot[slot].running++;
    s->slot[slot].last = ++s->turns;
    s->known = false;
}

void source_slots_end(struct source_slots *s, uint32_t slot)
{
    s->slot[slot].running--;
    s->known = false;
}

static bool is_before(const struct queries *a, const struct queries *b)
{
    return a->running != b->running ? a->running < b->running : a->last < b->last;
}

uint32_t source_slots_first(struct source_slots *s)
{
    if (s->known)
        return s->first;
    s->known = true;
    s->first = UINT32_MAX;
    for (uint32_t i = 0; i < s->slots; i++)
        if (s->slot[i].waiting &&
            (s->first == UINT32_MAX || is_before(&s->slot[i], &s->slot[s->first])))
            s->first = i;
    return s->first;
}
