/* From Redis to this mired: the stream with changes, and whole keys where the stream does not help:
 * when a client is seen for the first time, or after a gap. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/metrics.h"
#include "fleet/fleet_part.h"
#include "fleet/name_hash.h"

enum {
    TAIL_SILENCE_MS = 3000,
    BLOCK_MS = 1000,
    EPOCH_BITS = 20,
    PREFETCH_AHEAD = 12,
    WOKEN_MEMBERS = 8,
    PREDECESSOR_MS = 5000,
    KEYS_LATE_MS = 2000,
};

int receive_open(struct fleet *f)
{
    f->asked = calloc(ASKED_PLACES, sizeof *f->asked);
    f->epoch = 1;
    f->tail.watch.fd = -1;
    return f->asked ? 0 : -ENOMEM;
}

void receive_close(struct fleet *f)
{
    link_close(&f->tail);
    free(f->asked);
}

void receive_missed(struct fleet *f)
{
    f->epoch++;
}

/* ---- shares ---- */

/* A share from before a release may come after it: Redis still has those of members that are down, and
 * this member's own from before it went away. */
static void forget_released(const struct fleet *f, struct share *s)
{
    uint64_t fleet_now = (uint64_t)((int64_t)f->loop.wall + f->mirror.skew);

    if (s->stamp_ms > orderbook_last_forgot(f->params->orderbook)) /* nearly all */
        return;
    struct ledger_key k = ledger_key_named(f->params->ledger, &s->name);
    if (!k.hash)
        return;
    struct network key = {ledger_key_addr(&k), (uint8_t)ledger_key_bits(&k)};
    if (orderbook_forgot(f->params->orderbook, &key, s->stamp_ms, fleet_now))
        share_forget(&s->is);
}

static void take_share(struct fleet *f, struct member *m, struct share *s, struct span value,
                       uint64_t hash)
{
    int r = share_read(s, value, &f->mirror.rules, f->mirror.skew, f->loop.wall);

    if (r < 0) {
        m->refused++;
        f->bad_shares++;
        return;
    }
    m->shares++;
    forget_released(f, s);
    if (members_number(&f->members, m) == BOOK_SELF)
        mirror_take_own(&f->mirror, s, hash, f->loop.wall);
    else
        mirror_take(&f->mirror, members_number(&f->members, m), s, f->loop.wall);
}

/* ---- single keys ---- */

static uint64_t *asked_place(struct fleet *f, const struct ledger_name *n, uint64_t *value)
{
    uint64_t h = name_hash(&f->places, n);

    *value = h << EPOCH_BITS | (f->epoch & ((1 << EPOCH_BITS) - 1));
    return &f->asked[h >> (64 - EPOCH_BITS) & (ASKED_PLACES - 1)];
}

struct of_key {
    struct fleet *f;
    const struct fleet_sent *asked;
};

static void take_field(void *arg, struct span name, struct span value)
{
    const struct of_key *k = arg;
    struct member *m = members_of(&k->f->members, name, k->f->loop.wall);
    struct share s = {.name = k->asked->name};

    if (m)
        take_share(k->f, m, &s, value, k->asked->hash);
}

static void ask_there(struct fleet *f, uint16_t node, struct fleet_sent asked);

static void key_told(struct link_redis *l, uint64_t arg, const redisReply *r)
{
    struct fleet *f = fleet_of_link(l);
    struct fleet_sent asked = f->sent[arg % SENT_PLACES];
    uint64_t value;

    if (r && r->type != REDIS_REPLY_ERROR) {
        reply_fields(r, take_field, &(struct of_key){f, &asked});
        return;
    }
    *asked_place(f, &asked.name, &value) = 0;
    uint16_t node = r ? servers_error(&f->servers, l, r) : SERVERS_NONE;
    if (node != SERVERS_NONE && !asked.ask)
        ask_there(f, node, asked);
}

/* A cluster is moving the key: asks the other node, but only once, so that two nodes cannot send us
 * back and forth. If there is no connection yet, the next sight of the client asks again. */
static void ask_there(struct fleet *f, uint16_t node, struct fleet_sent asked)
{
    char text[KEY_TEXT_MOST];
    struct link_redis *l = servers_node(&f->servers, node);
    uint64_t value;

    if (!l || servers_waiting(&f->servers) >= WAITING_MOST)
        return;
    asked.ask = true;
    uint64_t number = f->sent_count++;
    f->sent[number % SENT_PLACES] = asked;
    uint64_t *place = asked_place(f, &asked.name, &value);
    *place = value;
    link_command(l, NULL, 0, 1, (struct span[]){SPAN("ASKING")});
    link_command(l, key_told, number, 2,
                 (struct span[]){SPAN("HGETALL"), fleet_key(f, &asked.name, text)});
    link_flush(l);
}

void receive_ask(struct fleet *f, const struct ledger_name *n, uint64_t hash, bool again)
{
    char text[KEY_TEXT_MOST];
    uint64_t value, *place = asked_place(f, n, &value);

    if (f->state != FLEET_UP || (*place == value && !again))
        return;
    struct span key = fleet_key(f, n, text);
    struct link_redis *l = servers_link(&f->servers, key);
    if (!l || servers_waiting(&f->servers) >= WAITING_MOST)
        return;
    /* A share is in the stream before it is in its key. So what a key says just after this member
     * has joined may lack a share that it did not read in the stream either: it is asked again. */
    if (f->loop.wall > f->joined_ms + KEYS_LATE_MS)
        *place = value;
    uint64_t number = f->sent_count++;
    f->sent[number % SENT_PLACES] = (struct fleet_sent){*n, hash};
    link_command(l, key_told, number, 2, (struct span[]){SPAN("HGETALL"), key});
}

void receive_sight(struct fleet *f, const struct ledger_name *n, uint64_t hash)
{
    static const unsigned levels[] = {48, 40, 32};
    struct ledger_key k = ledger_key_named(f->params->ledger, n);

    receive_ask(f, n, hash, false);
    if (!k.hash || (n->kind & ~LEDGER_NAME_IP6) != LEDGER_CLIENT)
        return;
    struct addr a = ledger_key_addr(&k);
    bool six = a.family == ADDR_IP6;
    for (size_t i = 0; i < (six ? sizeof levels / sizeof *levels : 1); i++) {
        struct ledger_key around = ledger_key_level(f->params->ledger, &a, six ? levels[i] : 24);
        struct ledger_name name = {around.label,
                                   (uint8_t)(LEDGER_NETWORK | (six ? LEDGER_NAME_IP6 : 0))};
        if (around.hash)
            receive_ask(f, &name, around.hash, false);
    }
    struct ledger_name bounces = {n->id, (uint8_t)(LEDGER_BOUNCES | (n->kind & LEDGER_NAME_IP6))};
    receive_ask(f, &bounces, 0, false);
}

/* ---- the stream ---- */

static void take_hello(struct fleet *f, struct member *m, const struct stream_entry *e)
{
    struct hello h = hello_read(e->hello);

    if (members_number(&f->members, m) == BOOK_SELF) {
        /* Beside this process one of an earlier or a later generation may run. The hellos of this
         * member before its last start may still be in the stream. */
        int64_t sent = (int64_t)e->sent_ms - f->mirror.skew;
        if (h.mired != f->params->mired && !f->twin_said &&
            sent > (int64_t)f->joined_ms + PREDECESSOR_MS) {
            log_error("fleet: another member calls itself \"%s\"; give each its own `member`",
                      m->name);
            f->twin_said = true;
        }
        return;
    }
    if (h.version && h.version != SHARE_VERSION && h.version != m->hello.version)
        log_warn("fleet: member %s has version %lu of the shares, this one has %d; shares of an "
                 "unknown version are ignored",
                 m->name, (unsigned long)h.version, SHARE_VERSION);
    if (h.half_life != f->mirror.rules.half_life && h.half_life != m->hello.half_life)
        log_warn("fleet: member %s has half_life = %lus, this one %lus; amounts will differ",
                 m->name, (unsigned long)(h.half_life / 1000),
                 (unsigned long)(f->mirror.rules.half_life / 1000));
    if (m->hello.instance != h.instance) {
        orders_met(f);
        accounts_joined(f);
        if (orders_is_teller(f))
            settled_met(f);
    }
    m->hello = h;
    m->heard_ms = f->loop.wall;
}

static void prefetch_next(const struct fleet *f, struct span *batch)
{
    struct ledger_name name;
    struct span value;

    if (share_next(batch, &name, &value) == 1)
        mirror_prefetch(&f->mirror, &name, true);
}

static void take_batch(struct fleet *f, struct member *m, const struct stream_entry *e)
{
    struct span batch = e->shares, ahead = batch, value;
    struct share s;
    int r;

    for (int i = 0; i < PREFETCH_AHEAD; i++)
        prefetch_next(f, &ahead);
    while ((r = share_next(&batch, &s.name, &value)) == 1) {
        prefetch_next(f, &ahead);
        /* An earlier process may have known more of it than this one's book does. */
        bool partial = f->others_from_before && !book_sharers(f->mirror.book, &s.name);
        take_share(f, m, &s, value, 0);
        if (partial)
            receive_ask(f, &s.name, 0, false);
    }
    m->refused += r < 0;
    if (!e->sent_ms)
        return;
    int64_t lag = (int64_t)f->loop.wall + f->mirror.skew - (int64_t)e->sent_ms;
    m->lag_ms = lag > 0 ? (uint64_t)lag : 0;
    m->heard_ms = f->loop.wall;
    metric_took(METRIC_TIME_FLEET_LAG, m->lag_ms * 1000);
}

static void take_entry(void *arg, const struct stream_entry *e)
{
    struct fleet *f = arg;
    struct member *m = members_of(&f->members, e->member, f->loop.wall);

    f->last = e->id;
    if (!m)
        return;
    /* Redis drops the oldest entries of a long stream, whether they were read or not. */
    uint64_t expected = m->number + (e->shares.len > 0);
    if (m->number && e->number > expected)
        receive_missed(f);
    m->number = e->number;
    if (e->hello.len)
        take_hello(f, m, e);
    if (e->order.len && members_number(&f->members, m) != BOOK_SELF)
        orders_take(f, m, e->order);
    if (e->standing.len && members_number(&f->members, m) != BOOK_SELF)
        orders_take_standing(f, m, e->standing);
    if (e->settled.len && members_number(&f->members, m) != BOOK_SELF)
        settled_take(f, m, e->settled);
    if (e->accounts.len && members_number(&f->members, m) != BOOK_SELF)
        accounts_take(f, m, e->accounts);
    if (e->shares.len && members_number(&f->members, m) != BOOK_SELF)
        take_batch(f, m, e);
}

static void read_on(struct fleet *f);

static void entries_told(struct link_redis *l, uint64_t arg, const redisReply *r)
{
    struct fleet *f = fleet_of_link(l);

    if (!r)
        return;
    if (r->type == REDIS_REPLY_ERROR) {
        servers_error(&f->servers, l, r);
        link_break(l, r->str);
        return;
    }
    reply_entries(r, true, take_entry, f);
    /* Waking a reader for each entry costs Redis more than the entry. So members of a large fleet
     * read several at once. */
    unsigned present = members_present(&f->members, f->loop.wall);
    if (present > WOKEN_MEMBERS)
        loop_alarm(&f->loop, &f->read_again, f->loop.now + present / 2);
    else
        read_on(f);
}

static void read_again(struct loop *loop, struct alarm *a)
{
    struct fleet *f = fleet_of(loop);

    if (link_is_open(&f->tail))
        read_on(f);
}

static void read_on(struct fleet *f)
{
    char id[64], block[16];

    snprintf(id, sizeof id, "%lu-%lu", (unsigned long)f->last.ms, (unsigned long)f->last.n);
    snprintf(block, sizeof block, "%d", BLOCK_MS);
    link_command(&f->tail, entries_told, 0, 8,
                 (struct span[]){SPAN("XREAD"), SPAN("COUNT"), SPAN("256"), SPAN("BLOCK"),
                                 span_of(block), SPAN("STREAMS"), span_of(f->stream), span_of(id)});
    link_flush(&f->tail);
}

/* Without the stream there is no fleet, so the home connection starts again too. */
static void tail_broken(struct link_redis *l, const char *why)
{
    struct fleet *f = fleet_of_link(l);
    struct link_redis *home = servers_home(&f->servers);

    if (home)
        link_break(home, why);
}

void receive_follow(struct fleet *f)
{
    struct link_params params = servers_link_params(&f->servers);
    const struct link_redis *home = servers_home(&f->servers);

    link_close(&f->tail);
    loop_alarm_off(&f->loop, &f->read_again);
    f->read_again.due = read_again;
    params.silence_ms = TAIL_SILENCE_MS;
    params.broken = tail_broken;
    link_init(&f->tail, &params);
    if (!home)
        return;
    int error = link_open(&f->tail, home->host, home->port);
    if (error) {
        tail_broken(&f->tail, strerrordesc_np(-error));
        return;
    }
    read_on(f);
}

void receive_stop(struct fleet *f)
{
    loop_alarm_off(&f->loop, &f->read_again);
    link_close(&f->tail);
}
