/* What the web process asks for (control/members.h): the state of the fleet, and orders to the
 * other members to do what was done here (release, exempt, end an exemption).
 *
 * An order is an entry of the stream with a number. Each member carries it out once and says so in
 * another entry. The asker hears which members did, as soon as all present members have, or after
 * ORDER_MS. A member that was away carries it out when it reads the stream. */
#include <inttypes.h>
#include <jansson.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"
#include "fleet/fleet_part.h"

enum { ORDER_MS = 2000, ORDER_TEXT = 160, LIST_TEXT = 1024 };

static void answer(struct fleet *f, uint64_t tag, const char *text)
{
    size_t len = strlen(text), at = 0;
    struct note n = {.kind = NOTE_FLEET_TOLD, .tag = tag};

    do {
        n.len = (uint32_t)(len - at < NOTE_TEXT - 1 ? len - at : NOTE_TEXT - 1);
        memcpy(n.text, text + at, n.len);
        n.text[n.len] = '\0';
        at += n.len;
        n.arg = at < len;
        channel_send(f->params->control, &n);
    } while (at < len);
}

/* ---- how the fleet is ---- */

static json_t *member_json(const struct fleet *f, uint16_t i)
{
    const struct member *m = &f->members.at[i];
    const struct hello *h = &m->hello;
    bool self = i == BOOK_SELF;
    bool present = self || (m->heard_ms && m->heard_ms + MEMBERS_AWAY_MS > f->loop.wall);
    double heard = self || !m->heard_ms || m->heard_ms > f->loop.wall
                       ? 0
                       : (double)(f->loop.wall - m->heard_ms) / 1000;

    return json_pack("{s:s, s:b, s:b, s:f, s:f, s:f, s:I, s:I, s:I, s:I, s:f}", "name", m->name,
                     "self", self, "present", present, "heard_seconds_ago", heard, "lag_seconds",
                     (double)m->lag_ms / 1000, "skew_seconds", (double)-h->skew_ms / 1000, "keys",
                     (json_int_t)h->keys, "shares", (json_int_t)m->shares, "refused",
                     (json_int_t)m->refused, "version", (json_int_t)h->version, "half_life_seconds",
                     (double)h->half_life / 1000);
}

static void tell_status(struct fleet *f, uint64_t tag)
{
    const struct config_fleet *c = &f->params->config->fleet;
    const struct link_redis *home = servers_home(&f->servers);
    bool up = f->state == FLEET_UP && !f->refused;
    json_t *members = json_array();
    char place[300] = "";

    if (home)
        snprintf(place, sizeof place, strchr(home->host, ':') ? "[%s]:%u" : "%s:%u", home->host,
                 home->port);
    for (uint16_t i = 0; i < f->members.count; i++)
        json_array_append_new(members, member_json(f, i));
    json_t *all = json_pack(
        "{s:s, s:b, s:s, s:s, s:i, s:I, s:I, s:b, s:I, s:f, s:o}", "name", c->name, "up", up, "why",
        up ? "" : f->why, "redis", place, "present",
        up ? (int)members_present(&f->members, f->loop.wall) : 1, "keys",
        (json_int_t)book_count(f->mirror.book), "not_shared", (json_int_t)f->outbox.count,
        "sweeping", f->sweeping || f->resync_ms != UINT64_MAX, "redis_memory",
        (json_int_t)f->memory, "shared_seconds_ago",
        f->synced_ms ? (double)(f->loop.wall - f->synced_ms) / 1000 : -1.0, "members", members);
    char *text = all ? json_dumps(all, JSON_COMPACT) : NULL;
    answer(f, tag, text ? text : "");
    free(text);
    json_decref(all);
}

/* ---- orders of this member ---- */

static void finish(struct fleet *f, struct fleet_order *o)
{
    char did[LIST_TEXT] = "", not [LIST_TEXT] = "", text[2 * LIST_TEXT + 4];

    for (uint16_t i = 1; i < f->members.count; i++) {
        const struct member *m = &f->members.at[i];
        bool has = o->did[i / 8] >> (i % 8) & 1;
        if (!has && (!m->heard_ms || m->heard_ms + MEMBERS_AWAY_MS < f->loop.wall))
            continue;
        char *list = has ? did : not ;
        size_t len = strlen(list);
        snprintf(list + len, LIST_TEXT - len, "%s%s", len ? ", " : "", m->name);
    }
    snprintf(text, sizeof text, "%s;%s", did, not );
    answer(f, o->tag, text);
    loop_alarm_off(&f->loop, &o->alarm);
    o->id = 0;
}

static void time_is_up(struct loop *loop, struct alarm *a)
{
    finish(fleet_of(loop), (struct fleet_order *)((char *)a - offsetof(struct fleet_order, alarm)));
}

static bool is_done(const struct fleet *f, const struct fleet_order *o)
{
    for (uint16_t i = 1; i < f->members.count; i++) {
        const struct member *m = &f->members.at[i];
        bool present = m->heard_ms && m->heard_ms + MEMBERS_AWAY_MS > f->loop.wall;
        if (present && !(o->did[i / 8] >> (i % 8) & 1))
            return false;
    }
    return true;
}

static struct fleet_order *order_of(struct fleet *f, uint64_t id)
{
    for (int i = 0; i < FLEET_ORDERS; i++)
        if (f->order[i].id == id)
            return &f->order[i];
    return NULL;
}

/* For clients that only others know, this ledger has no entry to forget, so their shares go. */
static void forget_shares(struct fleet *f, const char *order)
{
    char verb[16], text[ADDR_TEXT];
    struct ledger_name name;
    struct network net;
    uint32_t at = 0;

    if (sscanf(order, "%15s %63s", verb, text) != 2 || strcmp(verb, "unexempt") == 0 ||
        !network_parse(span_of(text), &net))
        return;
    while (book_next(f->mirror.book, &at, &name)) {
        struct ledger_key k = ledger_key_named(f->params->ledger, &name);
        struct addr a = ledger_key_addr(&k);
        if (k.hash && network_contains(&net, &a))
            mirror_forget(&f->mirror, &name, f->loop.wall, f->loop.wall);
    }
}

static void begin_order(struct fleet *f, uint64_t tag, const char *what)
{
    struct fleet_order *o = order_of(f, 0);
    char text[ORDER_TEXT];
    uint64_t id;

    forget_shares(f, what);
    if (f->state != FLEET_UP || f->refused) {
        answer(f, tag, ";the other members, because Redis is away");
        return;
    }
    if (!o || getrandom(&id, sizeof id, 0) != sizeof id) {
        answer(f, tag, ";the other members");
        return;
    }
    *o = (struct fleet_order){.id = id | 1, .tag = tag, .alarm = {.due = time_is_up}};
    snprintf(text, sizeof text, "%016" PRIx64 " %s", o->id, what);
    send_order(f, text);
    if (is_done(f, o)) /* it is alone */
        finish(f, o);
    else
        loop_alarm(&f->loop, &o->alarm, f->loop.now + ORDER_MS);
}

/* ---- orders of others ---- */

static bool is_new(struct fleet *f, uint64_t id)
{
    for (int i = 0; i < FLEET_ORDERS_SEEN; i++)
        if (f->seen_order[i] == id)
            return false;
    f->seen_order[f->orders_seen++ % FLEET_ORDERS_SEEN] = id;
    return true;
}

static bool is_known_verb(const char *what)
{
    return strncmp(what, "release ", 8) == 0 || strncmp(what, "exempt ", 7) == 0 ||
           strncmp(what, "unexempt ", 9) == 0;
}

void orders_take(struct fleet *f, struct member *m, struct span order)
{
    char text[ORDER_TEXT], *end;

    if (order.len >= sizeof text || memchr(order.at, '\0', order.len))
        return;
    memcpy(text, order.at, order.len);
    text[order.len] = '\0';
    uint64_t id = strtoull(text, &end, 16);
    const char *what = *end == ' ' ? end + 1 : "";
    if (id == 0)
        return;
    struct fleet_order *o = order_of(f, id);
    if (strcmp(what, "done") == 0) {
        uint16_t i = members_number(&f->members, m);
        if (!o)
            return;
        o->did[i / 8] |= (uint8_t)(1 << (i % 8));
        if (is_done(f, o))
            finish(f, o);
        return;
    }
    if (o || !is_known_verb(what) || !is_new(f, id))
        return;
    log_info("fleet: member %s: %s", m->name, what);
    forget_shares(f, what);
    channel_tell(f->params->control, NOTE_FLEET_DO, 0, id, what);
}

void orders_note(struct fleet *f, const struct note *n)
{
    char text[64];

    if (n->kind == NOTE_FLEET_DONE) {
        snprintf(text, sizeof text, "%016" PRIx64 " done", n->tag);
        send_turn(f); /* what was forgotten goes before the word that it was */
        send_order(f, text);
    } else if (strcmp(n->text, "status") == 0) {
        tell_status(f, n->tag);
    } else if (strncmp(n->text, "order ", 6) == 0 && is_known_verb(n->text + 6)) {
        begin_order(f, n->tag, n->text + 6);
    }
}
