/* Booking an offence (tarpit_part.h): on the client or its bounces, on its network, on the account;
 * and paying for it with good mail. Each change of the ledger is one atomic word; a process that is
 * killed between two of them leaves an offence that is not paid for, or not counted in the network.
 * Runs in workers and in the simulator. */
#include <math.h>

#include "tarpit/policy.h"
#include "tarpit/tarpit_part.h"

/* R10: a network that has become bad counts in the next wider one as a client at the pace would,
 * once in a half-life. */
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

/* R10: a client's part in its network's account. It grows with the client's first offences only,
 * and is kept up while the client goes on: so the account says how many misbehave, not how much. */
static void book_network(struct tarpit *t, const struct tarpit_who *who,
                         const struct ledger_entry *before, double after, uint64_t now)
{
    const struct tarpit_rules *r = &t->rules;
    struct ledger_key network = tarpit_network_key(who);
    struct ledger_decay d = tarpit_decay(t);
    double had = policy_part(r, before->offences), part = policy_part(r, after) - had;

    uint64_t now_s = now / 1000 * 1000; /* as fine as the ledger's own note of the time */
    if (had >= policy_part(r, INFINITY) && d.half_life && before->seen_ms < now_s)
        part += had * (1 - exp2(-(double)(now_s - before->seen_ms) / (double)d.half_life));
    if (part <= 0)
        return;
    double around = ledger_add_offences(t->ledger, &network, &d, now, part);
    book_wider(t, who, around, now);
}

/* Takes what `most` of credit is worth off an amount of which one is worth `share`. Returns how
 * much credit that was. */
static double spend(struct tarpit *t, const struct ledger_key *k, double most, double share,
                    uint64_t now)
{
    struct ledger_decay d = tarpit_decay(t);

    return most > 0 ? share * ledger_spend_good(t->ledger, k, &d, now, 0, most / share) : 0;
}

/* R8: what good mail pays for. Credit is spent, not looked at. Where there are pairs (R21) a
 * mailbox has earned for client and pair both, so each pays its share of `good_ratio`, and what one
 * of them cannot pay the other does: so one delivery never pays twice. What a correspondent pays
 * for stays booked on the client, whose debt is not its own. Returns the offences that are left. */
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

/* What a trap costs a client whose mail is wanted otherwise, beside the offence itself. */
#define TRAP_COSTS 5.0

/* To twice what the shield asks for beside what good mail covers, so that it lasts for a half-life.
 * With `shield = 0` there is none to go to, and the offence itself is all. */
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
