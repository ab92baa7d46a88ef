/* The table of standing orders (orderbook.h): places of 64 octets in a mapped file. A place that a
 * crash left half written has a wrong check, and is emptied when the file is opened. */
#include "fleet/orderbook.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mapfile.h"

/* An exemption may have no end, so its end is remembered for as long as any member may be away. */
#define REMEMBERED_MS (UINT64_C(366) * 86400 * 1000)
#define TIME_MOST     ((UINT64_C(1) << 48) - 1)

struct place {
    uint64_t id; /* 0: empty */
    uint64_t stamp_ms, until_ms;
    uint8_t octets[16];
    uint8_t family, bits, verb, flags;
    uint32_t unused;
    uint64_t check, spare;
};
_Static_assert(sizeof(struct place) == 64, "the layout of state/orders");

enum { DONE = 1, OWN = 2 };

struct orderbook {
    struct mapfile file;
    struct place *place;
    /* The places with releases and exemptions, because each share that comes is compared with them. */
    uint16_t forgets[ORDER_PLACES];
    uint32_t forgets_count;
    uint64_t forgot_ms; /* the latest of their stamps */
    /* Other fleet processes of this mired write into the table too, but the list above is private.
     * So this has, for each place, the check of the order that this process has heard of. */
    uint64_t heard[ORDER_PLACES];
};

/* ---- text ---- */

static const char *const verb_name[] = {
    [ORDER_RELEASE] = "release", [ORDER_EXEMPT] = "exempt", [ORDER_UNEXEMPT] = "unexempt"};

size_t orderbook_write(const struct order_kept *o, char text[ORDER_TEXT])
{
    char network[ADDR_TEXT];

    return (size_t)snprintf(text, ORDER_TEXT, "%016" PRIx64 " %s %s %" PRIu64 " %" PRIu64, o->id,
                            verb_name[o->verb], network_format(&o->network, network), o->until_ms,
                            o->stamp_ms);
}

/* Only a client or its network can be exempt (control/whom.h). */
static bool is_possible(const struct order_kept *o)
{
    uint8_t bits = o->network.bits;
    bool four = o->network.base.family == ADDR_IP4;

    if (o->verb == ORDER_RELEASE)
        return true;
    return four ? bits == 32 || bits == 24 : bits == 64 || bits == 48;
}

bool orderbook_read(struct span text, struct order_kept *o)
{
    char all[ORDER_TEXT], verb[16], network[ADDR_TEXT], until[24], stamp[24], id[24];
    int end = 0;

    if (text.len >= sizeof all || memchr(text.at, '\0', text.len))
        return false;
    memcpy(all, text.at, text.len);
    all[text.len] = '\0';
    if (sscanf(all, "%16[0-9a-f] %15s %63s %20s %20s%n", id, verb, network, until, stamp, &end) !=
            5 ||
        (size_t)end != text.len)
        return false;
    *o = (struct order_kept){.id = strtoull(id, NULL, 16)};
    for (enum order_verb v = ORDER_RELEASE; v <= ORDER_UNEXEMPT; v++)
        if (strcmp(verb, verb_name[v]) == 0)
            o->verb = v;
    return o->id && o->verb && span_number(span_of(until), &o->until_ms) &&
           span_number(span_of(stamp), &o->stamp_ms) && o->until_ms <= TIME_MOST && o->stamp_ms &&
           o->stamp_ms <= TIME_MOST && network_parse(span_of(network), &o->network) &&
           is_possible(o);
}

static bool is_name(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.at[i] < ' ' || s.at[i] == 0x7f)
            return false;
    return s.len > 0 && s.len <= ORDER_ACCOUNT_NAME;
}

size_t orderbook_write_account(const struct order_account *o, char text[ORDER_ACCOUNT_TEXT])
{
    if (!is_name(span_of(o->name)))
        return 0;
    return (size_t)snprintf(text, ORDER_ACCOUNT_TEXT,
                            "%016" PRIx64 " release-account %" PRIu64 " %s", o->id, o->stamp_ms,
                            o->name);
}

bool orderbook_read_account(struct span text, uint64_t now, struct order_account *o)
{
    static const char verb[] = " release-account ";
    enum { ID = 16 };
    struct span rest = span_after(text, ID + sizeof verb - 1);
    struct span stamp = span_first(rest, span_find(rest, ' '));
    struct span name = span_after(rest, stamp.len + 1);
    char id[ID + 1] = "";

    if (text.len < ID + sizeof verb || memcmp(text.at + ID, verb, sizeof verb - 1) != 0)
        return false;
    memcpy(id, text.at, ID);
    *o = (struct order_account){0};
    if (strspn(id, "0123456789abcdef") != ID || !span_number(stamp, &o->stamp_ms) || !is_name(name))
        return false;
    o->id = strtoull(id, NULL, 16);
    memcpy(o->name, name.at, name.len);
    return o->id && o->stamp_ms <= TIME_MOST && o->stamp_ms <= now + ORDER_AHEAD_MS &&
           o->stamp_ms + ORDER_ACCOUNT_S * UINT64_C(1000) >= now;
}

/* ---- places ---- */

static uint64_t check_of(const struct orderbook *s, const struct place *p)
{
    struct place q = *p;

    q.check = 0;
    q.flags &= (uint8_t)~DONE; /* which is set later, by itself */
    return siphash(&s->file.key, &q, sizeof q);
}

static void list_forgets(struct orderbook *s)
{
    s->forgets_count = 0;
    s->forgot_ms = 0;
    for (uint32_t i = 0; i < ORDER_PLACES; i++) {
        const struct place *p = &s->place[i];
        if (!p->id || (p->verb != ORDER_RELEASE && p->verb != ORDER_EXEMPT))
            continue;
        s->forgets[s->forgets_count++] = (uint16_t)i;
        if (p->stamp_ms > s->forgot_ms)
            s->forgot_ms = p->stamp_ms;
    }
}

int orderbook_open(struct orderbook **out, const char *path)
{
    struct orderbook *s = calloc(1, sizeof *s);

    if (!s)
        return -ENOMEM;
    int r = mapfile_open(&s->file, path, "MRDORDER", 1, ORDER_PLACES * sizeof(struct place));
    if (r < 0) {
        free(s);
        return r;
    }
    s->place = s->file.body;
    for (uint32_t i = 0; i < ORDER_PLACES; i++)
        if (s->place[i].id && s->place[i].check != check_of(s, &s->place[i]))
            s->place[i] = (struct place){0};
    for (uint32_t i = 0; i < ORDER_PLACES; i++)
        s->heard[i] = s->place[i].verb == ORDER_ACCOUNT ? 0 : s->place[i].check;
    list_forgets(s);
    *out = s;
    return 0;
}

void orderbook_close(struct orderbook *s)
{
    if (!s)
        return;
    mapfile_close(&s->file);
    free(s);
}

static void read_place(const struct place *p, struct order_kept *o)
{
    *o = (struct order_kept){.id = p->id,
                             .stamp_ms = p->stamp_ms,
                             .until_ms = p->until_ms,
                             .verb = (enum order_verb)p->verb,
                             .network = {{.family = p->family}, p->bits}};
    memcpy(o->network.base.octets, p->octets, sizeof p->octets);
}

/* This process has heard of it then. */
static void write_place(struct orderbook *s, struct place *p, const struct order_kept *o, bool own)
{
    struct place q = {.id = o->id,
                      .stamp_ms = o->stamp_ms,
                      .until_ms = o->until_ms,
                      .family = o->network.base.family,
                      .bits = o->network.bits,
                      .verb = (uint8_t)o->verb,
                      .flags = own ? DONE | OWN : 0};

    memcpy(q.octets, o->network.base.octets, sizeof q.octets);
    q.check = check_of(s, &q);
    *p = q;
    s->heard[p - s->place] = q.check;
    list_forgets(s);
}

/* The end of an order is remembered, because an earlier one may still arrive. */
static bool is_past(const struct order_kept *o, uint64_t now)
{
    return o->verb == ORDER_UNEXEMPT ||
           (o->verb == ORDER_EXEMPT && o->until_ms && o->until_ms <= now);
}

static bool is_remembered(const struct order_kept *o, uint64_t now)
{
    switch (o->verb) {
    case ORDER_RELEASE: return o->stamp_ms + ORDER_RELEASE_S * UINT64_C(1000) > now;
    case ORDER_EXEMPT: return o->until_ms == 0 || o->until_ms + REMEMBERED_MS > now;
    case ORDER_UNEXEMPT: return o->stamp_ms + REMEMBERED_MS > now;
    case ORDER_ACCOUNT: break; /* see has_account() */
    }
    return false;
}

/* Whether the place has an order that is remembered. */
static bool in_use(const struct place *p, uint64_t now, struct order_kept *o)
{
    if (p->id == 0)
        return false;
    read_place(p, o);
    return is_remembered(o, now);
}

/* Whether the place has an account's release. For all that goes through orders it is free, as it is
 * for earlier versions. */
static bool has_account(const struct place *p, uint64_t now)
{
    return p->id && p->verb == ORDER_ACCOUNT &&
           p->stamp_ms + ORDER_RELEASE_S * UINT64_C(1000) > now &&
           p->stamp_ms <= now + ORDER_AHEAD_MS;
}

static bool is_of(const struct order_kept *o, const struct network *n, bool release)
{
    return (o->verb == ORDER_RELEASE) == release && network_equal(&o->network, n);
}

/* Two orders may have the same time; then each member must choose the same one. */
static bool is_later(const struct order_kept *a, const struct order_kept *b)
{
    uint64_t a_until = a->until_ms ? a->until_ms : UINT64_MAX;
    uint64_t b_until = b->until_ms ? b->until_ms : UINT64_MAX;

    if (a->stamp_ms != b->stamp_ms)
        return a->stamp_ms > b->stamp_ms;
    if (a->verb != b->verb)
        return a->verb > b->verb;
    return a_until != b_until ? a_until > b_until : a->id > b->id;
}

/* Redis' clock was wrong when it was given. */
static bool is_from_future(const struct order_kept *o, uint64_t now)
{
    return o->stamp_ms > now + ORDER_AHEAD_MS;
}

/* The place for the order: that of the register, a free one, or that of the oldest order which is
 * past. Others' orders never take more than their part. */
static struct place *place_for(struct orderbook *s, const struct order_kept *o, bool own,
                               uint64_t now, enum order_took *took)
{
    struct place *free = NULL, *oldest = NULL;
    struct order_kept there;
    uint32_t of_others = 0;

    *took = ORDER_KNOWN;
    for (uint32_t i = 0; i < ORDER_PLACES; i++) {
        struct place *p = &s->place[i];
        if (has_account(p, now))
            continue;
        if (!in_use(p, now, &there)) {
            free = free ? free : p;
            continue;
        }
        of_others += !(p->flags & OWN);
        if (is_of(&there, &o->network, o->verb == ORDER_RELEASE))
            return is_later(o, &there) || is_from_future(&there, now) ? p : NULL;
        if (is_past(&there, now) && (!oldest || there.stamp_ms < oldest->stamp_ms))
            oldest = p;
    }
    bool room = own || of_others < ORDER_OF_OTHERS;
    if (room && free)
        return free;
    if (oldest && (room || !(oldest->flags & OWN)))
        return oldest;
    *took = ORDER_REFUSED;
    return NULL;
}

enum order_took orderbook_take(struct orderbook *s, const struct order_kept *o, bool own,
                               uint64_t now)
{
    enum order_took took;

    if (is_from_future(o, now))
        return ORDER_REFUSED;
    if (!is_remembered(o, now))
        return ORDER_KNOWN;
    struct place *p = place_for(s, o, own, now, &took);
    if (!p)
        return took;
    write_place(s, p, o, own);
    return ORDER_TAKEN;
}

void orderbook_account_released(struct orderbook *s, uint64_t account, uint64_t stamp_ms,
                                uint64_t now)
{
    const struct order_kept o = {.id = account, .stamp_ms = stamp_ms, .verb = ORDER_ACCOUNT};
    struct place *to = NULL, *free = NULL, *oldest = NULL;
    unsigned accounts = 0;
    struct order_kept there;

    for (uint32_t i = 0; i < ORDER_PLACES && !to; i++) {
        struct place *p = &s->place[i];
        if (has_account(p, now)) {
            accounts++;
            to = p->id == account ? p : NULL;
            oldest = oldest && oldest->stamp_ms <= p->stamp_ms ? oldest : p;
        } else if (!free && !in_use(p, now, &there)) {
            free = p;
        }
    }
    if (!to)
        to = free && accounts < ORDER_ACCOUNTS ? free : oldest;
    if (!to || (to->id == account && has_account(to, now) && to->stamp_ms >= stamp_ms))
        return;
    write_place(s, to, &o, true);
}

bool orderbook_hear(struct orderbook *s, uint64_t now, struct order_kept *o)
{
    for (uint32_t i = 0; i < ORDER_PLACES; i++) {
        if (s->place[i].id == 0 || s->place[i].check == s->heard[i]) /* nearly all */
            continue;
        const struct place p = s->place[i];
        if (p.check != check_of(s, &p)) /* it is being written */
            continue;
        s->heard[i] = p.check;
        if (p.verb == ORDER_ACCOUNT && !has_account(&p, now))
            continue;
        list_forgets(s);
        read_place(&p, o);
        return true;
    }
    return false;
}

/* ---- reading ---- */

bool orderbook_next(const struct orderbook *s, uint32_t *at, uint64_t now, struct order_kept *o)
{
    while (*at < ORDER_PLACES)
        if (in_use(&s->place[(*at)++], now, o))
            return true;
    return false;
}

bool orderbook_of(const struct orderbook *s, const struct network *n, bool release, uint64_t now,
                  struct order_kept *o)
{
    uint32_t at = 0;

    while (orderbook_next(s, &at, now, o))
        if (is_of(o, n, release))
            return true;
    return false;
}

bool orderbook_to_do(const struct orderbook *s, uint64_t now, struct order_kept *o)
{
    struct order_kept one;
    bool any = false;

    for (uint32_t i = 0; i < ORDER_PLACES; i++) {
        if (s->place[i].flags & DONE || !in_use(&s->place[i], now, &one))
            continue;
        if (!any || one.stamp_ms < o->stamp_ms)
            *o = one;
        any = true;
    }
    return any;
}

/* A release of a client also forgets the offences of its own network (control/actions.c). */
static bool forgets(const struct order_kept *o, const struct network *key)
{
    bool own = key->bits == (key->base.family == ADDR_IP4 ? 24 : 48);

    return (o->network.bits <= key->bits && network_contains(&o->network, &key->base)) ||
           (own && network_contains(key, &o->network.base));
}

uint64_t orderbook_forgot(const struct orderbook *s, const struct network *key, uint64_t since_ms,
                          uint64_t now)
{
    struct order_kept o;
    uint64_t latest = 0;

    for (uint32_t i = 0; i < s->forgets_count; i++) {
        const struct place *p = &s->place[s->forgets[i]];
        if (p->stamp_ms >= since_ms && p->stamp_ms > latest && in_use(p, now, &o) &&
            forgets(&o, key))
            latest = p->stamp_ms;
    }
    return latest;
}

uint64_t orderbook_last_forgot(const struct orderbook *s)
{
    return s->forgot_ms;
}

bool orderbook_exempts(const struct order_kept *o, uint64_t now)
{
    return o->verb == ORDER_EXEMPT && !is_past(o, now);
}

void orderbook_done(struct orderbook *s, uint64_t id)
{
    for (uint32_t i = 0; i < ORDER_PLACES; i++)
        if (s->place[i].id == id)
            s->place[i].flags |= DONE;
}
