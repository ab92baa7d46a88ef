/* The ledger's own functions over memory of any content, which other processes change at any moment:
 * no undefined behaviour, and results within their bounds. The fleet's table and a worker's
 * proposals are left out: their pointers are NULL, as in the keeper of a single mired. */
#include "any_ledger.h"

#include "tarpit/ledger_allowance.h"
#include "tarpit/ledger_amount.h"
#include "tarpit/policy.h"

static double amount(void)
{
    return Frama_C_double_interval(-1e9, 1e9);
}

static void amounts(struct ledger *l, const struct ledger_key *k, const struct ledger_decay *d,
                    uint64_t now)
{
    double most = amount(), spent = ledger_spend_good(l, k, d, now, amount(), most);
    double added = ledger_add_offences_to(l, k, d, now, amount(), amount());

    //@ assert spent_something: spent >= 0;
    (void)added;
    (void)spent;
    (void)ledger_add_offences(l, k, d, now, amount());
    (void)ledger_add_good(l, k, d, now, amount());
    (void)ledger_raise_offences(l, k, d, now, amount());
    (void)ledger_raise_good(l, k, d, now, amount());
}

static void times(struct ledger *l, const struct ledger_key *k, uint64_t now)
{
    uint64_t from = up_to(LATEST_MS), length = up_to(POLICY_TIME_MAX), latest = up_to(LATEST_MS);
    bool paced = any_choice & 1;

    (void)ledger_take_turn(l, k, now, length, latest);
    (void)ledger_take_turn_from(l, k, now, from, length, latest, paced);
    ledger_raise_turn(l, k, now, any_number, paced);
    ledger_set_debt(l, k, now, any_number);
    ledger_delivered(l, k, now);
    ledger_pass(l, k, now, any_number);
}

static void flags(struct ledger *l, const struct ledger_key *k, uint64_t now)
{
    ledger_set_patience(l, k, now, (uint32_t)any_number);
    ledger_set_flags(l, k, now, (uint32_t)any_number, (uint32_t)any_number);
    (void)ledger_mark(l, k, now, (uint32_t)any_number, any_number);
    ledger_exempt(l, k, now, up_to(LATEST_MS));
    ledger_forgive(l, k);
    ledger_forget_use(l, k);
    ledger_forget(l, k);
}

static void reading(const struct ledger *l, const struct ledger_key *k,
                    const struct ledger_decay *d, uint64_t now)
{
    struct ledger_entry e;

    (void)ledger_get(l, k, d, now, &e);
    //@ assert no_negative: e.offences >= 0 && e.good >= 0;
    //@ assert turn_is_near: e.turn_ms <= now + LEDGER_HORIZON_MS;
    //@ assert debt_is_near: e.debt_ms <= now + LEDGER_HORIZON_MS;
    //@ assert patience: e.patience_ms < 0x1000000;
    ledger_prefetch(l, k);
}

static void sketches(struct ledger *l, const struct ledger_key *k, uint64_t now)
{
    double earned = ledger_earn(l, k, now, any_number);

    //@ assert earns_little: 0 <= earned <= 4;
    (void)earned;
}

static void walk(struct ledger *l, const struct ledger_decay *d, uint64_t now)
{
    uint64_t at = up_to(ANY_SETS * LEDGER_WAYS + 1);
    struct ledger_key k;
    struct ledger_entry e;
    struct addr who;

    (void)ledger_next(l, &at, d, now, &k, &who, &e);
    (void)ledger_stats(l);
    ledger_convert(l);
}

/* An entry of another ledger, or of this one at another time. */
static void merge(struct ledger *l, const struct ledger_key *k, const struct ledger_decay *d,
                  uint64_t now)
{
    struct ledger_entry other = {.offences = amount(),
                                 .good = amount(),
                                 .turn_ms = any_number,
                                 .debt_ms = any_number,
                                 .seen_ms = any_number,
                                 .exempt_until_ms = any_number,
                                 .delivered_ms = any_number,
                                 .pass_ms = any_number,
                                 .patience_ms = (uint32_t)any_number,
                                 .flags = (uint32_t)any_number,
                                 .paced = any_choice & 1};

    ledger_merge(l, k, d, now, &other, any_number);
}

int main(void)
{
    struct ledger l = any_ledger();
    struct ledger_key k = any_key();
    struct ledger_decay d = any_decay();
    uint64_t now = LATEST_MS / 2; /* one time for all: only differences matter */

    switch (any_choice) {
    case 0: amounts(&l, &k, &d, now); break;
    case 1: times(&l, &k, now); break;
    case 2: flags(&l, &k, now); break;
    case 3: reading(&l, &k, &d, now); break;
    case 4: sketches(&l, &k, now); break;
    case 5: merge(&l, &k, &d, now); break;
    default: walk(&l, &d, now);
    }
    return 0;
}
