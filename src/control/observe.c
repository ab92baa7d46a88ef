/* `observe`: what would have waited while `observe` was on (R20), for `mirectl observe` and the
 * page. First the senders whose good mail would have been late, each with the setting that spares
 * it; then what attackers would have paid, also by day; and whether there is a reason to keep
 * `observe`. In the web process; reads the file once for each request. */
#include "tarpit/observed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "config/config.h"
#include "config/values.h"
#include "control/control_part.h"

enum { DAY_MS = 24 * 3600 * 1000, SINCE_DAYS = 7, ENOUGH_DAYS = 7, SENDERS_MOST = 1000, POOL = 3 };

/* ---- senders ---- */

/* One client, or several of one network that write for the same domain. */
struct sender {
    struct observed_line sum;
    struct network who;
    unsigned clients;
    bool exempt;  /* by now */
    bool dubious; /* mostly wrong recipients: a harvester that has also delivered something */
};

/* Whether it would wait again. A pause of the greeting does not count, because it comes only
 * once. */
static bool would_wait(const struct sender *s)
{
    bool late = s->sum.late && s->sum.rule != RULE_GREET;

    return (late || s->sum.put_off) && !s->exempt && !s->dubious;
}

static bool is_exempt(const struct steering *s, const struct addr *client)
{
    const struct config_networks *list = &s->params->config->exempt;
    struct ledger *l = s->params->ledger;
    struct ledger_key key[] = {ledger_key_client(l, client), ledger_key_network(l, client)};
    struct ledger_decay d = steering_decay(s);
    struct ledger_entry e;

    for (int i = 0; i < 2; i++)
        if (ledger_get(l, &key[i], &d, clock_wall_ms(), &e) && e.flags & LEDGER_EXEMPT)
            return true;
    return networks_contain(list->at, list->count, client);
}

/* Orders by domain and network, so that senders that belong together are adjacent. */
static int by_network(const void *a, const void *b)
{
    const struct sender *x = a, *y = b;
    struct addr n = addr_network(&x->sum.client), m = addr_network(&y->sum.client);
    int order = strcmp(x->sum.domain, y->sum.domain);

    if (!order && x->exempt != y->exempt)
        order = x->exempt ? 1 : -1;
    return order ? order : memcmp(n.octets, m.octets, sizeof n.octets);
}

/* Orders by delay, longest first; exempt and dubious senders come after the others. */
static int by_harm(const void *a, const void *b)
{
    const struct sender *x = a, *y = b;
    uint64_t of_x = x->sum.late_s + 90 * x->sum.put_off, of_y = y->sum.late_s + 90 * y->sum.put_off;

    if (x->exempt != y->exempt)
        return x->exempt ? 1 : -1;
    if (x->dubious != y->dubious)
        return x->dubious ? 1 : -1;
    return (of_x < of_y) - (of_x > of_y);
}

static void merge(struct sender *into, const struct sender *other)
{
    struct observed_line *sum = &into->sum;

    sum->late += other->sum.late;
    sum->put_off += other->sum.put_off;
    sum->typos += other->sum.typos;
    sum->late_s += other->sum.late_s;
    sum->typo_s += other->sum.typo_s;
    if (other->sum.worst_s > sum->worst_s) {
        sum->worst_s = other->sum.worst_s;
        sum->rule = other->sum.rule;
    }
    if (other->sum.last_day_ms > sum->last_day_ms)
        sum->last_day_ms = other->sum.last_day_ms;
    into->clients++;
    into->who.base = addr_network(&sum->client);
    into->who.bits = addr_bits(&into->who.base) == 32 ? 24 : 48;
}

/* Joins three or more clients of one network that write for the same domain into one sender: they
 * are a provider's outgoing servers. Two clients stay separate, so that no administrator exempts
 * 254 addresses for them. Returns how many senders there are. */
static size_t join(struct sender *list, size_t count)
{
    size_t n = 0, next;

    qsort(list, count, sizeof *list, by_network);
    for (size_t i = 0; i < count; i = next) {
        for (next = i + 1; next < count && by_network(&list[i], &list[next]) == 0;)
            next++;
        bool one = next - i >= POOL && *list[i].sum.domain;
        list[n++] = list[i];
        for (size_t k = i + 1; k < next; k++)
            if (one)
                merge(&list[n - 1], &list[k]);
            else
                list[n++] = list[k];
    }
    return n;
}

static size_t gather(const struct steering *s, uint64_t since, uint64_t now, struct sender *list)
{
    struct observed_line line;
    uint32_t at = 0;
    size_t n = 0;

    while (n < OBSERVED_LINES && observed_next(s->params->observed, &at, since, now, &line)) {
        unsigned bits = addr_bits(&line.client) == 32 ? 32 : 64;
        list[n++] = (struct sender){
            line, {line.client, (uint8_t)bits}, 1, is_exempt(s, &line.client), false};
    }
    n = join(list, n);
    for (size_t i = 0; i < n; i++)
        list[i].dubious = list[i].sum.typos >= 10 &&
                          list[i].sum.typos > 3 * (list[i].sum.late + list[i].sum.put_off);
    qsort(list, n, sizeof *list, by_harm);
    return n;
}

static json_t *sender_json(const struct sender *s)
{
    const struct observed_line *l = &s->sum;
    char who[ADDR_TEXT], setting[ADDR_TEXT + 32];
    unsigned full = addr_bits(&s->who.base);

    if (s->who.bits == full)
        addr_format(&s->who.base, who);
    else
        network_format(&s->who, who);
    snprintf(setting, sizeof setting, "exempt += { \"%s\" }", who);
    return json_pack("{s:s, s:i, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:s, s:b, s:b, s:s}",
                     "address", who, "clients", (int)s->clients, "domain", l->domain, "late",
                     (json_int_t)l->late, "late_seconds", (json_int_t)l->late_s, "worst_seconds",
                     (json_int_t)l->worst_s, "put_off", (json_int_t)l->put_off, "typos",
                     (json_int_t)l->typos, "typo_seconds", (json_int_t)l->typo_s, "last_day_ms",
                     (json_int_t)l->last_day_ms, "rule", tarpit_rule_name(l->rule), "why",
                     tarpit_rule_about(l->rule), "exempt", s->exempt, "dubious", s->dubious,
                     "setting", setting);
}

/* *waiting: how many senders with good mail would still wait. */
static json_t *senders(const struct steering *s, uint64_t since, uint64_t now, size_t *waiting)
{
    struct sender *list = calloc(OBSERVED_LINES, sizeof *list);
    size_t n = list ? gather(s, since, now, list) : 0;
    json_t *out = json_array();

    for (size_t i = 0; i < n; i++) {
        *waiting += would_wait(&list[i]);
        if (i < SENDERS_MOST)
            json_array_append_new(out, sender_json(&list[i]));
    }
    free(list);
    return out;
}

/* ---- the report ---- */

static json_t *days_json(const struct steering *s, uint64_t since, uint64_t now)
{
    struct observed_day day[OBSERVED_DAYS];
    unsigned n = observed_days(s->params->observed, since, now, day);
    json_t *list = json_array();

    for (unsigned i = 0; i < n; i++)
        json_array_append_new(
            list,
            json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "day_ms",
                      (json_int_t)day[i].day_ms, "messages", (json_int_t)day[i].messages, "late",
                      (json_int_t)day[i].late, "put_off", (json_int_t)day[i].put_off, "typos",
                      (json_int_t)day[i].typos, "replies", (json_int_t)day[i].replies, "seconds",
                      (json_int_t)day[i].seconds, "connections", (json_int_t)day[i].connections,
                      "untold", (json_int_t)day[i].untold));
    return list;
}

static json_t *rules_json(const struct observed_sums *sums)
{
    json_t *rules = json_object();

    for (int i = 1; i < RULE_COUNT; i++)
        json_object_set_new(rules, tarpit_rule_name((enum tarpit_rule)i),
                            json_integer((json_int_t)sums->by_rule[i]));
    return rules;
}

/* Since when there is any data, whatever the report is about; 0: none. */
static uint64_t first_day(const struct steering *s, uint64_t now)
{
    struct observed_sums all;

    observed_sums(s->params->observed, 0, now, &all);
    return all.first_day_ms;
}

/* What to do next, in a sentence or two. */
static json_t *next_json(const struct steering *s, uint64_t first_ms, uint64_t now, size_t waiting,
                         bool *ready)
{
    const struct config *c = s->params->config;
    unsigned days = first_ms ? (unsigned)((now - first_ms) / DAY_MS) : 0;

    *ready = false;
    if (!c->observe)
        return json_string("observe is off: replies wait");
    if (!first_ms)
        return json_string("nothing has been observed yet");
    if (waiting)
        return json_sprintf("%zu sender%s of good mail would still wait: exempt those that you "
                            "want, or let them wait; then look again",
                            waiting, waiting == 1 ? "" : "s");
    if (days < ENOUGH_DAYS)
        return json_sprintf("nothing speaks against turning observe off so far, but %u day%s "
                            "observed; after %d, senders that write once a week have been seen too",
                            days, days == 1 ? " has been" : "s have been", ENOUGH_DAYS);
    *ready = true;
    return json_sprintf("nothing speaks against turning observe off: at %s write "
                        "`observe = false`, then run `mirectl reload`",
                        c->observe_place ? c->observe_place : c->file);
}

json_t *observed_json(const struct steering *s, uint64_t since, uint64_t now)
{
    const struct config *c = s->params->config;
    struct observed_sums sums;
    uint64_t first_ms = first_day(s, now);
    size_t waiting = 0;
    bool ready;

    observed_sums(s->params->observed, since, now, &sums);
    json_t *list = senders(s, since, now, &waiting);
    json_t *next = next_json(s, first_ms, now, waiting, &ready);
    return json_pack("{s:b, s:s*, s:I, s:I, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:b, s:o}",
                     "observing", c->observe, "place", c->observe_place, "since_ms",
                     (json_int_t)since, "first_day_ms", (json_int_t)first_ms, "senders", list,
                     "waiting", (json_int_t)waiting, "messages", (json_int_t)sums.messages,
                     "replies", (json_int_t)sums.replies, "seconds", (json_int_t)sums.seconds,
                     "connections", (json_int_t)sums.connections, "untold", (json_int_t)sums.untold,
                     "rules", rules_json(&sums), "days", days_json(s, since, now), "ready", ready,
                     "next", next);
}

bool observed_since(const char *text, uint64_t now, uint64_t *since)
{
    uint64_t ms = SINCE_DAYS * (uint64_t)DAY_MS;

    if (text && (!config_duration(span_of(text), &ms) || ms == 0))
        return false;
    *since = ms < now ? now - ms : 0;
    return true;
}

void run_observe(struct control *c, const json_t *args)
{
    uint64_t now = clock_wall_ms(), since;

    if (observed_since(request_text(args, "since"), now, &since))
        control_done(c, observed_json(c->steering, since, now));
    else
        control_fail(c, CONTROL_USAGE, "expected a duration such as 1d or 7d; 31d are kept");
}
