/* The keys to be sent (outbox.h): a circular queue, and an index that knows for most keys whether
 * they are queued. A key that the index has lost may be sent twice, which does no harm. */
#include "fleet/outbox.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "fleet/name_hash.h"

enum { PLACES = 4 * OUTBOX_MOST };

int outbox_open(struct outbox *o)
{
    *o = (struct outbox){.item = calloc(OUTBOX_MOST, sizeof *o->item),
                         .place = calloc(PLACES, sizeof *o->place)};
    if (getrandom(&o->key, sizeof o->key, 0) != sizeof o->key)
        return -EIO;
    return o->item && o->place ? 0 : -ENOMEM;
}

void outbox_close(struct outbox *o)
{
    free(o->item);
    free(o->place);
    *o = (struct outbox){0};
}

static uint32_t *place_of(struct outbox *o, const struct ledger_name *n)
{
    return &o->place[name_hash(&o->key, n) & (PLACES - 1)];
}

bool outbox_add(struct outbox *o, const struct outbox_item *item)
{
    uint32_t *place = place_of(o, &item->name);

    if (*place) {
        uint32_t at = *place - 1;
        struct outbox_item *there = &o->item[at];
        bool in = (at + OUTBOX_MOST - o->first) % OUTBOX_MOST < o->count;
        if (in && there->name.id == item->name.id && there->name.kind == item->name.kind) {
            there->forget |= item->forget;
            there->ask = item->ask ? item->ask : there->ask;
            there->hash = item->hash ? item->hash : there->hash;
            return true;
        }
    }
    if (o->count == OUTBOX_MOST)
        return false;
    uint32_t at = (o->first + o->count++) % OUTBOX_MOST;
    o->item[at] = *item;
    *place = at + 1;
    return true;
}

const struct outbox_item *outbox_take(struct outbox *o)
{
    if (o->count == 0)
        return NULL;
    const struct outbox_item *item = &o->item[o->first];
    o->first = (o->first + 1) % OUTBOX_MOST;
    o->count--;
    return item;
}

const struct outbox_item *outbox_peek(const struct outbox *o, uint32_t n)
{
    return n < o->count ? &o->item[(o->first + n) % OUTBOX_MOST] : NULL;
}

void outbox_clock_was_set(struct outbox *o, int64_t by_ms)
{
    for (uint32_t i = 0; i < o->count; i++)
        o->item[(o->first + i) % OUTBOX_MOST].since_ms += (uint64_t)by_ms;
}
