/* The table of SCRAM logins; see scram_logins.h. Runs in clerks. */
#include "auth/scram_logins.h"

#include <stdlib.h>

#include "base/container.h"

static struct scram_pending *pending_of(struct place *place)
{
    return container_of(place, struct scram_pending, place);
}

bool scram_logins_open(struct scram_logins *t, uint32_t slots, uint32_t from)
{
    *t = (struct scram_logins){.last = from, .places = places_open(SCRAM_LOGINS_MAX, slots)};
    return t->places;
}

void scram_pending_end(struct scram_pending *pending)
{
    if (pending->at)
        dovecot_scram_cancel(pending->at, &pending->dovecot);
    scram_login_wipe(&pending->login);
    buf_free(&pending->name);
    free(pending);
}

/* After 2^32 logins numbers begin again. One that waits since then keeps its number. */
static uint32_t next_number(struct scram_logins *t)
{
    do
        t->last++;
    while (t->last == 0 || places_find(t->places, t->last));
    return t->last;
}

bool scram_logins_add(struct scram_logins *t, struct scram_pending *pending, uint16_t slot)
{
    struct place *lost = places_take(t->places, &pending->place, slot, next_number(t));
    bool added = lost != &pending->place;

    if (lost)
        scram_pending_end(pending_of(lost));
    return added;
}

struct scram_pending *scram_logins_find(const struct scram_logins *t, uint16_t slot,
                                        uint32_t number)
{
    struct place *place = places_find(t->places, number);

    return place && place->slot == slot ? pending_of(place) : NULL;
}

void scram_logins_end(struct scram_logins *t, struct scram_pending *pending)
{
    places_leave(t->places, &pending->place);
    scram_pending_end(pending);
}

void scram_logins_close(struct scram_logins *t)
{
    for (struct place *place; t->places && (place = places_first(t->places));)
        scram_logins_end(t, pending_of(place));
    places_close(t->places);
    t->places = NULL;
}
