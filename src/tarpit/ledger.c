/* The ledger: what is known of each client, network and account (ledger.h), on top of the table
 * that finds the slot of an entry (ledger_table.h). Runs in every process; a call is a search of
 * one set and a few compare-and-swaps (in a worker: of its own copy, and a proposal), and returns
 * what it did without waiting for another process.
 *
 * Amounts are coded in ledger_amount.c, times kept in ledger_times.c. Patience, flags and marks share
 * the other words. Keys are made in ledger_keys.c, sketches of mailboxes kept in ledger_sketch.c. */
#include "tarpit/ledger.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tarpit/ledger_amount.h"
#include "tarpit/ledger_change.h"
#include "tarpit/ledger_move.h"
#include "tarpit/ledger_others.h"
#include "tarpit/ledger_proposer.h"
#include "tarpit/ledger_table.h"

static const char LEDGER_MAGIC[8] = {'M', 'I', 'R', 'L', 'E', 'D', 'G', 'R'};
enum { LEDGER_VERSION = 1 };

/* ---- opening ---- */

int ledger_open(struct ledger **out, const char *path, uint64_t size)
{
    struct ledger *l = calloc(1, sizeof *l);
    if (l == NULL)
        return -ENOMEM;

    l->sets = size / (LEDGER_WAYS * sizeof(struct ledger_slot));
    if (l->sets == 0)
        l->sets = 1;
    if (l->sets > UINT32_MAX)
        l->sets = UINT32_MAX;
    size_t body = sizeof *l->head + l->sets * LEDGER_WAYS * sizeof(struct ledger_slot);
    int err = mapfile_open(&l->file, path, LEDGER_MAGIC, LEDGER_VERSION, body);
    if (err < 0) {
        free(l);
        return err;
    }
    l->head = l->file.body;
    l->slot = (struct ledger_slot *)(l->head + 1);
    ledger_convert(l);
    *out = l;
    return 0;
}

int ledger_read_only(struct ledger *l)
{
    return mapfile_read_only(&l->file);
}

void ledger_close(struct ledger *l)
{
    if (l == NULL)
        return;
    mapfile_close(&l->file);
    proposer_close(l->proposer);
    free(l->told);
    free(l);
}

/* ---- words ---- */

struct step {
    word_change_fn *fn;
    struct word_change *change;
};

static bool take_step(uint64_t old, uint64_t *new, void *arg)
{
    const struct step *s = arg;

    s->change->old = old;
    if (!s->fn(s->change))
        return false;
    *new = s->change->new;
    return true;
}

/* As ledger_change(), with the arguments and results of the functions below. */
static bool change_word(struct ledger_slot *slot, enum ledger_word w, uint64_t hash,
                        word_change_fn *fn, struct word_change *c)
{
    return ledger_change(slot, w, hash, take_step, &(struct step){fn, c});
}

enum { SEEN_BITS = 32, EXEMPT_STEP_MS = 256 * 1000, EXEMPT_MASK = (1 << 24) - 1 };

static bool change_seen(struct word_change *c)
{
    uint64_t now_s = c->now / 1000 & UINT32_MAX;
    c->new = (c->old & ~(uint64_t)UINT32_MAX) | now_s;
    return c->new != c->old;
}

void ledger_seen(struct ledger_slot *slot, uint64_t hash, uint64_t now)
{
    struct word_change seen = {.now = now};
    change_word(slot, WORD_SEEN, hash, change_seen, &seen);
}

bool ledger_is_recent(const struct ledger_slot *slot, uint64_t hash, uint64_t now)
{
    uint64_t seen_ms = (ledger_payload(slot, WORD_SEEN, hash) & UINT32_MAX) * 1000;
    return seen_ms <= now + LEDGER_SKEW_MS && now < seen_ms + LEDGER_RECENT_MS;
}

bool ledger_book(struct ledger *l, const struct ledger_key *k, enum ledger_word w,
                 word_change_fn *fn, struct word_change *c)
{
    struct ledger_slot *slot = ledger_claim(l, k, c->now);
    if (slot == NULL)
        return false;
    ledger_seen(slot, k->hash, c->now);
    bool changed = change_word(slot, w, k->hash, fn, c);
    if (changed)
        ledger_tell(l, k, OTHERS_CHANGED);
    return changed;
}

struct ledger_share ledger_others_of(const struct ledger *l, const struct ledger_key *k,
                                     const struct ledger_decay *d, uint64_t now, double *spent_here)
{
    struct ledger_share theirs = {0};

    *spent_here = 0;
    if (ledger_is_shared(l))
        ledger_others_get(l, k, d, now, &theirs, spent_here);
    return theirs;
}

/* What is left of all good mail when `own` is left of what was earned here: members spend what they
 * have earned themselves first, then what others have. */
static double good_in_all(double own, const struct ledger_share *theirs, double spent_here)
{
    return fmax(0, own + theirs->good - theirs->spent - spent_here);
}

/* ---- amounts ---- */

static bool change_amount(struct word_change *c)
{
    c->new = ledger_amount_change(c->old, c->a, c->now, c->amount, c->limit, c->raise);
    return true;
}

/* `theirs`: what others have of it. A raise to `amount` raises the sum. */
static double book_amount(struct ledger *l, const struct ledger_key *k, enum ledger_word w,
                          uint64_t half_life, uint64_t now, double amount, bool raise,
                          double theirs)
{
    struct word_change c = {
        .now = now, .a = half_life, .amount = amount, .limit = LEDGER_AMOUNT_MAX, .raise = raise};
    if (raise && theirs != 0)
        c.amount = fmax(0, amount - theirs);
    if (!ledger_book(l, k, w, change_amount, &c))
        return fmax(amount, 0);
    return fmax(0, ledger_amount_now(c.new, half_life, now) + theirs);
}

static double offences_of_others(const struct ledger *l, const struct ledger_key *k,
                                 const struct ledger_decay *d, uint64_t now)
{
    double spent_here;
    return ledger_others_of(l, k, d, now, &spent_here).offences;
}

static double good_of_others(const struct ledger *l, const struct ledger_key *k,
                             const struct ledger_decay *d, uint64_t now)
{
    double spent_here;
    struct ledger_share theirs = ledger_others_of(l, k, d, now, &spent_here);
    return theirs.good - theirs.spent - spent_here;
}

double ledger_add_offences(struct ledger *l, const struct ledger_key *k,
                           const struct ledger_decay *d, uint64_t now, double weight)
{
    double after = book_amount(l, k, WORD_OFFENCES, d->half_life, now, weight, false,
                               offences_of_others(l, k, d, now));
    ledger_propose(l, k, now,
                   (struct proposal){.op = PROPOSE_OFFENCES, .x = weight, .y = LEDGER_AMOUNT_MAX});
    return after;
}

double ledger_add_offences_to(struct ledger *l, const struct ledger_key *k,
                              const struct ledger_decay *d, uint64_t now, double weight,
                              double most)
{
    double theirs = offences_of_others(l, k, d, now);
    struct word_change c = {
        .now = now, .a = d->half_life, .amount = weight, .limit = fmax(0, most - theirs)};
    bool booked = ledger_book(l, k, WORD_OFFENCES, change_amount, &c);
    ledger_propose(l, k, now, (struct proposal){.op = PROPOSE_OFFENCES, .x = weight, .y = most});
    if (!booked)
        return weight < most ? weight : most;
    return ledger_amount_now(c.new, d->half_life, now) + theirs;
}

/* a: half-life; amount: the most to take. */
static bool change_spend(struct word_change *c)
{
    c->taken = fmin(ledger_amount_now(c->old, c->a, c->now), c->amount);
    if (c->taken <= 0)
        return false;
    c->new = ledger_amount_change(c->old, c->a, c->now, -c->taken, 0, false);
    return true;
}

/* The look at the sum and the change of this member's part are two steps: of two processes that
 * spend at the same time both may find enough in the sum. Neither takes what the other one took
 * of the part. */
double ledger_spend_good(struct ledger *l, const struct ledger_key *k, const struct ledger_decay *d,
                         uint64_t now, double least, double most)
{
    struct ledger_slot *slot = ledger_find_to_change(l, k, now);
    double spent_here = 0, own = 0, taken = 0;
    struct ledger_share theirs = ledger_others_of(l, k, d, now, &spent_here);

    if (slot != NULL)
        own = ledger_amount_now(ledger_payload(slot, WORD_GOOD, k->hash), d->good_half_life, now);
    double there = good_in_all(own, &theirs, spent_here);
    if (there < least || there <= 0 || most <= 0)
        return 0;
    most = fmin(most, there);
    struct word_change c = {.now = now, .a = d->good_half_life, .amount = most};
    if (slot != NULL && change_word(slot, WORD_GOOD, k->hash, change_spend, &c)) {
        taken = c.taken;
        ledger_tell(l, k, OTHERS_CHANGED);
    }
    double rest = fmin(most - taken, theirs.good);
    if (rest > 0) {
        ledger_others_spend(l, k, d, now, rest);
        taken += rest;
    }
    if (taken > 0)
        ledger_propose(l, k, now, (struct proposal){.op = PROPOSE_SPEND, .x = taken});
    return taken;
}

double ledger_raise_offences(struct ledger *l, const struct ledger_key *k,
                             const struct ledger_decay *d, uint64_t now, double to)
{
    double after = book_amount(l, k, WORD_OFFENCES, d->half_life, now, to, true,
                               offences_of_others(l, k, d, now));
    ledger_propose(l, k, now, (struct proposal){.op = PROPOSE_RAISE, .x = to});
    return after;
}

double ledger_add_good(struct ledger *l, const struct ledger_key *k, const struct ledger_decay *d,
                       uint64_t now, double amount)
{
    double after = book_amount(l, k, WORD_GOOD, d->good_half_life, now, amount, false,
                               good_of_others(l, k, d, now));
    ledger_propose(l, k, now, (struct proposal){.op = PROPOSE_GOOD, .x = amount});
    return after;
}

double ledger_raise_good(struct ledger *l, const struct ledger_key *k, const struct ledger_decay *d,
                         uint64_t now, double to)
{
    return book_amount(l, k, WORD_GOOD, d->good_half_life, now, to, true,
                       good_of_others(l, k, d, now));
}

/* The slot of an entry that exists, for a change; NULL: there is none. */
struct ledger_slot *ledger_find_to_change(struct ledger *l, const struct ledger_key *k,
                                          uint64_t now)
{
    struct ledger_slot *slot = ledger_find(l, k->hash);
    return slot != NULL && l->proposer ? proposer_claim(l, k, now) : slot;
}

/* ---- flags, marks, patience, exemption ---- */

enum { FLAGS_SHIFT = 48, MARK_SHIFT = 24, MARK_STEP_MS = 64 * 1000 };
enum { MARK_MASK = (1 << 24) - 1, PATIENCE_MASK = (1 << 24) - 1 };

static bool change_patience(struct word_change *c)
{
    uint64_t patience = c->a < PATIENCE_MASK ? c->a : PATIENCE_MASK;
    c->new = (c->old & ~(uint64_t)PATIENCE_MASK) | patience;
    return c->new != c->old;
}

void ledger_set_patience(struct ledger *l, const struct ledger_key *k, uint64_t now,
                         uint32_t patience_ms)
{
    struct word_change c = {.now = now, .a = patience_ms};
    ledger_book(l, k, WORD_FLAGS, change_patience, &c);
    ledger_propose(l, k, now, (struct proposal){.op = PROPOSE_PATIENCE, .a = patience_ms});
}

/* a: set; b: clear. */
static bool change_flags(struct word_change *c)
{
    c->new = (c->old | c->a << FLAGS_SHIFT) & ~(c->b << FLAGS_SHIFT);
    return c->new != c->old;
}

void ledger_set_flags(struct ledger *l, const struct ledger_key *k, uint64_t now, uint32_t set,
                      uint32_t clear)
{
    struct word_change c = {.now = now, .a = set & 0xff, .b = clear & 0xff};
    ledger_book(l, k, WORD_FLAGS, change_flags, &c);
    ledger_propose(l, k, now, (struct proposal){.op = PROPOSE_FLAGS, .a = set & 0xff});
}

/* a: flag; b: period, or 0. */
static bool change_mark(struct word_change *c)
{
    uint64_t step = c->now / MARK_STEP_MS;
    uint64_t since = (step - (c->old >> MARK_SHIFT)) & MARK_MASK;
    bool set = c->old >> FLAGS_SHIFT & c->a;
    if (set && (c->b == 0 || since <= c->b / MARK_STEP_MS || since > MARK_MASK / 2))
        return false;
    c->new = (c->old & ~((uint64_t)MARK_MASK << MARK_SHIFT)) | (step & MARK_MASK) << MARK_SHIFT |
             c->a << FLAGS_SHIFT;
    return true;
}

bool ledger_mark(struct ledger *l, const struct ledger_key *k, uint64_t now, uint32_t flag,
                 uint64_t period)
{
    struct word_change c = {.now = now, .a = flag & 0xff, .b = period};
    bool marked = ledger_book(l, k, WORD_FLAGS, change_mark, &c);
    if (marked)
        ledger_propose(l, k, now,
                       (struct proposal){.op = PROPOSE_MARK, .a = flag & 0xff, .b = period});
    return marked;
}

/* a: the step in which it ends, or 0. */
static bool change_exempt(struct word_change *c)
{
    c->new = (c->old & UINT32_MAX) | c->a << SEEN_BITS;
    return c->new != c->old;
}

void ledger_exempt(struct ledger *l, const struct ledger_key *k, uint64_t now, uint64_t until)
{
    uint64_t step = (until + EXEMPT_STEP_MS - 1) / EXEMPT_STEP_MS;
    struct word_change c = {.now = now, .a = step < EXEMPT_MASK ? step : EXEMPT_MASK};
    ledger_book(l, k, WORD_SEEN, change_exempt, &c);
    ledger_set_flags(l, k, now, LEDGER_EXEMPT, 0);
}

/* ---- when the clock was set ---- */

uint64_t ledger_flags_moved(uint64_t payload, const struct ledger_move *m)
{
    enum { MARK_BITS = 24 };

    return ledger_stamp_moved_if_any(payload, MARK_SHIFT, MARK_BITS,
                                     ledger_steps(m->by_ms, MARK_STEP_MS));
}

uint64_t ledger_seen_alone_moved(uint64_t payload, const struct ledger_move *m)
{
    return ledger_stamp_moved(payload, 0, SEEN_BITS, ledger_steps(m->by_ms, 1000));
}

/* An exemption lasts as long as before. An end before 1970 repeats itself, so that a clock that is
 * set forward later finds it again. */
uint64_t ledger_seen_moved(uint64_t payload, const struct ledger_move *m)
{
    uint64_t until = payload >> SEEN_BITS & EXEMPT_MASK;

    if (until >= LEDGER_MARKS) {
        until = (until + (uint64_t)ledger_steps(m->by_ms, EXEMPT_STEP_MS)) & EXEMPT_MASK;
        until = until < LEDGER_MARKS ? LEDGER_MARKS : until;
        payload = (payload & UINT32_MAX) | until << SEEN_BITS;
    }
    return ledger_seen_alone_moved(payload, m);
}

/* ---- reading ---- */

static void read_entry(const struct ledger_slot *slot, uint64_t hash, const struct ledger_decay *d,
                       uint64_t now, struct ledger_entry *e)
{
    uint64_t seen = ledger_payload(slot, WORD_SEEN, hash),
             flags = ledger_payload(slot, WORD_FLAGS, hash);
    uint64_t turn = ledger_payload(slot, WORD_TURN, hash),
             debt = ledger_payload(slot, WORD_DEBT, hash);

    *e = (struct ledger_entry){.seen_ms = (seen & UINT32_MAX) * 1000};
    if (ledger_kind(hash) != LEDGER_ALLOWANCE)
        e->good = ledger_amount_now(ledger_payload(slot, WORD_GOOD, hash), d->good_half_life, now);
    if (!ledger_is_common(hash))
        return;
    e->offences = ledger_amount_now(ledger_payload(slot, WORD_OFFENCES, hash), d->half_life, now);
    e->turn_ms = ledger_believable(turn & LEDGER_END, now);
    e->paced = turn & LEDGER_TURN_PACED;
    e->pass_ms = ledger_pass_at(turn, e->seen_ms, now);
    e->debt_ms = ledger_believable(debt & LEDGER_END, now);
    e->delivered_ms = ledger_delivered_at(debt, e->seen_ms, now);
    e->patience_ms = flags & PATIENCE_MASK;
    e->flags = flags >> FLAGS_SHIFT & 0xff;
    uint64_t until = seen >> SEEN_BITS & EXEMPT_MASK;
    e->exempt_until_ms = until < LEDGER_MARKS ? 0 : until * EXEMPT_STEP_MS;
    if (!(e->flags & LEDGER_EXEMPT) || (e->exempt_until_ms != 0 && e->exempt_until_ms <= now)) {
        e->flags &= ~(uint32_t)LEDGER_EXEMPT;
        e->exempt_until_ms = 0;
    }
}

bool ledger_get_alone(const struct ledger *l, const struct ledger_key *k,
                      const struct ledger_decay *d, uint64_t now, struct ledger_entry *out)
{
    const struct ledger_slot *slot = ledger_find(l, k->hash);
    if (slot != NULL) {
        read_entry(slot, k->hash, d, now, out);
        if (atomic_load(&slot->word[WORD_KEY]) == k->hash)
            return true;
    }
    *out = (struct ledger_entry){0};
    return false;
}

/* Adds what others know. */
static bool add_others(const struct ledger *l, const struct ledger_key *k,
                       const struct ledger_decay *d, uint64_t now, struct ledger_entry *e)
{
    struct ledger_share theirs;
    double spent_here;

    if (!ledger_others_get(l, k, d, now, &theirs, &spent_here))
        return false;
    e->offences += theirs.offences;
    e->good = good_in_all(e->good, &theirs, spent_here);
    if (theirs.debt_ms > e->debt_ms)
        e->debt_ms = theirs.debt_ms;
    if (theirs.delivered_ms > e->delivered_ms)
        e->delivered_ms = theirs.delivered_ms;
    if (theirs.pass_ms > e->pass_ms && k->kind != LEDGER_ACCOUNT_NETWORK)
        e->pass_ms = theirs.pass_ms;
    e->flags |= theirs.flags;
    return true;
}

bool ledger_get(const struct ledger *l, const struct ledger_key *k, const struct ledger_decay *d,
                uint64_t now, struct ledger_entry *out)
{
    bool any = ledger_get_alone(l, k, d, now, out);
    return (ledger_is_shared(l) && add_others(l, k, d, now, out)) || any;
}

bool ledger_next(const struct ledger *l, uint64_t *at, const struct ledger_decay *d, uint64_t now,
                 struct ledger_key *key, struct addr *who, struct ledger_entry *out)
{
    while (*at < l->sets * LEDGER_WAYS) {
        const struct ledger_slot *slot = &l->slot[(*at)++];
        uint64_t hash = atomic_load(&slot->word[WORD_KEY]);
        if (!ledger_in_use(hash))
            continue;
        *key = (struct ledger_key){.hash = hash,
                                   .label = atomic_load(&slot->word[WORD_LABEL]),
                                   .kind = (uint8_t)ledger_kind(hash)};
        *who = ledger_key_addr(key);
        read_entry(slot, hash, d, now, out);
        if (ledger_is_shared(l))
            add_others(l, key, d, now, out);
        if (atomic_load(&slot->word[WORD_KEY]) == hash)
            return true;
    }
    return false;
}

struct ledger_stats ledger_stats(const struct ledger *l)
{
    struct ledger_stats s = {.capacity = l->sets * LEDGER_WAYS};
    s.entries = atomic_load_explicit(&l->head->entries, memory_order_relaxed);
    s.evictions = atomic_load_explicit(&l->head->evictions, memory_order_relaxed);
    if (s.entries > s.capacity)
        s.entries = s.capacity; /* a damaged file */
    return s;
}
