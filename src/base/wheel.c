/* The timing wheel: six levels of 64 slots; a slot of level n covers 64^n ms. Used by every loop.
 *
 * A timer is on the lowest level at which its time and the wheel's time share all higher digits (in
 * base 64), in the slot of its own digit. So a whole level lies within the current slot of the
 * level above, the lowest level that is not empty has the earliest timer, and one bit scan finds
 * its first busy slot. When time reaches a slot of a higher level, its timers move down. Only the
 * top level wraps around: there a slot may belong to the next round.
 *
 *   wheel_set -> slot -> (time passes: lower slot)* -> expired list -> due()
 *
 * Idle time costs nothing: wheel_run() goes from one busy slot to the next, however far apart they
 * are. */
#include "base/wheel.h"

#include <assert.h>
#include <stddef.h>

enum { DIGIT_BITS = 6, TOP = WHEEL_LEVELS - 1, TOP_SHIFT = DIGIT_BITS * TOP };
#define WHEEL_REACH ((uint64_t)1 << (DIGIT_BITS * WHEEL_LEVELS))

static_assert(1 << DIGIT_BITS == WHEEL_SLOTS, "a slot is a digit of the time");

static unsigned digit(uint64_t at, unsigned level)
{
    return (unsigned)(at >> (DIGIT_BITS * level)) % WHEEL_SLOTS;
}

static unsigned level_of(uint64_t at, uint64_t now)
{
    uint64_t differ = at ^ now;
    unsigned level = differ ? (63u - (unsigned)__builtin_clzll(differ)) / DIGIT_BITS : 0;

    return level < TOP ? level : TOP;
}

static void push(struct timer **head, struct timer *t)
{
    t->next = *head;
    if (t->next)
        t->next->prev = &t->next;
    *head = t;
    t->prev = head;
}

static void place(struct wheel *w, struct timer *t)
{
    uint64_t at = t->at > w->now ? t->at : w->now;
    unsigned level = level_of(at, w->now), slot = digit(at, level);

    push(&w->slot[level][slot], t);
    w->busy[level] |= (uint64_t)1 << slot;
}

void wheel_init(struct wheel *w, uint64_t now)
{
    *w = (struct wheel){.now = now};
}

void wheel_set(struct wheel *w, struct timer *t, uint64_t at)
{
    wheel_cancel(w, t);
    t->at = at > w->now + WHEEL_REACH ? w->now + WHEEL_REACH : at;
    place(w, t);
    w->count++;
}

/* Clears the busy bit if `head` is the head of a slot that has become empty. */
static void clear_busy(struct wheel *w, struct timer **head)
{
    uintptr_t offset = (uintptr_t)head - (uintptr_t)w->slot;

    if (*head == NULL && offset < sizeof w->slot) {
        size_t index = offset / sizeof w->slot[0][0];
        w->busy[index / WHEEL_SLOTS] &= ~((uint64_t)1 << index % WHEEL_SLOTS);
    }
}

void wheel_cancel(struct wheel *w, struct timer *t)
{
    struct timer **head = t->prev;

    if (!head)
        return;
    *head = t->next;
    if (t->next)
        t->next->prev = head;
    else
        clear_busy(w, head);
    t->next = NULL;
    t->prev = NULL;
    w->count--;
}

/* Finds the earliest busy slot, and returns when it begins; WHEEL_IDLE when all are empty. */
static uint64_t first_slot(const struct wheel *w, unsigned *level, unsigned *slot)
{
    unsigned l = 0;

    *level = *slot = 0;
    while (l < WHEEL_LEVELS && !w->busy[l])
        l++;
    if (l == WHEEL_LEVELS)
        return WHEEL_IDLE;

    *level = l;
    if (l < TOP) {
        unsigned shift = DIGIT_BITS * l;
        *slot = (unsigned)__builtin_ctzll(w->busy[l]);
        return (w->now >> (shift + DIGIT_BITS) << DIGIT_BITS | *slot) << shift;
    }
    /* Searches from the slot after the current one round to the current one. */
    unsigned after = (digit(w->now, TOP) + 1) % WHEEL_SLOTS;
    uint64_t turned = w->busy[TOP] >> after | w->busy[TOP] << (WHEEL_SLOTS - after) % WHEEL_SLOTS;
    unsigned ahead = (unsigned)__builtin_ctzll(turned);
    *slot = (after + ahead) % WHEEL_SLOTS;
    return ((w->now >> TOP_SHIFT) + 1 + ahead) << TOP_SHIFT;
}

uint64_t wheel_next(const struct wheel *w)
{
    unsigned level, slot;

    return first_slot(w, &level, &slot);
}

static struct timer *take_slot(struct wheel *w, unsigned level, unsigned slot)
{
    struct timer *list = w->slot[level][slot];

    w->slot[level][slot] = NULL;
    w->busy[level] &= ~((uint64_t)1 << slot);
    return list;
}

/* Moves all timers that are due by `now` to the end (*tail) of a list, in the order of slots. */
static void collect(struct wheel *w, uint64_t now, struct timer **tail)
{
    unsigned level, slot;
    uint64_t begin;

    while ((begin = first_slot(w, &level, &slot)) <= now && begin != WHEEL_IDLE) {
        w->now = begin;
        struct timer *next, *t = take_slot(w, level, slot);
        for (; t; t = next) {
            next = t->next;
            if (level) {
                place(w, t);
            } else {
                push(tail, t);
                tail = &t->next;
            }
        }
    }
    if (now > w->now)
        w->now = now;
}

void wheel_run(struct wheel *w, uint64_t now, void (*due)(struct timer *t, void *arg), void *arg)
{
    struct timer *expired = NULL, *t;

    /* Collect first, then call: a timer that `due` sets for now or before waits for the next run,
     * and one that `due` cancels leaves this list like any other list. */
    collect(w, now, &expired);
    while ((t = expired)) {
        wheel_cancel(w, t);
        due(t, arg);
    }
}

static void validate_timer(const struct wheel *w, const struct timer *t, unsigned level,
                           unsigned slot)
{
    uint64_t at = t->at > w->now ? t->at : w->now;

    assert(level_of(at, w->now) == level);
    assert(digit(at, level) == slot);
    if (level == TOP)
        assert((at >> TOP_SHIFT) - (w->now >> TOP_SHIFT) <= WHEEL_SLOTS);
    else if (level)
        assert(slot > digit(w->now, level));
}

void wheel_validate(const struct wheel *w)
{
    uint64_t count = 0;

    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        for (unsigned slot = 0; slot < WHEEL_SLOTS; slot++) {
            struct timer *const *prev = &w->slot[level][slot];
            assert((*prev != NULL) == (w->busy[level] >> slot & 1));
            for (const struct timer *t = *prev; t; prev = &t->next, t = t->next, count++) {
                assert(t->prev == prev);
                validate_timer(w, t, level, slot);
            }
        }
    }
    assert(count == w->count);
}
