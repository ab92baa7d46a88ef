/* Booking an offence (tarpit_part.h): on the client or its bounces, on its network, on the account;
 * and paying for it with good mail. Each change of the ledger is one atomic word; a process that is
 * killed between two of them leaves an offence that is not paid for, or not counted in the network.
 * Runs in workers and in the simulator. */
#include <math.h>

#include "tarpit/policy.h"
#include "tarpit/tarpit_part.h"

/* R10: a network that has become bad counts in the next wider one, once in a half-life, like one
 * client with `pace_after` offences. */
static void book_wider(struct tarpit *t, const struct tarpit_who *who, double around, uint64_t now)
{
    static const unsigned wider[] = {40, 32};
    struct ledger_key k = tarpit_network_key(who);
    struct ledger_decay d = tarpit_decay(t);
    struct addr a = tarpit_address(who);

    for (size_t i = 0; a.family == ADDR_IP6 && i < sizeof wider / sizeof *wider; i++) {
        if (!policy_network_bad(&t->rules, around) ||
            !ledger_mark(t->ledger, &k, now, LEDGER_COUNTED, t->rules.half_life))
            return;
        k = ledger_key_level(t->ledger, &a, wider[i]);
        around = ledger_add_offences(t->ledger, &k, &d, now, policy_part(&t->rules, INFINITY));
    }
}

/* R10: books a client's part in its network's entry. The part grows with the client's first
 * offences only, and is kept up while the client goes on. So the entry says how many clients
 * misbehave, not how much. */
static void book_network(struct tarpit *t, const struct tarpit_who *who,
                         const struct ledger_entry *before, double after, uint64_t now)
{
    const struct tarpit_rules *r = &t->rules;
    struct ledger_key network = tarpit_network_key(who);
    struct ledger_decay d = tarpit_decay(t);
    double had = policy_part(r, before->offences), part = policy_part(r, after) - had;

    uint64_t now_s = now / 1000 * 1000; /* the ledger stores this time in seconds */
    if (had >= policy_part(r, INFINITY) && d.half_life && before->seen_ms < now_s)
        part += had * (1 - exp2(-(double)(now_s - before->seen_ms) / (double)d.half_life));
    if (part <= 0)
        return;
    double around = ledger_add_offences(t->ledger, &network, &d, now, part);
    book_wider(t, who, around, now);
}

/* Takes up to `most` of credit from an amount in which one is worth `share` of credit. Returns the
 * credit taken. */
static double spend(struct tarpit *t, const struct ledger_key *k, double most, double share,
                    uint64_t now)
{
    struct ledger_decay d = tarpit_decay(t);

    return most > 0 ? share * ledger_spend_good(t->ledger, k, &d, now, 0, most / share) : 0;
}

/* R8: pays for offences with good mail; the credit is spent. With pairs (R21) a mailbox has earned
 * for both client and pair, so each pays its share of `good_ratio`, and if one cannot pay its
 * share, the other does. So one delivery never pays twice. An offence that a correspondent pays for
 * stays booked on the client, because the correspondent is not responsible for the client's debt.
 * Returns the offences that are left. */
static double pay(struct tarpit *t, const struct tarpit_who *who, bool correspondent,
                  const struct ledger_key *on, double weight, double offences, uint64_t now)
{
    const struct tarpit_rules *r = &t->rules;
    struct ledger_key client = tarpit_client_key(who), pair = tarpit_pair_key(who);
    struct ledger_decay d = tarpit_decay(t);
    bool pairs = r->correspondents;
    double of_pair = pairs ? POLICY_PAIR_SHARE : 0, price = r->good_ratio * weight, paid = 0;

    if (r->good_ratio <= 0)
        return offences;
    if (pairs && who->pair)
        paid = spend(t, &pair, correspondent ? price : of_pair * price, of_pair, now);
    if (correspondent)
        return offences;
    paid += spend(t, &client, r->good_ratio * offences - paid, 1 - of_pair, now);
    if (pairs && who->pair && paid < price)
        paid += spend(t, &pair, price - paid, of_pair, now);
    return paid > 0 ? ledger_add_offences(t->ledger, on, &d, now, -paid / r->good_ratio) : offences;
}

void book_offence(struct tarpit *t, const struct tarpit_who *who, const struct standing *s,
                  const struct account *a, enum offence offence, uint64_t now)
{
    const struct tarpit_rules *r = &t->rules;
    struct ledger_key on = tarpit_offender(t, who);
    struct ledger_decay d = tarpit_decay(t);
    struct ledger_entry before;
    double weight = policy_weight(offence), most = policy_most(r, offence);

    if (who->null_sender && most > policy_most_bounces(r))
        most = policy_most_bounces(r);
    ledger_get(t->ledger, &on, &d, now, &before);
    double after = ledger_add_offences_to(t->ledger, &on, &d, now, weight, most);
    after = pay(t, who, s->correspondent, &on, weight, after, now);
    book_network(t, who, &before, after, now);
    if (a->any)
        ledger_add_offences_to(t->ledger, &a->key, &d, now, weight, policy_most(r, offence));
}

/* What a trap costs a client that has delivered good mail, in addition to the offence itself. */
#define TRAP_COSTS 5.0

/* Raises the offences to twice the shield, plus those that good mail covers, so that the client
 * stays there for a half-life. With `shield = 0` there is no shield, and only the offence itself is
 * booked. */
void book_trap(struct tarpit *t, const struct tarpit_who *who, const struct standing *s,
               uint64_t now)
{
    const struct tarpit_rules *r = &t->rules;
    struct ledger_key on = tarpit_offender(t, who);
    struct ledger_decay d = tarpit_decay(t);
    struct ledger_entry before;
    double after;

    ledger_get(t->ledger, &on, &d, now, &before);
    if (who->null_sender || s->delivered) {
        double most = who->null_sender ? policy_most_bounces(r) : policy_most(r, OFFENCE_TRAP);
        after = ledger_add_offences_to(t->ledger, &on, &d, now, TRAP_COSTS, most);
        after = pay(t, who, s->correspondent, &on, TRAP_COSTS, after, now);
    } else {
        double covered = r->good_ratio > 0 ? before.good / r->good_ratio : 0;
        after = ledger_raise_offences(t->ledger, &on, &d, now, policy_most_trap(r) + covered);
        ledger_set_flags(t->ledger, &on, now, LEDGER_TRAPPED, 0);
    }
    book_network(t, who, &before, after, now);
}
