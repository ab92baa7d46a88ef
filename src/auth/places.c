/* Places for logins that wait; see places.h. Runs in clerks. */
#include "auth/places.h"

#include <stdlib.h>

#include "base/container.h"

enum { BUCKETS = 1024 };

struct slot {
    struct ring places;
    uint32_t count;
};

struct places {
    uint32_t most, count, slots;
    struct place *bucket[BUCKETS];
    struct slot slot[];
};

struct places *places_open(uint32_t count, uint32_t slots)
{
    struct places *p = calloc(1, sizeof *p + slots * sizeof p->slot[0]);

    if (!p)
        return NULL;
    p->most = count;
    p->slots = slots;
    for (uint32_t i = 0; i < slots; i++)
        ring_init(&p->slot[i].places);
    return p;
}

void places_close(struct places *p)
{
    free(p);
}

static struct place *oldest(const struct slot *s)
{
    return container_of(s->places.next, struct place, link);
}

/* The slot with the most places; among equals `own`. */
static struct slot *fullest(struct places *p, struct slot *own)
{
    struct slot *most = own;

    for (struct slot *s = p->slot; s < p->slot + p->slots; s++)
        if (s->count > most->count)
            most = s;
    return most;
}

struct place *places_take(struct places *p, struct place *place, uint32_t slot, uint32_t number)
{
    struct slot *s = &p->slot[slot < p->slots ? slot : p->slots - 1];
    struct place **bucket = &p->bucket[number % BUCKETS];

    place->number = number;
    place->slot = (uint32_t)(s - p->slot);
    place->next = *bucket;
    *bucket = place;
    ring_add(&s->places, &place->link);
    s->count++;
    if (++p->count <= p->most)
        return NULL;
    struct place *lost = oldest(fullest(p, s));
    places_leave(p, lost);
    return lost;
}

struct place *places_find(const struct places *p, uint32_t number)
{
    struct place *place = p->bucket[number % BUCKETS];

    while (place && place->number != number)
        place = place->next;
    return place;
}

void places_leave(struct places *p, struct place *place)
{
    struct place **at = &p->bucket[place->number % BUCKETS];

    while (*at != place)
        at = &(*at)->next;
    *at = place->next;
    ring_remove(&place->link);
    p->slot[place->slot].count--;
    p->count--;
}

/* The oldest of the first slot, from this one on, that has any. */
static struct place *first_from(const struct places *p, uint32_t slot)
{
    for (; slot < p->slots; slot++)
        if (p->slot[slot].count)
            return oldest(&p->slot[slot]);
    return NULL;
}

struct place *places_first(const struct places *p)
{
    return first_from(p, 0);
}

struct place *places_next(const struct places *p, const struct place *place)
{
    if (place->link.next != &p->slot[place->slot].places)
        return container_of(place->link.next, struct place, link);
    return first_from(p, place->slot + 1);
}
