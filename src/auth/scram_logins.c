/* The table of SCRAM logins; see scram_logins.h. A pending login is in the place that its number
 * gives. */
#include "auth/scram_logins.h"

#include <stdlib.h>

static struct scram_pending **place_of(struct scram_logins *t, uint32_t number)
{
    return &t->place[number % SCRAM_LOGINS_MAX];
}

struct scram_pending *scram_logins_begin(struct scram_logins *t, uint16_t slot)
{
    uint32_t number = ++t->last ? t->last : ++t->last;
    struct scram_pending **place = place_of(t, number);

    if (*place)
        scram_logins_end(t, *place);
    *place = calloc(1, sizeof **place);
    if (*place) {
        (*place)->number = number;
        (*place)->slot = slot;
    }
    return *place;
}

struct scram_pending *scram_logins_find(const struct scram_logins *t, uint16_t slot,
                                        uint32_t number)
{
    struct scram_pending *pending = t->place[number % SCRAM_LOGINS_MAX];

    return pending && pending->number == number && pending->slot == slot ? pending : NULL;
}

void scram_logins_end(struct scram_logins *t, struct scram_pending *pending)
{
    *place_of(t, pending->number) = NULL;
    if (pending->at)
        dovecot_scram_cancel(pending->at, &pending->dovecot);
    scram_login_wipe(&pending->login);
    buf_free(&pending->name);
    free(pending);
}

void scram_logins_close(struct scram_logins *t)
{
    for (uint32_t i = 0; i < SCRAM_LOGINS_MAX; i++)
        if (t->place[i])
            scram_logins_end(t, t->place[i]);
}
