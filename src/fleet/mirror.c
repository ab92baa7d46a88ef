/* Between ledger, table and book (mirror.h). Runs in the fleet process and in the tests. */
#include "fleet/mirror.h"

static struct ledger_decay decay_of(const struct mirror *m)
{
    return (struct ledger_decay){m->rules.half_life, m->rules.good_half_life};
}

static uint64_t fleet_time(const struct mirror *m, uint64_t now)
{
    return (uint64_t)((int64_t)now + m->skew);
}

static struct ledger_key key_of(const struct mirror *m, const struct ledger_name *n, uint64_t hash)
{
    struct ledger_key k = ledger_key_named(m->ledger, n);

    if (!k.hash)
        k = (struct ledger_key){
            .hash = hash, .common = n->id, .kind = n->kind & (uint8_t)~LEDGER_NAME_IP6};
    return k;
}

/* Not earlier than the last one, unless Redis' clock has gone back: others refuse a stamp from the
 * future. */
static void move_stamp(struct mirror *m, uint64_t now, uint64_t least)
{
    uint64_t stamp = fleet_time(m, now);

    m->last_stamp = stamp > least || least > stamp + SHARE_AHEAD_MS ? stamp : least;
}

void mirror_turn(struct mirror *m, uint64_t now)
{
    move_stamp(m, now, m->last_stamp + 1);
}

void mirror_prefetch(const struct mirror *m, const struct ledger_name *n, bool theirs)
{
    others_prefetch(m->ledger, n);
    if (theirs)
        book_prefetch(m->book, n);
}

void mirror_own(struct mirror *m, const struct ledger_name *n, uint64_t hash, uint64_t now,
                struct share *s, uint64_t *seen_ms)
{
    struct ledger_key k = key_of(m, n, hash);
    struct ledger_decay d = decay_of(m);

    move_stamp(m, now, m->last_stamp);
    *s = (struct share){.name = *n, .stamp_ms = m->last_stamp, .at_ms = now};
    ledger_own(m->ledger, &k, n, &d, now, &s->is, seen_ms);
}

/* P1: turns that this member gave before it heard of the others' turns remain. The next ones start
 * after the turns that all members have given, one after another. */
static void stretch_queue(struct mirror *m, const struct ledger_key *k,
                          const struct ledger_share *own, unsigned before, unsigned queues,
                          uint64_t now)
{
    if (own->turn_ms <= now || queues <= before)
        return;
    uint64_t left = (own->turn_ms - now) * (1 + queues) / (1 + before);
    if (left > LEDGER_HORIZON_MS / 2)
        left = LEDGER_HORIZON_MS / 2;
    ledger_raise_turn(m->ledger, k, now, now + left, false);
}

/* A share of another member has changed: puts the new sum into the table. */
static void sum_again(struct mirror *m, const struct ledger_name *n, uint64_t now)
{
    struct ledger_decay d = decay_of(m);
    struct ledger_key k = key_of(m, n, 0);
    struct ledger_share own = {0}, sum;
    uint64_t seen_ms;

    if (k.hash)
        ledger_own(m->ledger, &k, n, &d, now, &own, &seen_ms);
    unsigned before = others_queues(m->others, n, now);
    book_sum(m->book, n, &own, &m->rules, now, &sum);
    if (k.hash)
        stretch_queue(m, &k, &own, before, sum.queues, now);
    others_set(m->others, n, &d, now, &sum);
}

bool mirror_take(struct mirror *m, uint16_t member, const struct share *s, uint64_t now)
{
    if (!book_take(m->book, member, s, &m->rules, now))
        return false;
    sum_again(m, &s->name, now);
    return true;
}

/* The ledger has the time of its last change in seconds. */
enum { SEEN_MS = 1000 };

void mirror_take_own(struct mirror *m, const struct share *s, uint64_t hash, uint64_t now)
{
    struct ledger_key k = key_of(m, &s->name, hash);
    struct ledger_decay d = decay_of(m);
    struct ledger_share own;
    uint64_t seen_ms;

    if (!k.hash)
        return;
    ledger_own(m->ledger, &k, &s->name, &d, now, &own, &seen_ms);
    if (seen_ms + SEEN_MS > s->at_ms)
        return;
    struct share aged = *s; /* decayed to now */
    double age = now > s->at_ms ? (double)(now - s->at_ms) : 0;
    if (d.half_life)
        aged.is.offences *= __builtin_exp2(-age / (double)d.half_life);
    if (d.good_half_life) {
        aged.is.good *= __builtin_exp2(-age / (double)d.good_half_life);
        aged.is.spent *= __builtin_exp2(-age / (double)d.good_half_life);
    }
    ledger_own_again(m->ledger, &k, &s->name, &d, now, &aged.is);
}

void mirror_forget(struct mirror *m, const struct ledger_name *n, uint64_t at, uint64_t now)
{
    if (book_forget(m->book, n, fleet_time(m, at), fleet_time(m, now)))
        sum_again(m, n, now);
}
