/* What the keeper does with any proposal of a worker, over a ledger of any content: no undefined
 * behaviour. And what a worker can never cause, whatever it writes: an exemption, or the end of
 * one; a removed entry; offences or ends beyond their bounds; amounts that are no numbers. The
 * ledger's functions that change something say here what they may be asked for. */
#include "any_ledger.h"

#include <math.h>

#include "tarpit/allowance.h"
#include "tarpit/ledger_disposal.h"
#include "tarpit/ledger_others.h"
#include "tarpit/policy.h"

enum { CLOCK_HOURS = 500000 };
static const uint64_t clock_ms =
    CLOCK_HOURS * UINT64_C(3600000); /* the keeper's: only differences matter */

static double amount(void)
{
    return Frama_C_double_interval(0, 1e9);
}

bool ledger_get(const struct ledger *l, const struct ledger_key *k, const struct ledger_decay *d,
                uint64_t now, struct ledger_entry *out)
{
    *out = (struct ledger_entry){.offences = amount(),
                                 .good = amount(),
                                 .turn_ms = any_number,
                                 .debt_ms = any_number,
                                 .seen_ms = any_number,
                                 .delivered_ms = any_number,
                                 .pass_ms = any_number,
                                 .patience_ms = (uint32_t)any_number,
                                 .flags = (uint32_t)any_number};
    return any_choice & 1;
}

bool ledger_get_alone(const struct ledger *l, const struct ledger_key *k,
                      const struct ledger_decay *d, uint64_t now, struct ledger_entry *out)
{
    return ledger_get(l, k, d, now, out);
}

double ledger_add_offences(struct ledger *l, const struct ledger_key *k,
                           const struct ledger_decay *d, uint64_t now, double weight)
{
    //@ assert only_pays: weight <= 0 && \is_finite(weight);
    return amount();
}

double ledger_add_offences_to(struct ledger *l, const struct ledger_key *k,
                              const struct ledger_decay *d, uint64_t now, double weight,
                              double most)
{
    //@ assert one_booking: 0 <= weight <= 2e6;
    //@ assert finite_most: \is_finite(most);
    return amount();
}

double ledger_raise_offences(struct ledger *l, const struct ledger_key *k,
                             const struct ledger_decay *d, uint64_t now, double to)
{
    //@ assert finite_raise: \is_finite(to);
    return amount();
}

double ledger_add_good(struct ledger *l, const struct ledger_key *k, const struct ledger_decay *d,
                       uint64_t now, double by)
{
    //@ assert earned: 0 <= by <= 65536;
    return amount();
}

double ledger_spend_good(struct ledger *l, const struct ledger_key *k, const struct ledger_decay *d,
                         uint64_t now, double least, double most)
{
    //@ assert spends: least == 0 && \is_finite(most);
    return any_choice ? Frama_C_double_interval(0, 1e9) : 0;
}

double ledger_earn(struct ledger *l, const struct ledger_key *k, uint64_t now, uint64_t mailbox)
{
    return Frama_C_double_interval(0, 4);
}

void ledger_raise_turn(struct ledger *l, const struct ledger_key *k, uint64_t now, uint64_t until,
                       bool paced)
{
    //@ assert near_turn: until <= clock_ms + LEDGER_HORIZON_MS;
}

void ledger_set_debt(struct ledger *l, const struct ledger_key *k, uint64_t now, uint64_t until)
{
    //@ assert near_debt: until <= clock_ms + POLICY_TIME_MAX;
}

void ledger_delivered(struct ledger *l, const struct ledger_key *k, uint64_t now)
{
    //@ assert delivered_now: now <= clock_ms;
}

void ledger_pass(struct ledger *l, const struct ledger_key *k, uint64_t now, uint64_t at)
{
    //@ assert passed_before: at <= clock_ms;
}

void ledger_set_patience(struct ledger *l, const struct ledger_key *k, uint64_t now,
                         uint32_t patience_ms)
{
    //@ assert patient: patience_ms >= 1000;
}

void ledger_set_flags(struct ledger *l, const struct ledger_key *k, uint64_t now, uint32_t set,
                      uint32_t clear)
{
    //@ assert never_exempts: (set & LEDGER_EXEMPT) == 0 && clear == 0;
}

bool ledger_mark(struct ledger *l, const struct ledger_key *k, uint64_t now, uint32_t flag,
                 uint64_t period)
{
    //@ assert never_marks_exempt: flag == LEDGER_SUSPECT || flag == LEDGER_COUNTED;
    return any_choice & 1;
}

void ledger_exempt(struct ledger *l, const struct ledger_key *k, uint64_t now, uint64_t until)
{
    //@ assert no_exemption: \false;
}

void ledger_forget(struct ledger *l, const struct ledger_key *k)
{
    //@ assert forgets_nothing: \false;
}

void ledger_login(struct ledger *l, const struct ledger_key *k, uint64_t now, uint64_t since)
{
    //@ assert login_before: since <= clock_ms;
}

bool ledger_settle(struct ledger *l, const struct ledger_key *k, uint64_t now)
{
    return any_choice & 1;
}

unsigned ledger_refused_from(struct ledger *l, const struct ledger_key *k, uint64_t now,
                             uint64_t network)
{
    return (unsigned)any_number;
}

bool ledger_looks_stolen(struct ledger *l, const struct ledger_key *k, uint64_t now, uint64_t till)
{
    //@ assert stolen_for_a_while: till <= clock_ms + ALLOWANCE_STOLEN_MS;
    return any_choice & 1;
}

bool ledger_bucket_take(struct ledger *l, const struct ledger_key *k, enum ledger_bucket bucket,
                        struct ledger_rate rate, uint64_t now, uint32_t n)
{
    //@ assert takes: bucket < BUCKET_COUNT && 0 < rate.most <= LEDGER_BUCKET_MOST && n <= LEDGER_BUCKET_MOST;
    return any_choice & 1;
}

void ledger_bucket_give(struct ledger *l, const struct ledger_key *k, enum ledger_bucket bucket,
                        struct ledger_rate rate, uint64_t now, uint32_t n)
{
    //@ assert gives: bucket < BUCKET_COUNT && 0 < rate.most <= LEDGER_BUCKET_MOST && n <= LEDGER_BUCKET_MOST;
}

void ledger_tell_sent(const struct ledger *l, const struct ledger_key *k,
                      const struct ledger_sent *sent)
{
    //@ assert tells: sent->bucket < BUCKET_COUNT;
}

void ledger_sight(const struct ledger *l, const struct ledger_key *k)
{
}

static struct disposal any_disposal(void)
{
    static uint32_t logins;
    struct disposal d = {.due = Frama_C_double_interval(-1e9, 1e9),
                         .due_added = amount(),
                         .due_network = any_number,
                         .spent = amount(),
                         .spent_network = any_number,
                         .earned = Frama_C_double_interval(0, 65536),
                         .of_pair = Frama_C_double_interval(0, 65536),
                         .earned_network = Frama_C_double_interval(0, 65536),
                         .taken = amount(),
                         .settled = (uint32_t)any_number,
                         .maker = (unsigned)any_number,
                         .logins = any_choice ? &logins : NULL};

    for (int i = 0; i < DISPOSAL_RATE_COUNT; i++) {
        d.rate[i].level = amount();
        d.rate[i].at = up_to(LATEST_MS);
        d.rate[i].refused = any_number;
    }
    return d;
}

/* But "not a number", of which EVA would say at each use that it may be one. */
static double any_double(void)
{
    double finite = Frama_C_double_interval(-LARGEST_DOUBLE, LARGEST_DOUBLE);

    return any_choice ? finite : any_choice ? INFINITY : -INFINITY;
}

static struct proposal any_proposal(uint8_t op)
{
    return (struct proposal){.now = any_number,
                             .hash = any_number,
                             .label = any_number,
                             .common = any_number,
                             .a = any_number,
                             .b = any_number,
                             .x = any_double(),
                             .op = op,
                             .kind = (uint8_t)any_number};
}

int main(void)
{
    struct ledger l = any_ledger();
    struct disposal d = any_disposal();
    struct disposal_rules r = {any_rules(), amount()};
    struct proposal p;

    if (any_choice) {
        p = any_proposal(PROPOSE_OFFENCES); /* the only one that has y */
        p.y = any_double();
    } else {
        p = any_proposal(any_choice ? (uint8_t)Frama_C_interval(2, 255) : 0);
    }
    (void)dispose(&d, &l, &r, &p, clock_ms);
    for (int i = 0; i < DISPOSAL_RATE_COUNT; i++) {
        bool outside;
        (void)disposal_about((enum disposal_rate)i, &outside);
    }
    return 0;
}
