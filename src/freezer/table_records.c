/* The frozen table's records; see table_part.h. Runs in the freezer. */
#include <string.h>

#include "freezer/table_part.h"

enum { RESERVE_RECORDS = 1024 };

static size_t address_len(uint8_t family)
{
    return family == 4 ? 4 : 16;
}

static size_t tcp_len(uint8_t family)
{
    return ADDRESSES_AT + 2 * address_len(family);
}

static size_t packed_len(const struct record *r)
{
    return tcp_len(r->octets[KEY_AT]) + (r->flags & RECORD_BEHIND ? sizeof(struct addr) : 0) +
           (r->flags & RECORD_OWN_CHANNEL ? sizeof(uint32_t) : 0);
}

size_t record_pack(const struct frozen_hold *h, uint8_t out[PACKED_MAX], uint8_t *flags)
{
    size_t n = address_len(h->tcp.family), len = tcp_len(h->tcp.family);

    *flags = 0;
    memcpy(out, &h->tcp, ADDRESSES_AT);
    memcpy(out + ADDRESSES_AT, h->tcp.local, n);
    memcpy(out + ADDRESSES_AT + n, h->tcp.remote, n);
    if (h->client.family != ADDR_NONE) {
        *flags |= RECORD_BEHIND;
        memcpy(out + len, &h->client, sizeof h->client);
        len += sizeof h->client;
    }
    if (h->way) {
        *flags |= RECORD_OWN_CHANNEL;
        memcpy(out + len, &h->way, sizeof h->way);
        len += sizeof h->way;
    }
    return len;
}

void record_unpack(const struct record *r, struct frozen_hold *h)
{
    const uint8_t *from = r->octets, *more = from + tcp_len(from[KEY_AT]);
    size_t n = address_len(from[KEY_AT]);

    h->tcp = (struct tcp_frozen){0};
    memcpy(&h->tcp, from, ADDRESSES_AT);
    memcpy(h->tcp.local, from + ADDRESSES_AT, n);
    memcpy(h->tcp.remote, from + ADDRESSES_AT + n, n);
    h->client = (struct addr){0};
    if (r->flags & RECORD_BEHIND) {
        memcpy(&h->client, more, sizeof h->client);
        more += sizeof h->client;
    }
    h->way = 0;
    if (r->flags & RECORD_OWN_CHANNEL)
        memcpy(&h->way, more, sizeof h->way);
}

struct span record_key(const uint8_t *packed)
{
    return (struct span){(const char *)packed + KEY_AT, tcp_len(packed[KEY_AT]) - KEY_AT};
}

bool records_reserve(struct frozen_table *t)
{
    while (t->used_below >= t->reserved_below) {
        uint32_t more = t->records - t->reserved_below;
        if (more > RESERVE_RECORDS)
            more = RESERVE_RECORDS;
        if (mapfile_reserve(&t->file, (size_t)t->reserved_below * FROZEN_RECORD,
                            (size_t)more * FROZEN_RECORD) < 0)
            return false;
        t->reserved_below += more;
    }
    return true;
}

void records_trim(struct frozen_table *t)
{
    uint32_t chunks = t->used_below / RESERVE_RECORDS + 1;
    uint64_t keep = (uint64_t)chunks * RESERVE_RECORDS;

    if (keep >= t->records)
        return;
    mapfile_trim(&t->file, keep * FROZEN_RECORD);
    if (t->reserved_below > keep)
        t->reserved_below = (uint32_t)keep;
}

static uint32_t take(struct frozen_table *t)
{
    uint32_t id = t->free;

    if (id)
        t->free = record_at(t, id)->more;
    else if (t->used_below < t->records && records_reserve(t))
        id = t->used_below++;
    return id;
}

/* Chains are validated when the file is opened. But if the file is truncated meanwhile, a link can
 * have any value. */
void records_give(struct frozen_table *t, uint32_t id)
{
    while (id && id < t->used_below) {
        struct record *r = record_at(t, id);
        uint32_t more = r->more;
        record_set_state(r, RECORD_FREE);
        r->more = t->free;
        t->free = id;
        id = more;
    }
}

uint32_t records_take(struct frozen_table *t, size_t len)
{
    uint32_t first = take(t);
    if (!first)
        return 0;
    struct record *r = record_at(t, first);
    r->more = 0;
    for (size_t room = INLINE; room < len; room += MORE_ROOM) {
        uint32_t id = take(t);
        if (!id) {
            records_give(t, first);
            return 0;
        }
        /* order among them does not matter before they are written */
        record_at(t, id)->more = r->more;
        r->more = id;
    }
    return first;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

void records_write(struct frozen_table *t, uint32_t first, struct span packed, struct span session)
{
    struct record *r = record_at(t, first);
    size_t n = least(session.len, INLINE - packed.len);

    r->len = (uint16_t)(packed.len + session.len);
    memcpy(r->octets, packed.at, packed.len);
    if (n) /* an empty span may have a null pointer, which memcpy() does not allow */
        memcpy(r->octets + packed.len, session.at, n);
    for (uint32_t id = r->more; id; id = record_at(t, id)->more) {
        size_t here = least(session.len - n, MORE_ROOM);
        memcpy((char *)record_at(t, id) + 8, session.at + n, here);
        record_set_state(record_at(t, id), RECORD_MORE);
        n += here;
    }
}

/* Whether a record, maybe of a damaged file, has a valid TCP state and length. */
static bool is_sound(const struct record *r)
{
    uint8_t family = r->octets[KEY_AT];

    return (family == 4 || family == 6) && r->len >= packed_len(r) &&
           r->len <= packed_len(r) + FROZEN_SESSION_MAX;
}

bool records_read(const struct frozen_table *t, uint32_t first, struct frozen_hold *h,
                  char room[FROZEN_ROOM])
{
    const struct record *r = record_at(t, first);
    uint32_t id = r->more;

    if (!is_sound(r))
        return false;
    size_t n = least(r->len, INLINE), packed_octets = packed_len(r);
    memcpy(room, r->octets, n);
    while (n < r->len) {
        if (id == 0 || id >= t->used_below || record_at(t, id)->state != RECORD_MORE)
            return false;
        size_t here = least(r->len - n, MORE_ROOM);
        memcpy(room + n, (const char *)record_at(t, id) + 8, here);
        n += here;
        id = record_at(t, id)->more;
    }
    *h = (struct frozen_hold){.due_ms = r->due_ms,
                              .frozen_ms = r->due_ms - r->asleep_ms,
                              .slot = r->slot,
                              .session = {room + packed_octets, n - packed_octets}};
    record_unpack(r, h);
    return true;
}

/* Checks the whole chain with its end, because records_give() follows it to its end. */
bool records_claim(const struct frozen_table *t, uint32_t first, uint8_t *wanted)
{
    const struct record *r = record_at(t, first);

    if (!is_sound(r))
        return false;
    uint32_t id = r->more;
    size_t room = INLINE;
    for (; room < r->len && id != 0; room += MORE_ROOM) {
        if (id >= t->used_below || record_at(t, id)->state != RECORD_MORE || wanted[id])
            break;
        wanted[id] = 1;
        id = record_at(t, id)->more;
    }
    if (id == 0 && room >= r->len)
        return true;
    uint32_t taken = r->more; /* the part up to the fault may belong to another hold */
    for (size_t back = INLINE; back < room; back += MORE_ROOM) {
        wanted[taken] = 0;
        taken = record_at(t, taken)->more;
    }
    return false;
}
