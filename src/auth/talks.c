/* The table of SCRAM logins; see talks.h. A talk stands at the place that its number gives. */
#include "auth/talks.h"

#include <stdlib.h>

static struct talk **place_of(struct talks *t, uint32_t number)
{
    return &t->place[number % TALKS_MAX];
}

struct talk *talks_begin(struct talks *t, uint16_t slot)
{
    uint32_t number = ++t->last ? t->last : ++t->last;
    struct talk **place = place_of(t, number);

    if (*place)
        talks_end(t, *place);
    *place = calloc(1, sizeof **place);
    if (*place) {
        (*place)->number = number;
        (*place)->slot = slot;
    }
    return *place;
}

struct talk *talks_find(const struct talks *t, uint16_t slot, uint32_t number)
{
    struct talk *talk = t->place[number % TALKS_MAX];

    return talk && talk->number == number && talk->slot == slot ? talk : NULL;
}

void talks_end(struct talks *t, struct talk *talk)
{
    *place_of(t, talk->number) = NULL;
    if (talk->at)
        dovecot_scram_cancel(talk->at, &talk->dovecot);
    scram_login_wipe(&talk->login);
    free(talk);
}

void talks_close(struct talks *t)
{
    for (uint32_t i = 0; i < TALKS_MAX; i++)
        if (t->place[i])
            talks_end(t, t->place[i]);
}
