/* Random histories: see history.h. The shrinker removes ever smaller runs of events, then makes the
 * numbers of those that are left as small as they can be, as long as the property still fails. */
#include "history.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "config/config.h"
#include "tarpit/ledger_table.h"
#include "tarpit/retries.h"

#define T0 UINT64_C(1800000000000)
enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };

/* ---- making ---- */

static uint32_t draw(uint64_t *state, uint32_t below)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((*state >> 33) % below);
}

#define PICK(state, ...)                                                                           \
    (((const double[]){__VA_ARGS__})[draw(state, sizeof((double[]){__VA_ARGS__}) / sizeof(double))])

static struct tarpit_rules random_rules(uint64_t *s)
{
    struct tarpit_rules r = config_default_rules();
    if (draw(s, 3) == 0)
        return r;
    r.time = (uint64_t)PICK(s, 0, 1, 5, 20, 20, 60, 150) * SECOND;
    r.max = (uint64_t)PICK(s, 20, 90, 90, 150, 600) * SECOND;
    r.growth = PICK(s, 1, 1.5, 2);
    r.pace = draw(s, 8) != 0;
    r.pace_after = PICK(s, 0, 1, 2, 3, 5);
    r.shield = PICK(s, 0, 5, 50);
    r.good_ratio = PICK(s, 0, 2, 10);
    r.half_life = (uint64_t)PICK(s, 0, MINUTE, HOUR);
    r.network_share = PICK(s, 0, 2, 4, 16);
    r.drip = (uint64_t)PICK(s, 0, 5, 20, 40) * SECOND;
    r.patience_offences = PICK(s, 0, 2, 5);
    r.null_sender_max = (uint64_t)PICK(s, 0, 5) * SECOND;
    r.greet = (uint64_t)PICK(s, 0, 2, 10, 30) * SECOND;
    r.greet_pass = (uint64_t)PICK(s, 1, 24, 720) * HOUR;
    r.retry_after = (uint64_t)PICK(s, 0, 1, 4, 4, 60) * MINUTE;
    return r;
}

static struct event random_event(uint64_t *s)
{
    static const uint8_t kinds[] = {EVENT_GOOD,    EVENT_GOOD,    EVENT_GOOD,    EVENT_BAD,
                                    EVENT_BAD,     EVENT_BAD,     EVENT_BAD,     EVENT_CALL_OUT,
                                    EVENT_SYNTAX,  EVENT_CONNECT, EVENT_CONNECT, EVENT_PASSED,
                                    EVENT_GAVE_UP, EVENT_LOGIN,   EVENT_GUESS,   EVENT_SUSPECT,
                                    EVENT_GREET,   EVENT_GREET,   EVENT_TRAPPED};
    static const uint32_t gaps[] = {1, 10, 1000, 30 * SECOND, 10 * MINUTE, 3 * HOUR};
    uint32_t most = gaps[draw(s, 6)];
    return (struct event){
        .kind = draw(s, 20) == 0 ? EVENT_TRAPPED : kinds[draw(s, sizeof kinds - 1)],
        .gap = draw(s, most),
        .latency = (uint8_t)(draw(s, 2) ? draw(s, 50) : 0),
        .amount = (uint16_t)draw(s, draw(s, 2) ? 30 : 600),
        .client = (uint8_t)(draw(s, 2) ? 0 : draw(s, HISTORY_CLIENTS)),
        .domain = (uint8_t)draw(s, 3),
    };
}

struct history history_random(uint32_t seed)
{
    uint64_t s = seed * UINT64_C(0x9e3779b97f4a7c15);
    struct history h = {.seed = seed};
    draw(&s, 2);
    h.rules = random_rules(&s);
    h.count = 4 + draw(&s, HISTORY_EVENTS - 4);
    bool hurried = draw(&s, 2);
    for (uint32_t i = 0; i < h.count; i++) {
        h.event[i] = random_event(&s);
        if (hurried)
            h.event[i].gap %= 2 * SECOND;
    }
    for (uint32_t i = draw(&s, h.count), tries = 0; tries < h.count; tries++, i = (i + 1) % h.count)
        if (h.event[i].kind == EVENT_BAD) {
            h.event[i].probe = true;
            break;
        }
    return h;
}

/* ---- running ---- */

struct tarpit_who history_who(const struct tarpit *t, unsigned client)
{
    static const char *const text[HISTORY_CLIENTS] = {
        "192.0.2.1",       "192.0.2.2",    "192.0.2.3",    "2001:db8:1:1::1",
        "2001:db8:1:2::1", "198.51.100.1", "198.51.100.2", "203.0.113.1"};
    struct addr a;
    bool ok = addr_parse(span_of(text[client]), &a);
    assert(ok);
    struct tarpit_who who = tarpit_who(t, &a, client == HISTORY_EXEMPT);
    who.authenticated = client == HISTORY_AUTHENTICATED;
    return who;
}

static uint64_t turn_end(const struct tarpit *t, const struct tarpit_who *who, uint64_t now)
{
    struct ledger_key k = {who->client, who->client_label, LEDGER_CLIENT};
    struct ledger_decay d = {t->rules.half_life, t->rules.good_half_life};
    struct ledger_entry e;
    ledger_get(t->ledger, &k, &d, now, &e);
    return e.turn_ms;
}

static bool asks(enum event_kind k)
{
    return k == EVENT_GOOD || k == EVENT_BAD || k == EVENT_CALL_OUT || k == EVENT_LOGIN ||
           k == EVENT_GUESS;
}

static struct span account_of(enum event_kind k)
{
    return k == EVENT_LOGIN || k == EVENT_GUESS ? SPAN("bob") : (struct span){0};
}

/* A query that waits for its directory. */
struct pending {
    struct outcome *outcome;
    struct tarpit_who who;
    struct tarpit_permit permit;
    enum event_kind kind;
};

struct run {
    struct tarpit *t;
    struct pending pending[HISTORY_EVENTS];
    uint32_t waiting;
};

static void show(struct outcome *o, struct tarpit_hold hold)
{
    o->hold = hold;
    o->shown = true;
    o->told = o->decided + (hold.drip_at_ms != 0 ? hold.drip_at_ms : hold.ms);
}

static void decide(struct run *run, struct pending *p)
{
    static const enum offence offence[EVENT_KINDS] = {[EVENT_BAD] = OFFENCE_RECIPIENT,
                                                      [EVENT_CALL_OUT] = OFFENCE_RECIPIENT,
                                                      [EVENT_GUESS] = OFFENCE_AUTH};
    struct outcome *o = p->outcome;
    uint64_t before = turn_end(run->t, &p->who, o->decided);

    o->debt_decided = tarpit_debt(run->t, &p->who, o->decided);
    struct tarpit_hold hold = tarpit_verdict(run->t, &p->who, account_of(p->kind), &p->permit,
                                             offence[p->kind], o->decided);
    show(o, hold);
    o->account = account_of(p->kind).len != 0;
    uint64_t after = turn_end(run->t, &p->who, o->decided);
    /* A newcomer that has become guilty meanwhile takes a turn instead of its one wait (R10). */
    bool again = p->permit.once && hold.rule != RULE_NETWORK;
    o->begin = again ? 0 : p->permit.turn_begin;
    o->end = again ? 0 : p->permit.turn_end;
    if (o->begin == 0 && after != before) {
        o->begin = before > o->decided ? before : o->decided;
        o->end = after;
    }
    const struct tarpit_rules *r = &run->t->rules;
    o->paced = r->pace && o->debt_decided > 0 &&
               (p->permit.turn_begin != 0 || p->permit.masked || o->debt_decided >= r->pace_after);
    o->early = o->end > o->decided + hold.ms;
}

/* Decides what the directory has answered by `now`, in the order in which it does. */
static void decide_until(struct run *run, uint64_t now)
{
    for (;;) {
        struct pending *first = NULL;
        for (uint32_t i = 0; i < run->waiting; i++) {
            struct pending *p = &run->pending[i];
            if (p->outcome->decided <= now &&
                (first == NULL || p->outcome->decided < first->outcome->decided))
                first = p;
        }
        if (first == NULL)
            return;
        struct pending p = *first;
        memmove(first, first + 1, (size_t)(run->pending + --run->waiting - first) * sizeof *first);
        decide(run, &p);
    }
}

static void ask(struct run *run, struct outcome *o, enum event_kind kind, struct tarpit_who who)
{
    struct pending p = {.outcome = o, .who = who, .kind = kind};
    if (kind == EVENT_CALL_OUT)
        tarpit_sender(run->t, &p.who, (struct span){0});
    if (account_of(kind).len)
        p.permit = tarpit_ask(run->t, &p.who, account_of(kind), o->asked);
    else /* one of three, so that retries occur (R26) */
        p.permit = tarpit_ask_recipient(run->t, &p.who, 1 + o->event->amount % 3u, o->asked);
    o->decided = o->asked + (p.permit.masked ? 0 : o->event->latency);
    if (p.permit.masked)
        decide(run, &p);
    else
        run->pending[run->waiting++] = p;
}

/* Mailboxes 0 to `count`: what a second message adds is what it has more of them. */
static void deliver(struct tarpit *t, const struct tarpit_who *who, uint32_t count, uint64_t now)
{
    for (uint64_t i = 0; i < count; i++) {
        uint64_t mailbox = i * UINT64_C(0x9e3779b97f4a7c15);
        tarpit_good(t, who, &mailbox, 1, now);
    }
}

static void wait_for_greeting(struct tarpit *t, struct outcome *o, unsigned client)
{
    struct tarpit_who who = history_who(t, client);

    show(o, tarpit_greet(t, &who, o->asked));
    if (o->hold.ms > 0 && o->event->amount % 2)
        (void)tarpit_offence(t, &who, OFFENCE_EARLY, o->asked);
    else if (o->hold.ms > 0)
        tarpit_greeted(t, &who, o->asked + o->hold.ms);
}

static void note(struct tarpit *t, struct outcome *o, const struct tarpit_who *who)
{
    const struct event *e = o->event;
    switch (e->kind) {
    case EVENT_SYNTAX: show(o, tarpit_offence(t, who, OFFENCE_SYNTAX, o->asked)); break;
    case EVENT_CONNECT: show(o, tarpit_wait(t, who, o->asked)); break;
    case EVENT_PASSED: deliver(t, who, e->amount, o->asked); break;
    case EVENT_GAVE_UP: tarpit_gave_up(t, who, e->amount * 100u, o->asked); break;
    case EVENT_SUSPECT: tarpit_suspect(t, who, t->rules.suspect_offences, o->asked); break;
    case EVENT_TRAPPED: tarpit_trapped(t, who, o->asked); break;
    case EVENT_GREET: wait_for_greeting(t, o, e->client); break;
    default: break;
    }
}

static bool follows_mail(enum event_kind k)
{
    return k == EVENT_GOOD || k == EVENT_BAD || k == EVENT_PASSED;
}

void history_run(const struct history *h, enum event_kind truth, struct tarpit *t,
                 struct outcome *outcome, uint64_t *now)
{
    struct run run = {.t = t};
    t->rules = h->rules;
    int err = ledger_open(&t->ledger, NULL, 64 * 1024);
    assert(err == 0);
    t->ledger->file.key = (struct sipkey){1, 2}; /* or two runs of a history would differ */
    err = retries_open(&t->retries, NULL, 4096);
    assert(err == 0);
    retries_restart(t->retries, 1);
    *now = T0;
    for (uint32_t i = 0; i < h->count; i++) {
        const struct event *e = &h->event[i];
        struct outcome *o = &outcome[i];
        enum event_kind kind = e->probe && truth != EVENT_KINDS ? truth : e->kind;
        *now += e->gap;
        decide_until(&run, *now);
        struct tarpit_who who = history_who(t, e->client);
        if (e->domain || follows_mail(kind))
            tarpit_sender(t, &who, e->domain == 2 ? SPAN("two.example") : SPAN("one.example"));
        *o = (struct outcome){.event = e, .asked = *now, .decided = *now};
        o->debt_asked = o->debt_decided = tarpit_debt(t, &who, *now);
        if (asks(kind))
            ask(&run, o, kind, who);
        else
            note(t, o, &who);
    }
    *now += UINT8_MAX;
    decide_until(&run, *now);
}

void history_end(struct tarpit *t)
{
    ledger_close(t->ledger);
    retries_close(t->retries);
}

/* ---- shrinking and printing ---- */

static bool fails(property_fn *property, const struct history *h)
{
    char why[256];
    return !property(h, why);
}

static bool without(property_fn *property, struct history *h, uint32_t from, uint32_t n)
{
    struct history less = *h;
    memmove(&less.event[from], &less.event[from + n],
            (less.count - from - n) * sizeof less.event[0]);
    less.count -= n;
    if (!fails(property, &less))
        return false;
    *h = less;
    return true;
}

static bool differ(const struct event *a, const struct event *b)
{
    return a->gap != b->gap || a->amount != b->amount || a->latency != b->latency ||
           a->client != b->client;
}

static bool simpler(property_fn *property, struct history *h, uint32_t i)
{
    const struct event was = h->event[i];
    const struct event less[] = {
        {was.gap, was.amount, 0, was.kind, was.client, was.domain, was.probe},
        {0, was.amount, was.latency, was.kind, was.client, was.domain, was.probe},
        {was.gap / 2, was.amount, was.latency, was.kind, was.client, was.domain, was.probe},
        {was.gap, was.amount / 2, was.latency, was.kind, was.client, was.domain, was.probe},
        {was.gap, was.amount, was.latency, was.kind, 0, was.domain, was.probe},
    };
    for (size_t k = 0; k < sizeof less / sizeof less[0]; k++) {
        h->event[i] = less[k];
        if (differ(&less[k], &was) && fails(property, h))
            return true;
    }
    h->event[i] = was;
    return false;
}

static void shrink(property_fn *property, struct history *h)
{
    struct history plain = *h;
    plain.rules = config_default_rules();
    if (fails(property, &plain))
        *h = plain;
    for (uint32_t n = h->count / 2; n > 0; n /= 2)
        for (uint32_t from = 0; from + n <= h->count;)
            if (!without(property, h, from, n))
                from++;
    for (uint32_t i = 0; i < h->count;)
        if (!simpler(property, h, i))
            i++;
}

static void print(const struct history *h)
{
    static const char *const name[EVENT_KINDS] = {"RCPT, exists",
                                                  "RCPT, unknown",
                                                  "call-out to one unknown",
                                                  "bad syntax",
                                                  "connects",
                                                  "message taken, recipients:",
                                                  "hung up after tenths of a second:",
                                                  "AUTH, right",
                                                  "AUTH, wrong",
                                                  "is a suspect",
                                                  "wrote to a trap",
                                                  "waits for the greeting; odd: talks before"};
    const struct tarpit_rules *r = &h->rules;
    uint64_t at = 0;
    fprintf(stderr,
            "time %.0fs growth %g max %.0fs pace %d after %g shield %g ratio %g half-life %.0fs "
            "share %g drip %.0fs patience %g null %.0fs greet %.0fs pass %.0fs\n",
            (double)r->time / 1e3, r->growth, (double)r->max / 1e3, r->pace, r->pace_after,
            r->shield, r->good_ratio, (double)r->half_life / 1e3, r->network_share,
            (double)r->drip / 1e3, r->patience_offences, (double)r->null_sender_max / 1e3,
            (double)r->greet / 1e3, (double)r->greet_pass / 1e3);
    for (uint32_t i = 0; i < h->count; i++) {
        const struct event *e = &h->event[i];
        at += e->gap;
        fprintf(stderr, "%12.3fs  client %d, domain %d  %s", (double)at / 1e3, e->client, e->domain,
                name[e->kind]);
        if (e->kind == EVENT_PASSED || e->kind == EVENT_GAVE_UP || e->kind == EVENT_GREET)
            fprintf(stderr, " %d", e->amount);
        if (asks(e->kind) && e->latency != 0)
            fprintf(stderr, "  (directory takes %d ms)", e->latency);
        fprintf(stderr, "%s\n", e->probe ? "  <- in question" : "");
    }
}

bool history_check(property_fn *property, uint32_t count, uint32_t first_seed)
{
    for (uint32_t i = 0; i < count; i++) {
        struct history h = history_random(first_seed + i);
        char why[256] = "";
        if (property(&h, why))
            continue;
        shrink(property, &h);
        property(&h, why);
        fprintf(stderr, "seed %u, shrunk to %u events: %s\n", h.seed, h.count, why);
        print(&h);
        return false;
    }
    return true;
}
