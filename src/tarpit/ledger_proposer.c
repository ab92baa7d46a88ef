/* The ring of proposals, a worker's table of what is still on its way, and the table of turns; see
 * ledger_proposals.h. */
#include "tarpit/ledger_proposer.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tarpit/ledger_accounts.h"

enum { RING = 1 << 14, BOOKINGS = RING - RING / 8, PAGE = 4096 };

struct proposals {
    _Alignas(64) _Atomic uint64_t written; /* by the worker */
    _Atomic uint32_t attached;
    _Atomic uint64_t given_up; /* by the worker: it does not wait for those before this one */
    _Alignas(64) _Atomic uint64_t done; /* by the keeper */
    _Atomic uint32_t asleep;            /* set by the keeper, cleared by the worker */
    _Alignas(64) struct proposal ring[RING];
    /* The keeper's, so that its successor continues where it ended. A worker that changes it only
     * loses proposals of its own. */
    uint64_t read;
};
static_assert(sizeof(struct proposal) == 64, "a proposal is one cache line");

static size_t whole_pages(size_t size)
{
    return (size + PAGE - 1) / PAGE * PAGE;
}

size_t proposals_size(void)
{
    return whole_pages(sizeof(struct proposals));
}

bool proposals_write(struct proposals *p, const struct proposal *what)
{
    uint64_t n = atomic_load_explicit(&p->written, memory_order_relaxed);

    uint64_t waiting = n - atomic_load_explicit(&p->done, memory_order_acquire);

    if (waiting >= (what->op == PROPOSE_ELSE ? RING : BOOKINGS))
        return false;
    p->ring[n % RING] = *what;
    atomic_store_explicit(&p->written, n + 1, memory_order_release);
    return true;
}

bool proposals_must_wake(struct proposals *p)
{
    /* The order matters: what was written must be visible before `asleep` is read. */
    atomic_thread_fence(memory_order_seq_cst);
    return atomic_load(&p->asleep) && !proposals_are_done(p) && atomic_exchange(&p->asleep, 0);
}

bool proposals_are_done(const struct proposals *p)
{
    return atomic_load(&p->done) == atomic_load(&p->written);
}

void proposals_give_up(struct proposals *p)
{
    atomic_store(&p->given_up, atomic_load_explicit(&p->written, memory_order_relaxed));
}

uint64_t proposals_waiting(const struct proposals *p)
{
    uint64_t done = atomic_load(&p->done); /* first: it never passes the other */
    uint64_t waiting = atomic_load(&p->written) - done;

    return waiting < RING ? waiting : RING; /* a worker may have changed the numbers */
}

void proposals_attach(struct proposals *p, bool attached)
{
    atomic_store(&p->attached, attached);
}

bool proposals_are_attached(const struct proposals *p)
{
    return atomic_load(&p->attached);
}

bool proposals_read(struct proposals *p, struct proposal *out)
{
    uint64_t written = atomic_load_explicit(&p->written, memory_order_acquire);

    if (written - p->read > RING) /* the worker has changed the numbers: go on with its next one */
        p->read = written;
    if (p->read == written)
        return false;
    memcpy(out, &p->ring[p->read++ % RING], sizeof *out);
    return true;
}

bool proposals_are_given_up(const struct proposals *p)
{
    /* The order matters: what was carried out must be visible before this is read. */
    atomic_thread_fence(memory_order_seq_cst);
    return atomic_load(&p->given_up) >= p->read;
}

bool proposals_read_again(const struct proposals *p, uint32_t *at, struct proposal *out)
{
    uint64_t done = atomic_load(&p->done), read = p->read;

    if (read - done > RING || *at >= read - done)
        return false;
    memcpy(out, &p->ring[(done + (*at)++) % RING], sizeof *out);
    return true;
}

void proposals_finish(struct proposals *p)
{
    atomic_store_explicit(&p->done, p->read, memory_order_release);
}

bool proposals_sleep(struct proposals *p)
{
    atomic_store(&p->asleep, 1);
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load(&p->written) == p->read)
        return true;
    atomic_store(&p->asleep, 0);
    return false;
}

/* ---- what workers share ---- */

/* A word is a place: 22 bits of the hash, and the end of the last turn taken (wall ms, 42 bits). A
 * place whose end is past is free. Two clients with the same bits in one set would share a queue:
 * one pair in half a million. */
enum { TURN_SETS = 8192, TURN_WAYS = 8, WITHDRAWN = 8192, KEEPERS = 8 };
struct turns {
    _Alignas(64) _Atomic uint64_t end[TURN_SETS][TURN_WAYS];
    struct accounts accounts;
    /* Each generation has a keeper, which reads only the rings of that generation. */
    struct turns_keeper {
        _Alignas(64) _Atomic uint64_t round, done;
        /* By a record's key: 1 + the round in which one was withdrawn last; 0: none. It counts until a
         * later round is done. */
        _Atomic uint64_t withdrawn[WITHDRAWN];
    } keeper[KEEPERS];
};

/* Generations that far apart share the numbers. */
static struct turns_keeper *keeper_of(struct turns *t, uint32_t generation)
{
    return &t->keeper[generation % KEEPERS];
}

/* ---- the worker's table ---- */

enum { SETS = 1024, WAYS = 8, AGAIN_MS = 100 };

/* Entries that this process has proposed changes of, as copies of the ledger's slots. One is valid
 * until the keeper has done the proposal `until`. A copy does not see what others book meanwhile, so
 * one that is in use all the time is made again after AGAIN_MS, if the keeper has carried out
 * something since it was made: while the keeper is away, the copy is all that knows of its changes.
 */
struct proposer {
    struct proposals *to;
    struct turns *turns;
    struct pending {
        uint64_t hash[WAYS], until[WAYS], made_ms[WAYS], made_done[WAYS];
    } set[SETS];
    struct ledger_slot slot[SETS][WAYS];
};

int ledger_propose_to(struct ledger *l, struct proposals *p, struct turns *turns)
{
    /* All its pages at once: each would cost a fault of its own while the worker starts. */
    struct proposer *mine = mmap(NULL, sizeof *mine, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    if (mine == MAP_FAILED)
        return -errno;
    mine->to = p;
    mine->turns = turns;
    l->proposer = mine;
    proposals_attach(p, true);
    return 0;
}

void proposer_close(struct proposer *p)
{
    if (!p)
        return;
    proposals_attach(p->to, false);
    munmap(p, sizeof *p);
}

static unsigned set_of(uint64_t hash)
{
    return (unsigned)(hash >> 24) % SETS;
}

/* The table that workers share, for an entry that is in it; else NULL. */
static struct accounts *accounts_for(const struct proposer *p, uint64_t hash)
{
    return p->turns && ledger_kind(hash) == LEDGER_ALLOWANCE ? &p->turns->accounts : NULL;
}

struct ledger_slot *proposer_find(const struct ledger *l, uint64_t hash)
{
    const struct proposer *p = l->proposer;
    struct accounts *accounts = accounts_for(p, hash);
    struct ledger_slot *shared = accounts ? accounts_find(accounts, l, hash) : NULL;

    if (shared)
        return shared;
    uint64_t done = atomic_load_explicit(&p->to->done, memory_order_acquire);
    unsigned s = set_of(hash);
    const struct pending *set = &p->set[s];

    if (done == atomic_load_explicit(&p->to->written, memory_order_relaxed))
        return NULL;
    for (unsigned i = 0; i < WAYS; i++)
        if (set->hash[i] == hash && set->until[i] > done)
            return (struct ledger_slot *)&p->slot[s][i];
    return NULL;
}

/* Copies what the ledger has of the key; an empty entry if it has none. */
static void copy(const struct ledger *l, const struct ledger_key *k, struct ledger_slot *to)
{
    const struct ledger_slot *from = ledger_find_kept(l, k->hash);

    for (int w = 0; w < WORD_COUNT; w++)
        to->word[w] = from ? atomic_load(&from->word[w]) : ledger_tag(k->hash);
    if (!from || atomic_load(&from->word[WORD_KEY]) != k->hash || to->word[WORD_KEY] != k->hash)
        for (int w = WORD_OFFENCES; w < WORD_COUNT; w++)
            to->word[w] = ledger_tag(k->hash);
    to->word[WORD_KEY] = k->hash;
    to->word[WORD_LABEL] = k->label;
}

struct ledger_slot *proposer_claim(struct ledger *l, const struct ledger_key *k, uint64_t now)
{
    struct proposer *p = l->proposer;
    struct accounts *accounts = accounts_for(p, k->hash);
    struct ledger_slot *shared = accounts ? accounts_claim(accounts, l, k, now) : NULL;

    if (shared) /* also while the keeper is away */
        return shared;
    uint64_t done = atomic_load_explicit(&p->to->done, memory_order_acquire);
    uint64_t next = atomic_load_explicit(&p->to->written, memory_order_relaxed) + 1;
    unsigned s = set_of(k->hash), way = WAYS;
    struct pending *set = &p->set[s];

    if (next - done >= BOOKINGS)
        return NULL;
    for (unsigned i = 0; i < WAYS; i++) {
        if (set->hash[i] == k->hash) {
            way = i;
            break;
        }
        if (way == WAYS && set->until[i] <= done)
            way = i;
    }
    if (way == WAYS)
        return NULL;
    bool mine = set->hash[way] == k->hash && set->until[way] > done;
    if (!mine || (now - set->made_ms[way] > AGAIN_MS && done > set->made_done[way])) {
        copy(l, k, &p->slot[s][way]);
        set->made_ms[way] = now;
        set->made_done[way] = done;
    }
    set->hash[way] = k->hash;
    set->until[way] = next;
    return &p->slot[s][way];
}

const struct ledger_slot *proposer_compare(const struct ledger *l, const struct ledger_slot *slot,
                                           enum ledger_word w, uint64_t hash, uint64_t now)
{
    struct accounts *accounts = l->proposer ? accounts_for(l->proposer, hash) : NULL;

    return accounts ? accounts_compare(accounts, l, slot, w, hash, now) : NULL;
}

uint64_t proposer_number(const struct proposer *p, uint64_t *done)
{
    *done = atomic_load_explicit(&p->to->done, memory_order_acquire);
    return atomic_load_explicit(&p->to->written, memory_order_relaxed);
}

void ledger_propose(const struct ledger *l, const struct ledger_key *k, uint64_t now,
                    struct proposal what)
{
    if (!l->proposer)
        return;
    what.now = now;
    what.hash = k->hash;
    what.label = k->label;
    what.common = k->common;
    what.kind = k->kind;
    proposals_write(l->proposer->to, &what);
    struct accounts *accounts = accounts_for(l->proposer, k->hash);
    if (accounts)
        accounts_changed(accounts, k->hash);
}

static uint64_t begin(_Atomic uint64_t *rounds, _Atomic uint64_t *done)
{
    uint64_t round = atomic_fetch_add(rounds, 1) + 1;
    uint64_t last = atomic_load(done);

    /* No round is done before it begins: a worker that was taken over has changed the numbers. */
    if (last > round)
        atomic_compare_exchange_strong(done, &last, round ? round - 1 : 0);
    return round;
}

static void end(_Atomic uint64_t *done, uint64_t round)
{
    uint64_t last = atomic_load(done);

    while (last < round && !atomic_compare_exchange_weak(done, &last, round))
        continue;
}

struct turns_round turns_begin_round(struct turns *t, uint32_t generation)
{
    struct turns_keeper *k = keeper_of(t, generation);

    return (struct turns_round){.generation = generation,
                                .of_accounts = begin(&t->accounts.round, &t->accounts.done),
                                .of_records = begin(&k->round, &k->done)};
}

void turns_end_round(struct turns *t, struct turns_round round)
{
    end(&t->accounts.done, round.of_accounts);
    end(&keeper_of(t, round.generation)->done, round.of_records);
}

/* ---- records of messages that are withdrawn ---- */

static unsigned withdrawn_at(uint64_t key)
{
    return (unsigned)(key * UINT64_C(0x9e3779b97f4a7c15) >> 32) % WITHDRAWN;
}

void turns_withdraw(struct turns *t, uint32_t generation, const struct proposals *p, uint64_t key,
                    bool lost)
{
    if (!t)
        return;
    struct turns_keeper *k = keeper_of(t, generation);
    /* The order matters: the proposal must be visible before the round is read. */
    atomic_thread_fence(memory_order_seq_cst);
    uint64_t since = lost ? UINT64_MAX : atomic_load(&k->round) + 1;
    _Atomic uint64_t *at = &k->withdrawn[withdrawn_at(key)];
    uint64_t known = atomic_load(at);

    if (!lost && proposals_are_done(p))
        return;
    while (known < since && !atomic_compare_exchange_weak(at, &known, since))
        continue;
}

bool turns_may_believe(const struct turns *t, uint64_t key)
{
    unsigned at = withdrawn_at(key);

    for (unsigned i = 0; t && i < KEEPERS; i++)
        if (atomic_load(&t->keeper[i].withdrawn[at]) > atomic_load(&t->keeper[i].done))
            return false;
    return true;
}

/* ---- turns ---- */

size_t turns_size(void)
{
    return whole_pages(sizeof(struct turns));
}

/* The place of this hash, or a free one, and its word; NULL: the set is full. */
static _Atomic uint64_t *place_of(struct turns *t, uint64_t hash, uint64_t now, uint64_t *word)
{
    _Atomic uint64_t *set = t->end[(hash >> 8) % TURN_SETS], *vacant = NULL;

    for (int i = 0; i < TURN_WAYS; i++) {
        uint64_t w = atomic_load(&set[i]);
        if (w >> LEDGER_END_BITS == hash >> LEDGER_END_BITS && w & LEDGER_END) {
            *word = w;
            return &set[i];
        }
        if (!vacant && ledger_believable(w & LEDGER_END, now) <= now) {
            vacant = &set[i];
            *word = w;
        }
    }
    return vacant;
}

uint64_t proposer_take_turn(struct proposer *p, uint64_t hash, uint64_t now, uint64_t from,
                            uint64_t length, uint64_t latest, uint64_t taken)
{
    for (;;) {
        uint64_t word = 0, begin = taken > from ? taken : from;
        _Atomic uint64_t *place = p->turns ? place_of(p->turns, hash, now, &word) : NULL;
        bool same = place && word >> LEDGER_END_BITS == hash >> LEDGER_END_BITS;
        uint64_t end = same ? ledger_believable(word & LEDGER_END, now) : 0;

        if (end > begin)
            begin = end;
        if (begin > latest)
            return 0;
        uint64_t new = hash >> LEDGER_END_BITS << LEDGER_END_BITS | ((begin + length) & LEDGER_END);
        if (!place || atomic_compare_exchange_strong(place, &word, new))
            return begin;
    }
}

/* Back: what is past by the new clock is past anyway. Forward: later ends are of the new clock. */
void turns_clock_was_set(struct turns *t, int64_t by_ms, uint64_t now)
{
    _Atomic uint64_t *at = &t->end[0][0];

    for (size_t i = 0; i < (size_t)TURN_SETS * TURN_WAYS; i++) {
        uint64_t word = atomic_load(&at[i]), end = word & LEDGER_END;
        bool moves = by_ms < 0 ? end > now : end && end < now;
        uint64_t to = (word & ~LEDGER_END) | ((end + (uint64_t)by_ms) & LEDGER_END);
        if (moves && (to & LEDGER_END)) /* if a worker has taken another turn, that counts */
            atomic_compare_exchange_strong(&at[i], &word, to);
    }
}
