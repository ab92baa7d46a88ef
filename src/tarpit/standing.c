/* The standing of a client: its own offences, those that good mail covers, its network, its
 * correspondent, and the account that it tries (tarpit_part.h). Reads the ledger and changes
 * nothing; runs in workers and in the simulator. */
#include <math.h>

#include "tarpit/ledger_others.h"
#include "tarpit/policy.h"
#include "tarpit/tarpit_part.h"

_Static_assert(sizeof(struct tarpit_who) <= 56, "passed by value in workers");

/* ---- clients ---- */

struct ledger_key tarpit_client_key(const struct tarpit_who *who)
{
    return (struct ledger_key){who->client, who->client_label, 0, LEDGER_CLIENT};
}

struct ledger_key tarpit_network_key(const struct tarpit_who *who)
{
    return (struct ledger_key){who->network, who->network_label, 0, LEDGER_NETWORK};
}

struct ledger_decay tarpit_decay(const struct tarpit *t)
{
    return (struct ledger_decay){t->rules.half_life, t->rules.good_half_life};
}

/* R19 and the exempt list: neither delayed nor booked. */
bool tarpit_is_free(const struct tarpit_who *who)
{
    return who->exempt || who->authenticated;
}

struct tarpit_who tarpit_who(const struct tarpit *t, const struct addr *peer, bool exempt)
{
    struct ledger_key client = ledger_key_client(t->ledger, peer);
    struct ledger_key network = ledger_key_network(t->ledger, peer);
    return (struct tarpit_who){
        .client = client.hash,
        .network = network.hash,
        .client_label = client.label,
        .network_label = network.label,
        .exempt = exempt,
    };
}

struct addr tarpit_address(const struct tarpit_who *who)
{
    struct ledger_key client = tarpit_client_key(who);
    return ledger_key_addr(&client);
}

void tarpit_sender(const struct tarpit *t, struct tarpit_who *who, struct span domain)
{
    struct addr peer = tarpit_address(who);

    who->sender_known = true;
    who->null_sender = domain.len == 0;
    if (domain.len == 0) {
        who->pair = who->pair_common = 0;
        return;
    }
    struct ledger_key pair = ledger_key_pair(t->ledger, &peer, domain);
    who->pair = pair.hash;
    who->pair_common = pair.common;
    ledger_sight(t->ledger, &pair);
}

struct ledger_key tarpit_pair_key(const struct tarpit_who *who)
{
    return (struct ledger_key){who->pair, who->network_label, who->pair_common, LEDGER_PAIR};
}

void tarpit_prefetch(const struct tarpit *t, const struct tarpit_who *who)
{
    struct ledger_key client = tarpit_client_key(who), network = tarpit_network_key(who);

    ledger_prefetch(t->ledger, &client);
    ledger_prefetch(t->ledger, &network);
}

void tarpit_sight(const struct tarpit *t, const struct addr *peer)
{
    if (ledger_naming(t->ledger) == 0) /* without a fleet nobody is told */
        return;
    struct ledger_key client = ledger_key_client(t->ledger, peer);
    ledger_sight(t->ledger, &client);
}

const char *tarpit_rule_name(enum tarpit_rule rule)
{
    static const char *const name[RULE_COUNT] = {
#define TARPIT_RULE_NAME(id, number, about) [RULE_##id] = (number),
        TARPIT_RULES(TARPIT_RULE_NAME)
#undef TARPIT_RULE_NAME
    };
    return (unsigned)rule < RULE_COUNT ? name[rule] : "";
}

const char *tarpit_rule_about(enum tarpit_rule rule)
{
    static const char *const about_rule[RULE_COUNT] = {
#define TARPIT_RULE_ABOUT(id, number, about) [RULE_##id] = (about),
        TARPIT_RULES(TARPIT_RULE_ABOUT)
#undef TARPIT_RULE_ABOUT
    };
    return (unsigned)rule < RULE_COUNT ? about_rule[rule] : "";
}

/* Which entry a client's offences go to: as <>, one of their own (R13). */
struct ledger_key tarpit_offender(const struct tarpit *t, const struct tarpit_who *who)
{
    struct addr a = tarpit_address(who);
    return who->null_sender ? ledger_key_bounces(t->ledger, &a) : tarpit_client_key(who);
}

/* ---- standing ---- */

/* A client is guilty if it has an offence of its own that is not yet half faded (R10). */
#define GUILTY 0.5

/* R10: the widest network around the client that is bad. Networks wider than a /48 are booked only
 * by bad networks within them. Both are prefetched before the first is read. */
static struct ledger_key bad_network(const struct tarpit *t, const struct tarpit_who *who,
                                     double around, uint64_t now)
{
    enum { WIDER = 2 };
    static const unsigned wider[WIDER] = {32, 40};
    struct addr a = tarpit_address(who);
    struct ledger_decay d = tarpit_decay(t);
    struct ledger_key k[WIDER];
    struct ledger_entry e;
    size_t n = a.family == ADDR_IP6 ? WIDER : 0;

    for (size_t i = 0; i < n; i++) {
        k[i] = ledger_key_level(t->ledger, &a, wider[i]);
        ledger_prefetch(t->ledger, &k[i]);
    }
    for (size_t i = 0; i < n; i++)
        if (ledger_get(t->ledger, &k[i], &d, now, &e) && policy_network_bad(&t->rules, e.offences))
            return k[i];
    return policy_network_bad(&t->rules, around) ? tarpit_network_key(who) : (struct ledger_key){0};
}

/* R21: the credit of the pair. */
static double pair_credit(const struct tarpit *t, const struct tarpit_who *who, uint64_t now)
{
    struct ledger_key pair = tarpit_pair_key(who);
    struct ledger_decay d = tarpit_decay(t);
    struct ledger_entry e;

    return who->pair && ledger_get(t->ledger, &pair, &d, now, &e) ? e.good : 0;
}

/* R8: a mailbox earns for the client and for the pair, and each has its share of what an offence
 * costs. Before MAIL FROM the pair counts as one that can pay. It is not looked up where it makes
 * no difference. */
static double credit_of(const struct tarpit *t, const struct tarpit_who *who, double offences,
                        double good, double *of_pair, uint64_t now)
{
    const struct tarpit_rules *r = &t->rules;

    if (!r->correspondents || !who->sender_known || r->good_ratio <= 0)
        return good;
    if (policy_debt(r, offences + 1, policy_credit(good, 0)) > 0)
        *of_pair = pair_credit(t, who, now);
    return policy_credit(good, *of_pair);
}

/* R22: whether the client itself is known. */
static bool has_met(const struct tarpit_rules *r, const struct ledger_entry *client, uint64_t now)
{
    bool passed = client->pass_ms && client->pass_ms + r->greet_pass > now;

    return passed || client->delivered_ms || client->good >= 1;
}

/* R22: whether the client is known, itself or by the good mail of its network. A client with an
 * offence of its own is not known by its network, and neither is any client while the network's
 * good mail does not cover the network's offences. */
static bool is_met(const struct tarpit_rules *r, const struct ledger_entry *client,
                   const struct ledger_entry *network, double own, uint64_t now)
{
    bool mail = network->delivered_ms && network->delivered_ms + r->greet_pass > now;

    return has_met(r, client, now) ||
           (mail && own < GUILTY && policy_debt(r, network->offences, network->good) < GUILTY);
}

static void get_own(const struct tarpit *t, const struct tarpit_who *who, uint64_t now,
                    struct ledger_entry *client)
{
    struct ledger_key own = tarpit_client_key(who);
    struct ledger_decay d = tarpit_decay(t);

    ledger_get(t->ledger, &own, &d, now, client);
}

/* Reads the entry of the client's network, unless the client is free without it. True: it is free,
 * also by its own entry or its network's. */
static bool is_free_around(const struct tarpit *t, const struct tarpit_who *who, uint64_t now,
                           const struct ledger_entry *client, struct ledger_entry *network)
{
    struct ledger_key around = tarpit_network_key(who);
    struct ledger_decay d = tarpit_decay(t);

    if (tarpit_is_free(who))
        return true;
    ledger_get(t->ledger, &around, &d, now, network);
    return (client->flags | network->flags) & LEDGER_EXEMPT;
}

/* Reads both entries. */
static bool look_up(const struct tarpit *t, const struct tarpit_who *who, uint64_t now,
                    struct ledger_entry *client, struct ledger_entry *network)
{
    struct ledger_key around = tarpit_network_key(who);

    if (tarpit_is_free(who))
        return true;
    ledger_prefetch(t->ledger, &around);
    get_own(t, who, now, client);
    return is_free_around(t, who, now, client, network);
}

bool tarpit_is_spared(const struct tarpit *t, const struct tarpit_who *who, uint64_t now)
{
    struct ledger_entry c, n;

    return look_up(t, who, now, &c, &n);
}

struct standing standing_with(const struct tarpit *t, const struct tarpit_who *who,
                              const struct own *own, uint64_t now)
{
    const struct tarpit_rules *r = &t->rules;
    const struct ledger_entry c = own->entry;
    struct ledger_decay d = tarpit_decay(t);
    struct ledger_entry n, as_null = {0};

    if (is_free_around(t, who, now, &c, &n))
        return (struct standing){.free = true};
    if (who->null_sender) {
        struct addr a = tarpit_address(who);
        struct ledger_key bounces = ledger_key_bounces(t->ledger, &a);
        ledger_get(t->ledger, &bounces, &d, now, &as_null);
    }
    double offences = more(c.offences, as_null.offences), of_pair = 0;
    double credit = credit_of(t, who, offences, c.good, &of_pair, now);
    struct standing s = {
        .own = policy_debt(r, offences, credit),
        .debt_ms = c.debt_ms > as_null.debt_ms ? c.debt_ms : as_null.debt_ms,
        .turn_ms = c.turn_ms,
        .delivered = c.delivered_ms != 0,
    };
    bool trapped = c.flags & LEDGER_TRAPPED && policy_shielded(r, s.own);
    s.correspondent =
        s.own > 0 && !trapped && of_pair > 0 && policy_debt(r, 1, policy_credit(0, of_pair)) == 0;
    s.debt = s.correspondent ? 0 : s.own;
    s.covered = s.correspondent || policy_debt(r, offences + 1, credit) == 0;
    s.guilty = s.debt >= GUILTY;
    s.met = is_met(r, &c, &n, s.own, now);
    bool unproven = r->time && offences == 0 && credit < 0.5 && !s.delivered &&
                    (c.debt_ms == 0 || c.debt_ms > now);
    if (s.guilty || unproven) /* its network makes no difference to others */
        s.network = bad_network(t, who, n.offences, now);
    s.shares = s.network.hash && s.guilty;
    s.newcomer = s.network.hash && unproven;
    s.secret = r->pace && s.debt > 0 &&
               ((c.paced && c.turn_ms > now) || (as_null.paced && as_null.turn_ms > now));
    s.paced = s.secret || s.shares || policy_paced(r, s.debt);
    s.cap = s.secret ? POLICY_NEVER : policy_cap(r, s.debt, c.patience_ms, who->null_sender);
    return s;
}

struct own own_of(const struct tarpit *t, const struct tarpit_who *who, uint64_t now)
{
    const struct tarpit_rules *r = &t->rules;
    struct own own = {0};

    if (tarpit_is_free(who))
        return own;
    get_own(t, who, now, &own.entry);
    own.clear = !who->null_sender &&
                policy_debt(r, own.entry.offences, policy_credit(own.entry.good, 0)) <= 0;
    own.met = own.clear && has_met(r, &own.entry, now);
    own.proven = own.clear && own.entry.delivered_ms;
    return own;
}

struct standing standing_of(const struct tarpit *t, const struct tarpit_who *who, uint64_t now)
{
    struct ledger_key around = tarpit_network_key(who);

    if (!tarpit_is_free(who))
        ledger_prefetch(t->ledger, &around);
    struct own own = own_of(t, who, now);
    return standing_with(t, who, &own, now);
}

struct account account_of(const struct tarpit *t, const struct tarpit_who *who, struct span user,
                          uint64_t now)
{
    struct ledger_decay d = tarpit_decay(t);
    struct ledger_entry e;

    if (user.len == 0)
        return (struct account){0};
    struct account a = {.key = ledger_key_account(t->ledger, user), .any = true};
    struct ledger_key network = tarpit_network_key(who);
    struct addr from = ledger_key_addr(&network);
    struct ledger_key known = ledger_key_account_network(t->ledger, user, &from);
    a.here = known.hash;
    ledger_prefetch(t->ledger, &known);
    ledger_prefetch(t->ledger, &a.key);
    ledger_sight(t->ledger, &known);
    ledger_sight(t->ledger, &a.key);
    if (ledger_get(t->ledger, &known, &d, now, &e) && e.flags & LEDGER_KNOWN) {
        a.known = true;
        return a;
    }
    ledger_get(t->ledger, &a.key, &d, now, &e);
    a.offences = e.offences;
    return a;
}

double tarpit_debt(const struct tarpit *t, const struct tarpit_who *who, uint64_t now)
{
    struct own own = own_of(t, who, now);
    return own.clear ? 0 : standing_with(t, who, &own, now).debt;
}

unsigned tarpit_depth(const struct tarpit *t, const struct tarpit_who *who, uint64_t now,
                      unsigned levels)
{
    struct standing s = standing_of(t, who, now);
    double debt = ceil(s.debt);

    if (policy_shielded(&t->rules, s.debt) && !s.secret)
        return levels - 1;
    if (s.paced)
        return levels - 2;
    return debt < levels - 3 ? (unsigned)debt : levels - 3;
}

bool tarpit_has_delivered(const struct tarpit *t, const struct tarpit_who *who, uint64_t now)
{
    struct standing s = standing_of(t, who, now);
    return s.delivered && !s.free;
}

bool tarpit_is_proven(const struct tarpit *t, const struct tarpit_who *who, uint64_t now)
{
    return own_of(t, who, now).proven || tarpit_is_spared(t, who, now);
}

bool tarpit_in_good_standing(const struct tarpit *t, const struct tarpit_who *who, uint64_t now)
{
    struct ledger_entry c, n;

    return look_up(t, who, now, &c, &n) || c.delivered_ms || n.good >= 0.5;
}
