/* What accounts have sent at all members (usage.h): a set-associative table of what each member,
 * this one included, has said of each account. */
#include "fleet/usage.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fleet/numbers.h"
#include "fleet/share.h"

/* All that is known of an account is in one set, so WAYS is how many members it may have. */
enum { WAYS = 64, UNTOLD = 1024 };

struct node {
    uint64_t id; /* 0: empty */
    uint64_t stamp_ms, at_ms;
    uint64_t hash; /* of USAGE_SELF: the ledger's */
    uint32_t epoch, most[BUCKET_COUNT], count[BUCKET_COUNT];
    uint32_t released_s;          /* of USAGE_SELF: epochs before that do not count; 0: all do */
    uint32_t added[BUCKET_COUNT]; /* to this ledger's buckets, since the epoch was heard of */
    float level[BUCKET_COUNT];
    uint16_t member;
    bool applied; /* to this ledger */
    bool untold;
};

struct usage {
    struct node *node;
    uint32_t sets;
    int64_t skew;
    uint64_t last_stamp;
    uint32_t untold[UNTOLD]; /* places in `node`; not used from scan_at on */
    uint32_t untolds;
    uint32_t scan_at; /* places from there on are looked at one by one */
};

struct ledger_rate usage_rate(uint32_t most, enum ledger_bucket bucket)
{
    enum { HOUR_MS = 3600000 };
    bool hour = bucket == BUCKET_HOUR || bucket == BUCKET_NEW_HOUR;

    return (struct ledger_rate){most, hour ? HOUR_MS : 24 * HOUR_MS};
}

/* ---- octets: id 8, stamp 6, epoch 4, and of each bucket most 3, count 4, level 4 ---- */

void usage_write(const struct usage_share *s, uint8_t out[USAGE_RECORD])
{
    out = number_put(out, s->id, 8);
    out = number_put(out, s->stamp_ms, 6);
    out = number_put(out, s->epoch, 4);
    for (int b = 0; b < BUCKET_COUNT; b++) {
        uint32_t bits;
        memcpy(&bits, &s->level[b], sizeof bits);
        out = number_put(out, s->most[b], 3);
        out = number_put(out, s->count[b], 4);
        out = number_put(out, bits, 4);
    }
}

int usage_next(struct span *batch, struct usage_share *s)
{
    if (batch->len == 0)
        return 0;
    if (batch->len < USAGE_RECORD)
        return -EINVAL;
    *s = (struct usage_share){.id = number_take(batch, 8)};
    s->stamp_ms = number_take(batch, 6);
    s->epoch = (uint32_t)number_take(batch, 4);
    bool valid = (s->id & 15) == LEDGER_ALLOWANCE;
    for (int b = 0; b < BUCKET_COUNT; b++) {
        s->most[b] = (uint32_t)number_take(batch, 3);
        s->count[b] = (uint32_t)number_take(batch, 4);
        uint32_t bits = (uint32_t)number_take(batch, 4);
        memcpy(&s->level[b], &bits, sizeof bits);
        valid =
            valid && s->most[b] <= LEDGER_BUCKET_MOST && isfinite(s->level[b]) && s->level[b] >= 0;
    }
    return valid ? 1 : -EINVAL;
}

/* ---- the table ---- */

int usage_open(struct usage **out, uint32_t places)
{
    struct usage *s = calloc(1, sizeof *s);

    if (!s)
        return -ENOMEM;
    s->sets = places / WAYS ? places / WAYS : 1;
    s->scan_at = s->sets * WAYS;
    s->node = calloc((size_t)s->sets * WAYS, sizeof *s->node);
    if (!s->node) {
        free(s);
        return -ENOMEM;
    }
    *out = s;
    return 0;
}

void usage_close(struct usage *s)
{
    if (!s)
        return;
    free(s->node);
    free(s);
}

void usage_skew(struct usage *s, int64_t skew)
{
    s->skew = skew;
}

void usage_clock_was_set(struct usage *s, int64_t by_ms)
{
    for (struct node *n = s->node; n < s->node + (size_t)s->sets * WAYS; n++)
        if (n->id)
            n->at_ms += (uint64_t)by_ms;
    s->skew -= by_ms;
}

static uint64_t fleet_time(const struct usage *s, uint64_t now)
{
    return (uint64_t)((int64_t)now + s->skew);
}

/* All of an account are in one set. */
static struct node *set_of(const struct usage *s, uint64_t id)
{
    return &s->node[(id >> 4) % s->sets * WAYS];
}

static struct node *find(const struct usage *s, uint64_t id, uint16_t member)
{
    struct node *set = set_of(s, id);

    for (int i = 0; i < WAYS; i++)
        if (set[i].id == id && set[i].member == member)
            return &set[i];
    return NULL;
}

static struct node *add(struct usage *s, uint64_t id, uint16_t member)
{
    struct node *set = set_of(s, id), *oldest = &set[0];

    for (int i = 0; i < WAYS && oldest->id; i++)
        if (!set[i].id || set[i].at_ms < oldest->at_ms)
            oldest = &set[i];
    *oldest = (struct node){.id = id, .member = member};
    return oldest;
}

/* ---- to the ledger ---- */

static struct ledger_key key_of(const struct node *self)
{
    return (struct ledger_key){
        .hash = self->hash, .common = self->id, .kind = (uint8_t)LEDGER_ALLOWANCE};
}

/* The rate as this member has it; before anything was sent here, as the other one has it. */
static struct ledger_rate rate_of(const struct node *self, const struct node *n,
                                  enum ledger_bucket b)
{
    return usage_rate(self->most[b] ? self->most[b] : n->most[b], b);
}

/* What is in its bucket by now. */
static double level_now(const struct node *n, enum ledger_bucket b, struct ledger_rate rate,
                        uint64_t now)
{
    double age = now > n->at_ms ? (double)(now - n->at_ms) : 0;
    double left = n->level[b] - rate.most * age / (double)rate.period_ms;

    left = left < rate.most ? left : rate.most;
    return left > 0 ? left : 0;
}

static void raise(struct ledger *l, const struct node *self, struct node *n, uint64_t now)
{
    struct ledger_key k = key_of(self);

    for (enum ledger_bucket b = 0; b < BUCKET_COUNT; b++) {
        struct ledger_rate rate = rate_of(self, n, b);
        double level = rate.most ? level_now(n, b, rate, now) : 0;
        if (level > 0)
            ledger_bucket_raise(l, &k, b, rate, now, level);
    }
    n->applied = true;
}

static void change(struct ledger *l, const struct node *self, struct node *n, enum ledger_bucket b,
                   int64_t by, uint64_t now)
{
    struct ledger_rate rate = rate_of(self, n, b);
    struct ledger_key k = key_of(self);

    if (by < 0) { /* no more than this member has added */
        uint32_t back = -by < n->added[b] ? (uint32_t)-by : n->added[b];
        n->added[b] -= back;
        if (back && rate.most)
            ledger_bucket_give(l, &k, b, rate, now, back);
        return;
    }
    uint32_t more = (uint32_t)(by < LEDGER_BUCKET_MOST ? by : LEDGER_BUCKET_MOST);
    n->added[b] = n->added[b] < UINT32_MAX - more ? n->added[b] + more : UINT32_MAX;
    if (!rate.most)
        return;
    more = (uint32_t)fmin(more, ceil(level_now(n, b, rate, now)));
    if (more && !ledger_bucket_take(l, &k, b, rate, now, more))
        ledger_bucket_raise(l, &k, b, rate, now, rate.most);
}

static void to_be_told(struct usage *s, struct node *n)
{
    if (n->untold)
        return;
    n->untold = true;
    if (s->untolds < UNTOLD)
        s->untold[s->untolds++] = (uint32_t)(n - s->node);
    else
        s->scan_at = 0;
}

void usage_booked(struct usage *s, struct ledger *l, const struct others_event *e, uint64_t now)
{
    const struct ledger_sent *sent = &e->sent;
    struct node *n = find(s, e->name.id, USAGE_SELF);
    uint32_t by = sent->given_back ? -sent->recipients : sent->recipients;

    if (!e->name.id)
        return;
    if (!n) {
        n = add(s, e->name.id, USAGE_SELF);
        n->epoch = (uint32_t)(fleet_time(s, now) / 1000);
    }
    n->at_ms = now;
    n->count[sent->bucket] += by;
    to_be_told(s, n);
    if (sent->most)
        n->most[sent->bucket] = sent->most;
    if (n->hash)
        return;
    n->hash = e->hash;
    struct node *set = set_of(s, n->id); /* what was heard before the account came here */
    for (int i = 0; i < WAYS; i++)
        if (set[i].id == n->id && set[i].member != USAGE_SELF && !set[i].applied)
            raise(l, n, &set[i], now);
}

void usage_release(struct usage *s, uint64_t id, uint32_t since_s, uint64_t now)
{
    struct node *self = find(s, id, USAGE_SELF), *set = set_of(s, id);
    uint32_t now_s = (uint32_t)(fleet_time(s, now) / 1000);

    if (!self)
        self = add(s, id, USAGE_SELF);
    if (since_s > self->released_s)
        self->released_s = since_s;
    self->at_ms = now;
    self->epoch = now_s > since_s ? now_s : since_s;
    memset(self->count, 0, sizeof self->count);
    for (int i = 0; i < WAYS; i++)
        if (set[i].id == id && set[i].member != USAGE_SELF && set[i].epoch < since_s)
            memset(set[i].level, 0, sizeof set[i].level);
    if (self->hash)
        to_be_told(s, self);
}

/* Its member has not carried out the account's release, or had not when it said so. */
static bool is_from_before(const struct usage *s, const struct usage_share *share, uint64_t now)
{
    const struct node *self = find(s, share->id, USAGE_SELF);

    return self && share->epoch < self->released_s &&
           fleet_time(s, now) / 1000 < self->released_s + (uint64_t)USAGE_RELEASED_S;
}

bool usage_take(struct usage *s, struct ledger *l, uint16_t member, const struct usage_share *share,
                uint64_t at_ms, uint64_t now)
{
    struct node *n = find(s, share->id, member);
    struct node old = n ? *n : (struct node){0};

    if ((n && n->stamp_ms >= share->stamp_ms &&
         n->stamp_ms <= fleet_time(s, now) + SHARE_AHEAD_MS) ||
        is_from_before(s, share, now))
        return false;
    if (!n)
        n = add(s, share->id, member);
    n->stamp_ms = share->stamp_ms;
    n->at_ms = at_ms < now ? at_ms : now;
    n->epoch = share->epoch;
    memcpy(n->most, share->most, sizeof n->most);
    memcpy(n->count, share->count, sizeof n->count);
    memcpy(n->level, share->level, sizeof n->level);
    const struct node *self = find(s, share->id, USAGE_SELF); /* add() may have taken its place */
    if (!self || !self->hash) {
        n->applied = false;
        return true;
    }
    if (!old.applied || old.epoch != share->epoch) {
        memset(n->added, 0, sizeof n->added);
        raise(l, self, n, now);
        return true;
    }
    /* It says the same again, so all of it is here. What it has heard of a third member may not
     * be. */
    if (memcmp(share->count, old.count, sizeof old.count) == 0)
        raise(l, self, n, now);
    for (enum ledger_bucket b = 0; b < BUCKET_COUNT; b++)
        change(l, self, n, b, (int32_t)(share->count[b] - old.count[b]), now);
    return true;
}

/* ---- telling ---- */

static struct node *next_untold(struct usage *s)
{
    while (s->untolds > 0) {
        struct node *n = &s->node[s->untold[--s->untolds]];
        if (n->untold && n->id && n->member == USAGE_SELF)
            return n;
    }
    while (s->scan_at < s->sets * WAYS) {
        struct node *n = &s->node[s->scan_at++];
        if (n->untold && n->id && n->member == USAGE_SELF)
            return n;
    }
    return NULL;
}

bool usage_next_untold(struct usage *s, const struct ledger *l, uint64_t now,
                       struct usage_share *share)
{
    struct node *n = next_untold(s);

    if (!n)
        return false;
    struct ledger_key k = key_of(n);
    uint64_t stamp = fleet_time(s, now);
    n->untold = false;
    if (stamp > s->last_stamp || s->last_stamp > stamp + SHARE_AHEAD_MS)
        s->last_stamp = stamp;
    else
        s->last_stamp++;
    *share = (struct usage_share){.id = n->id, .stamp_ms = s->last_stamp, .epoch = n->epoch};
    for (enum ledger_bucket b = 0; b < BUCKET_COUNT; b++) {
        struct ledger_rate rate = usage_rate(n->most[b], b);
        share->most[b] = n->most[b];
        share->count[b] = n->count[b];
        share->level[b] = rate.most ? (float)ledger_bucket_level(l, &k, b, rate, now) : 0;
    }
    return true;
}

void usage_tell_again(struct usage *s)
{
    for (uint32_t i = 0; i < s->sets * WAYS; i++)
        s->node[i].untold = s->node[i].id && s->node[i].member == USAGE_SELF;
    s->scan_at = 0;
}
