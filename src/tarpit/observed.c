/* What would have waited (observed.h): a table in a mapped file, in sets of eight lines; a line has
 * counts for each of the last 31 days. Workers write it, the web process reads it. */
#include "tarpit/observed.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/mapfile.h"

static const char MAGIC[8] = {'M', 'I', 'R', 'O', 'B', 'S', 'R', 'V'};
enum { VERSION = 1, WAYS = 8, DAY_MS = 24 * 3600 * 1000 };

/* Room for rules to come, so that the file keeps its size. */
enum { RULES_KEPT = 16 };
static_assert((int)RULE_COUNT <= (int)RULES_KEPT, "a count for each rule");

struct line_day {
    _Atomic uint32_t day; /* since 1970 */
    _Atomic uint32_t late, put_off, typos, late_s, worst_s, typo_s;
};

struct line {
    _Atomic uint64_t key; /* 0: free; 1: being written */
    struct addr client;
    char domain[OBSERVED_DOMAIN];
    _Atomic uint32_t last_day, rule;
    struct line_day day[OBSERVED_DAYS];
};

struct total_day {
    _Atomic uint32_t day, messages;
    _Atomic uint64_t replies, ms, connections, untold;
    _Atomic uint64_t by_rule[RULES_KEPT];
};

static_assert(sizeof(struct total_day) == 168, "part of the file's format");

struct body {
    struct total_day day[OBSERVED_DAYS];
    struct line line[OBSERVED_LINES];
};

struct observed {
    struct mapfile file;
    struct body *body;
};

int observed_open(struct observed **out, const char *path)
{
    struct observed *o = calloc(1, sizeof *o);
    int error = o ? mapfile_open(&o->file, path, MAGIC, VERSION, sizeof *o->body) : -ENOMEM;

    if (error < 0) {
        free(o);
        return error;
    }
    o->body = o->file.body;
    *out = o;
    return 0;
}

void observed_close(struct observed *o)
{
    if (!o)
        return;
    mapfile_close(&o->file);
    free(o);
}

/* ---- totals ---- */

static uint32_t day_of(uint64_t ms)
{
    return (uint32_t)(ms / DAY_MS);
}

static void add32(_Atomic uint32_t *count, uint64_t by)
{
    uint32_t was = atomic_load_explicit(count, memory_order_relaxed);
    uint32_t room = UINT32_MAX - was;
    atomic_fetch_add_explicit(count, by < room ? (uint32_t)by : room, memory_order_relaxed);
}

static struct total_day *total_of(struct observed *o, uint64_t now)
{
    struct total_day *d = &o->body->day[day_of(now) % OBSERVED_DAYS];
    uint32_t was = atomic_load(&d->day), today = day_of(now);

    if (was != today && atomic_compare_exchange_strong(&d->day, &was, today)) {
        d->messages = 0;
        d->replies = d->ms = d->connections = d->untold = 0;
        for (int i = 0; i < RULE_COUNT; i++)
            d->by_rule[i] = 0;
    }
    return d;
}

void observed_hold(struct observed *o, const struct tarpit_hold *hold, bool first, uint64_t now)
{
    struct total_day *d = total_of(o, now);

    atomic_fetch_add_explicit(&d->replies, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&d->ms, hold->ms, memory_order_relaxed);
    atomic_fetch_add_explicit(&d->connections, first, memory_order_relaxed);
    atomic_fetch_add_explicit(&d->untold, hold->masked, memory_order_relaxed);
    if (hold->rule < RULE_COUNT)
        atomic_fetch_add_explicit(&d->by_rule[hold->rule], 1, memory_order_relaxed);
}

void observed_message(struct observed *o, uint64_t now)
{
    add32(&total_of(o, now)->messages, 1);
}

static bool within(uint32_t day, uint64_t since, uint64_t now)
{
    return day != 0 && day >= day_of(since) && day <= day_of(now) &&
           day_of(now) - day < OBSERVED_DAYS;
}

void observed_sums(const struct observed *o, uint64_t since, uint64_t now,
                   struct observed_sums *out)
{
    uint64_t ms = 0;

    *out = (struct observed_sums){0};
    for (int i = 0; i < OBSERVED_DAYS; i++) {
        struct total_day *d = &o->body->day[i];
        uint32_t day = atomic_load(&d->day);
        if (!within(day, since, now))
            continue;
        if (!out->first_day_ms || (uint64_t)day * DAY_MS < out->first_day_ms)
            out->first_day_ms = (uint64_t)day * DAY_MS;
        out->messages += d->messages;
        out->replies += d->replies;
        ms += d->ms;
        out->connections += d->connections;
        out->untold += d->untold;
        for (int k = 0; k < RULE_COUNT; k++)
            out->by_rule[k] += d->by_rule[k];
    }
    out->seconds = ms / 1000;
}

/* ---- lines ---- */

static uint64_t key_of(const struct observed *o, const struct addr *client, struct span domain)
{
    struct siphash h;

    siphash_start(&h, &o->file.key);
    siphash_add(&h, client->octets, sizeof client->octets);
    siphash_add(&h, domain.at, domain.len);
    return siphash_end(&h) | 2;
}

/* The weight of a line by its counts: a new line replaces the one with the least. A line without a
 * day of the last month has weight 0. */
static uint64_t weight_of(const struct line *l, uint64_t now)
{
    uint64_t sum = 0;

    if (l->last_day + OBSERVED_DAYS <= day_of(now))
        return 0;
    for (int i = 0; i < OBSERVED_DAYS; i++)
        if (within(l->day[i].day, 0, now))
            sum += 4 * (uint64_t)l->day[i].late + 8 * (uint64_t)l->day[i].put_off + l->day[i].typos;
    return sum + 1;
}

static void begin(struct line *l, const struct addr *client, struct span domain)
{
    size_t n = domain.len < OBSERVED_DOMAIN - 1 ? domain.len : OBSERVED_DOMAIN - 1;

    l->client = *client;
    memset(l->domain, 0, sizeof l->domain);
    memcpy(l->domain, domain.at, n);
    l->last_day = l->rule = 0;
    memset(l->day, 0, sizeof l->day);
}

/* Finds or makes the line of a client and a domain; NULL while another process makes room in the
 * set. */
static struct line *line_of(struct observed *o, const struct addr *peer, struct span domain,
                            uint64_t now)
{
    struct addr client = addr_client(peer);
    uint64_t key = key_of(o, &client, domain), least = UINT64_MAX;
    struct line *set = o->body->line + (key >> 20) % (OBSERVED_LINES / WAYS) * WAYS;
    struct line *weakest = NULL;

    for (struct line *l = set; l < set + WAYS; l++) {
        uint64_t weight;
        if (l->key == key)
            return l;
        if (l->key == 1)
            continue;
        weight = l->key ? weight_of(l, now) : 0;
        if (weight < least) {
            least = weight;
            weakest = l;
        }
    }
    if (!weakest)
        return NULL;
    uint64_t was = weakest->key;
    if (!atomic_compare_exchange_strong(&weakest->key, &was, 1))
        return NULL;
    begin(weakest, &client, domain);
    atomic_store(&weakest->key, key);
    return weakest;
}

static struct line_day *today_of(struct line *l, uint64_t now)
{
    struct line_day *d = &l->day[day_of(now) % OBSERVED_DAYS];
    uint32_t was = atomic_load(&d->day), today = day_of(now);

    if (was != today && atomic_compare_exchange_strong(&d->day, &was, today))
        d->late = d->put_off = d->typos = d->late_s = d->worst_s = d->typo_s = 0;
    l->last_day = today;
    return d;
}

static uint32_t worst_of(const struct line *l, uint64_t now)
{
    uint32_t worst = 0;

    for (int i = 0; i < OBSERVED_DAYS; i++)
        if (within(l->day[i].day, 0, now) && l->day[i].worst_s > worst)
            worst = l->day[i].worst_s;
    return worst;
}

void observed_good(struct observed *o, const struct observed_mail *mail, uint64_t now)
{
    struct line *l = line_of(o, &mail->client, mail->domain, now);
    uint32_t seconds = (uint32_t)((mail->late_ms + 500) / 1000);

    if (!l)
        return;
    struct line_day *d = today_of(l, now);
    if (mail->put_off || (seconds >= worst_of(l, now) && !d->put_off))
        l->rule = mail->rule;
    if (mail->put_off) {
        add32(&d->put_off, 1);
        return;
    }
    add32(&d->late, 1);
    add32(&d->late_s, seconds);
    if (seconds > d->worst_s)
        d->worst_s = seconds;
}

void observed_typo(struct observed *o, const struct addr *client, struct span domain, uint64_t ms,
                   uint64_t now)
{
    struct line *l = line_of(o, client, domain, now);

    if (!l)
        return;
    struct line_day *d = today_of(l, now);
    add32(&d->typos, 1);
    add32(&d->typo_s, (ms + 500) / 1000);
}

static void add_day(struct observed_line *out, const struct line_day *d)
{
    uint64_t ms = (uint64_t)d->day * DAY_MS;

    out->late += d->late;
    out->put_off += d->put_off;
    out->typos += d->typos;
    out->late_s += d->late_s;
    out->typo_s += d->typo_s;
    if (d->worst_s > out->worst_s)
        out->worst_s = d->worst_s;
    if (ms > out->last_day_ms)
        out->last_day_ms = ms;
}

bool observed_next(const struct observed *o, uint32_t *at, uint64_t since, uint64_t now,
                   struct observed_line *out)
{
    while (*at < OBSERVED_LINES) {
        struct line *l = &o->body->line[(*at)++];
        uint32_t rule = l->rule; /* once: another process may change it between two looks */
        if (l->key <= 1)
            continue;
        *out = (struct observed_line){.client = l->client,
                                      .rule = rule < RULE_COUNT ? (uint8_t)rule : 0};
        memcpy(out->domain, l->domain, OBSERVED_DOMAIN - 1);
        for (int i = 0; i < OBSERVED_DAYS; i++)
            if (within(l->day[i].day, since, now))
                add_day(out, &l->day[i]);
        if (out->late || out->put_off || out->typos)
            return true;
    }
    return false;
}

/* ---- by day ---- */

static void add_lines(const struct observed *o, struct observed_day *of, uint32_t day)
{
    for (const struct line *l = o->body->line; l < o->body->line + OBSERVED_LINES; l++) {
        const struct line_day *d = &l->day[day % OBSERVED_DAYS];
        if (l->key <= 1 || d->day != day)
            continue;
        of->late += d->late;
        of->put_off += d->put_off;
        of->typos += d->typos;
    }
}

unsigned observed_days(const struct observed *o, uint64_t since, uint64_t now,
                       struct observed_day out[OBSERVED_DAYS])
{
    uint32_t today = day_of(now);
    unsigned n = 0;

    for (uint32_t ago = OBSERVED_DAYS; ago-- > 0;) {
        uint32_t day = today - ago; /* before 1970 none is known */
        const struct total_day *d = &o->body->day[day % OBSERVED_DAYS];
        if (d->day != day || !within(day, since, now))
            continue;
        out[n] = (struct observed_day){.day_ms = (uint64_t)day * DAY_MS,
                                       .messages = d->messages,
                                       .replies = d->replies,
                                       .seconds = d->ms / 1000,
                                       .connections = d->connections,
                                       .untold = d->untold};
        add_lines(o, &out[n++], day);
    }
    return n;
}
