/* The ledger follows a clock that was set (ledger_clock.h). Runs in the keeper, on a table that other
 * processes read at the same time: each word changes by compare-and-swap, so a booking in between is
 * not lost. A keeper that is killed in the middle leaves some entries with their old times; the next
 * booking on such an entry brings its amount to the present (ledger_amount.c). */
#include "tarpit/ledger_clock.h"

#include <stdlib.h>

#include "tarpit/ledger_move.h"
#include "tarpit/ledger_others_part.h"
#include "tarpit/ledger_table.h"

/* ---- which entries move ---- */

struct step {
    int64_t by_ms;
    uint64_t now;
    int64_t began_ms; /* when this start of the machine was seen first, by the clock of before */
    bool before_too;  /* entries of before that move as well */
};

/* How far to move an entry that was changed last at `seen_s`, of which only 32 bits are known.
 *
 * Back: what is in the future now, and what was booked since the machine started, by the same clock.
 * Older entries only if that clock went on from theirs: else it was probably wrong from the start, and
 * theirs was right.
 * Forward: what was booked up to that moment. Later times are of a clock that was right before. */
static int64_t way_of(const struct step *s, uint32_t seen_s)
{
    int64_t now = (int64_t)s->now, ago_s = (int32_t)((uint32_t)(s->now / 1000) - seen_s);
    int64_t seen = now / 1000 * 1000 - ago_s * 1000, by = 0;
    bool is_ahead = seen > now + LEDGER_SKEW_MS;

    if (s->by_ms < 0 && (is_ahead || s->before_too || seen >= s->began_ms - LEDGER_SKEW_MS))
        by = s->by_ms;
    else if (s->by_ms > 0 && seen <= now - s->by_ms + LEDGER_SKEW_MS)
        by = s->by_ms;
    return seen + by > now + LEDGER_SKEW_MS ? now - seen : by;
}

/* ---- words ---- */

enum { WORDS = 8 };
_Static_assert((int)WORD_COUNT == (int)WORDS, "for both tables");

/* The functions for the words of an entry; NULL: there is no time in it. The sketch of a day's
 * mailboxes is no time: at worst the day begins again. */
typedef ledger_move_fn *const words_moved[WORDS];

static const words_moved of_common = {
    [WORD_OFFENCES] = ledger_amount_moved, [WORD_GOOD] = ledger_amount_moved,
    [WORD_TURN] = ledger_turn_moved,       [WORD_DEBT] = ledger_debt_moved,
    [WORD_FLAGS] = ledger_flags_moved,     [WORD_SEEN] = ledger_seen_moved,
};
static const words_moved of_login = {
    [WORD_TURN] = ledger_login_moved,
    [WORD_SEEN] = ledger_seen_moved,
};
static const words_moved of_sketch = {
    [WORD_GOOD] = ledger_amount_moved,
    [WORD_SEEN] = ledger_seen_alone_moved,
};
static const words_moved of_allowance = {
    [WORD_OFFENCES] = ledger_bucket_moved, [WORD_GOOD] = ledger_bucket_moved,
    [WORD_TURN] = ledger_bucket_moved,     [WORD_DEBT] = ledger_bucket_moved,
    [WORD_FLAGS] = ledger_signs_moved,     [WORD_SEEN] = ledger_stolen_moved,
};
static const words_moved of_others = {
    [PLACE_OFFENCES] = ledger_amount_moved,  [PLACE_GOOD] = ledger_amount_moved,
    [PLACE_SPENT] = ledger_amount_moved,     [PLACE_SPENT_HERE] = ledger_amount_moved,
    [PLACE_TURN] = ledger_turn_moved,        [PLACE_DEBT] = ledger_debt_moved,
    [PLACE_FLAGS] = ledger_seen_alone_moved,
};
static const words_moved of_others_login = {
    [PLACE_TURN] = ledger_login_moved,
    [PLACE_FLAGS] = ledger_seen_alone_moved,
};

static void move_word(_Atomic uint64_t *word, uint64_t hash, ledger_move_fn *fn,
                      const struct ledger_move *m)
{
    uint64_t old = atomic_load(word), new;

    do {
        if (ledger_tag(old) != ledger_tag(hash))
            return;
        new = ledger_tag(hash) | (fn(old & LEDGER_PAYLOAD, m) & LEDGER_PAYLOAD);
    } while (new != old && !atomic_compare_exchange_weak(word, &old, new));
}

static void move_words(_Atomic uint64_t *word, words_moved how, const struct ledger_move *m)
{
    uint64_t hash = atomic_load(&word[WORD_KEY]);

    for (int w = WORD_KEY + 1; w < WORDS; w++)
        if (how[w])
            move_word(&word[w], hash, how[w], m);
}

static bool is_login(uint64_t hash)
{
    return (hash & LEDGER_KIND_BITS) == LEDGER_ACCOUNT_NETWORK;
}

/* Amounts are looked at in any case: they may be in the future where the last change is not. */
static void move_entries(struct ledger *l, const struct step *s)
{
    for (uint64_t i = 0; i < l->sets * LEDGER_WAYS; i++) {
        struct ledger_slot *slot = &l->slot[i];
        uint64_t hash = atomic_load(&slot->word[WORD_KEY]);
        if (!ledger_in_use(hash))
            continue;
        uint32_t seen_s = (uint32_t)ledger_payload(slot, WORD_SEEN, hash);
        struct ledger_move m = {.by_ms = way_of(s, seen_s), .now = s->now};
        move_words(slot->word,
                   ledger_kind(hash) == LEDGER_ALLOWANCE ? of_allowance
                   : ledger_is_sketch(hash)              ? of_sketch
                   : is_login(hash)                      ? of_login
                                                         : of_common,
                   &m);
    }
}

static void move_others(struct ledger_others *o, const struct step *s)
{
    for (uint64_t i = 0; i < o->sets * LEDGER_WAYS; i++) {
        struct place *p = &o->place[i];
        uint64_t hash = atomic_load(&p->word[PLACE_KEY]);
        if (!hash)
            continue;
        uint32_t seen_s = (uint32_t)atomic_load(&p->word[PLACE_FLAGS]);
        struct ledger_move m = {.by_ms = way_of(s, seen_s), .now = s->now};
        move_words(p->word, is_login(hash) ? of_others_login : of_others, &m);
    }
}

/* ---- following ---- */

/* In the head: which start of the machine, and how long it had been off before, as it seemed (s). */
static uint64_t start_word(uint32_t boot, uint64_t away_ms)
{
    uint64_t away_s = away_ms / 1000;

    return (away_s < UINT32_MAX ? away_s : UINT32_MAX) << 32 | boot;
}

static int64_t magnitude(int64_t n)
{
    return n < 0 ? -n : n;
}

/* No clock is 35,000 years off: a head that says so is damaged. */
#define FARTHEST_MS (INT64_C(1) << 50)

/* The first look since the machine was started, or ever; or the head is damaged, and begins anew. */
static bool is_earlier(struct ledger *l, const struct clock_reading *r, uint64_t start,
                       struct step *s)
{
    struct ledger_head *h = l->head;
    uint64_t last = atomic_load(&h->last);
    if (last > FARTHEST_MS)
        last = 0;
    bool back = r->wall_ms + LEDGER_STEP_MS < last;
    uint64_t away = last && last < r->wall_ms ? r->wall_ms - last : 0;

    if (!atomic_compare_exchange_strong(&h->start, &start, start_word(r->boot, away)))
        return false;
    atomic_store(&h->ahead, r->wall_ms - r->boot_ms);
    atomic_store(&h->began, r->wall_ms);
    int64_t by = back ? (int64_t)r->wall_ms - (int64_t)last : 0;
    *s = (struct step){by, r->wall_ms, INT64_MAX, false};
    return back || (start == 0 && !l->file.fresh);
}

/* The same start of the machine: how far the clock was set since. */
static bool was_set(struct ledger *l, const struct clock_reading *r, uint64_t start, struct step *s)
{
    struct ledger_head *h = l->head;
    uint64_t ahead = r->wall_ms - r->boot_ms, was = atomic_load(&h->ahead);
    int64_t by = (int64_t)(ahead - was), began = (int64_t)atomic_load(&h->began);

    if (by < -FARTHEST_MS || by > FARTHEST_MS || began < -FARTHEST_MS || began > FARTHEST_MS)
        return is_earlier(l, r, start, s);
    if (magnitude(by) < LEDGER_STEP_MS || !atomic_compare_exchange_strong(&h->ahead, &was, ahead))
        return false;
    atomic_fetch_add(&h->began, (uint64_t)by);
    bool went_on = (start >> 32) * 1000 < (uint64_t)magnitude(by);
    *s = (struct step){by, r->wall_ms, began, went_on};
    return true;
}

bool ledger_follow_clock(struct ledger *l, const struct clock_reading *r, struct clock_step *out)
{
    uint64_t start = atomic_load(&l->head->start);
    bool same = (uint32_t)start == r->boot;
    struct step s;

    if (!(same ? was_set(l, r, start, &s) : is_earlier(l, r, start, &s)))
        return false;
    ledger_note_time(l, s.now);
    move_entries(l, &s);
    if (l->others) {
        move_others(l->others, &s);
        atomic_fetch_add(&l->others->moves, 1);
    }
    *out = (struct clock_step){s.by_ms, s.now};
    return true;
}

void ledger_note_time(struct ledger *l, uint64_t now)
{
    atomic_store_explicit(&l->head->last, now, memory_order_relaxed);
}
