/* The table of SCRAM logins; see scram_talks.h. A talk stands at the place that its number gives.
 */
#include "auth/scram_talks.h"

#include <stdlib.h>

static struct scram_talk **place_of(struct scram_talks *t, uint32_t number)
{
    return &t->place[number % SCRAM_TALKS_MAX];
}

struct scram_talk *scram_talks_begin(struct scram_talks *t, uint16_t slot)
{
    uint32_t number = ++t->last ? t->last : ++t->last;
    struct scram_talk **place = place_of(t, number);

    if (*place)
        scram_talks_end(t, *place);
    *place = calloc(1, sizeof **place);
    if (*place) {
        (*place)->number = number;
        (*place)->slot = slot;
    }
    return *place;
}

struct scram_talk *scram_talks_find(const struct scram_talks *t, uint16_t slot, uint32_t number)
{
    struct scram_talk *talk = t->place[number % SCRAM_TALKS_MAX];

    return talk && talk->number == number && talk->slot == slot ? talk : NULL;
}

void scram_talks_end(struct scram_talks *t, struct scram_talk *talk)
{
    *place_of(t, talk->number) = NULL;
    if (talk->at)
        dovecot_scram_cancel(talk->at, &talk->dovecot);
    scram_login_wipe(&talk->login);
    buf_free(&talk->name);
    free(talk);
}

void scram_talks_close(struct scram_talks *t)
{
    for (uint32_t i = 0; i < SCRAM_TALKS_MAX; i++)
        if (t->place[i])
            scram_talks_end(t, t->place[i]);
}
