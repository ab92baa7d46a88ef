/* `ledger dump` and `ledger load`: write what is known of clients and networks as lines of JSON,
 * and read it. In the web process.
 *
 * A line has the time that it describes (at_ms), so that its amounts also fade while it is in a
 * file. Loading merges (ledger_merge()) and never lowers an amount. Accounts are neither written
 * nor read: the ledger knows them as hashes with its own key, and the places from which people log
 * in are private. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "control/control_part.h"

/* ---- out ---- */

static bool more_of_dump(struct control *c)
{
    struct ledger_decay d = steering_decay(c->steering);
    uint64_t *at = c->state, now = clock_wall_ms();
    struct ledger_key key;
    struct row r;

    while (ledger_next(c->steering->params->ledger, at, &d, now, &key, &r.who, &r.entry)) {
        if (key.kind > LEDGER_NETWORK)
            continue;
        r.network = key.kind == LEDGER_NETWORK;
        r.bits = (uint8_t)ledger_key_bits(&key);
        control_part(c, entry_json(c->steering, &r, now));
        return true;
    }
    control_done(c, json_object());
    return false;
}

static void dump(struct control *c)
{
    c->state = calloc(1, sizeof(uint64_t));
    if (!c->state) {
        control_fail(c, CONTROL_REFUSED, "not enough memory");
        return;
    }
    c->drop = free;
    c->more = more_of_dump;
}

/* ---- in ---- */

struct loaded {
    struct ledger_key key;
    struct ledger_entry entry;
    uint64_t at_ms;
};

/* Reads a number of a line: 0 if it is missing; false if it is of another type or negative. */
static bool take_number(const json_t *o, const char *name, double most, double *out)
{
    const json_t *n = json_object_get(o, name);

    *out = n ? json_number_value(n) : 0;
    return !n || (json_is_number(n) && *out >= 0 && *out <= most);
}

enum { AMOUNT_MOST = 1000000000, HORIZON_S = LEDGER_HORIZON_MS / 1000 };
#define TIME_MOST 9e15 /* ms, exact as a double */

static const char *take_amounts(const json_t *o, struct ledger_entry *e, uint64_t *at, uint64_t now)
{
    double offences, good, patience, at_ms, exempt_until, passed, turn, debt;

    if (!take_number(o, "offences", AMOUNT_MOST, &offences) ||
        !take_number(o, "good", AMOUNT_MOST, &good))
        return "offences and good are numbers from 0 on";
    if (!take_number(o, "at_ms", TIME_MOST, &at_ms) ||
        !take_number(o, "exempt_until_ms", TIME_MOST, &exempt_until) ||
        !take_number(o, "passed_ms", TIME_MOST, &passed))
        return "at_ms, exempt_until_ms and passed_ms are times in ms";
    if (!take_number(o, "patience_seconds", 3600, &patience) ||
        !take_number(o, "next_verdict_seconds", HORIZON_S, &turn) ||
        !take_number(o, "hold_left_seconds", HORIZON_S, &debt))
        return "patience_seconds, next_verdict_seconds and hold_left_seconds are seconds, half an "
               "hour at most";
    *at = at_ms > 0 && at_ms < (double)now ? (uint64_t)at_ms : now;
    e->offences = offences;
    e->good = good;
    e->patience_ms = (uint32_t)lround(patience * 1000);
    e->turn_ms = turn > 0 ? *at + (uint64_t)llround(turn * 1000) : 0;
    e->debt_ms = debt > 0 ? *at + (uint64_t)llround(debt * 1000) : 0;
    e->exempt_until_ms = (uint64_t)exempt_until;
    e->pass_ms = (uint64_t)passed;
    return NULL;
}

static const char *take_flags(const json_t *o, struct ledger_entry *e)
{
    static const struct {
        const char *name;
        uint32_t flag;
    } flags[] = {{"suspect", LEDGER_SUSPECT},
                 {"trapped", LEDGER_TRAPPED},
                 {"exempt", LEDGER_EXEMPT},
                 {"turn_paced", 0}};

    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        const json_t *f = json_object_get(o, flags[i].name);
        if (f && !json_is_boolean(f))
            return "suspect, trapped, exempt and turn_paced are true or false";
        if (json_is_true(f))
            e->flags |= flags[i].flag;
    }
    e->paced = json_is_true(json_object_get(o, "turn_paced"));
    return NULL;
}

static const char *take_entry(const struct steering *s, const json_t *o, uint64_t now,
                              struct loaded *l)
{
    const char *address = request_text(o, "address"), *kind = request_text(o, "kind");
    bool network = kind && strcmp(kind, "network") == 0;
    struct network n;

    *l = (struct loaded){0};
    if (!kind || (!network && strcmp(kind, "client") != 0))
        return "kind is \"client\" or \"network\"";
    if (!address || !network_parse(span_of(address), &n))
        return "address is not valid; expected 192.0.2.7, or 192.0.2.0/24 of a network";
    bool four = n.base.family == ADDR_IP4;
    bool wider = !four && (n.bits == 40 || n.bits == 32);
    if (network ? n.bits != (four ? 24 : 48) && !wider : n.bits < (four ? 32 : 64))
        return "a client is one address, a network a /24 or (IPv6) a /48, /40 or /32";
    l->key = network ? ledger_key_level(s->params->ledger, &n.base, n.bits)
                     : ledger_key_client(s->params->ledger, &n.base);
    if (!l->key.hash)
        return "a tunnel's or NAT64 network is kept as the IPv4 network behind it";
    const char *wrong = take_amounts(o, &l->entry, &l->at_ms, now);
    return wrong ? wrong : take_flags(o, &l->entry);
}

static void load(struct control *c, const json_t *entries)
{
    struct ledger_decay d = steering_decay(c->steering);
    uint64_t now = clock_wall_ms();
    json_t *wrong = json_array();
    json_int_t loaded = 0;
    char about[64];
    struct loaded l;
    size_t i;
    json_t *o;

    json_array_foreach(entries, i, o)
    {
        const char *why = take_entry(c->steering, o, now, &l);
        if (why) {
            json_array_append_new(
                wrong, json_pack("{s:O*, s:s}", "line", json_object_get(o, "line"), "error", why));
            continue;
        }
        ledger_merge(c->steering->params->ledger, &l.key, &d, now, &l.entry, l.at_ms);
        loaded++;
    }
    snprintf(about, sizeof about, "%lld entries", loaded);
    control_log(c, "ledger load", about);
    control_done(c, json_pack("{s:I, s:o}", "loaded", loaded, "wrong", wrong));
}

void run_ledger(struct control *c, const json_t *args)
{
    const char *what = request_text(args, "what");
    const json_t *entries = json_object_get(args, "entries");

    if (what && strcmp(what, "dump") == 0)
        dump(c);
    else if (what && strcmp(what, "load") == 0 && json_is_array(entries))
        load(c, entries);
    else
        control_fail(c, CONTROL_USAGE, "expected `ledger dump` or `ledger load FILE`");
}
