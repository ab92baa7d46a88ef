/* From this mired to Redis: keys from the ring, and sweeps of the ledger when the ring has lost
 * events or Redis was away.
 *
 * A key's share goes to two places: at once a batch in the stream, for all members that are up, and
 * a moment later a field of its hash, for members that see the client for the first time. The hash
 * costs Redis four times as much as the stream. So under load the hashes wait, and changes of one
 * key that come within that time are written together.
 *
 * A share is a whole state, not a difference. So it does no harm that one is lost or sent twice: the
 * next one replaces it. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "fleet/fleet_part.h"
#include "fleet/name_hash.h"

enum { RING_AT_ONCE = 1 << 16, SWEEP_AT_ONCE = 1 << 16, STUCK_MS = 1000, EXPIRY_LEAST_S = 60 };

/* A key that changes often is written once in this time. The stream tells each change at once. */
enum { KEY_WAITS_MS = 250 };

enum { PREFETCH_AHEAD = 12 };

int send_open(struct fleet *f)
{
    f->sent = calloc(SENT_PLACES, sizeof *f->sent);
    f->expiry = calloc(EXPIRY_PLACES, sizeof *f->expiry);
    f->resync_ms = UINT64_MAX;
    f->ring_at = others_next(f->params->others);
    if (!f->sent || !f->expiry || outbox_open(&f->outbox) < 0)
        return -ENOMEM;
    return outbox_open(&f->keys);
}

void send_close(struct fleet *f)
{
    outbox_close(&f->outbox);
    outbox_close(&f->keys);
    free(f->sent);
    free(f->expiry);
}

void send_expiry_unknown(struct fleet *f)
{
    memset(f->expiry, 0, EXPIRY_PLACES * sizeof *f->expiry);
}

void send_sweep(struct fleet *f, uint64_t since_ms)
{
    if (f->sweeping && since_ms >= f->sweep_since_ms && f->sweep_at == 0)
        return;
    if (f->sweeping && f->sweep_since_ms < since_ms)
        since_ms = f->sweep_since_ms;
    f->sweeping = true;
    f->sweep_since_ms = since_ms;
    f->sweep_at = 0;
    f->noted_at = 0;
}

static void want_resync(struct fleet *f, uint64_t since_ms)
{
    if (since_ms < f->resync_ms)
        f->resync_ms = since_ms;
}

/* ---- the ring ---- */

static void lost_events(struct fleet *f)
{
    want_resync(f, f->synced_ms);
}

static bool is_whole_name(const struct ledger_name *n)
{
    return ledger_name_is_label(n->kind) || n->id;
}

static void take_event(struct fleet *f, const struct others_event *e)
{
    if (!is_whole_name(&e->name))
        return;
    if (e->what == OTHERS_SENT) {
        usage_booked(f->usage, f->params->ledger, e, f->loop.wall);
        return;
    }
    if (e->what == OTHERS_SIGHT) {
        receive_sight(f, &e->name, e->hash);
        return;
    }
    f->bookings++;
    if (!ledger_name_is_label(e->name.kind))
        book_note(f->mirror.book, &e->name, e->hash, f->loop.wall);
    if (e->what == OTHERS_FORGOTTEN)
        mirror_forget(&f->mirror, &e->name, f->loop.wall, f->loop.wall);
    if (!outbox_add(&f->outbox, &(struct outbox_item){.name = e->name,
                                                      .hash = e->hash,
                                                      .since_ms = f->loop.wall,
                                                      .forget = e->what == OTHERS_FORGOTTEN}))
        lost_events(f);
}

static bool drain_ring(struct fleet *f)
{
    struct others_event e;
    unsigned n = 0;
    int r = 0;

    while (n < RING_AT_ONCE && f->outbox.count < OUTBOX_MOST - 1 &&
           (r = others_read(f->params->others, f->owner, &f->ring_at, &e)) != 0) {
        n++;
        if (r < 0)
            lost_events(f);
        else
            take_event(f, &e);
    }
    bool stuck = r == 0 && f->ring_at < others_next(f->params->others);
    if (!stuck || n) {
        f->stuck_since_ms = 0;
    } else if (!f->stuck_since_ms) {
        f->stuck_since_ms = f->loop.now;
    } else if (f->loop.now - f->stuck_since_ms > STUCK_MS) { /* its writer was killed */
        others_skip(f->params->others, f->owner, &f->ring_at);
        lost_events(f);
    }
    return n == RING_AT_ONCE;
}

/* ---- sweeps ---- */

static bool sweep_one(struct fleet *f, struct outbox_item *item, uint64_t *seen_ms)
{
    struct ledger_key k;

    if (ledger_next_own(f->params->ledger, &f->sweep_at, &k, &item->name, seen_ms)) {
        item->hash = k.hash;
        return true;
    }
    *seen_ms = UINT64_MAX; /* pairs and accounts that have changed while this process ran */
    return book_next_noted(f->mirror.book, &f->noted_at, &item->name, &item->hash);
}

static void sweep(struct fleet *f)
{
    struct outbox_item item = {.since_ms = f->loop.wall};
    uint64_t seen_ms;

    if (f->resync_ms != UINT64_MAX && !f->sweeping) {
        send_sweep(f, f->resync_ms);
        f->resync_ms = UINT64_MAX;
    }
    for (unsigned n = 0; f->sweeping && n < SWEEP_AT_ONCE; n++) {
        if (f->outbox.count >= OUTBOX_MOST / 2)
            return;
        if (!sweep_one(f, &item, &seen_ms)) {
            f->sweeping = false;
            return;
        }
        if (seen_ms + 1000 >= f->sweep_since_ms)
            outbox_add(&f->outbox, &item);
    }
}

/* ---- to Redis ---- */

/* Some other program has the key. Its share goes through the stream only, and the fleet goes on. */
static void tell_type(struct fleet *f, const struct ledger_name *n)
{
    char text[KEY_TEXT_MOST];
    struct span key = fleet_key(f, n, text);

    if (f->wrong_types++ == 0)
        log_warn("fleet: Redis has another kind of value at %.*s, so members that start later do "
                 "not hear of this client; delete the key",
                 (int)key.len, key.at);
}

static void share_told(struct link_redis *l, uint64_t arg, const redisReply *r)
{
    struct fleet *f = fleet_of_link(l);

    if (!r || r->type != REDIS_REPLY_ERROR)
        return; /* a broken connection is told by servers' node_lost */
    uint16_t node = servers_error(&f->servers, l, r);
    struct fleet_sent *sent = &f->sent[arg % SENT_PLACES];
    if (reply_error(r) == REPLY_MOVED)
        outbox_add(&f->keys,
                   &(struct outbox_item){.name = sent->name,
                                         .hash = sent->hash,
                                         .since_ms = f->loop.wall,
                                         .ask = node == SERVERS_NONE ? 0 : (uint16_t)(node + 1)});
    else if (reply_error(r) == REPLY_TYPE)
        tell_type(f, &sent->name);
    else
        fleet_refused(f, l, r);
}

static void other_told(struct link_redis *l, uint64_t arg, const redisReply *r)
{
    struct fleet *f = fleet_of_link(l);

    if (!r || r->type != REDIS_REPLY_ERROR)
        return;
    servers_error(&f->servers, l, r);
    if (reply_error(r) != REPLY_MOVED)
        fleet_refused(f, l, r);
}

/* ---- keys ---- */

static uint64_t *expiry_place(struct fleet *f, const struct ledger_name *n, uint64_t *tag)
{
    uint64_t h = name_hash(&f->places, n);

    *tag = h & UINT32_MAX;
    return &f->expiry[h >> 32 & (EXPIRY_PLACES - 1)];
}

/* The next command is for a key that a cluster is moving to this node. */
static void asking(struct link_redis *l)
{
    link_command(l, other_told, 0, 1, (struct span[]){SPAN("ASKING")});
}

static void expire(struct link_redis *l, struct span key, uint64_t lasts_ms, bool ask,
                   link_told *told, uint64_t number, const char *condition)
{
    char ms[24];
    struct span text = {ms, (size_t)(write_decimal(lasts_ms, 1, ms) - ms)};

    if (ask)
        asking(l);
    link_command(l, told, number, 4,
                 (struct span[]){SPAN("PEXPIRE"), key, text, span_of(condition)});
}

/* NX has set nothing if the key had a time already, which is lengthened then, but not shortened. */
static void expiry_told(struct link_redis *l, uint64_t number, const redisReply *r)
{
    struct fleet *f = fleet_of_link(l);
    struct fleet_sent *sent = &f->sent[number % SENT_PLACES];
    char text[KEY_TEXT_MOST];
    uint64_t tag;

    if (r && r->type == REDIS_REPLY_INTEGER && r->integer == 0)
        expire(l, fleet_key(f, &sent->name, text), sent->lasts_ms, sent->ask, other_told, 0, "GT");
    if (r && r->type == REDIS_REPLY_ERROR) {
        *expiry_place(f, &sent->name, &tag) = 0;
        other_told(l, number, r);
    }
}

/* Sends nothing for a key that lasts long enough in Redis. */
static void keep_alive(struct fleet *f, struct link_redis *l, struct span key,
                       const struct share *s, uint64_t number, bool ask)
{
    uint64_t now_s = f->loop.wall / 1000, lasts_s = share_lasts(s, &f->mirror.rules) / 1000;
    uint64_t tag, *place = expiry_place(f, &s->name, &tag);

    if (lasts_s < EXPIRY_LEAST_S)
        lasts_s = EXPIRY_LEAST_S;
    if ((*place & UINT32_MAX) == tag && *place >> 32 >= now_s + lasts_s)
        return;
    lasts_s += lasts_s / 4;
    f->sent[number % SENT_PLACES].lasts_ms = lasts_s * 1000;
    f->sent[number % SENT_PLACES].ask = ask;
    expire(l, key, lasts_s * 1000, ask, expiry_told, number, "NX");
    *place = (now_s + lasts_s) << 32 | tag;
}

/* Writes the share to its key. False: no node to write it to. */
static bool write_key(struct fleet *f, const struct outbox_item *item)
{
    char text[KEY_TEXT_MOST];
    uint8_t value[SHARE_VALUE_MOST];
    uint64_t seen_ms;
    struct share s;
    struct span key = fleet_key(f, &item->name, text);
    struct span member = span_of(f->members.at[0].name);
    struct link_redis *l = item->ask ? servers_node(&f->servers, (uint16_t)(item->ask - 1))
                                     : servers_link(&f->servers, key);

    if (!l)
        return false;
    mirror_own(&f->mirror, &item->name, item->hash, f->loop.wall, &s, &seen_ms);
    uint64_t number = f->sent_count++;
    f->sent[number % SENT_PLACES] = (struct fleet_sent){.name = item->name, .hash = item->hash};
    if (item->ask)
        asking(l);
    if (share_is_nothing(&s.is)) {
        link_command(l, share_told, number, 3, (struct span[]){SPAN("HDEL"), key, member});
        return true;
    }
    size_t len = share_write(&s, f->mirror.skew, value);
    link_command(l, share_told, number, 4,
                 (struct span[]){SPAN("HSET"), key, member, {(const char *)value, len}});
    keep_alive(f, l, key, &s, number, item->ask);
    return true;
}

static void prefetch(const struct fleet *f, const struct outbox_item *item)
{
    if (item)
        mirror_prefetch(&f->mirror, &item->name, false);
}

static void write_keys(struct fleet *f, bool all)
{
    uint32_t most = all ? WAITING_MOST : KEYS_WAITING;
    const struct outbox_item *item;
    bool all_sent = true;

    while (servers_waiting(&f->servers) < most && f->servers.up &&
           (item = outbox_peek(&f->keys, 0)) != NULL) {
        bool may_wait = !all && !item->ask && f->keys.count < OUTBOX_MOST / 2;
        if (may_wait && item->since_ms + KEY_WAITS_MS > f->loop.wall)
            break;
        prefetch(f, outbox_peek(&f->keys, PREFETCH_AHEAD));
        all_sent &= write_key(f, outbox_take(&f->keys));
    }
    if (!all_sent) /* a node of the cluster is away */
        want_resync(f, f->synced_ms);
    servers_flush(&f->servers);
}

void send_keys_now(struct fleet *f)
{
    if (f->state == FLEET_UP && !f->refused)
        write_keys(f, true);
}

/* ---- the stream ---- */

static void send_entry(struct fleet *f, char part, struct span data, uint64_t sent_ms)
{
    struct link_redis *home = servers_home(&f->servers);
    char entries[24], ms[24], number[24], name[2] = {part, 0};

    if (!home)
        return;
    snprintf(ms, sizeof ms, "%" PRIu64, (uint64_t)((int64_t)sent_ms + f->mirror.skew));
    snprintf(number, sizeof number, "%" PRIu64, part == 's' ? ++f->batches : f->batches);
    link_command(home, other_told, 0, 14,
                 (struct span[]){SPAN("XADD"), span_of(f->stream), SPAN("MAXLEN"), SPAN("~"),
                                 fleet_stream_entries(f, entries), SPAN("*"), SPAN("m"),
                                 span_of(f->members.at[0].name), SPAN("t"), span_of(ms), SPAN("n"),
                                 span_of(number), span_of(name), data});
}

void send_order(struct fleet *f, const char *text)
{
    send_entry(f, 'o', span_of(text), f->loop.wall);
    servers_flush(&f->servers);
}

void send_standing(struct fleet *f, struct span lines)
{
    send_entry(f, 'l', lines, f->loop.wall);
}

bool send_is_due(struct fleet *f, struct telling *t, uint64_t each_ms, bool *all)
{
    enum { AGAIN_MS = 10000 };

    if (f->state != FLEET_UP || f->refused || f->loop.now < t->due_ms)
        return false;
    t->due_ms = f->loop.now + each_ms;
    *all = t->again && f->loop.now >= t->again_due;
    if (*all) {
        t->again = false;
        t->again_due = f->loop.now + AGAIN_MS;
    }
    return true;
}

void send_records(struct fleet *f, char part, size_t octets, send_next *next, void *state)
{
    static uint8_t batch[BATCH_OCTETS];
    size_t len = 0;

    while (next(f, state, batch + len)) {
        len += octets;
        if (len + octets > sizeof batch) {
            send_entry(f, part, (struct span){(char *)batch, len}, f->loop.wall);
            len = 0;
        }
    }
    if (len)
        send_entry(f, part, (struct span){(char *)batch, len}, f->loop.wall);
    servers_flush(&f->servers);
}

void send_hello(struct fleet *f)
{
    f->hello_ms = f->loop.now + pace_hello_ms(members_present(&f->members, f->loop.wall)) - 500;
    char text[HELLO_TEXT];
    struct hello h;

    status_own(f, &h);
    hello_write(&h, text);
    send_entry(f, 'h', span_of(text), f->loop.wall);
}

static void flush(struct fleet *f)
{
    static uint8_t batch[BATCH_OCTETS];
    size_t len = 0;
    uint64_t oldest = UINT64_MAX, seen_ms;
    struct share s;

    while (servers_waiting(&f->servers) < WAITING_MOST && f->servers.up && f->outbox.count > 0 &&
           f->keys.count < OUTBOX_MOST) {
        prefetch(f, outbox_peek(&f->outbox, PREFETCH_AHEAD));
        struct outbox_item item = *outbox_take(&f->outbox);
        mirror_own(&f->mirror, &item.name, item.hash, f->loop.wall, &s, &seen_ms);
        oldest = item.since_ms < oldest ? item.since_ms : oldest;
        len += share_put(&s, f->mirror.skew, batch + len);
        outbox_add(&f->keys, &item);
        if (len + SHARE_NAME + 1 + SHARE_VALUE_MOST > sizeof batch) {
            send_entry(f, 's', (struct span){(char *)batch, len}, oldest);
            servers_flush(&f->servers);
            len = 0;
            oldest = UINT64_MAX;
            if (servers_unsent(&f->servers) > UNSENT_MOST)
                break;
        }
    }
    if (len > 0)
        send_entry(f, 's', (struct span){(char *)batch, len}, oldest);
    servers_flush(&f->servers);
}

/* What has left both queues was answered, or its connection broke, within this time. */
enum { ANSWERED_MS = 2 * SERVERS_SILENCE_MS };

static void note_progress(struct fleet *f)
{
    const struct outbox_item *first = outbox_peek(&f->keys, 0);
    uint64_t oldest = first ? first->since_ms : f->loop.wall;

    if (f->sweeping || f->resync_ms != UINT64_MAX || f->outbox.count > 0)
        return;
    f->shared_ms = f->loop.wall;
    if (oldest > f->synced_ms + ANSWERED_MS)
        f->synced_ms = oldest - ANSWERED_MS;
}

bool send_turn(struct fleet *f, bool at_once)
{
    unsigned members = members_present(&f->members, f->loop.wall);
    bool due = at_once || f->loop.now >= f->entries_ms || f->outbox.count >= OUTBOX_MOST / 4;

    bool more = drain_ring(f);

    mirror_turn(&f->mirror, f->loop.wall);

    if (f->state != FLEET_UP || f->refused)
        return false;
    sweep(f);
    if (due && f->outbox.count > 0) {
        flush(f);
        f->entries_ms = f->loop.now + pace_entries_ms(members);
    }
    write_keys(f, false);
    note_progress(f);
    return more || f->sweeping || (due && f->outbox.count > 0);
}
