/* Whatever a worker that was taken over writes into its ring of proposals, and into the table of
 * turns that all workers share: the keeper exempts nobody, an exemption that a person gave stays,
 * amounts and times in the ledger are within their bounds, and the memory of mixed answers says of
 * no message that it was delivered. Then another worker, which sees that ledger and that table,
 * holds nobody for longer than POLICY_HOLD_MAX, and the exempt client not at all.
 *
 * The input is a list of deeds of DEED octets: what, kind of the key, whose, how much later, and
 * three numbers. */
#include <math.h>
#include <string.h>
#include <sys/mman.h>

#include "config/config.h"
#include "relay/partial_delivery.h"
#include "tarpit/ledger_disposal.h"
#include "tarpit/ledger_table.h"
#include "tarpit/policy.h"
#include "tarpit/tarpit.h"

#include "../state_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DEED = 28, DEEDS_MOST = 256, LEDGER_SIZE = 64 << 10, LATER_MS = 20, CLIENTS = 4 };
enum { POKE_RING = 254, POKE_TURNS = 255 }; /* `what`, besides enum proposal_op */
#define T0 UINT64_C(1800000000000)

struct office {
    struct ledger *book, *of_worker;
    struct proposals *ring;
    struct turns *turns;
    struct partial_delivery *partial;
    struct disposal disposal;
    struct disposal_rules rules;
    struct ledger_decay decay;
    struct addr exempt;
    bool earned; /* there was a proposal of good mail */
};

/* Shared memory of this size, all zero. */
static void *page(void *last, size_t size)
{
    if (last)
        munmap(last, size);
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert(at != MAP_FAILED);
    return at;
}

static struct addr client_address(uint8_t n)
{
    struct addr a = {.family = n & 1 ? ADDR_IP6 : ADDR_IP4, .octets = {192, 0, 2, n}};

    if (n & 1)
        memcpy(a.octets, (uint8_t[]){0x20, 0x01, 0x0d, 0xb8}, 4);
    return a;
}

static void open_office(struct office *o)
{
    static struct proposals *ring;
    static struct turns *turns;

    *o = (struct office){.ring = ring = page(ring, proposals_size()),
                         .turns = turns = page(turns, turns_size()),
                         .exempt = client_address(CLIENTS)};
    state_prepare();
    unlink(state_path);
    if (ledger_open(&o->book, state_path, LEDGER_SIZE) < 0 ||
        ledger_open(&o->of_worker, state_path, LEDGER_SIZE) < 0 ||
        ledger_read_only(o->of_worker) < 0 ||
        ledger_propose_to(o->of_worker, o->ring, o->turns) < 0 ||
        partial_open(&o->partial, NULL, 86400000) < 0)
        abort();
    o->rules.tarpit = config_default_rules();
    o->rules.raise_most = policy_most_trap(&o->rules.tarpit);
    o->decay = (struct ledger_decay){o->rules.tarpit.half_life, o->rules.tarpit.good_half_life};
    struct ledger_key k = ledger_key_client(o->book, &o->exempt);
    ledger_exempt(o->book, &k, T0, 0);
}

static void close_office(struct office *o)
{
    ledger_close(o->of_worker);
    ledger_close(o->book);
    partial_close(o->partial);
    unlink(state_path);
}

/* A key that the ledger makes, or with `wild` any other one. */
static struct ledger_key key_of(const struct office *o, uint8_t kind, uint8_t whose, uint64_t wild)
{
    struct addr a = client_address(whose % (CLIENTS + 1));
    struct span user = whose & 128 ? SPAN("alice") : SPAN("bob.example");
    struct ledger_key k;

    switch (kind % 16) {
    case LEDGER_CLIENT: return ledger_key_client(o->book, &a);
    case LEDGER_NETWORK: return ledger_key_network(o->book, &a);
    case LEDGER_ACCOUNT: return ledger_key_account(o->book, user);
    case LEDGER_ACCOUNT_NETWORK: return ledger_key_account_network(o->book, user, &a);
    case LEDGER_PAIR: return ledger_key_pair(o->book, &a, user);
    case LEDGER_BOUNCES: return ledger_key_bounces(o->book, &a);
    case LEDGER_MAILBOXES: return ledger_key_mailboxes(o->book, &a);
    case LEDGER_ALLOWANCE: return ledger_key_allowance(o->book, user);
    case 8:
        k = ledger_key_client(o->book, &a);
        k.hash ^= wild;
        return k;
    case 9:
        k = ledger_key_client(o->book, &a);
        k.label ^= wild;
        return k;
    default: return (struct ledger_key){wild, wild >> 8, wild, kind & 15};
    }
}

static void poke(void *memory, size_t size, uint64_t where, uint64_t word)
{
    memcpy((char *)memory + where % (size / 8) * 8, &word, sizeof word);
}

static bool is_late(const void *ring)
{
    return proposals_are_given_up(ring);
}

static void keep(struct office *o, uint64_t now)
{
    struct turns_round round = turns_begin_round(o->turns, 0);
    struct proposal p;

    for (int i = 0; i < DEEDS_MOST && proposals_read(o->ring, &p); i++) {
        o->earned |= p.op == PROPOSE_EARN || p.op == PROPOSE_GOOD || p.op == PROPOSE_DELIVERED;
        if (dispose(&o->disposal, o->book, &o->rules, &p, now) == DISPOSAL_DONE &&
            p.op == PROPOSE_ELSE)
            partial_carry_out(o->partial,
                              &(struct partial_change){.key = p.hash,
                                                       .value = p.a,
                                                       .until = p.b,
                                                       .flags = (uint32_t)p.label,
                                                       .of_backend = p.kind == 1},
                              is_late, o->ring, now);
    }
    proposals_finish(o->ring);
    turns_end_round(o->turns, round);
}

static void act(struct office *o, const uint8_t *deed, uint64_t now)
{
    struct proposal p = {.now = now, .op = deed[0]};
    uint64_t wild;

    memcpy(&p.a, deed + 4, sizeof p.a);
    memcpy(&p.b, deed + 12, sizeof p.b);
    memcpy(&p.x, deed + 20, sizeof p.x);
    memcpy(&wild, deed + 20, sizeof wild);
    if (deed[0] == POKE_RING) {
        poke(o->ring, proposals_size(), p.a, p.b);
        return;
    } else if (deed[0] == POKE_TURNS) {
        poke(o->turns, turns_size(), p.a, p.b);
        return;
    }
    if (deed[3] & 128) /* ends and times are near to now */
        p.a = now + p.a % (2 * LEDGER_HORIZON_MS);
    if (deed[3] & 64)
        p.now = wild;
    struct ledger_key k = key_of(o, deed[1], deed[2], deed[1] % 16 > 7 ? p.a : 0);
    p.hash = k.hash;
    p.label = k.label;
    p.common = k.common;
    p.kind = k.kind;
    (void)proposals_write(o->ring, &p);
}

static void check_entry(const struct office *o, const struct ledger_key *k,
                        const struct ledger_entry *e, bool is_exempt, uint64_t now)
{
    bool client = k->kind == LEDGER_CLIENT || k->kind == LEDGER_BOUNCES;
    double most = fmax(policy_most(&o->rules.tarpit, OFFENCE_RECIPIENT), o->rules.raise_most);

    assert(isfinite(e->offences) && e->offences >= 0 && isfinite(e->good) && e->good >= 0);
    assert(!client || o->earned || e->offences <= most + 0.01);
    assert(o->earned || e->good == 0);
    assert(is_exempt == !!(e->flags & LEDGER_EXEMPT));
    assert(e->turn_ms <= now + LEDGER_HORIZON_MS && e->debt_ms <= now + POLICY_TIME_MAX);
    assert(e->delivered_ms <= now && e->pass_ms <= now);
}

static void check_ledger(struct office *o, uint64_t now)
{
    struct ledger_key exempt = ledger_key_client(o->book, &o->exempt), k;
    struct ledger_entry e;
    struct addr who;
    uint64_t at = 0;
    bool found = false;

    while (ledger_next(o->book, &at, &o->decay, now, &k, &who, &e)) {
        found |= k.hash == exempt.hash;
        check_entry(o, &k, &e, k.hash == exempt.hash, now);
    }
    assert(found);
    assert(!partial_was_delivered(o->partial, SPAN("a@x.test"), SPAN("b@y.test"), partial_named(1),
                                  now + 1));
}

/* What another worker decides then. */
static void check_holds(struct office *o, uint64_t now)
{
    struct tarpit t = {.rules = o->rules.tarpit, .ledger = o->of_worker};

    for (uint8_t n = 0; n <= CLIENTS; n++) {
        struct addr a = client_address(n);
        struct tarpit_who who = tarpit_who(&t, &a, false);
        struct tarpit_hold wait = tarpit_wait(&t, &who, now);
        struct tarpit_permit permit = tarpit_ask(&t, &who, (struct span){0}, now);
        struct tarpit_hold verdict =
            tarpit_verdict(&t, &who, (struct span){0}, &permit, OFFENCE_RECIPIENT, now);

        assert(wait.ms <= POLICY_HOLD_MAX && verdict.ms <= POLICY_HOLD_MAX);
        assert(permit.hold.ms <= POLICY_HOLD_MAX);
        assert(n < CLIENTS || (!wait.ms && !verdict.ms && !verdict.masked && !permit.masked));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct office o;
    uint64_t now = T0;

    if (size < DEED || size > (size_t)DEED * DEEDS_MOST)
        return 0;
    open_office(&o);
    for (size_t at = 0; at + DEED <= size; at += DEED) {
        act(&o, data + at, now);
        now += (data[at + 3] & 63) * LATER_MS;
        if (data[at + 3] & 1)
            keep(&o, now);
    }
    keep(&o, now);
    check_ledger(&o, now);
    check_holds(&o, now);
    close_office(&o);
    return 0;
}
