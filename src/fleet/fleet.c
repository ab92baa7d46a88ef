/* The fleet process (fleet.h): joins the fleet when it reaches Redis, leaves it when it does not,
 * and logs each change once.
 *
 *   away     the ring is read, and what it tells is kept as long as there is room
 *   joining  the fleet's key (made by the first member), the ends of the stream
 *   met      these are known, but the process does not serve yet
 *   up       the table is used; changes go out, the stream comes in, a sweep of the ledger repairs
 *            what was missed
 *
 * At a reload the next process is started beside the one that serves. Until its generation serves it
 * changes nothing that they share (the table, the ring, the key of mixed answers), because the
 * generation may come to nothing and the other process then goes on.
 *
 * Times in Redis are of Redis' clock. Each member measures once a second how its own clock
 * differs. */
#include "fleet/fleet.h"
#include "fleet/confine.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/sandbox.h"
#include "base/scheduling.h"
#include "fleet/fleet_part.h"
#include "fleet/key.h"
#include "query/notes.h"
#include "relay/partial_share.h"

enum {
    TURN_MS = 15,
    SOON_MS = 2,
    SECOND_MS = 1000,
    MEMORY_S = 5,
    READY_MS = 2000,
    SURE_MS = 60000,        /* what was written before that has reached a master's replicas */
    ROUND_TRIP_US = 200000, /* a slower answer says nothing about the clock */
};

/* ---- keys ---- */

struct span fleet_key(const struct fleet *f, const struct ledger_name *n, char text[KEY_TEXT_MOST])
{
    static const char letter[8] = {
        [LEDGER_CLIENT] = 'c', [LEDGER_NETWORK] = 'n',         [LEDGER_ACCOUNT] = 'a',
        [LEDGER_PAIR] = 'p',   [LEDGER_ACCOUNT_NETWORK] = 'l', [LEDGER_BOUNCES] = 'b'};
    struct ledger_key k = ledger_key_named(f->params->ledger, n);
    const char *name = f->params->config->fleet.name;
    char c = letter[n->kind & 7], address[ADDR_TEXT];
    int len;

    if (k.hash) {
        struct addr a = ledger_key_addr(&k);
        unsigned bits = ledger_key_bits(&k);
        bool plain = bits == 32 || bits == 64 || bits == 24 || bits == 48;
        bool level = a.family == ADDR_IP6 && bits != 64 && bits != 48;
        if (!level && plain) { /* nearly all */
            char *end = stpcpy(text, name);
            *end++ = ':';
            *end++ = c;
            end = stpcpy(end, addr_format(&a, address));
            return (struct span){text, (size_t)(end - text)};
        }
        len = snprintf(text, KEY_TEXT_MOST, "%s:%c%s/%u", name, c, addr_format(&a, address), bits);
    } else {
        len = snprintf(text, KEY_TEXT_MOST, "%s:%c%016" PRIx64, name, c, n->id);
    }
    return (struct span){text, (size_t)len};
}

struct span fleet_stream_entries(const struct fleet *f, char text[24])
{
    uint64_t entries =
        STREAM_ENTRIES + STREAM_ENTRIES_EACH * members_present(&f->members, f->loop.wall);
    return (struct span){text, (size_t)(write_decimal(entries, 1, text) - text)};
}

/* ---- up and away ---- */

static void set_gauges(struct fleet *f)
{
    bool up = f->state == FLEET_UP && !f->refused;

    metric_set(METRIC_FLEET_UP, up);
    metric_set(METRIC_FLEET_MEMBERS, up ? members_present(&f->members, f->loop.wall) : 0);
    metric_set(METRIC_FLEET_KEYS, book_count(f->mirror.book));
}

static void say_away(struct fleet *f, const char *why)
{
    snprintf(f->why, sizeof f->why, "%s", why);
    if (!f->said_away)
        log_warn("fleet: Redis is away, going on alone: %s", why);
    f->said_away = true;
    set_gauges(f);
}

/* A generation serves when all of its processes are ready. If the note finds no room or memory, the
 * next turn says it again. */
static void say_ready(struct fleet *f)
{
    f->may_say_ready = true;
    if (!f->said_ready)
        f->said_ready =
            channel_tell(f->params->control, NOTE_READY, (int32_t)sandbox_compiled(), 0, NULL) == 0;
}

static void say_up(struct fleet *f)
{
    log_info("fleet: up, as member %s of %s", f->members.at[0].name, f->params->config->fleet.name);
    f->said_away = false;
    f->why[0] = '\0';
    set_gauges(f);
}

void fleet_refused(struct fleet *f, struct link_redis *l, const redisReply *r)
{
    switch (reply_error(r)) {
    case REPLY_FULL:
    case REPLY_FORBIDDEN:
    case REPLY_TYPE:
    case REPLY_OTHER:
        f->resync_ms = f->synced_ms < f->resync_ms ? f->synced_ms : f->resync_ms;
        if (!f->refused) {
            f->refused = true;
            say_away(f, r->str);
        }
        break;
    case REPLY_BUSY:
        f->resync_ms = f->synced_ms < f->resync_ms ? f->synced_ms : f->resync_ms;
        break;
    case REPLY_FINE:
    case REPLY_MOVED:
    case REPLY_READ_ONLY: break;
    }
}

/* ---- joining ---- */

static void ask_time(struct fleet *f, struct link_redis *home);

static bool later(const struct stream_id *a, const struct stream_id *b)
{
    return stream_id_compare(a, b) > 0;
}

/* The fleet's key and the ends of the stream are known. */
static void join(struct fleet *f)
{
    static const struct stream_id none;
    bool lost = later(&f->last, &f->newest); /* the stream is another one, or was cut off */
    bool missed = f->joined && later(&f->oldest, &f->last);

    others_activate(f->params->others, &f->key.key, f->owner);
    if (!f->joined || lost || missed) {
        receive_missed(f);
        /* Another stream is read from its beginning: its shares are good whatever their age, and a
         * member that was here before may have written its standing orders. */
        f->last = f->joined && (lost || f->emptied) ? none : f->newest;
    }
    uint64_t since = f->synced_ms > SURE_MS ? f->synced_ms - SURE_MS : 0;
    send_sweep(f, f->joined && !f->emptied ? since : 0);
    if (f->emptied)
        send_expiry_unknown(f);
    f->joined = true;
    f->refused = false;
    f->state = FLEET_UP;
    f->joined_ms = f->loop.wall;
    settled_joined(f); /* before anybody takes a message because of "up" */
    say_ready(f);
    receive_follow(f);
    say_up(f);
    send_hello(f);
    orders_joined(f);
    accounts_joined(f);
    servers_flush(&f->servers);
}

/* What join() needs is known. */
static void meet(struct fleet *f)
{
    if (f->serves) {
        join(f);
        return;
    }
    f->state = FLEET_MET;
    /* Before anybody takes a message because of "ready". */
    if (!partial_has_fleet_key(f->params->partial))
        settled_use_key(f);
    say_ready(f);
}

/* Its generation serves from now on. An earlier process, which is about to end, must not take the
 * table with it, also if this one does not reach Redis: what others have said still counts. */
static void serve(struct fleet *f)
{
    if (f->serves)
        return;
    f->serves = true;
    others_take_over(f->params->others, f->owner);
    if (f->state == FLEET_MET)
        join(f);
}

static void take_newest(void *arg, const struct stream_entry *e)
{
    ((struct fleet *)arg)->newest = e->id;
}

static void take_oldest(void *arg, const struct stream_entry *e)
{
    ((struct fleet *)arg)->oldest = e->id;
}

static bool went_wrong(struct fleet *f, struct link_redis *l, const redisReply *r)
{
    if (!r)
        return true;
    if (r->type != REDIS_REPLY_ERROR)
        return false;
    servers_error(&f->servers, l, r);
    link_break(l, r->str);
    return true;
}

static void newest_told(struct link_redis *l, uint64_t arg, const redisReply *r)
{
    if (!went_wrong(fleet_of_link(l), l, r))
        reply_entries(r, false, take_newest, fleet_of_link(l));
}

static void oldest_told(struct link_redis *l, uint64_t arg, const redisReply *r)
{
    struct fleet *f = fleet_of_link(l);

    if (went_wrong(f, l, r))
        return;
    reply_entries(r, false, take_oldest, f);
    if (f->state == FLEET_JOINING)
        meet(f);
}

static void made_told(struct link_redis *l, uint64_t arg, const redisReply *r)
{
    struct fleet *f = fleet_of_link(l);

    if (r && reply_error(r) == REPLY_FULL) /* somebody may have made it before */
        return;
    (void)went_wrong(f, l, r);
}

/* A member that has started after Redis was emptied has made a key; the one that the others have
 * stays. */
static void put_back(struct fleet *f, struct link_redis *l, struct fleet_key *key)
{
    struct span octets = {(const char *)key, sizeof *key};

    log_info("fleet: putting the fleet's earlier key back");
    *key = f->proposed;
    link_command(l, made_told, 0, 3, (struct span[]){SPAN("SET"), span_of(f->key_name), octets});
}

static void key_told(struct link_redis *l, uint64_t arg, const redisReply *r)
{
    struct fleet *f = fleet_of_link(l);
    struct fleet_key key;

    if (went_wrong(f, l, r))
        return;
    struct span text = reply_text(r);
    if (text.len != sizeof key) {
        link_break(l, "the fleet's key is missing, or is none");
        return;
    }
    memcpy(&key, text.at, sizeof key);
    f->emptied = f->joined && key.made != f->key.made;
    if (key_wins(&f->key.key, &key.key))
        put_back(f, l, &key);
    f->key = key;
}

static void begin_to_join(struct servers *s)
{
    struct fleet *f = fleet_of(s->loop);
    struct link_redis *home = servers_home(s);
    struct span stream = span_of(f->stream), name = span_of(f->key_name);
    struct fleet_key *key = &f->proposed;

    if (!home || getrandom(key, sizeof *key, 0) != sizeof *key)
        return;
    key->key = key_is_known(&f->key.key) ? f->key.key : key_made(key->key, f->loop.wall);
    f->state = FLEET_JOINING;
    f->newest = f->oldest = (struct stream_id){0};
    struct span octets = {(const char *)key, sizeof *key};
    ask_time(f, home);
    link_command(home, made_told, 0, 4, (struct span[]){SPAN("SET"), name, octets, SPAN("NX")});
    link_command(home, key_told, 0, 2, (struct span[]){SPAN("GET"), name});
    link_command(
        home, newest_told, 0, 6,
        (struct span[]){SPAN("XREVRANGE"), stream, SPAN("+"), SPAN("-"), SPAN("COUNT"), SPAN("1")});
    link_command(
        home, oldest_told, 0, 6,
        (struct span[]){SPAN("XRANGE"), stream, SPAN("-"), SPAN("+"), SPAN("COUNT"), SPAN("1")});
    link_flush(home);
}

static void gone(struct servers *s, const char *why)
{
    struct fleet *f = fleet_of(s->loop);

    f->state = FLEET_AWAY;
    receive_stop(f);
    say_away(f, why);
}

static void node_lost(struct servers *s)
{
    struct fleet *f = fleet_of(s->loop);
    uint64_t since = f->synced_ms > SURE_MS ? f->synced_ms - SURE_MS : 0;

    if (since < f->resync_ms)
        f->resync_ms = since;
}

/* ---- once a second ---- */

static void time_told(struct link_redis *l, uint64_t asked_us, const redisReply *r)
{
    struct fleet *f = fleet_of_link(l);
    uint64_t took = clock_mono_us() - asked_us, there = reply_time_ms(r);

    if (!there || took >= ROUND_TRIP_US)
        return;
    fleet_follow_clock(f);
    int64_t skew = (int64_t)there - (int64_t)(clock_wall_ms() - took / 2000);
    int64_t moved = skew - f->mirror.skew;
    f->mirror.skew = skew;
    usage_skew(f->usage, skew);
    /* Shares with stamps of the other time are refused, or are too old. */
    if (f->joined && llabs(moved) > SHARE_AHEAD_MS) {
        log_warn("fleet: Redis' clock has moved by %+.1f s against this machine's; sending again "
                 "everything that this member knows",
                 (double)moved / 1000);
        send_sweep(f, 0);
    }
}

static void ask_time(struct fleet *f, struct link_redis *home)
{
    link_command(home, time_told, clock_mono_us(), 1, (struct span[]){SPAN("TIME")});
}

/* FLUSHALL leaves connections open. */
static void present_told(struct link_redis *l, uint64_t arg, const redisReply *r)
{
    struct fleet *f = fleet_of_link(l);

    if (!r || f->state != FLEET_UP || r->type == REDIS_REPLY_ERROR)
        return;
    struct span text = reply_text(r);
    if (text.len == sizeof f->key && memcmp(text.at, &f->key, sizeof f->key) == 0)
        return;
    log_warn("fleet: Redis was emptied; sending it again what is known here");
    receive_stop(f);
    begin_to_join(&f->servers);
}

static void memory_told(struct link_redis *l, uint64_t arg, const redisReply *r)
{
    fleet_of_link(l)->memory = reply_info(r, "used_memory");
}

/* Redis refused writes. Only a write that is needed anyway shows whether it takes them now. */
static void writable_told(struct link_redis *l, uint64_t arg, const redisReply *r)
{
    struct fleet *f = fleet_of_link(l);

    if (!r || reply_error(r) != REPLY_FINE || !f->refused)
        return;
    f->refused = false;
    say_up(f);
    orders_joined(f);
    settled_met(f);
    accounts_joined(f);
}

static void each_second(struct loop *loop, struct alarm *a)
{
    struct fleet *f = fleet_of(loop);
    struct link_redis *home = servers_home(&f->servers);
    char most[24];

    if (f->state == FLEET_UP && home) {
        ask_time(f, home);
        if (loop->now / SECOND_MS % MEMORY_S == 0)
            link_command(home, memory_told, 0, 2, (struct span[]){SPAN("INFO"), SPAN("memory")});
        link_command(home, present_told, 0, 2, (struct span[]){SPAN("GET"), span_of(f->key_name)});
        if (f->refused)
            link_command(home, writable_told, 0, 12,
                         (struct span[]){SPAN("XADD"), span_of(f->stream), SPAN("MAXLEN"),
                                         SPAN("~"), fleet_stream_entries(f, most), SPAN("*"),
                                         SPAN("m"), span_of(f->members.at[0].name), SPAN("t"),
                                         SPAN("0"), SPAN("w"), SPAN("")});
        else if (loop->now >= f->hello_ms)
            send_hello(f);
        link_flush(home);
    }
    set_gauges(f);
    loop_alarm(loop, a, loop->now + SECOND_MS);
}

static void turn(struct loop *loop, struct alarm *a)
{
    struct fleet *f = fleet_of(loop);
    fleet_follow_clock(f);
    bool more = send_turn(f, false);

    if (f->may_say_ready || loop->now >= f->ready_ms)
        say_ready(f);
    orders_turn(f);
    settled_turn(f);
    accounts_turn(f);
    book_tend(f->mirror.book, &f->mirror.rules, loop->wall);
    loop_alarm(loop, a, loop->now + (more ? SOON_MS : TURN_MS));
}

/* ---- the process ---- */

static void control_ready(struct loop *loop, struct watch *watch, uint32_t events)
{
    struct fleet *f = fleet_of(loop);
    struct note n;
    int r = 1;

    for (int i = 0; i < NOTES_IN_TURN && (r = channel_read_text(watch->fd, &n)) == 1; i++) {
        loop_moved(loop);
        if (n.kind == NOTE_STOP)
            loop->stop = true;
        if (n.kind == NOTE_SERVE)
            serve(f);
        if (n.kind == NOTE_FLEET_ASK || n.kind == NOTE_FLEET_DONE)
            orders_note(f, &n);
        if (n.kind == NOTE_PING)
            channel_tell(watch->fd, NOTE_PONG, 0, 0, NULL);
    }
    if (channel_is_over(r)) { /* the master is gone */
        loop_forget(loop, watch);
        loop->stop = true;
    }
}

static int open_all(struct fleet *f)
{
    const struct fleet_params *params = f->params;
    const struct config *config = params->config;
    uint64_t places = config->ledger_size / 64;
    int r = loop_open(&f->loop);

    if (r < 0)
        return r;
    /* The part in braces decides the slot in a cluster, so these two keys are on one node. */
    const char *name = config->fleet.name;
    snprintf(f->stream, sizeof f->stream, "%s:{%s}:stream", name, name);
    snprintf(f->key_name, sizeof f->key_name, "%s:{%s}:key", name, name);
    if (getrandom(&f->instance, sizeof f->instance, 0) != sizeof f->instance)
        return -EIO;
    f->instance >>= 8;
    if (getrandom(&f->places, sizeof f->places, 0) != sizeof f->places)
        return -EIO;
    f->owner = params->generation + UINT64_C(1);
    f->mirror = (struct mirror){
        .ledger = params->ledger, .others = params->others, .rules = config->tarpit};
    f->tell_ms = UINT64_MAX;
    fleet_clock_begin(f);
    f->others_from_before = others_is_active(params->others);
    if ((r = book_open(&f->mirror.book,
                       places < UINT32_MAX / 2 ? (uint32_t)places : UINT32_MAX / 2)) < 0 ||
        (r = members_open(&f->members, config->fleet.member)) < 0 || (r = send_open(f)) < 0 ||
        (r = usage_open(&f->usage, USAGE_PLACES)) < 0 || (r = receive_open(f)) < 0)
        return r;
    f->servers.is_up = begin_to_join;
    f->servers.is_down = gone;
    f->servers.node_lost = node_lost;
    if ((r = servers_open(&f->servers, &f->loop, &config->fleet, span_of(f->stream))) < 0)
        return r;
    f->tick.due = turn;
    f->second.due = each_second;
    loop_alarm(&f->loop, &f->tick, f->loop.now);
    loop_alarm(&f->loop, &f->second, f->loop.now + SECOND_MS);
    f->control = (struct watch){.fd = params->control, .events = EPOLLIN, .ready = control_ready};
    return loop_watch(&f->loop, &f->control);
}

static void close_all(struct fleet *f)
{
    if (f->state == FLEET_UP) /* what has changed in the last moments */
        send_turn(f, true);
    send_keys_now(f);
    others_rest(f->params->others, f->owner);
    servers_close(&f->servers);
    receive_close(f);
    send_close(f);
    members_close(&f->members);
    book_close(f->mirror.book);
    usage_close(f->usage);
    loop_close(&f->loop);
    free(f);
}

int fleet_run(const struct fleet_params *params)
{
    struct fleet *f = calloc(1, sizeof *f);

    if (!f)
        return 1;
    f->params = params;
    /* The resolver blocks the loop, so it tries each name server once, for a second. */
    setenv("RES_OPTIONS", "timeout:1 attempts:1", 0);
    int r = open_all(f);
    if (r < 0) {
        log_error("fleet: cannot start, going on alone: %s",
                  r == -EINVAL ? "`ca` cannot be read" : strerrordesc_np(-r));
        return 1;
    }
    fleet_confine(params->config);
    /* A mixed answer that is recorded before the fleet's key is known has a name that no other
     * member knows, and that this one no longer uses once it has the key. So at its first start a
     * member takes no mail until it knows the key, but it does not wait long for a Redis that is
     * away. */
    f->ready_ms = f->loop.now + READY_MS;
    if (partial_has_fleet_key(params->partial))
        say_ready(f);
    sched_normal();
    orders_hear(f);
    servers_start(&f->servers);
    loop_run(&f->loop);
    close_all(f);
    return 0;
}
