/* The times of an entry (ledger.h): the end of its last turn, the end of its debt, its last delivery
 * and the last greeting that it passed. Ends are wall ms; the other two are stamps of some bits that
 * share a word with an end and repeat themselves. As in ledger.c, nothing waits. */
#include "tarpit/ledger_change.h"
#include "tarpit/ledger_move.h"
#include "tarpit/ledger_proposer.h"

/* ---- turns and debts ---- */

/* The other fields of the word stay. */
static uint64_t turn_word(uint64_t old, uint64_t end, bool paced)
{
    return (old & ~(LEDGER_TURN_PACED | LEDGER_END)) | (end & LEDGER_END) |
           (paced ? LEDGER_TURN_PACED : 0);
}

/* a: length; b: latest; raise: paced. */
static bool change_turn(struct word_change *c)
{
    uint64_t begin = ledger_believable(c->old & LEDGER_END, c->now);
    bool paced = c->raise || (begin > c->now && c->old & LEDGER_TURN_PACED);
    if (begin < c->from)
        begin = c->from;
    c->new = turn_word(c->old, begin + c->a, paced);
    return begin <= c->b;
}

/* A worker takes the turn in the table that all workers share, and proposes it to the keeper. */
static uint64_t propose_turn(struct ledger *l, const struct ledger_key *k, uint64_t now,
                             uint64_t from, uint64_t length, uint64_t latest, bool paced)
{
    const struct ledger_slot *slot = ledger_find(l, k->hash);
    uint64_t taken = slot ? ledger_payload(slot, WORD_TURN, k->hash) & LEDGER_END : 0;
    uint64_t begin = proposer_take_turn(l->proposer, k->hash, now, from, length, latest,
                                        ledger_believable(taken, now));

    if (begin)
        ledger_raise_turn(l, k, now, begin + length, paced);
    return begin;
}

uint64_t ledger_take_turn_from(struct ledger *l, const struct ledger_key *k, uint64_t now,
                               uint64_t from, uint64_t length, uint64_t latest, bool paced)
{
    static const struct ledger_decay none;
    double spent_here;
    struct ledger_share theirs = ledger_others_of(l, k, &none, now, &spent_here);

    /* R4 for the fleet: while n members have queues of this client, each goes on at an n-th of the
     * pace. That needs no agreement, unlike one common queue, in which all members would take the
     * same turn before they hear of each other. But no turn may end beyond the horizon: the next
     * one would begin at once. */
    uint64_t taken = theirs.turn_ms > now ? length * (1 + theirs.queues) : length;
    uint64_t first = latest > now ? latest - now : 0;
    if (taken > length && first + taken > LEDGER_HORIZON_MS)
        taken = first + length < LEDGER_HORIZON_MS ? LEDGER_HORIZON_MS - first : length;
    if (l->proposer)
        return propose_turn(l, k, now, from, taken, latest, paced);
    struct word_change c = {.now = now, .from = from, .a = taken, .b = latest, .raise = paced};
    return ledger_book(l, k, WORD_TURN, change_turn, &c) ? (c.new &LEDGER_END) - taken : 0;
}

uint64_t ledger_take_turn(struct ledger *l, const struct ledger_key *k, uint64_t now,
                          uint64_t length, uint64_t latest)
{
    return ledger_take_turn_from(l, k, now, now, length, latest, false);
}

/* a: the end; raise: paced. */
static bool change_turn_end(struct word_change *c)
{
    uint64_t end = ledger_believable(c->old & LEDGER_END, c->now);
    bool paced = c->raise || (end > c->now && c->old & LEDGER_TURN_PACED);
    c->new = turn_word(c->old, c->a > end ? c->a : end, paced);
    return c->new != c->old;
}

void ledger_raise_turn(struct ledger *l, const struct ledger_key *k, uint64_t now, uint64_t until,
                       bool paced)
{
    struct word_change c = {.now = now, .a = until, .raise = paced};
    ledger_book(l, k, WORD_TURN, change_turn_end, &c);
    ledger_propose(l, k, now, (struct proposal){.op = PROPOSE_TURN, .a = until, .b = paced});
}

static bool change_debt(struct word_change *c)
{
    c->new = (c->old & ~LEDGER_END) | (c->a & LEDGER_END);
    return c->a > ledger_believable(c->old & LEDGER_END, c->now);
}

void ledger_set_debt(struct ledger *l, const struct ledger_key *k, uint64_t now, uint64_t until)
{
    struct word_change c = {.now = now, .a = until};
    ledger_book(l, k, WORD_DEBT, change_debt, &c);
    ledger_propose(l, k, now, (struct proposal){.op = PROPOSE_DEBT, .a = until});
}

/* Steps since a stamp that repeats itself. One that is a step ahead, because a clock was set back a
 * little or another process' is, is of now. */
static uint64_t age_of(uint64_t step, uint64_t stamp, uint64_t mask)
{
    uint64_t age = (step - stamp) & mask;

    return age == mask ? 0 : age;
}

/* ---- the last delivery ---- */

enum { DELIVERED_STEP_MS = 512 * 1000, DELIVERED_BITS = 14, DELIVERED_MASK = (1 << 14) - 1 };

/* The step of the last delivery; 0 means that there was none. */
static uint64_t delivered_step(uint64_t now)
{
    uint64_t step = now / DELIVERED_STEP_MS & DELIVERED_MASK;
    return step ? step : 1;
}

uint64_t ledger_delivered_bits(uint64_t at_ms)
{
    return at_ms ? delivered_step(at_ms) << LEDGER_END_BITS : 0;
}

static bool change_delivered(struct word_change *c)
{
    c->new = (c->old & LEDGER_END) | delivered_step(c->now) << LEDGER_END_BITS;
    return c->new != c->old;
}

/* Whether the entry has this step already, and its last change is not a minute old. */
static bool is_delivered(const struct ledger *l, const struct ledger_key *k, uint64_t now)
{
    const struct ledger_slot *slot = ledger_find(l, k->hash);

    return slot != NULL && ledger_is_recent(slot, k->hash, now) &&
           ledger_payload(slot, WORD_DEBT, k->hash) >> LEDGER_END_BITS == delivered_step(now) &&
           atomic_load(&slot->word[WORD_KEY]) == k->hash;
}

void ledger_delivered(struct ledger *l, const struct ledger_key *k, uint64_t now)
{
    struct word_change c = {.now = now};

    if (is_delivered(l, k, now))
        return;
    ledger_book(l, k, WORD_DEBT, change_delivered, &c);
    ledger_propose(l, k, now, (struct proposal){.op = PROPOSE_DELIVERED});
}

/* The stamp repeats itself after 97 days, and half of that range counts as past. If nothing was
 * booked on an entry for longer, it has no last delivery. */
uint64_t ledger_delivered_at(uint64_t payload, uint64_t seen_ms, uint64_t now)
{
    uint64_t stamp = payload >> LEDGER_END_BITS & DELIVERED_MASK;
    uint64_t age = age_of(now / DELIVERED_STEP_MS, stamp, DELIVERED_MASK);
    bool old = seen_ms + (uint64_t)DELIVERED_STEP_MS * (DELIVERED_MASK / 2) < now;
    if (stamp == 0 || age > DELIVERED_MASK / 2 || old)
        return 0;
    uint64_t ago = age * DELIVERED_STEP_MS;
    return ago < now ? now - ago : 1;
}

/* ---- the last greeting that was passed ---- */

/* R22: when the client passed the greeting, in the 13 bits above a turn's end: a step of an hour; 0
 * says never. The stamp repeats itself after 341 days; half of that is the past. */
enum { PASS_STEP_MS = 3600 * 1000, PASS_BITS = 13, PASS_MASK = (1 << 13) - 1 };

static uint64_t pass_age(uint64_t turn_word, uint64_t now)
{
    return age_of(now / PASS_STEP_MS, turn_word >> LEDGER_END_BITS & PASS_MASK, PASS_MASK);
}

uint64_t ledger_pass_bits(uint64_t at_ms)
{
    uint64_t step = at_ms / PASS_STEP_MS & PASS_MASK;
    return at_ms ? (step ? step : 1) << LEDGER_END_BITS : 0;
}

/* a: when. */
static bool change_pass(struct word_change *c)
{
    c->new = (c->old & (LEDGER_TURN_PACED | LEDGER_END)) | ledger_pass_bits(c->a);
    return !(c->old >> LEDGER_END_BITS & PASS_MASK) ||
           pass_age(c->new, c->now) < pass_age(c->old, c->now);
}

void ledger_pass(struct ledger *l, const struct ledger_key *k, uint64_t now, uint64_t at)
{
    struct word_change c = {.now = now, .a = at};
    ledger_book(l, k, WORD_TURN, change_pass, &c);
    ledger_propose(l, k, now, (struct proposal){.op = PROPOSE_PASS, .a = at});
}

uint64_t ledger_pass_at(uint64_t turn_word, uint64_t seen_ms, uint64_t now)
{
    uint64_t stamp = turn_word >> LEDGER_END_BITS & PASS_MASK, age = pass_age(turn_word, now);
    bool old = seen_ms + (uint64_t)PASS_STEP_MS * (PASS_MASK / 2) < now;
    if (stamp == 0 || age > PASS_MASK / 2 || old)
        return 0;
    uint64_t ago = age * PASS_STEP_MS;
    return ago < now ? now - ago : 1;
}

/* ---- when the clock was set ---- */

uint64_t ledger_turn_moved(uint64_t payload, const struct ledger_move *m)
{
    payload = ledger_stamp_moved_if_any(payload, 0, LEDGER_END_BITS, m->by_ms);
    return ledger_stamp_moved_if_any(payload, LEDGER_END_BITS, PASS_BITS,
                                     ledger_steps(m->by_ms, PASS_STEP_MS));
}

uint64_t ledger_debt_moved(uint64_t payload, const struct ledger_move *m)
{
    payload = ledger_stamp_moved_if_any(payload, 0, LEDGER_END_BITS, m->by_ms);
    return ledger_stamp_moved_if_any(payload, LEDGER_END_BITS, DELIVERED_BITS,
                                     ledger_steps(m->by_ms, DELIVERED_STEP_MS));
}

/* The first login of an account from a network; 1: long ago. */
uint64_t ledger_login_moved(uint64_t payload, const struct ledger_move *m)
{
    if ((payload & LEDGER_END) <= 1)
        return payload;
    return ledger_stamp_moved_if_any(payload, 0, LEDGER_END_BITS, m->by_ms);
}
