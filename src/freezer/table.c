/* The frozen table; see table.h. Runs in the freezer.
 *
 * A ring of lists has the holds by the time at which they are due, one list for each TICK_MS. A
 * hold beyond the ring's range waits in the last list, and is moved on when that list is due.
 * Record 0 is never used, so 0 means "none" in every link. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "freezer/table_part.h"
#include "query/tally.h"

enum {
    VERSION = 4,
    IN_NO_LIST = UINT16_MAX,
    TALLY_MOST = 1000000, /* holds that are looked at for a tally */
    LATEST_MS = 86400000, /* no hold is longer: otherwise the file is damaged */
};

/* ---- lists of what is due ---- */

static void link_due(struct frozen_table *t, uint32_t id, uint64_t when)
{
    struct record *r = record_at(t, id);
    uint64_t tick = (when + TABLE_TICK_MS - 1) / TABLE_TICK_MS;

    if (tick < t->tick)
        tick = t->tick;
    if (tick > t->tick + TABLE_RING - 2)
        tick = t->tick + TABLE_RING - 2;
    if (tick < t->nothing)
        t->nothing = tick;
    r->ring = (uint16_t)(tick % TABLE_RING);
    r->previous_due = 0;
    r->next_due = t->ring[r->ring];
    if (r->next_due)
        record_at(t, r->next_due)->previous_due = id;
    t->ring[r->ring] = id;
}

static void unlink_due(struct frozen_table *t, uint32_t id)
{
    struct record *r = record_at(t, id);

    if (r->ring == IN_NO_LIST)
        return;
    if (r->previous_due)
        record_at(t, r->previous_due)->next_due = r->next_due;
    else
        t->ring[r->ring] = r->next_due;
    if (r->next_due)
        record_at(t, r->next_due)->previous_due = r->previous_due;
    r->ring = IN_NO_LIST;
}

/* ---- opening ---- */

static uint32_t last_used(const struct frozen_table *t)
{
    /* Records are used from the file's beginning, and the file is longer than its used part, so
     * record 0 has the count. A truncated file has fewer. */
    const uint32_t *mark = t->file.body;
    size_t present = mapfile_present(&t->file) / FROZEN_RECORD;
    uint32_t used = *mark <= t->records && *mark > 0 ? *mark : 1;
    if (used > present)
        used = (uint32_t)present;
    return used ? used : 1;
}

static void mark_used(struct frozen_table *t)
{
    *(uint32_t *)t->file.body = t->used_below;
}

/* A hold that was frozen after `now`: the clock has gone back since. Its whole time begins again. */
static void mend_time(struct record *r, uint64_t now)
{
    if (r->asleep_ms <= LATEST_MS && r->due_ms > now + r->asleep_ms)
        r->due_ms = now + r->asleep_ms;
}

/* Reads all records of the file and links the holds in. */
static int recover(struct frozen_table *t, uint64_t now, uint64_t keep_ms)
{
    t->used_below = last_used(t);
    uint8_t *wanted = calloc(1, (size_t)t->used_below + 1);
    if (!wanted)
        return -ENOMEM;
    for (uint32_t id = 1; id < t->used_below; id++) {
        struct record *r = record_at(t, id);
        if (r->state != RECORD_HOLD)
            continue;
        mend_time(r, now);
        if (r->due_ms + keep_ms < now || r->due_ms > now + LATEST_MS ||
            !records_claim(t, id, wanted)) {
            record_set_state(r, RECORD_FREE);
            continue;
        }
        wanted[id] = 1;
        t->count++;
        index_add(t, id, index_hash(t, r->octets));
        link_due(t, id, record_at(t, id)->due_ms);
    }
    while (t->used_below > 1 && !wanted[t->used_below - 1])
        t->used_below--;
    records_trim(t);
    for (uint32_t id = t->used_below; id-- > 1;)
        if (!wanted[id]) {
            record_set_state(record_at(t, id), RECORD_FREE);
            record_at(t, id)->more = t->free;
            t->free = id;
        }
    free(wanted);
    return 0;
}

static const char magic[8] = "MRDFROZN";

static size_t size_of(uint32_t records)
{
    return (size_t)records * FROZEN_RECORD;
}

int table_prepare(const char *path, uint32_t records)
{
    return mapfile_prepare(path, magic, VERSION, size_of(records));
}

int table_open(struct frozen_table **out, const char *path, uint32_t records, uint64_t now,
               uint64_t keep_ms)
{
    struct frozen_table *t = calloc(1, sizeof *t);
    if (!t)
        return -ENOMEM;
    t->records = records;
    t->tick = now / TABLE_TICK_MS;
    t->nothing = UINT64_MAX;
    int r = mapfile_open_prepared(&t->file, path, magic, VERSION, size_of(records));
    if (r < 0) {
        free(t);
        return r;
    }
    t->cut = t->file.cut ? *t->file.cut : 0;
    if ((r = index_open(&t->index, records)) < 0) {
        table_close(t);
        return r;
    }
    if (!records_reserve(t)) {
        table_close(t);
        return -ENOSPC;
    }
    r = recover(t, now, keep_ms);
    if (r < 0) {
        table_close(t);
        return r;
    }
    *out = t;
    return 0;
}

bool table_is_cut(const struct frozen_table *t)
{
    return t->damaged || (t->file.cut && *t->file.cut != t->cut);
}

void table_close(struct frozen_table *t)
{
    if (!t)
        return;
    mapfile_close(&t->file);
    index_close(&t->index);
    free(t);
}

/* ---- use ---- */

static void drop_same(struct frozen_table *t, const uint8_t *packed, uint32_t hash)
{
    uint32_t id = index_find(t, packed, hash);

    if (id)
        table_drop(t, id);
}

int table_put(struct frozen_table *t, const struct frozen_hold *h)
{
    uint8_t packed[PACKED_MAX], flags;
    size_t n = record_pack(h, packed, &flags);

    if (h->session.len > FROZEN_SESSION_MAX)
        return -E2BIG;
    uint32_t hash = index_hash(t, packed);
    drop_same(t, packed, hash);
    uint32_t id = records_take(t, n + h->session.len);
    if (!id)
        return -ENOSPC;
    mark_used(t);

    struct record *r = record_at(t, id);
    r->flags = flags;
    r->due_ms = h->due_ms;
    r->asleep_ms = h->due_ms > h->frozen_ms ? (uint32_t)(h->due_ms - h->frozen_ms) : 0;
    r->slot = h->slot;
    records_write(t, id, (struct span){(char *)packed, n}, h->session);
    t->count++;
    index_add(t, id, hash);
    link_due(t, id, record_at(t, id)->due_ms);
    record_set_state(r, RECORD_HOLD);
    return 0;
}

void table_forget(struct frozen_table *t, const struct frozen_hold *h)
{
    uint8_t packed[PACKED_MAX], flags;

    record_pack(h, packed, &flags);
    drop_same(t, packed, index_hash(t, packed));
}

/* The free record that the next put takes, and the list that its hold goes into, are prefetched by
 * their neighbours: records are used in the order of their places, and holds of one time are due
 * together. */
void table_expect(const struct frozen_table *t, const struct frozen_hold *const *h, size_t n)
{
    uint8_t packed[PACKED_MAX], flags;
    uint32_t hash[TCP_JOBS];

    if (n > TCP_JOBS)
        n = TCP_JOBS;
    for (size_t i = 0; i < n; i++) {
        record_pack(h[i], packed, &flags);
        hash[i] = index_hash(t, packed);
    }
    index_expect(t, hash, n);
}

void table_expect_drops(const struct frozen_table *t, const uint32_t *id, size_t n)
{
    index_expect_removals(&t->index, id, n);
}

/* Moves on a hold whose list is due now but which is due later, beyond the ring's range. */
static void put_further(struct frozen_table *t, uint32_t id)
{
    unlink_due(t, id);
    t->tick++; /* so that it goes into a later list, which may be the same place in the ring */
    link_due(t, id, record_at(t, id)->due_ms);
    t->tick--;
}

bool table_due(struct frozen_table *t, uint64_t now, uint32_t *id, struct frozen_hold *h,
               char room[FROZEN_ROOM])
{
    while (t->tick <= now / TABLE_TICK_MS && !table_is_cut(t)) {
        uint32_t first = t->ring[t->tick % TABLE_RING];
        if (!first) {
            t->tick++;
        } else if (record_at(t, first)->due_ms > now + TABLE_TICK_MS) {
            put_further(t, first);
        } else if (!records_read(t, first, h, room)) {
            t->damaged = true; /* its links are not reliable either */
        } else {
            unlink_due(t, first);
            *id = first;
            return true;
        }
    }
    return false;
}

void table_clock_was_set(struct frozen_table *t, int64_t by)
{
    for (uint32_t id = 1; id < t->used_below; id++) {
        struct record *r = record_at(t, id);
        if (r->state == RECORD_HOLD)
            r->due_ms += (uint64_t)by;
    }
}

void table_again(struct frozen_table *t, uint32_t id, uint64_t when)
{
    unlink_due(t, id);
    link_due(t, id, when);
}

void table_drop(struct frozen_table *t, uint32_t id)
{
    /* first: a crash from here on must not find it again */
    record_set_state(record_at(t, id), RECORD_FREE);
    unlink_due(t, id);
    index_remove(t, id);
    records_give(t, id);
    t->count--;
}

uint64_t table_next(struct frozen_table *t)
{
    if (t->count == 0)
        return UINT64_MAX;
    uint64_t tick = t->tick > t->nothing ? t->tick : t->nothing;
    if (tick >= t->tick + TABLE_RING)
        tick = t->tick;
    while (!t->ring[tick % TABLE_RING] && tick < t->tick + TABLE_RING)
        tick++;
    t->nothing = tick;
    return tick * TABLE_TICK_MS;
}

static void release(struct frozen_table *t, uint32_t id, uint64_t now)
{
    struct record *r = record_at(t, id);
    uint64_t frozen = r->due_ms - r->asleep_ms;

    r->due_ms = now;
    r->asleep_ms = now > frozen ? (uint32_t)(now - frozen) : 0;
    table_again(t, id, now);
}

/* The client of a hold; false if the record is not a hold. */
static bool peer_of(const struct record *r, struct addr *peer)
{
    struct frozen_hold h;
    struct addr local;

    if (r->state != RECORD_HOLD)
        return false;
    record_unpack(r, &h);
    tcp_ends(&h.tcp, &local, peer);
    if (h.client.family != ADDR_NONE)
        *peer = h.client;
    return true;
}

static bool is_hold_of(const struct record *r, const struct network *n)
{
    struct addr peer;

    return peer_of(r, &peer) && (!n || network_concerns(n, &peer));
}

uint32_t table_release(struct frozen_table *t, const struct network *n, uint64_t now)
{
    uint32_t released = 0;

    for (uint32_t id = 1; id < t->used_below; id++) {
        if (!is_hold_of(record_at(t, id), n))
            continue;
        release(t, id, now);
        released++;
    }
    return released;
}

uint32_t table_count(const struct frozen_table *t)
{
    return t->count;
}

uint32_t table_count_of(const struct frozen_table *t, const struct network *n)
{
    uint32_t count = 0;

    for (uint32_t id = 1; id < t->used_below; id++)
        count += is_hold_of(record_at(t, id), n);
    return count;
}

int table_tally(const struct frozen_table *t, struct tally *tally)
{
    struct addr peer;

    if (t->used_below > TALLY_MOST)
        return -E2BIG;
    for (uint32_t id = 1; id < t->used_below; id++)
        if (peer_of(record_at(t, id), &peer))
            tally_count(tally, &peer);
    return 0;
}
