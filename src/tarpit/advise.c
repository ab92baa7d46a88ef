/* Advice from what was seen (advise.h). Gathering fills a few histograms and two short lists; then
 * each row of the table at the end looks at them and may propose one thing, or several. */
#include "tarpit/advise.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tarpit/policy.h"

enum {
    SOME = 3,         /* clients; fewer may be chance */
    EXEMPT_GOOD = 50, /* accepted recipients of a client worth an exemption */
    EXEMPT_RATIO = 4, /* at least so many of them for each offence */
    SUSPECT_OFFENCES = 50,
    RATIO_LEAST = 3, /* with less, spam to one known address would pay for a harvest */
    PATIENCE_OFFENCES = 5,
    SHIELD_LEAST = 10,
    TIME_LEAST_S = 5,
    TYPOS_MANY = 10, /* of a line of `observe`: with three times as many as late messages... */
    TYPOS_RATIO = 3, /* ... it is a harvester that has delivered something */
    PATIENCE_TELLING = 20,          /* from here on bots that keep dead addresses learn too much */
    GIVES_UP_MS = 24 * 3600 * 1000, /* Outlook's pools, the soonest of real senders */
    HALF_LIFE_MOST_MS = 6 * 3600 * 1000,
};

/* ---- gathering ---- */

void advise_begin(struct advise *a, const struct tarpit_rules *rules,
                  const struct advise_facts *facts)
{
    *a = (struct advise){.rules = *rules, .after = *rules, .facts = *facts};
}

static void count(uint32_t *histogram, size_t room, double value)
{
    size_t at = value < 0 ? 0 : value < (double)(room - 1) ? (size_t)value : room - 1;
    histogram[at]++;
}

/* Keeps the ADVISE_NAMED heaviest, in order. */
static void name(struct advise_named *list, size_t *n, const struct advise_named *one,
                 double (*weight)(const struct advise_named *))
{
    size_t at = *n;

    while (at > 0 && weight(one) > weight(&list[at - 1]))
        at--;
    if (at == ADVISE_NAMED)
        return;
    if (*n < ADVISE_NAMED)
        (*n)++;
    for (size_t i = *n - 1; i > at; i--)
        list[i] = list[i - 1];
    list[at] = *one;
}

static double by_good(const struct advise_named *one)
{
    return one->good;
}

static double by_offences(const struct advise_named *one)
{
    return one->offences;
}

static uint64_t harm(const struct advise_late *l)
{
    return l->late + 4 * l->put_off;
}

static struct advise_late *late_of(struct advise *a, const struct addr *who)
{
    for (size_t i = 0; i < a->lates; i++)
        if (addr_equal(&a->late[i].who, who))
            return &a->late[i];
    return NULL;
}

/* Adds it, in the order of harm; if there is no room, drops the one with the least harm. */
static void keep_late(struct advise *a, const struct advise_late *one)
{
    struct advise_late *known = late_of(a, &one->who), all = *one;
    size_t at;

    if (known) {
        all.late += known->late;
        all.put_off += known->put_off;
        all.worst_s = known->worst_s > one->worst_s ? known->worst_s : one->worst_s;
        if (harm(known) > harm(one))
            memcpy(all.domain, known->domain, sizeof all.domain);
        a->lates--;
        memmove(known, known + 1, (size_t)(a->late + a->lates - known) * sizeof *known);
    }
    for (at = a->lates; at > 0 && harm(&all) > harm(&a->late[at - 1]); at--)
        ;
    if (at == ADVISE_NAMED)
        return;
    if (a->lates < ADVISE_NAMED)
        a->lates++;
    memmove(a->late + at + 1, a->late + at, (a->lates - 1 - at) * sizeof *a->late);
    a->late[at] = all;
}

void advise_observed(struct advise *a, const struct observed_line *line)
{
    uint64_t mail = line->late + line->put_off;
    struct advise_late one = {.who = line->client,
                              .late = line->late,
                              .put_off = line->put_off,
                              .worst_s = line->worst_s};

    if (mail == 0 || (line->typos >= TYPOS_MANY && line->typos > TYPOS_RATIO * mail))
        return;
    memcpy(one.domain, line->domain, sizeof one.domain);
    keep_late(a, &one);
}

static void gather_good(struct advise *a, const struct addr *who, const struct ledger_entry *c)
{
    double debt = policy_debt(&a->rules, c->offences, c->good);

    a->with_good++;
    if (debt > a->worst_good)
        a->worst_good = debt;
    if (c->patience_ms)
        count(a->patience, ADVISE_SECONDS, c->patience_ms / 1000.0);
    if (c->flags & (LEDGER_TRAPPED | LEDGER_SUSPECT))
        return;
    if (debt > 0)
        count(a->ratio, ADVISE_LEVELS, c->good / c->offences);
    if (!late_of(a, who) && c->good >= EXEMPT_GOOD && c->offences >= 1 &&
        c->good >= EXEMPT_RATIO * c->offences)
        name(a->exempt, &a->exempts, &(struct advise_named){*who, c->offences, c->good}, by_good);
}

void advise_client(struct advise *a, const struct addr *who, const struct ledger_entry *client,
                   const struct ledger_entry *network)
{
    a->clients++;
    if ((client->flags | network->flags) & LEDGER_EXEMPT)
        return;
    if (client->good >= ADVISE_GOOD)
        gather_good(a, who, client);
    else
        count(a->debts, ADVISE_LEVELS, policy_debt(&a->rules, client->offences, client->good));
}

void advise_network(struct advise *a, const struct addr *who, const struct ledger_entry *network)
{
    if (network->good < ADVISE_GOOD && network->offences >= SUSPECT_OFFENCES &&
        !(network->flags & LEDGER_EXEMPT))
        name(a->suspect, &a->suspects,
             &(struct advise_named){*who, network->offences, network->good}, by_offences);
}

/* ---- reading histograms ---- */

static uint64_t total(const uint32_t *histogram, size_t from, size_t room)
{
    uint64_t n = 0;

    for (size_t i = from; i < room; i++)
        n += histogram[i];
    return n;
}

/* The least value such that `share` of all are at most that. */
static size_t quantile(const uint32_t *histogram, size_t room, double share)
{
    double wanted = share * (double)total(histogram, 0, room), so_far = 0;
    size_t at = 0;

    while (at < room - 1 && (so_far += histogram[at]) < wanted)
        at++;
    return at;
}

/* ---- proposing ---- */

struct proposals {
    struct advise *advise;
    struct advice *at;
    size_t n;
};

static __attribute__((format(printf, 3, 4))) struct advice *propose(struct proposals *p,
                                                                    const char *key,
                                                                    const char *setting, ...)
{
    struct advice *one = &p->at[p->n < ADVISE_MOST ? p->n++ : ADVISE_MOST - 1];
    va_list args;

    one->key = key;
    va_start(args, setting);
    vsnprintf(one->setting, sizeof one->setting, setting, args);
    va_end(args);
    return one;
}

static __attribute__((format(printf, 2, 3))) void because(struct advice *one, const char *reason,
                                                          ...)
{
    va_list args;

    va_start(args, reason);
    vsnprintf(one->reason, sizeof one->reason, reason, args);
    va_end(args);
}

/* Proposes a shorter `time` if one in ten clients with good mail hangs up before it hears the
 * reason. */
static void judge_time(struct proposals *p)
{
    struct advise *a = p->advise;
    uint64_t gone = total(a->patience, 0, ADVISE_SECONDS);
    size_t seconds = quantile(a->patience, ADVISE_SECONDS, 0.1);
    uint64_t time_s = seconds * 4 / 5 > TIME_LEAST_S ? seconds * 4 / 5 : TIME_LEAST_S;

    if (gone < SOME || time_s * 1000 >= a->rules.time)
        return;
    a->after.time = time_s * 1000;
    because(propose(p, "time", "tarpit { time = %lus }", (unsigned long)time_s),
            "%lu clients with good mail hung up while they were held, one in ten of them within "
            "%zu s. With %.0f s they leave before they hear that the user is unknown",
            (unsigned long)gone, seconds + 1, (double)a->rules.time / 1000);
}

static void judge_patience(struct proposals *p)
{
    struct advise *a = p->advise;
    uint64_t gone = total(a->patience, 0, ADVISE_SECONDS);

    if (gone < SOME || a->rules.patience_offences >= PATIENCE_OFFENCES)
        return;
    a->after.patience_offences = PATIENCE_OFFENCES;
    because(propose(p, "patience_offences", "tarpit { patience_offences = %d }", PATIENCE_OFFENCES),
            "%lu clients with good mail have hung up while they were held; with "
            "this setting they are answered sooner the next time, and hear why",
            (unsigned long)gone);
}

static void judge_ratio(struct proposals *p)
{
    struct advise *a = p->advise;
    uint64_t owing = total(a->ratio, 0, ADVISE_LEVELS);
    size_t half = quantile(a->ratio, ADVISE_LEVELS, 0.5);

    if (owing < SOME || half < RATIO_LEAST ||
        (a->rules.good_ratio > 0 && (double)half >= a->rules.good_ratio))
        return;
    a->after.good_ratio = (double)half;
    because(propose(p, "good_ratio", "tarpit { good_ratio = %zu }", half),
            "%lu clients with good mail are in debt all the same; half of them have had %zu "
            "or more recipients accepted for each offence",
            (unsigned long)owing, half);
}

/* Proposes a shield at twice the deepest debt of a client with good mail, so that it affects
 * none. */
static void judge_shield(struct proposals *p)
{
    struct advise *a = p->advise;
    double at = ceil(fmax(fmax(SHIELD_LEAST, 2 * a->worst_good), a->rules.pace_after + 1));

    if (a->facts.shielded || a->rules.time == 0 || at >= ADVISE_LEVELS ||
        (a->rules.shield > 0 && at >= a->rules.shield))
        return;
    uint64_t met = total(a->debts, (size_t)at, ADVISE_LEVELS);
    if (met < SOME)
        return;
    a->after.shield = at;
    because(propose(p, "shield", "tarpit { shield = %.0f }", at),
            "the shield was never reached. With this setting %lu clients without good mail would "
            "reach it; no client with good mail comes to more than half of it (the highest is at "
            "%.1f)",
            (unsigned long)met, a->worst_good);
}

static void judge_exempt(struct proposals *p)
{
    struct advise *a = p->advise;
    char text[ADDR_TEXT];

    for (size_t i = 0; i < a->exempts && a->rules.time; i++)
        because(propose(p, "exempt", "mirectl exempt %s", addr_format(&a->exempt[i].who, text)),
                "%.0f recipients accepted and %.1f offences: it sends good mail, has some dead "
                "addresses on its list, and waits for each of them",
                a->exempt[i].good, a->exempt[i].offences);
}

static void judge_late(struct proposals *p)
{
    struct advise *a = p->advise;
    char text[ADDR_TEXT];

    for (size_t i = 0; i < a->lates && a->rules.time; i++) {
        const struct advise_late *l = &a->late[i];
        because(propose(p, "exempt", "mirectl exempt %s", addr_format(&l->who, text)),
                "`observe` saw good mail of it (%s): %lu would have been late, by at most %lu s, "
                "and %lu deferred",
                l->domain[0] ? l->domain : "bounces", (unsigned long)l->late,
                (unsigned long)l->worst_s, (unsigned long)l->put_off);
    }
}

/* A trap puts a client on the shield for one half-life, and its mail is deferred meanwhile. */
static void judge_half_life(struct proposals *p)
{
    struct advise *a = p->advise;

    if (a->rules.time == 0 || a->rules.shield <= 0 || a->rules.half_life * 2 <= GIVES_UP_MS)
        return;
    a->after.half_life = HALF_LIFE_MOST_MS;
    because(propose(p, "half_life", "tarpit { half_life = %dh }", HALF_LIFE_MOST_MS / 3600000),
            "a client that reaches the shield is deferred for up to %.0f h, and some senders (the "
            "pools of Microsoft 365) give up after %d h: good messages from the same "
            "address would be lost",
            (double)a->rules.half_life / 3600000, GIVES_UP_MS / 3600000);
}

/* Washing (docs/tarpit.md): with a large limit, bots that keep dead addresses learn most. If good
 * senders are deep in debt, they may be among the impatient, so the limit stays. */
static void judge_telling(struct proposals *p)
{
    struct advise *a = p->advise;

    if (a->rules.patience_offences < PATIENCE_TELLING || a->worst_good >= PATIENCE_OFFENCES)
        return;
    a->after.patience_offences = PATIENCE_OFFENCES;
    because(propose(p, "patience_offences", "tarpit { patience_offences = %d }", PATIENCE_OFFENCES),
            "clients that hang up early hear their verdicts in time up to %.0f offences. So lists "
            "get clean a few days sooner, but clients that keep dead addresses learn several times "
            "as much. No client with good mail has %d offences",
            a->rules.patience_offences, PATIENCE_OFFENCES);
}

static void judge_suspect(struct proposals *p)
{
    struct advise *a = p->advise;
    char text[ADDR_TEXT];

    for (size_t i = 0; i < a->suspects && a->rules.time; i++) {
        struct network n = {a->suspect[i].who, a->suspect[i].who.family == ADDR_IP4 ? 24 : 48};
        because(propose(p, "suspect", "echo %s >>/etc/mired/suspects", network_format(&n, text)),
                "%.0f offences and no good mail from all of that network; with suspect = { "
                "\"file:/etc/mired/suspects\" } its next address begins where the last one ended",
                a->suspect[i].offences);
    }
}

static void judge_room(struct proposals *p)
{
    struct advise *a = p->advise;
    bool near = a->facts.held_most && a->facts.held >= a->facts.held_most * 4 / 5;
    struct advice *one = NULL;

    if (!near && !a->facts.guard_evictions)
        return;
    if (a->rules.freeze == FREEZE_OFF) {
        a->after.freeze = FREEZE_AUTO;
        one = propose(p, "freeze", "tarpit { freeze = auto }");
    } else if (a->rules.held_max) {
        a->after.held_max = 2 * a->rules.held_max;
        one = propose(p, "held_max", "tarpit { held_max = %lu }", (unsigned long)a->after.held_max);
    }
    if (one)
        because(one,
                "%lu connections are held (at most %lu may be), and %lu were closed early to make "
                "room for others",
                (unsigned long)a->facts.held, (unsigned long)a->facts.held_most,
                (unsigned long)a->facts.guard_evictions);
}

static void judge_ledger(struct proposals *p)
{
    const struct advise_facts *f = &p->advise->facts;
    unsigned long mega = (unsigned long)(f->ledger_size >> 20) * 2;

    if (!f->ledger.capacity || f->ledger.evictions * 100 < f->ledger.entries ||
        f->ledger.entries * 10 < f->ledger.capacity * 8)
        return;
    because(propose(p, "ledger_size", "tarpit { ledger_size = %luM }", mega ? mega : 1),
            "the ledger is full (%lu of %lu), and %lu clients were forgotten for newer ones. A "
            "ledger of another size begins empty: `mirectl ledger dump` before the restart and "
            "`mirectl ledger load` after it keep what is known",
            (unsigned long)f->ledger.entries, (unsigned long)f->ledger.capacity,
            (unsigned long)f->ledger.evictions);
}

static void (*const judges[])(struct proposals *p) = {
    judge_late,      judge_time,   judge_patience, judge_telling, judge_ratio, judge_shield,
    judge_half_life, judge_exempt, judge_suspect,  judge_room,    judge_ledger};

size_t advise_end(struct advise *a, struct advice out[ADVISE_MOST])
{
    struct proposals p = {.advise = a, .at = out};

    for (size_t i = 0; i < sizeof judges / sizeof judges[0]; i++)
        judges[i](&p);
    return p.n;
}
