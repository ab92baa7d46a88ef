/* Accounts in the ledger (ledger_allowance.h): a layout of its own in the words of an entry
 * (ledger_table.h), and the first login of an account from a network. Runs in every process that
 * mapped the file; each word changes by one compare-and-swap.
 *
 *     offences, good, turn, debt   a bucket each: tag 8 | stamp 20 | recipients 36
 *     flags                        tag 8 | marks 7 (ledger_reserve.c) | settled 1 | stolen since 24 |
 *                                  hour 8 | networks refused 16
 *     seen                         tag 8 | stolen until 24 | last change, wall s 32
 *
 * A bucket holds what was in it at its stamp. A booking adds to that, as if it had been booked at
 * the stamp, so frequent bookings lose nothing to rounding; the stamp moves when the bucket has run
 * empty, and a few times in a period. */
#include "tarpit/ledger_allowance.h"

#include <math.h>

#include "tarpit/ledger_move.h"
#include "tarpit/ledger_others.h"
#include "tarpit/ledger_proposer.h"
#include "tarpit/ledger_table.h"

/* ---- buckets ---- */

enum { STAMP_SHIFT = 36, STAMP_STEP_MS = 32768, STAMP_MASK = (1 << 20) - 1 };
#define VALUE_MASK ((UINT64_C(1) << STAMP_SHIFT) - 1)
#define VALUE_ONE  32768.0 /* steps for one recipient */

/* How often in a period the stamp moves; this limits what rounding can add. */
#define STAMPS_A_PERIOD 16
#define ROUNDING        0.01

static const enum ledger_word bucket_word[BUCKET_COUNT] = {
    [BUCKET_HOUR] = WORD_OFFENCES,
    [BUCKET_DAY] = WORD_GOOD,
    [BUCKET_NEW_HOUR] = WORD_TURN,
    [BUCKET_NEW_DAY] = WORD_DEBT,
};

static double rate_of(struct ledger_rate r)
{
    return (double)r.most / (double)r.period_ms;
}

/* Ms since the stamp. A stamp in the future dates from before the clock was set back. If it is a
 * little ahead, nothing has leaked; if it is further ahead, the bucket counts as empty (`over`).
 * The stamp repeats itself after 397 days, so one that is older than half of that seems to be in
 * the future, too. */
static uint64_t age_of(uint64_t payload, uint64_t now, bool *over)
{
    uint64_t steps = (now / STAMP_STEP_MS - (payload >> STAMP_SHIFT)) & STAMP_MASK;
    uint64_t ahead = (STAMP_MASK + 1 - steps) * STAMP_STEP_MS;

    *over = steps > STAMP_MASK / 2 && ahead > LEDGER_HORIZON_MS;
    return steps > STAMP_MASK / 2 ? 0 : steps * STAMP_STEP_MS + now % STAMP_STEP_MS;
}

static double value_of(uint64_t payload)
{
    return (double)(payload & VALUE_MASK) / VALUE_ONE;
}

/* The largest value of a bucket at its stamp. A larger one comes from an earlier, higher rate or
 * from a damaged file, and would take longer than a period to leak. */
static double value_most(struct ledger_rate rate)
{
    return rate.most * (1 + 1.0 / STAMPS_A_PERIOD) + rate_of(rate) * STAMP_STEP_MS;
}

static double level_of(uint64_t payload, struct ledger_rate rate, uint64_t now)
{
    bool over;
    double age = (double)age_of(payload, now, &over);
    double level = fmin(value_of(payload), value_most(rate)) - rate_of(rate) * age;

    return over || level < 0 ? 0 : level;
}

/* The payload of a bucket with `level` in it, and a stamp of now. */
static uint64_t stamped(double level, struct ledger_rate rate, uint64_t now)
{
    double value = level + rate_of(rate) * (double)(now % STAMP_STEP_MS);
    uint64_t steps = (uint64_t)(value * VALUE_ONE + 0.5);

    return (now / STAMP_STEP_MS & STAMP_MASK) << STAMP_SHIFT |
           (steps < VALUE_MASK ? steps : VALUE_MASK);
}

struct booking {
    struct ledger_rate rate;
    uint64_t now;
    double by, most;
};

static bool change_bucket(uint64_t old, uint64_t *new, void *arg)
{
    const struct booking *b = arg;
    double level = level_of(old, b->rate, b->now), after = level + b->by;
    bool over;
    uint64_t age = age_of(old, b->now, &over);

    if (b->by > 0 && after > b->most + ROUNDING)
        return false;
    if (after <= 0 || level == 0 || over || age > b->rate.period_ms / STAMPS_A_PERIOD ||
        value_of(old) > value_most(b->rate))
        *new = stamped(after > 0 ? after : 0, b->rate, b->now);
    else
        *new = old + (uint64_t)(int64_t)(b->by * VALUE_ONE);
    return true;
}

static bool change_raise(uint64_t old, uint64_t *new, void *arg)
{
    const struct booking *b = arg;

    *new = stamped(b->by, b->rate, b->now);
    return b->by > level_of(old, b->rate, b->now);
}

/* A change of a bucket, for the keeper (PROPOSE_TAKE, PROPOSE_GIVE). */
static void propose(struct ledger *l, const struct ledger_key *k, enum proposal_op op,
                    enum ledger_bucket bucket, struct ledger_rate rate, uint64_t now, uint32_t n)
{
    ledger_propose(l, k, now,
                   (struct proposal){.op = (uint8_t)op,
                                     .a = bucket | (uint64_t)n << 8,
                                     .b = (uint64_t)rate.most << 32 | rate.period_ms / 1000});
}

double ledger_bucket_level(const struct ledger *l, const struct ledger_key *k,
                           enum ledger_bucket bucket, struct ledger_rate rate, uint64_t now)
{
    const struct ledger_slot *slot = ledger_find(l, k->hash);

    return slot ? level_of(ledger_payload(slot, bucket_word[bucket], k->hash), rate, now) : 0;
}

/* In a worker: an account that is busy all the time learns here what the fleet has raised. */
static void raise_to_kept(const struct ledger *l, const struct ledger_key *k,
                          struct ledger_slot *slot, enum ledger_bucket bucket,
                          struct ledger_rate rate, uint64_t now)
{
    const struct ledger_slot *kept = proposer_compare(l, slot, bucket_word[bucket], k->hash, now);

    if (!kept)
        return;
    uint64_t payload = ledger_payload(kept, bucket_word[bucket], k->hash);
    struct booking b = {.rate = rate, .now = now, .by = level_of(payload, rate, now)};
    ledger_change(slot, bucket_word[bucket], k->hash, change_raise, &b);
}

bool ledger_bucket_take(struct ledger *l, const struct ledger_key *k, enum ledger_bucket bucket,
                        struct ledger_rate rate, uint64_t now, uint32_t n)
{
    struct booking b = {.rate = rate, .now = now, .by = n, .most = rate.most};
    struct ledger_slot *slot = ledger_claim(l, k, now);

    /* Without a slot, or if it was lost meanwhile, no process could have counted this. */
    if (!slot)
        return true;
    ledger_seen(slot, k->hash, now);
    raise_to_kept(l, k, slot, bucket, rate, now);
    bool taken = ledger_change(slot, bucket_word[bucket], k->hash, change_bucket, &b);
    if (taken)
        propose(l, k, PROPOSE_TAKE, bucket, rate, now, n);
    return taken || atomic_load(&slot->word[WORD_KEY]) != k->hash;
}

void ledger_bucket_give(struct ledger *l, const struct ledger_key *k, enum ledger_bucket bucket,
                        struct ledger_rate rate, uint64_t now, uint32_t n)
{
    struct booking b = {.rate = rate, .now = now, .by = -(double)n};
    struct ledger_slot *slot = ledger_find_to_change(l, k, now);

    if (!slot)
        return;
    ledger_change(slot, bucket_word[bucket], k->hash, change_bucket, &b);
    propose(l, k, PROPOSE_GIVE, bucket, rate, now, n);
}

void ledger_bucket_raise(struct ledger *l, const struct ledger_key *k, enum ledger_bucket bucket,
                         struct ledger_rate rate, uint64_t now, double to)
{
    struct booking b = {.rate = rate, .now = now, .by = to < rate.most ? to : rate.most};
    struct ledger_slot *slot = ledger_claim(l, k, now);

    if (!slot)
        return;
    ledger_seen(slot, k->hash, now);
    ledger_change(slot, bucket_word[bucket], k->hash, change_raise, &b);
}

/* ---- logins ---- */

static bool change_since(uint64_t old, uint64_t *new, void *arg)
{
    *new = *(const uint64_t *)arg;
    return old == 0;
}

static bool change_known(uint64_t old, uint64_t *new, void *arg)
{
    *new = old | (uint64_t)LEDGER_KNOWN << 48;
    return *new != old;
}

static bool is_known(const struct ledger_slot *slot, uint64_t hash)
{
    return ledger_payload(slot, WORD_FLAGS, hash) >> 48 & LEDGER_KNOWN;
}

/* Write the time first, because a known network without a time counts as known before the ledger
 * kept times. */
void ledger_login(struct ledger *l, const struct ledger_key *k, uint64_t now, uint64_t since)
{
    struct ledger_slot *slot = ledger_claim(l, k, now);
    uint64_t first = since & LEDGER_END, none = 0;

    if (l->proposer)
        ledger_propose(l, k, now, (struct proposal){.op = PROPOSE_LOGIN, .a = since});
    if (!slot)
        return;
    if (is_known(slot, k->hash)) /* maybe of an earlier version, which did not write the network */
        atomic_compare_exchange_strong(&slot->word[WORD_LABEL], &none, k->label);
    else
        ledger_change(slot, WORD_TURN, k->hash, change_since, &first);
    if (l->proposer) /* the keeper does the same, with the proposal from above */
        ledger_change(slot, WORD_FLAGS, k->hash, change_known, NULL);
    else
        ledger_set_flags(l, k, now, LEDGER_KNOWN, 0);
}

uint64_t ledger_login_since_own(const struct ledger *l, const struct ledger_key *k)
{
    const struct ledger_slot *slot = ledger_find(l, k->hash);

    if (!slot || !is_known(slot, k->hash))
        return 0;
    uint64_t since = ledger_payload(slot, WORD_TURN, k->hash) & LEDGER_END;
    return since ? since : 1;
}

uint64_t ledger_login_since(const struct ledger *l, const struct ledger_key *k)
{
    static const struct ledger_decay none;
    uint64_t since = ledger_login_since_own(l, k);
    struct ledger_share theirs;
    double spent_here;

    if (!l->others || !ledger_others_get(l, k, &none, 0, &theirs, &spent_here) ||
        !(theirs.flags & LEDGER_KNOWN))
        return since;
    uint64_t there = theirs.pass_ms ? theirs.pass_ms : 1;
    return since && since < there ? since : there;
}

/* ---- signs ---- */

enum { SETTLED = 1 };
enum { FLAGS_SHIFT = 48, SINCE_SHIFT = 24, HOUR_SHIFT = 16, NETWORKS = 16 };
enum { TILL_SHIFT = 32, TIME_BITS = (1 << 24) - 1, SINCE_STEP_MS = 64000, TILL_STEP_MS = 256000 };
enum { HOUR_MS = 3600000, HOUR_BITS = 0xff };

/* The latest time for these steps that is not more than half of their range after now. */
static uint64_t time_near(uint64_t steps, uint64_t step_ms, uint64_t now)
{
    uint64_t ago = (now / step_ms - steps) & TIME_BITS;
    uint64_t at = now / step_ms;

    return (ago > TIME_BITS / 2 ? at + (TIME_BITS + 1 - ago) : at - ago) * step_ms;
}

struct ledger_signs ledger_signs(const struct ledger *l, const struct ledger_key *k, uint64_t now)
{
    const struct ledger_slot *slot = ledger_find(l, k->hash);
    struct ledger_signs s = {0};

    if (!slot)
        return s;
    uint64_t flags = ledger_payload(slot, WORD_FLAGS, k->hash);
    uint64_t till = ledger_payload(slot, WORD_SEEN, k->hash) >> TILL_SHIFT & TIME_BITS;
    uint64_t since = flags >> SINCE_SHIFT & TIME_BITS;

    s.settled = flags >> FLAGS_SHIFT & SETTLED;
    if (till && since) {
        s.stolen_since = time_near(since, SINCE_STEP_MS, now);
        s.stolen_till = time_near(till, TILL_STEP_MS, now);
    }
    return s;
}

static bool change_settled(uint64_t old, uint64_t *new, void *arg)
{
    *new = old | (uint64_t)SETTLED << FLAGS_SHIFT;
    return *new != old;
}

bool ledger_settle(struct ledger *l, const struct ledger_key *k, uint64_t now)
{
    struct ledger_slot *slot = ledger_claim(l, k, now);

    if (!slot)
        return false;
    ledger_seen(slot, k->hash, now);
    bool changed = ledger_change(slot, WORD_FLAGS, k->hash, change_settled, NULL);
    if (changed)
        ledger_propose(l, k, now, (struct proposal){.op = PROPOSE_SETTLE});
    return changed;
}

struct refusal {
    uint64_t hour, bit;
    unsigned count;
};

static bool change_refused(uint64_t old, uint64_t *new, void *arg)
{
    struct refusal *r = arg;
    bool this_hour = (old >> HOUR_SHIFT & HOUR_BITS) == r->hour;
    uint64_t networks = (this_hour ? old & ((1 << NETWORKS) - 1) : 0) | r->bit;

    r->count = (unsigned)__builtin_popcountll(networks);
    *new = (old & ~UINT64_C(0xffffff)) | r->hour << HOUR_SHIFT | networks;
    return *new != old;
}

unsigned ledger_refused_from(struct ledger *l, const struct ledger_key *k, uint64_t now,
                             uint64_t network)
{
    struct refusal r = {now / HOUR_MS & HOUR_BITS, UINT64_C(1) << (network >> 16) % NETWORKS, 0};
    struct ledger_slot *slot = ledger_claim(l, k, now);

    if (!slot)
        return 0;
    ledger_seen(slot, k->hash, now);
    if (ledger_change(slot, WORD_FLAGS, k->hash, change_refused, &r))
        ledger_propose(l, k, now, (struct proposal){.op = PROPOSE_REFUSED, .a = network});
    return r.count;
}

/* What ledger_looks_stolen() changes: the beginning and the end are in two words. A process that is
 * killed between them leaves an end without the right beginning: at worst the next call reports it
 * once more. */
struct stolen {
    uint64_t now, until;
    bool goes_on;
};

static bool change_till(uint64_t old, uint64_t *new, void *arg)
{
    struct stolen *s = arg;
    uint64_t old_till = old >> TILL_SHIFT & TIME_BITS;
    uint64_t till = (s->until + TILL_STEP_MS - 1) / TILL_STEP_MS & TIME_BITS;

    s->goes_on = old_till && time_near(old_till, TILL_STEP_MS, s->now) > s->now;
    if (s->goes_on && time_near(old_till, TILL_STEP_MS, s->now) >= s->until)
        return false;
    *new = (old & UINT32_MAX) | (till ? till : 1) << TILL_SHIFT;
    return true;
}

static bool change_stolen_since(uint64_t old, uint64_t *new, void *arg)
{
    const struct stolen *s = arg;
    uint64_t since = s->now / SINCE_STEP_MS & TIME_BITS;

    *new = (old & ~((uint64_t)TIME_BITS << SINCE_SHIFT)) | (since ? since : 1) << SINCE_SHIFT;
    return true;
}

bool ledger_looks_stolen(struct ledger *l, const struct ledger_key *k, uint64_t now, uint64_t until)
{
    struct stolen s = {.now = now, .until = until};
    struct ledger_slot *slot = ledger_claim(l, k, now);

    if (!slot)
        return false;
    ledger_seen(slot, k->hash, now);
    bool changed = ledger_change(slot, WORD_SEEN, k->hash, change_till, &s);
    if (changed && !s.goes_on)
        ledger_change(slot, WORD_FLAGS, k->hash, change_stolen_since, &s);
    if (changed)
        ledger_propose(l, k, now, (struct proposal){.op = PROPOSE_STOLEN, .a = until});
    return changed && !s.goes_on;
}

/* ---- when the clock was set ---- */

uint64_t ledger_bucket_moved(uint64_t payload, const struct ledger_move *m)
{
    enum { STAMP_BITS = 20 };

    return ledger_stamp_moved(payload, STAMP_SHIFT, STAMP_BITS,
                              ledger_steps(m->by_ms, STAMP_STEP_MS));
}

/* The networks that were refused, if any, are of an hour. */
uint64_t ledger_signs_moved(uint64_t payload, const struct ledger_move *m)
{
    if (payload & ((1 << NETWORKS) - 1))
        payload = ledger_stamp_moved(payload, HOUR_SHIFT, 8, ledger_steps(m->by_ms, HOUR_MS));
    return ledger_stamp_moved_if_any(payload, SINCE_SHIFT, 24,
                                     ledger_steps(m->by_ms, SINCE_STEP_MS));
}

uint64_t ledger_stolen_moved(uint64_t payload, const struct ledger_move *m)
{
    payload =
        ledger_stamp_moved_if_any(payload, TILL_SHIFT, 24, ledger_steps(m->by_ms, TILL_STEP_MS));
    return ledger_seen_alone_moved(payload, m);
}
