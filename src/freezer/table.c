/* The frozen table; see table.h. Runs in the freezer.
 *
 * Due holds are kept in a ring of lists, one for each TICK_MS; a hold further away than the ring
 * reaches waits in the last list and is put further when that comes. Record 0 is never used, so 0
 * is "none" in every link. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mapfile.h"
#include "base/siphash.h"
#include "freezer/table.h"

enum { TICK_MS = 32, RING = 16384 /* 524 s */ };

enum record_state { RECORD_FREE = 0, RECORD_HOLD = 0x48, RECORD_MORE = 0x4d };

struct record {
    uint8_t state; /* enum record_state; the only field that a crash must not find half written */
    uint8_t unused;
    uint16_t slot;
    uint32_t more;      /* the session goes on there */
    uint32_t same_hash; /* links; meaningless in a file just opened */
    uint32_t next_due, previous_due;
    uint32_t ring; /* which due list */
    uint64_t due_ms, frozen_ms;
    uint16_t session_len; /* in all */
    uint8_t session[FROZEN_INLINE - 2];
    struct tcp_frozen tcp;
};

enum {
    MORE_ROOM = FROZEN_RECORD - 8
}; /* a further record keeps its first 8 octets, the rest is session */

_Static_assert(sizeof(struct record) <= FROZEN_RECORD,
               "a frozen hold must stay within 256 octets, index included");
_Static_assert(offsetof(struct record, same_hash) == 8, "further records begin their octets here");

struct frozen_table {
    struct mapfile file;
    uint32_t records;
    uint32_t count;      /* holds */
    uint32_t used_below; /* no record from here on was ever used */
    uint32_t free;       /* list through .more */
    uint32_t *bucket;    /* by four addresses and ports */
    uint32_t buckets;
    uint32_t ring[RING];
    uint64_t tick; /* the next list to be looked at */
};

static struct record *at(const struct frozen_table *t, uint32_t id)
{
    return (struct record *)((char *)t->file.body + (size_t)id * FROZEN_RECORD);
}

static void set_state(struct record *r, enum record_state state)
{
    __atomic_store_n(&r->state, (uint8_t)state, __ATOMIC_RELEASE);
}

static uint32_t *bucket_of(const struct frozen_table *t, const struct tcp_frozen *tcp)
{
    const size_t addresses = offsetof(struct tcp_frozen, family) + 1;
    return &t->bucket[siphash(&t->file.key, tcp, addresses) & (t->buckets - 1)];
}

static bool same_connection(const struct tcp_frozen *a, const struct tcp_frozen *b)
{
    return memcmp(a, b, offsetof(struct tcp_frozen, family) + 1) == 0;
}

/* ---- lists ---- */

static void link_due(struct frozen_table *t, uint32_t id)
{
    struct record *r = at(t, id);
    uint64_t tick = (r->due_ms + TICK_MS - 1) / TICK_MS;

    if (tick < t->tick)
        tick = t->tick;
    if (tick > t->tick + RING - 2)
        tick = t->tick + RING - 2;
    r->ring = (uint32_t)(tick % RING);
    r->previous_due = 0;
    r->next_due = t->ring[r->ring];
    if (r->next_due)
        at(t, r->next_due)->previous_due = id;
    t->ring[r->ring] = id;
}

static void unlink_due(struct frozen_table *t, uint32_t id)
{
    struct record *r = at(t, id);

    if (r->previous_due)
        at(t, r->previous_due)->next_due = r->next_due;
    else
        t->ring[r->ring] = r->next_due;
    if (r->next_due)
        at(t, r->next_due)->previous_due = r->previous_due;
}

static void link_hash(struct frozen_table *t, uint32_t id)
{
    uint32_t *bucket = bucket_of(t, &at(t, id)->tcp);
    at(t, id)->same_hash = *bucket;
    *bucket = id;
}

static void unlink_hash(struct frozen_table *t, uint32_t id)
{
    uint32_t *p = bucket_of(t, &at(t, id)->tcp);
    while (*p != id)
        p = &at(t, *p)->same_hash;
    *p = at(t, id)->same_hash;
}

static uint32_t find(struct frozen_table *t, const struct tcp_frozen *tcp)
{
    uint32_t id = *bucket_of(t, tcp);
    while (id && !same_connection(&at(t, id)->tcp, tcp))
        id = at(t, id)->same_hash;
    return id;
}

/* ---- records ---- */

static uint32_t take(struct frozen_table *t)
{
    uint32_t id = t->free;

    if (id)
        t->free = at(t, id)->more;
    else if (t->used_below < t->records)
        id = t->used_below++;
    return id;
}

static void give(struct frozen_table *t, uint32_t id)
{
    while (id) {
        struct record *r = at(t, id);
        uint32_t more = r->more;
        set_state(r, RECORD_FREE);
        r->more = t->free;
        t->free = id;
        id = more;
    }
}

/* Room for a session of `len` octets: the first record's id, the others chained; 0 when there is
 * none. */
static uint32_t take_chain(struct frozen_table *t, size_t len)
{
    uint32_t first = take(t);
    if (!first)
        return 0;
    struct record *r = at(t, first);
    r->more = 0;
    for (size_t room = sizeof r->session; room < len; room += MORE_ROOM) {
        uint32_t id = take(t);
        if (!id) {
            give(t, first);
            return 0;
        }
        at(t, id)->more =
            at(t, first)->more; /* order among them does not matter before they are written */
        at(t, first)->more = id;
    }
    return first;
}

static void write_session(struct frozen_table *t, uint32_t first, struct span session)
{
    struct record *r = at(t, first);
    size_t n = session.len < sizeof r->session ? session.len : sizeof r->session;

    r->session_len = (uint16_t)session.len;
    memcpy(r->session, session.at, n);
    for (uint32_t id = r->more; id; id = at(t, id)->more) {
        size_t left = session.len - n;
        size_t here = left < MORE_ROOM ? left : MORE_ROOM;
        memcpy((char *)at(t, id) + 8, session.at + n, here);
        set_state(at(t, id), RECORD_MORE);
        n += here;
    }
}

/* Reads it back; false when the chain is not what it should be (a damaged file). */
static bool read_session(const struct frozen_table *t, uint32_t first, char *out)
{
    const struct record *r = at(t, first);
    size_t n = r->session_len < sizeof r->session ? r->session_len : sizeof r->session;
    uint32_t id = r->more;

    if (r->session_len > FROZEN_SESSION_MAX)
        return false;
    memcpy(out, r->session, n);
    while (n < r->session_len) {
        if (id == 0 || id >= t->used_below || at(t, id)->state != RECORD_MORE)
            return false;
        size_t left = r->session_len - n;
        size_t here = left < MORE_ROOM ? left : MORE_ROOM;
        memcpy(out + n, (const char *)at(t, id) + 8, here);
        n += here;
        id = at(t, id)->more;
    }
    return true;
}

/* ---- opening ---- */

/* Marks the further records of a hold as wanted; false when its chain is broken. */
static bool claim_chain(struct frozen_table *t, uint32_t first, uint8_t *wanted)
{
    const struct record *r = at(t, first);
    size_t room = sizeof r->session;

    for (uint32_t id = r->more; room < r->session_len; room += MORE_ROOM) {
        if (id == 0 || id >= t->records || at(t, id)->state != RECORD_MORE || wanted[id])
            return false;
        wanted[id] = 1;
        id = at(t, id)->more;
    }
    return r->session_len <= FROZEN_SESSION_MAX;
}

static uint32_t last_used(const struct frozen_table *t)
{
    /* The file is sparse, and records are used from its beginning: look at one record of each page
     * from the end would read every page in, so the count is kept in record 0. */
    const uint32_t *mark = t->file.body;
    return *mark <= t->records && *mark > 0 ? *mark : 1;
}

static void mark_used(struct frozen_table *t)
{
    *(uint32_t *)t->file.body = t->used_below;
}

/* Goes over what the file holds and links it in. */
static int recover(struct frozen_table *t, uint64_t now, uint64_t keep_ms)
{
    t->used_below = last_used(t);
    uint8_t *wanted = calloc(1, t->used_below);
    if (!wanted)
        return -ENOMEM;
    for (uint32_t id = 1; id < t->used_below; id++) {
        struct record *r = at(t, id);
        if (r->state != RECORD_HOLD)
            continue;
        if (r->due_ms + keep_ms < now || !claim_chain(t, id, wanted)) {
            set_state(r, RECORD_FREE);
            continue;
        }
        wanted[id] = 1;
        link_hash(t, id);
        link_due(t, id);
        t->count++;
    }
    for (uint32_t id = t->used_below; id-- > 1;)
        if (!wanted[id]) {
            set_state(at(t, id), RECORD_FREE);
            at(t, id)->more = t->free;
            t->free = id;
        }
    free(wanted);
    return 0;
}

int table_open(struct frozen_table **out, const char *path, uint32_t records, uint64_t now,
               uint64_t keep_ms)
{
    struct frozen_table *t = calloc(1, sizeof *t);
    if (!t)
        return -ENOMEM;
    t->records = records;
    t->buckets = 1024;
    while (t->buckets < records)
        t->buckets *= 2;
    t->tick = now / TICK_MS;
    t->bucket = calloc(t->buckets, sizeof *t->bucket);
    int r = t->bucket ? mapfile_open(&t->file, path, "MRDFROZN", 1, (size_t)records * FROZEN_RECORD)
                      : -ENOMEM;
    if (r < 0) {
        free(t->bucket);
        free(t);
        return r;
    }
    r = recover(t, now, keep_ms);
    if (r < 0) {
        table_close(t);
        return r;
    }
    *out = t;
    return 0;
}

void table_close(struct frozen_table *t)
{
    if (!t)
        return;
    mapfile_close(&t->file);
    free(t->bucket);
    free(t);
}

/* ---- use ---- */

int table_put(struct frozen_table *t, const struct frozen_hold *h)
{
    if (h->session.len > FROZEN_SESSION_MAX)
        return -E2BIG;
    uint32_t old = find(t, &h->tcp);
    if (old)
        table_drop(t, old);
    uint32_t id = take_chain(t, h->session.len);
    mark_used(t);
    if (!id)
        return -ENOSPC;

    struct record *r = at(t, id);
    r->tcp = h->tcp;
    r->due_ms = h->due_ms;
    r->frozen_ms = h->frozen_ms;
    r->slot = h->slot;
    write_session(t, id, h->session);
    link_hash(t, id);
    link_due(t, id);
    t->count++;
    set_state(r, RECORD_HOLD);
    return 0;
}

bool table_due(struct frozen_table *t, uint64_t now, uint32_t *id, struct frozen_hold *h,
               char room[FROZEN_SESSION_MAX])
{
    while (t->tick <= now / TICK_MS) {
        uint32_t first = t->ring[t->tick % RING];
        if (!first) {
            t->tick++;
            continue;
        }
        struct record *r = at(t, first);
        if (r->due_ms > now + TICK_MS) { /* the ring did not reach so far */
            unlink_due(t, first);
            t->tick++; /* so that it goes into a later list, even if it is the same place in the
                          ring */
            link_due(t, first);
            t->tick--;
            continue;
        }
        if (!read_session(t, first, room)) {
            table_drop(t, first);
            continue;
        }
        *id = first;
        *h = (struct frozen_hold){.tcp = r->tcp,
                                  .due_ms = r->due_ms,
                                  .frozen_ms = r->frozen_ms,
                                  .slot = r->slot,
                                  .session = {room, r->session_len}};
        return true;
    }
    return false;
}

void table_again(struct frozen_table *t, uint32_t id, uint64_t when)
{
    unlink_due(t, id);
    at(t, id)->due_ms = when;
    link_due(t, id);
}

void table_drop(struct frozen_table *t, uint32_t id)
{
    set_state(at(t, id), RECORD_FREE); /* first: a crash from here on must not find it again */
    unlink_due(t, id);
    unlink_hash(t, id);
    give(t, id);
    t->count--;
}

uint64_t table_next(const struct frozen_table *t)
{
    if (t->count == 0)
        return UINT64_MAX;
    uint64_t tick = t->tick;
    while (!t->ring[tick % RING] && tick < t->tick + RING)
        tick++;
    return tick * TICK_MS;
}

uint32_t table_release(struct frozen_table *t, const struct network *n, uint64_t now)
{
    uint32_t released = 0;

    for (uint32_t id = 1; id < t->used_below; id++) {
        const struct record *r = at(t, id);
        if (r->state != RECORD_HOLD)
            continue;
        struct addr a = {.family = r->tcp.family == 4 ? ADDR_IP4 : ADDR_IP6};
        memcpy(a.octets, r->tcp.remote, a.family == ADDR_IP4 ? 4 : 16);
        if (!network_contains(n, &a))
            continue;
        table_again(t, id, now);
        released++;
    }
    return released;
}

uint32_t table_count(const struct frozen_table *t)
{
    return t->count;
}
