/* The ring of what the members of a fleet must hear (ledger_others.h). Runs in the processes that
 * write the ledger, and in the fleet process, which reads the ring.
 *
 * It is a log of fixed length (base/log_ring.h has the same protocol): an event's stamp says
 * whether it is whole. A process does not write an event again that the reader has not reached yet:
 * the reader reads the ledger after the event, so it will see both changes. */
#include <assert.h>

#include "tarpit/ledger_allowance.h"
#include "tarpit/ledger_others_part.h"
#include "tarpit/ledger_proposer.h"
#include "tarpit/ledger_table.h"

static void put(struct ledger_others *o, uint64_t n, const struct ledger_name *name, uint64_t hash,
                uint64_t what)
{
    struct event *e = &o->ring[n % OTHERS_EVENTS];

    atomic_store_explicit(&e->stamp, 2 * n + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    atomic_store_explicit(&e->id, name->id, memory_order_relaxed);
    atomic_store_explicit(&e->hash, hash, memory_order_relaxed);
    atomic_store_explicit(&e->what, what, memory_order_relaxed);
    atomic_store_explicit(&e->stamp, 2 * n + 2, memory_order_release);
}

/* A worker proposes a sight (the news that a decision is coming), once until the keeper has done
 * it. The keeper tells changes by itself. */
static void propose_sight(const struct ledger *l, const struct ledger_key *k)
{
    size_t at = (k->hash >> 40) % OTHERS_TOLD;
    uint64_t done, number = proposer_number(l->proposer, &done);

    if (l->told->hash[at] == k->hash && l->told->number[at] >= done)
        return;
    l->told->hash[at] = k->hash;
    l->told->number[at] = number;
    ledger_propose(l, k, 0, (struct proposal){.op = PROPOSE_SIGHT});
}

void ledger_tell(const struct ledger *l, const struct ledger_key *k, uint8_t what)
{
    struct ledger_others *o = l->others;
    struct ledger_name name;

    if (!ledger_is_shared(l) || !ledger_name_of(k, &name))
        return;
    if (l->proposer) {
        if (what == OTHERS_SIGHT)
            propose_sight(l, k);
        return;
    }
    size_t at = (k->hash >> 40) % OTHERS_TOLD;
    bool told = l->told->hash[at] == k->hash && l->told->what[at] == what &&
                l->told->number[at] >= atomic_load(&o->read);
    if (told && what != OTHERS_FORGOTTEN)
        return;
    uint64_t n = atomic_fetch_add(&o->next, 1);
    put(o, n, &name, k->hash, what);
    l->told->hash[at] = k->hash;
    l->told->number[at] = n;
    l->told->what[at] = what;
}

/* In the word of `what`: what 8 | bucket 2 | given back 1 | recipients 20 | most 20. */
enum {
    SENT_BUCKET = 8,
    SENT_BACK = 10,
    SENT_COUNT = 16,
    SENT_MOST = 40,
    SENT_BITS = (1 << 20) - 1
};
static_assert((int)SENT_BITS >= (int)LEDGER_BUCKET_MOST && BUCKET_COUNT <= 4, "it fits");

void ledger_tell_sent(const struct ledger *l, const struct ledger_key *k,
                      const struct ledger_sent *s)
{
    if (!ledger_is_shared(l) || !k->common)
        return;
    if (l->proposer) {
        if (s->recipients == 0)
            propose_sight(l, k);
        return;
    }
    uint64_t what = OTHERS_SENT | (uint64_t)s->bucket << SENT_BUCKET |
                    (uint64_t)s->given_back << SENT_BACK |
                    (uint64_t)(s->recipients & SENT_BITS) << SENT_COUNT |
                    (uint64_t)(s->most & SENT_BITS) << SENT_MOST;
    struct ledger_name name = {k->common, LEDGER_ALLOWANCE};
    put(l->others, atomic_fetch_add(&l->others->next, 1), &name, k->hash, what);
}

void ledger_sight(const struct ledger *l, const struct ledger_key *k)
{
    ledger_tell(l, k, OTHERS_SIGHT);
}

uint64_t others_next(const struct ledger_others *o)
{
    return atomic_load(&o->next);
}

int others_read(struct ledger_others *o, uint64_t owner, uint64_t *at, struct others_event *out)
{
    uint64_t next = atomic_load(&o->next);

    if (*at >= next)
        return 0;
    if (next - *at > OTHERS_EVENTS) {
        *at = next - OTHERS_EVENTS / 2; /* not the very oldest: writers are about to overtake it */
        return -1;
    }
    struct event *e = &o->ring[*at % OTHERS_EVENTS];
    uint64_t stamp = atomic_load_explicit(&e->stamp, memory_order_acquire);
    if (stamp < 2 * *at + 2)
        return 0; /* its writer has not finished it; others_skip() if it never will */
    uint64_t id = atomic_load_explicit(&e->id, memory_order_relaxed);
    uint64_t hash = atomic_load_explicit(&e->hash, memory_order_relaxed);
    uint64_t what = atomic_load_explicit(&e->what, memory_order_relaxed);
    atomic_thread_fence(memory_order_acquire);
    if (stamp != 2 * *at + 2 || atomic_load_explicit(&e->stamp, memory_order_relaxed) != stamp) {
        *at = next - OTHERS_EVENTS / 2 > *at ? next - OTHERS_EVENTS / 2 : *at + 1;
        return -1;
    }
    *out = (struct others_event){
        .name = {id, hash & (LEDGER_KIND_BITS | LEDGER_KIND_IP6)},
        .hash = hash,
        .what = (uint8_t)what,
        .sent = {.bucket = (enum ledger_bucket)(what >> SENT_BUCKET & 3),
                 .recipients = what >> SENT_COUNT & SENT_BITS,
                 .most = what >> SENT_MOST & SENT_BITS,
                 .given_back = what >> SENT_BACK & 1},
    };
    ++*at;
    if (atomic_load_explicit(&o->owner, memory_order_relaxed) == owner)
        atomic_store(&o->read, *at);
    return 1;
}

void others_skip(struct ledger_others *o, uint64_t owner, uint64_t *at)
{
    if (*at < atomic_load(&o->next))
        ++*at;
    if (atomic_load_explicit(&o->owner, memory_order_relaxed) == owner)
        atomic_store(&o->read, *at);
}
