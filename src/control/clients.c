/* What the ledger knows of clients: clients, show. In the web process, which has the ledger mapped;
 * what changes it is in changes.c.
 *
 * A client is an IPv4 address or an IPv6 /64; its network (/24, /48) has an entry of its own. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log_ring.h"
#include "config/config.h"
#include "control/control_part.h"
#include "control/log_find.h"
#include "tarpit/policy.h"
#include "tarpit/tarpit.h"

enum { CLIENTS_MOST = 10000, CLIENTS_DEFAULT = 20 };

/* ---- one entry in words ---- */

static const char *name_of(const struct row *r, char text[ADDR_TEXT])
{
    if (!r->network)
        return addr_format(&r->who, text);
    struct network n = {r->who, r->bits ? r->bits : r->who.family == ADDR_IP4 ? 24 : 48};
    return network_format(&n, text);
}

static double left_s(uint64_t at, uint64_t now)
{
    return at > now ? (double)(at - now) / 1000 : 0;
}

json_t *entry_json(const struct steering *s, const struct row *r, uint64_t now)
{
    const struct tarpit_rules *rules = &s->params->config->tarpit;
    const struct ledger_entry *e = &r->entry;
    double own = policy_debt(rules, e->offences, e->good);
    bool bad = r->network && policy_network_bad(rules, e->offences);
    char text[ADDR_TEXT];

    return json_pack("{s:s, s:s, s:f, s:f, s:f, s:b, s:b, s:b, s:b, s:b, s:I, s:f, s:f, s:b, s:f, "
                     "s:I, s:I, s:I}",
                     "kind", r->network ? "network" : "client", "address", name_of(r, text),
                     "offences", e->offences, "good", e->good, "debt", own, "paced",
                     r->network ? bad : policy_paced(rules, own), "shielded",
                     !r->network && policy_shielded(rules, own), "suspect",
                     (e->flags & LEDGER_SUSPECT) != 0, "exempt", (e->flags & LEDGER_EXEMPT) != 0,
                     "trapped", (e->flags & LEDGER_TRAPPED) != 0, "exempt_until_ms",
                     (json_int_t)e->exempt_until_ms, "patience_seconds",
                     (double)e->patience_ms / 1000, "next_verdict_seconds", left_s(e->turn_ms, now),
                     "turn_paced", e->turn_ms > now && e->paced, "hold_left_seconds",
                     left_s(e->debt_ms, now), "passed_ms", (json_int_t)e->pass_ms, "seen_ms",
                     (json_int_t)e->seen_ms, "at_ms", (json_int_t)now);
}

/* What the rules say of a client, together with its network (R10). */
static json_t *client_json(const struct steering *s, const struct row *r, uint64_t now)
{
    const struct tarpit_rules *rules = &s->params->config->tarpit;
    const struct config_networks *exempt = &s->params->config->exempt;
    const struct ledger_entry *e = &r->entry;
    struct ledger_decay d = steering_decay(s);
    struct ledger_key around = ledger_key_network(s->params->ledger, &r->who);
    struct row n = {.who = ledger_key_addr(&around), .network = true};
    json_t *about = entry_json(s, r, now);

    ledger_get(s->params->ledger, &around, &d, now, &n.entry);
    double debt = policy_debt(rules, e->offences, e->good);
    bool in_turns = rules->pace && debt > 0 && e->paced && e->turn_ms > now;
    bool is_exempt = (e->flags | n.entry.flags) & LEDGER_EXEMPT ||
                     networks_contain(exempt->at, exempt->count, &r->who);
    json_t *more =
        json_pack("{s:f, s:b, s:b, s:b, s:b, s:o}", "debt", debt, "in_debt", debt > 0, "paced",
                  in_turns || policy_paced(rules, debt), "shielded", policy_shielded(rules, debt),
                  "exempt", is_exempt, "network", entry_json(s, &n, now));
    json_object_update(about, more);
    json_decref(more);
    return about;
}

/* ---- clients ---- */

enum order { BY_HELD, BY_OFFENCES, BY_GOOD };

static double weight_of(const struct row *r, enum order order)
{
    switch (order) {
    case BY_HELD: return (double)r->entry.debt_ms;
    case BY_GOOD: return r->entry.good;
    case BY_OFFENCES: break;
    }
    return r->entry.offences;
}

/* The heaviest `most` rows, the lightest of them at the top of a heap. */
struct best {
    struct row *row;
    size_t count, most;
    enum order order;
};

static bool lighter(const struct best *b, size_t x, size_t y)
{
    return weight_of(&b->row[x], b->order) < weight_of(&b->row[y], b->order);
}

static void swap(struct best *b, size_t x, size_t y)
{
    struct row kept = b->row[x];
    b->row[x] = b->row[y];
    b->row[y] = kept;
}

static void sink(struct best *b, size_t at)
{
    for (size_t child; (child = 2 * at + 1) < b->count; at = child) {
        if (child + 1 < b->count && lighter(b, child + 1, child))
            child++;
        if (!lighter(b, child, at))
            return;
        swap(b, child, at);
    }
}

static void offer(struct best *b, const struct row *r)
{
    if (b->count < b->most) {
        b->row[b->count++] = *r;
        for (size_t at = b->count - 1; at && lighter(b, at, (at - 1) / 2); at = (at - 1) / 2)
            swap(b, at, (at - 1) / 2);
    } else if (weight_of(r, b->order) > weight_of(&b->row[0], b->order)) {
        b->row[0] = *r;
        sink(b, 0);
    }
}

/* Removes the lightest first, so that the array is in descending order. */
static void sort(struct best *b)
{
    size_t all = b->count;
    while (b->count > 1) {
        swap(b, 0, --b->count);
        sink(b, 0);
    }
    b->count = all;
}

void add_exempt(json_t *list, size_t most, const struct ledger_key *key, struct row *r)
{
    char text[ADDR_TEXT];

    if (!(r->entry.flags & LEDGER_EXEMPT) || key->kind > LEDGER_NETWORK ||
        json_array_size(list) >= most)
        return;
    r->network = key->kind == LEDGER_NETWORK;
    r->bits = (uint8_t)ledger_key_bits(key);
    json_array_append_new(list, json_pack("{s:s, s:I}", "address", name_of(r, text), "until_ms",
                                          (json_int_t)r->entry.exempt_until_ms));
}

/* Reads the ledger once for both lists; `exempt` may be NULL. */
static bool gather(const struct steering *s, struct best *b, json_t *exempt, uint64_t now)
{
    struct ledger_decay d = steering_decay(s);
    struct ledger_key key;
    struct row r = {0};
    uint64_t at = 0;

    b->row = malloc(b->most * sizeof *b->row);
    if (!b->row)
        return false;
    while (ledger_next(s->params->ledger, &at, &d, now, &key, &r.who, &r.entry)) {
        if (exempt)
            add_exempt(exempt, b->most, &key, &r);
        r.network = false;
        if (key.kind == LEDGER_CLIENT)
            offer(b, &r);
    }
    sort(b);
    return true;
}

json_t *clients_json(const struct steering *s, size_t most, const char *sort_by, json_t *exempt)
{
    struct best b = {.most = most};
    uint64_t now = clock_wall_ms();
    json_t *list = json_array();

    b.order = !sort_by || strcmp(sort_by, "offences") == 0 ? BY_OFFENCES
              : strcmp(sort_by, "good") == 0               ? BY_GOOD
                                                           : BY_HELD;
    if (!list || !gather(s, &b, exempt, now))
        return list;
    for (size_t i = 0; i < b.count; i++)
        json_array_append_new(list, client_json(s, &b.row[i], now));
    free(b.row);
    return list;
}

/* A list that waits for the numbers of held connections. */
struct held_list {
    struct control *control;
    json_t *clients;
};

static void held_list_drop(void *state)
{
    struct held_list *l = state;

    holders_forget(&l->control->steering->holders, l);
    json_decref(l->clients);
    free(l);
}

static void tallied(void *arg, const struct held *h)
{
    struct held_list *l = arg;
    struct control *c = l->control;

    for (uint32_t i = 0; h->known && i < h->tally[0]->count; i++) {
        json_t *row = json_array_get(l->clients, i);
        json_object_set_new(row, "held", json_integer(h->tally[0]->held[i]));
        json_object_set_new(row, "frozen", json_integer(h->tally[1]->held[i]));
    }
    control_done(c, json_pack("{s:o, s:i}", "clients", l->clients, "unanswered", (int)h->missing));
    free(l);
    control_waited(c);
}

/* Sends the list. The first TALLY_CLIENTS clients have the number of their held connections; none
 * has it when no process can be asked. */
static void list(struct control *c, json_t *clients)
{
    struct held_list *l = calloc(1, sizeof *l);
    struct tally t = {0};
    json_t *row;
    size_t i;

    json_array_foreach(clients, i, row)
    {
        struct addr a;
        if (!addr_parse(span_of(json_string_value(json_object_get(row, "address"))), &a) ||
            !tally_add(&t, &a))
            break;
    }
    if (!l || t.count == 0 || holders_tally(&c->steering->holders, &t, tallied, l) < 0) {
        free(l);
        control_done(c, json_pack("{s:o}", "clients", clients));
        return;
    }
    *l = (struct held_list){c, clients};
    control_wait(c, l, held_list_drop);
}

void run_clients(struct control *c, const json_t *args)
{
    const char *by = request_text(args, "sort");
    const json_t *limit = json_object_get(args, "limit");
    json_int_t most = json_is_integer(limit) ? json_integer_value(limit) : CLIENTS_DEFAULT;

    if (most < 1 || most > CLIENTS_MOST)
        control_fail(c, CONTROL_USAGE, "limit must be 1 to %d", CLIENTS_MOST);
    else if (by && strcmp(by, "held") != 0 && strcmp(by, "offences") != 0 &&
             strcmp(by, "good") != 0)
        control_fail(c, CONTROL_USAGE, "sort must be held, offences or good");
    else
        list(c, clients_json(c->steering, (size_t)most, by, NULL));
}

/* ---- the client of a command ---- */

bool read_whom(struct control *c, const json_t *args, struct whom *who)
{
    const char *text = request_text(args, "address");
    struct network n;

    if (!text || !network_parse(span_of(text), &n)) {
        control_fail(c, CONTROL_USAGE,
                     "\"%.80s\" is neither an address nor a network (192.0.2.7, 192.0.2.0/24, "
                     "2001:db8::1)",
                     text ? text : "");
        return false;
    }
    *who = whom_of(&n);
    return true;
}

/* ---- show ---- */

json_t *held_json(const struct held *h)
{
    json_t *names = json_array(), *any;
    const char *name;

    if (!h->known) {
        json_decref(names);
        return NULL;
    }
    json_object_foreach((json_t *)h->listed, name, any)
    {
        json_array_append_new(names, json_string(name));
    }
    return json_pack("{s:I, s:I, s:i, s:o}", "held", (json_int_t)h->held, "frozen",
                     (json_int_t)h->frozen, "unanswered", (int)h->missing, "listed", names);
}

enum { RECENT_MOST = 3 };

/* The last lines of the log about a client: what it did, and the recipients that it wrote to. */
static json_t *recent_json(const struct steering *s, const struct addr *who)
{
    const struct log_ring *ring = s->params->log;
    struct log_wanted wanted;
    struct log_kept line;
    char text[ADDR_TEXT];
    json_t *list = json_array();

    if (!ring || !log_want(&wanted, span_of(addr_format(who, text))))
        return list;
    for (uint64_t n = log_ring_next(ring), first = log_ring_first(n);
         n > first && json_array_size(list) < RECENT_MOST;)
        if (log_ring_read(ring, --n, &line) &&
            log_mentions((struct span){line.text, line.len}, &wanted))
            json_array_insert_new(list, 0, json_stringn(line.text, line.len));
    return list;
}

json_t *known_json(const struct steering *s, const struct whom *who, uint64_t now)
{
    struct ledger_decay d = steering_decay(s);
    struct ledger_key key = whom_key(s->params->ledger, who);
    struct row r = {.who = ledger_key_addr(&key), .network = !who->client};

    ledger_get(s->params->ledger, &key, &d, now, &r.entry);
    return who->client ? client_json(s, &r, now) : entry_json(s, &r, now);
}

struct showing {
    struct control *control;
    json_t *answer;
};

static void showing_drop(void *state)
{
    struct showing *s = state;

    holders_forget(&s->control->steering->holders, s);
    json_decref(s->answer);
    free(s);
}

static void counted(void *arg, const struct held *h)
{
    struct showing *s = arg;
    struct control *c = s->control;
    json_t *numbers = held_json(h);

    json_object_update(s->answer, numbers);
    json_decref(numbers);
    control_done(c, s->answer);
    free(s);
    control_waited(c);
}

void run_show(struct control *c, const json_t *args)
{
    const struct steering *s = c->steering;
    struct ledger_decay d = steering_decay(s);
    uint64_t now = clock_wall_ms();
    struct whom who;

    if (is_account(request_text(args, "address"))) {
        show_account_of(c, request_text(args, "address"));
        return;
    }
    if (!read_whom(c, args, &who))
        return;
    if (!who.client && !who.own) {
        control_fail(c, CONTROL_USAGE, "the ledger has only clients and their /24 or /48");
        return;
    }
    struct ledger_key key = whom_key(s->params->ledger, &who), around;
    struct row r = {.network = !who.client}, n = {.network = true};
    bool known = ledger_get(s->params->ledger, &key, &d, now, &r.entry);
    around = ledger_key_network(s->params->ledger, &who.network.base);
    known |= ledger_get(s->params->ledger, &around, &d, now, &n.entry);
    if (!known) {
        control_fail(c, CONTROL_MISSING, "nothing is known of %s", request_text(args, "address"));
        return;
    }
    r.who = ledger_key_addr(&key);
    n.who = ledger_key_addr(&around);
    json_t *about = who.client ? client_json(s, &r, now) : entry_json(s, &r, now);
    json_object_del(about, "network");
    struct showing *showing = calloc(1, sizeof *showing);
    json_t *answer = json_pack("{s:o, s:o, s:o, s:f}", "recent", recent_json(s, &who.network.base),
                               "client", about, "network", entry_json(s, &n, now),
                               "basic_hold_seconds", (double)s->params->config->tarpit.time / 1000);
    if (!showing || holders_count(&c->steering->holders, &who.network, counted, showing) < 0) {
        free(showing);
        control_done(c, answer); /* without connections, because no process could be asked */
        return;
    }
    *showing = (struct showing){c, answer};
    control_wait(c, showing, showing_drop);
}
