/* The tarpit: what happens to a reply (tarpit.h), decided from the rules (policy.h) and what is
 * known of the client (ledger.h). Runs in the worker, and in the simulator; owns no state of its
 * own.
 *
 * The way of a verdict: tarpit_ask() looks up the client's debt. Below `pace_after` the question is
 * free; from there on a turn is taken before anything is looked up, whatever the answer will be.
 * tarpit_verdict() then books an offence and says how long the reply waits: to the end of its turn,
 * or, for a free 5xx, of the turn that it takes now. A free question is judged again when its
 * verdict comes: of a thousand that were asked at the same moment only the first few are still free
 * by then.
 *
 * Turns are told at their end, good and bad alike, and never before they begin. */
#include "tarpit/tarpit.h"

#include "tarpit/policy.h"

_Static_assert(sizeof(struct tarpit_who) <= 48, "kept in each connection");

/* ---- who ---- */

static struct ledger_key client_key(const struct tarpit_who *who)
{
    return (struct ledger_key){who->client, who->client_label, LEDGER_CLIENT};
}

static struct ledger_key network_key(const struct tarpit_who *who)
{
    return (struct ledger_key){who->network, who->network_label, LEDGER_NETWORK};
}

static struct ledger_decay decay(const struct tarpit *t)
{
    return (struct ledger_decay){t->rules.half_life, t->rules.good_half_life};
}

/* R19 and the exempt list: neither delayed nor booked. */
static bool is_free(const struct tarpit_who *who)
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

/* What the rules need to know of a client. */
struct standing {
    double debt;
    uint64_t debt_ms; /* wall ms: when its last offence's hold ends */
    uint64_t cap;     /* R12, R13 */
    bool free;
};

static struct standing look(const struct tarpit *t, const struct tarpit_who *who, uint64_t now)
{
    struct ledger_key client = client_key(who), network = network_key(who);
    struct ledger_decay d = decay(t);
    struct ledger_entry c, n;

    if (is_free(who))
        return (struct standing){.free = true};
    ledger_get(t->ledger, &client, &d, now, &c);
    ledger_get(t->ledger, &network, &d, now, &n);
    if ((c.flags | n.flags) & LEDGER_EXEMPT)
        return (struct standing){.free = true};
    double debt = policy_debt(&t->rules, c.offences, c.good, n.offences, n.good);
    return (struct standing){
        .debt = debt,
        .debt_ms = c.debt_ms,
        .cap = policy_cap(&t->rules, debt, c.patience_ms, who->null_sender),
    };
}

/* R14: an account that is being guessed at. `offences` is 0 where it has logged in before. */
struct account {
    struct ledger_key key;
    double offences;
    bool any;
};

static struct account look_account(const struct tarpit *t, const struct tarpit_who *who,
                                   struct span user, uint64_t now)
{
    struct ledger_decay d = decay(t);
    struct ledger_entry e;

    if (user.len == 0)
        return (struct account){0};
    struct account a = {.key = ledger_key_account(t->ledger, user), .any = true};
    struct ledger_key network = network_key(who);
    struct addr from = ledger_key_addr(&network);
    struct ledger_key known = ledger_key_account_network(t->ledger, user, &from);
    if (ledger_get(t->ledger, &known, &d, now, &e) && e.flags & LEDGER_KNOWN)
        return a;
    ledger_get(t->ledger, &a.key, &d, now, &e);
    a.offences = e.offences;
    return a;
}

/* ---- holds ---- */

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* A reply that waits `ms` from now, its turn beginning in `turn_in` ms. */
static struct tarpit_hold hold_for(const struct tarpit *t, double debt, uint64_t ms,
                                   uint64_t turn_in)
{
    ms = least(ms, POLICY_HOLD_MAX);
    return (struct tarpit_hold){
        .ms = ms,
        .drip_at_ms = policy_drip_at(&t->rules, ms, turn_in),
        .freeze = policy_freezes(&t->rules, debt, ms),
    };
}

/* R5, R7: nothing is told, and nothing was booked. It does not drip: there is no turn to drip from.
 */
static struct tarpit_hold hold_masked(const struct tarpit *t, const struct standing *s)
{
    uint64_t ms = least(policy_reach(&t->rules), s->cap);
    return (struct tarpit_hold){
        .ms = ms, .masked = true, .freeze = policy_freezes(&t->rules, s->debt, ms)};
}

/* R3: what is left of the last offence's hold. With `pace = false` nothing waits but the connection
 * that holds the offence's own reply, and that one answers nothing else meanwhile. */
static uint64_t wait_of(const struct tarpit *t, const struct standing *s, uint64_t now)
{
    if (s->free || s->debt <= 0 || !t->rules.pace || t->rules.time == 0 || s->debt_ms <= now)
        return 0;
    return least(least(s->debt_ms - now, policy_reach(&t->rules)), s->cap);
}

struct tarpit_hold tarpit_wait(const struct tarpit *t, const struct tarpit_who *who, uint64_t now)
{
    struct standing s = look(t, who, now);
    uint64_t ms = wait_of(t, &s, now);
    return (struct tarpit_hold){.ms = ms, .freeze = policy_freezes(&t->rules, s.debt, ms)};
}

/* ---- turns ---- */

struct turn {
    uint64_t begin, end; /* wall ms; 0: not to be had before `latest` */
};

/* A turn of `length` with the client, with the account, or with both: then it begins when both can.
 */
static struct turn take_turn(struct tarpit *t, const struct ledger_key *client,
                             const struct ledger_key *account, uint64_t now, uint64_t length,
                             uint64_t latest)
{
    const struct ledger_key *queue[2] = {client, account};
    struct turn turn = {0};

    for (int i = 0; i < 2; i++) {
        if (queue[i] == NULL)
            continue;
        uint64_t begin = ledger_take_turn(t->ledger, queue[i], now, length, latest);
        if (begin == 0)
            return (struct turn){0};
        if (begin > turn.begin)
            turn = (struct turn){begin, begin + length};
    }
    return turn;
}

static double more(double a, double b)
{
    return a > b ? a : b;
}

static struct tarpit_leave ask(struct tarpit *t, const struct tarpit_who *who,
                               const struct standing *s, const struct account *a, uint64_t now)
{
    const struct tarpit_rules *r = &t->rules;
    struct tarpit_leave leave = {.offences = s->debt};
    bool client_paced = policy_paced(r, s->debt), account_paced = policy_paced(r, a->offences);

    if (s->free || r->time == 0)
        return leave;
    leave.shielded = policy_shielded(r, s->debt);
    if (!leave.shielded && !client_paced && !account_paced)
        return leave;
    if (!leave.shielded) {
        struct ledger_key client = client_key(who);
        uint64_t length = policy_time(r, more(s->debt, a->offences) + 1);
        uint64_t latest = now + least(policy_reach(r), s->cap);
        struct turn turn = take_turn(t, client_paced ? &client : NULL,
                                     account_paced ? &a->key : NULL, now, length, latest);
        leave.turn_begin = turn.begin;
        leave.turn_end = turn.end;
    }
    leave.masked = leave.turn_end == 0;
    if (leave.masked)
        leave.hold = hold_masked(t, s);
    return leave;
}

struct tarpit_leave tarpit_ask(struct tarpit *t, const struct tarpit_who *who, struct span user,
                               uint64_t now)
{
    struct standing s = look(t, who, now);
    struct account a = look_account(t, who, user, now);
    return ask(t, who, &s, &a, now);
}

/* ---- booking ---- */

/* Books (or, with a negative weight, takes back) on client, network and account. Returns what is
 * now owed: the client's debt or the account's offences, whichever is more. */
static double book(struct tarpit *t, const struct tarpit_who *who, const struct account *a,
                   double weight, uint64_t now)
{
    struct ledger_key client = client_key(who), network = network_key(who);
    struct ledger_decay d = decay(t);
    struct ledger_entry c, n;

    double offences = ledger_add_offences(t->ledger, &client, &d, now, weight);
    double of_network = ledger_add_offences(t->ledger, &network, &d, now, weight);
    ledger_get(t->ledger, &client, &d, now, &c);
    ledger_get(t->ledger, &network, &d, now, &n);
    double owed = policy_debt(&t->rules, offences, c.good, of_network, n.good);
    if (!a->any)
        return owed;
    double of_account = ledger_add_offences(t->ledger, &a->key, &d, now, weight);
    return a->offences > 0 ? more(owed, of_account) : owed;
}

static void owe_until(struct tarpit *t, const struct tarpit_who *who, uint64_t now, uint64_t ms)
{
    struct ledger_key client = client_key(who);
    ledger_set_debt(t->ledger, &client, now, now + ms);
}

/* Books a 5xx that has no turn yet and holds it T(n): at once when it takes no turn, else at the
 * end of the turn that it takes now. R8: a covered client's waits by itself and owes nothing. */
static struct tarpit_hold book_and_hold(struct tarpit *t, const struct tarpit_who *who,
                                        const struct standing *s, const struct account *a,
                                        enum offence offence, uint64_t now)
{
    const struct tarpit_rules *r = &t->rules;
    double weight = policy_weight(offence);
    double owed = book(t, who, a, weight, now);
    uint64_t length = policy_time(r, owed), ms = length, turn_in = 0;

    if (r->time == 0)
        return (struct tarpit_hold){0};
    if (owed > 0 && r->pace && policy_is_verdict(offence)) {
        struct ledger_key client = client_key(who);
        struct turn turn = take_turn(t, &client, a->offences > 0 ? &a->key : NULL, now, length,
                                     now + policy_reach(r));
        if (turn.end == 0) {
            book(t, who, a, -weight, now); /* what is not told is not booked either (R5) */
            return hold_masked(t, s);
        }
        ms = turn.end - now;
        turn_in = turn.begin - now;
    }
    struct tarpit_hold hold = hold_for(t, owed, least(ms, s->cap), turn_in);
    if (owed > 0)
        owe_until(t, who, now, hold.ms);
    return hold;
}

static struct tarpit_hold hold_turn(struct tarpit *t, const struct tarpit_who *who,
                                    const struct standing *s, const struct tarpit_leave *leave,
                                    uint64_t now)
{
    uint64_t turn_in = leave->turn_begin > now ? leave->turn_begin - now : 0;
    uint64_t ms = leave->turn_end > now ? leave->turn_end - now : 0;
    ms = least(ms, s->cap > turn_in ? s->cap : turn_in);
    return hold_for(t, leave->offences, ms, turn_in);
}

struct tarpit_hold tarpit_verdict(struct tarpit *t, const struct tarpit_who *who, struct span user,
                                  const struct tarpit_leave *leave, enum offence offence,
                                  uint64_t now)
{
    struct standing s = look(t, who, now);
    struct account a = look_account(t, who, user, now);
    struct tarpit_leave late;

    if (s.free)
        return (struct tarpit_hold){0};
    if (offence == OFFENCE_TRAP)
        tarpit_trapped(t, who, now);
    if (leave->turn_end == 0 && !leave->masked) {
        late = ask(t, who, &s, &a, now);
        leave = &late;
    }
    if (leave->masked)
        return leave->hold;
    if (leave->turn_end == 0)
        return offence == OFFENCE_NONE ? hold_for(t, s.debt, wait_of(t, &s, now), POLICY_NEVER)
                                       : book_and_hold(t, who, &s, &a, offence, now);

    struct tarpit_hold hold = hold_turn(t, who, &s, leave, now);
    if (offence != OFFENCE_NONE) {
        book(t, who, &a, policy_weight(offence), now);
        owe_until(t, who, now, hold.ms);
    }
    return hold;
}

struct tarpit_hold tarpit_offence(struct tarpit *t, const struct tarpit_who *who,
                                  enum offence offence, uint64_t now)
{
    struct standing s = look(t, who, now);
    struct account nobody = {0};
    if (s.free || offence == OFFENCE_NONE)
        return (struct tarpit_hold){0};
    return book_and_hold(t, who, &s, &nobody, offence, now);
}

/* ---- what else is noted ---- */

void tarpit_good(struct tarpit *t, const struct tarpit_who *who, uint32_t recipients, uint64_t now)
{
    struct ledger_key client = client_key(who), network = network_key(who);
    struct ledger_decay d = decay(t);
    if (is_free(who))
        return;
    ledger_add_good(t->ledger, &client, &d, now, recipients);
    ledger_add_good(t->ledger, &network, &d, now, recipients);
}

void tarpit_gave_up(struct tarpit *t, const struct tarpit_who *who, uint64_t waited, uint64_t now)
{
    enum {
        A_WAIT = 1000
    }; /* who leaves sooner did not wait, and no mail server is that impatient */
    struct ledger_key client = client_key(who);
    struct standing s = look(t, who, now);
    if (s.free || waited < A_WAIT || s.debt >= t->rules.patience_offences)
        return;
    ledger_set_patience(t->ledger, &client, now, (uint32_t)least(waited, UINT32_MAX));
}

void tarpit_logged_in(struct tarpit *t, const struct tarpit_who *who, const struct addr *peer,
                      struct span user, uint64_t now)
{
    struct ledger_key known = ledger_key_account_network(t->ledger, user, peer);
    ledger_set_flags(t->ledger, &known, now, LEDGER_KNOWN, 0);
}

/* To twice what the shield asks for, on top of what good mail covers, so that it lasts for a
 * half-life. */
void tarpit_trapped(struct tarpit *t, const struct tarpit_who *who, uint64_t now)
{
    struct ledger_key client = client_key(who);
    struct ledger_decay d = decay(t);
    struct ledger_entry c;
    const struct tarpit_rules *r = &t->rules;

    if (is_free(who))
        return;
    ledger_get(t->ledger, &client, &d, now, &c);
    double covered = r->good_ratio > 0 ? c.good / r->good_ratio : 0;
    ledger_raise_offences(t->ledger, &client, &d, now, 2 * r->shield + covered);
    ledger_set_flags(t->ledger, &client, now, LEDGER_TRAPPED, 0);
}

void tarpit_suspect(struct tarpit *t, const struct tarpit_who *who, double offences, uint64_t now)
{
    struct ledger_key client = client_key(who);
    struct ledger_decay d = decay(t);

    if (!is_free(who) && ledger_mark(t->ledger, &client, now, LEDGER_SUSPECT, t->rules.half_life))
        ledger_raise_offences(t->ledger, &client, &d, now, offences);
}

double tarpit_debt(const struct tarpit *t, const struct tarpit_who *who, uint64_t now)
{
    return look(t, who, now).debt;
}
