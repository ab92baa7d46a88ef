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
 * A turn's verdict is told at the turn's end, good and bad alike, or by a drip within it; never
 * before it begins. */
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
    ledger_expect(t->ledger, &client);
    struct ledger_key network = ledger_key_network(t->ledger, peer);
    ledger_expect(t->ledger, &network);
    return (struct tarpit_who){
        .client = client.hash,
        .network = network.hash,
        .client_label = client.label,
        .network_label = network.label,
        .exempt = exempt,
    };
}

void tarpit_expect(const struct tarpit *t, const struct addr *peer)
{
    (void)tarpit_who(t, peer, false);
}

/* What the rules need to know of a client. */
struct standing {
    double debt;
    uint64_t debt_ms; /* wall ms: when its last offence's hold ends */
    uint64_t turn_ms; /* wall ms: when its last turn ends */
    uint64_t cap;     /* R12, R13 */
    bool covered;     /* R8: one more offence would still leave it out of debt */
    bool paced;       /* R4 */
    bool secret; /* R6: turns are still to come, so nothing may depend on how their verdicts are */
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
    bool secret = t->rules.pace && debt > 0 && c.paced && c.turn_ms > now;
    return (struct standing){
        .debt = debt,
        .debt_ms = c.debt_ms,
        .turn_ms = c.turn_ms,
        .paced = secret || policy_paced(&t->rules, debt),
        .secret = secret,
        .covered = policy_debt(&t->rules, c.offences + 1, c.good, n.offences + 1, n.good) == 0,
        .cap = secret ? POLICY_NEVER : policy_cap(&t->rules, debt, c.patience_ms, who->null_sender),
    };
}

/* R14: an account that is being guessed at. `offences` is 0 where it has logged in before. */
struct account {
    struct ledger_key key;
    double offences;
    bool any, known;
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
    ledger_expect(t->ledger, &known);
    ledger_expect(t->ledger, &a.key);
    if (ledger_get(t->ledger, &known, &d, now, &e) && e.flags & LEDGER_KNOWN) {
        a.known = true;
        return a;
    }
    ledger_get(t->ledger, &a.key, &d, now, &e);
    a.offences = e.offences;
    return a;
}

/* ---- holds ---- */

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* A reply that waits `ms` from now, its turn beginning in `turn_in` ms (negative: it has begun). */
static struct tarpit_hold hold_for(const struct tarpit *t, double debt, uint64_t ms,
                                   int64_t turn_in)
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
    uint64_t ms = least(policy_masked_time(&t->rules), s->cap);
    return (struct tarpit_hold){
        .ms = ms, .masked = true, .freeze = policy_freezes(&t->rules, s->debt, ms)};
}

/* R3: what is left of the last offence's hold. With `pace = false` nothing waits but the connection
 * that holds the offence's own reply, and that one answers nothing else meanwhile. */
static uint64_t wait_of(const struct tarpit *t, const struct standing *s, uint64_t now)
{
    if (s->free || s->debt <= 0 || !t->rules.pace || t->rules.time == 0 || s->debt_ms <= now)
        return 0;
    return least(least(s->debt_ms - now, policy_masked_time(&t->rules)), s->cap);
}

static struct tarpit_hold hold_waiting(const struct tarpit *t, const struct standing *s,
                                       uint64_t now)
{
    uint64_t ms = wait_of(t, s, now);
    return (struct tarpit_hold){.ms = ms, .freeze = policy_freezes(&t->rules, s->debt, ms)};
}

struct tarpit_hold tarpit_wait(const struct tarpit *t, const struct tarpit_who *who, uint64_t now)
{
    struct standing s = look(t, who, now);
    return hold_waiting(t, &s, now);
}

/* ---- turns ---- */

struct turn {
    uint64_t begin, end; /* wall ms; 0: not to be had before `latest` */
};

/* A turn of `length` with the client, with the account, or with both: the client's then begins no
 * earlier than the account's, so that a client's turns never overlap. */
static struct turn take_turn(struct tarpit *t, const struct ledger_key *client,
                             const struct ledger_key *account, uint64_t now, uint64_t length,
                             uint64_t latest, bool paced)
{
    const struct ledger_key *queue[2] = {account, client};
    uint64_t begin = now;

    for (int i = 0; i < 2; i++) {
        if (queue[i] == NULL)
            continue;
        begin = ledger_take_turn_from(t->ledger, queue[i], now, begin, length, latest, paced);
        if (begin == 0)
            return (struct turn){0};
    }
    return (struct turn){begin, begin + length};
}

static double more(double a, double b)
{
    return a > b ? a : b;
}

/* The turn of a question that is not free. One that would find the client's queue too long does not
 * trouble the account's. */
static struct turn early_turn(struct tarpit *t, const struct tarpit_who *who,
                              const struct standing *s, const struct account *a, uint64_t now)
{
    const struct tarpit_rules *r = &t->rules;
    struct ledger_key client = client_key(who);
    uint64_t length = policy_time(r, more(s->debt, a->offences) + 1);
    uint64_t latest = now + least(policy_reach(r, length), s->cap);

    if (!s->covered && s->turn_ms > latest)
        return (struct turn){0};
    return take_turn(t, s->covered ? NULL : &client, policy_paced(r, a->offences) ? &a->key : NULL,
                     now, length, latest, s->paced);
}

static struct tarpit_leave ask(struct tarpit *t, const struct tarpit_who *who,
                               const struct standing *s, const struct account *a, uint64_t now)
{
    const struct tarpit_rules *r = &t->rules;
    struct tarpit_leave leave = {.offences = s->debt, .cap = s->cap};

    if (!s->free && a->any && !a->known)
        leave.stranger_to = a->key.hash;

    if (s->free || r->time == 0)
        return leave;
    leave.shielded = policy_shielded(r, s->debt);
    if (!leave.shielded && !s->paced && !policy_paced(r, a->offences))
        return leave;
    struct turn turn = {0};
    if (!leave.shielded)
        turn = early_turn(t, who, s, a, now);
    leave.turn_begin = turn.begin;
    leave.turn_end = turn.end;
    leave.masked = turn.end == 0;
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

/* What a client and, in its own right, an account owe. */
struct owed {
    double client, account;
};

/* Books on client, network and account; takes back with a negative weight. */
static struct owed book(struct tarpit *t, const struct tarpit_who *who, const struct account *a,
                        double weight, uint64_t now)
{
    struct ledger_key client = client_key(who), network = network_key(who);
    struct ledger_decay d = decay(t);
    struct ledger_entry c, n;
    struct owed owed = {0};

    double offences = ledger_add_offences(t->ledger, &client, &d, now, weight);
    double of_network = ledger_add_offences(t->ledger, &network, &d, now, weight);
    ledger_get(t->ledger, &client, &d, now, &c);
    ledger_get(t->ledger, &network, &d, now, &n);
    owed.client = policy_debt(&t->rules, offences, c.good, of_network, n.good);
    if (a->any)
        owed.account = ledger_add_offences(t->ledger, &a->key, &d, now, weight);
    if (a->known)
        owed.account = 0;
    return owed;
}

static void owe_until(struct tarpit *t, const struct tarpit_who *who, uint64_t now, uint64_t ms)
{
    struct ledger_key client = client_key(who);
    ledger_set_debt(t->ledger, &client, now, now + ms);
}

/* The turn of a free verdict that came out bad. Who is answered before its end anyway (R12, R13)
 * may have one that lies further away. */
static struct turn late_turn(struct tarpit *t, const struct tarpit_who *who,
                             const struct standing *s, const struct account *a, struct owed owed,
                             uint64_t length, uint64_t now)
{
    const struct tarpit_rules *r = &t->rules;
    struct ledger_key client = client_key(who);
    uint64_t reach =
        s->cap == POLICY_NEVER ? policy_reach(r, length) : least(r->max, POLICY_TIME_MAX);
    return take_turn(t, owed.client > 0 ? &client : NULL, owed.account > 0 ? &a->key : NULL, now,
                     length, now + reach, false);
}

/* Books a 5xx that has no turn yet and holds it T(n): at once when it takes no turn, else at the
 * end of the turn that it takes now. R8: a covered client's waits by itself and owes nothing. */
static struct tarpit_hold book_and_hold(struct tarpit *t, const struct tarpit_who *who,
                                        const struct standing *s, const struct account *a,
                                        enum offence offence, uint64_t now)
{
    const struct tarpit_rules *r = &t->rules;
    double weight = policy_weight(offence);
    struct owed owed = book(t, who, a, weight, now);
    double n = more(owed.client, owed.account);
    uint64_t length = policy_time(r, n), ms = length;
    int64_t turn_in = 0;

    if (r->time == 0)
        return (struct tarpit_hold){0};
    if (s->secret)
        ms = policy_masked_time(r); /* not T(n), for n would tell */
    if (n > 0 && r->pace && policy_is_verdict(offence)) {
        struct turn turn = late_turn(t, who, s, a, owed, length, now);
        if (turn.end == 0) {
            book(t, who, a, -weight, now); /* what is not told is not booked either (R5) */
            return hold_masked(t, s);
        }
        ms = turn.end - now;
        turn_in = (int64_t)(turn.begin - now);
    }
    struct tarpit_hold hold = hold_for(t, owed.client, least(ms, s->cap), turn_in);
    if (owed.client > 0)
        owe_until(t, who, now, hold.ms);
    return hold;
}

/* A turn that was taken before: told at its end, or sooner for the impatient, but not before it
 * begins. */
static struct tarpit_hold hold_turn(const struct tarpit *t, const struct tarpit_leave *leave,
                                    uint64_t now)
{
    uint64_t until_begin = leave->turn_begin > now ? leave->turn_begin - now : 0;
    uint64_t until_end = leave->turn_end > now ? leave->turn_end - now : 0;
    uint64_t cap = leave->cap > until_begin ? leave->cap : until_begin;
    return hold_for(t, leave->offences, least(until_end, cap),
                    (int64_t)leave->turn_begin - (int64_t)now);
}

/* What is told in a turn makes other conversations wait until its end (R3), be it good or bad: if
 * only an offence did, a second connection's greeting would tell them apart before (R6). */
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
    if (leave->turn_end == 0 && offence == OFFENCE_NONE)
        return hold_waiting(t, &s, now);
    if (leave->turn_end == 0)
        return book_and_hold(t, who, &s, &a, offence, now);

    struct tarpit_hold hold = hold_turn(t, leave, now);
    if (offence != OFFENCE_NONE)
        book(t, who, &a, policy_weight(offence), now);
    owe_until(t, who, now, hold.ms);
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
    struct ledger_decay d = decay(t);
    struct ledger_entry c;

    if (is_free(who) || waited < A_WAIT)
        return;
    ledger_get(t->ledger, &client, &d, now, &c);
    if (c.patience_ms == 0 || waited < c.patience_ms)
        ledger_set_patience(t->ledger, &client, now, (uint32_t)least(waited, UINT32_MAX));
}

void tarpit_logged_in(struct tarpit *t, const struct tarpit_who *who, const struct addr *peer,
                      struct span user, uint64_t now)
{
    struct ledger_key known = ledger_key_account_network(t->ledger, user, peer);
    ledger_set_flags(t->ledger, &known, now, LEDGER_KNOWN, 0);
}

/* To twice what the shield asks for beside what good mail covers, so that it lasts for a half-life.
 * With `shield = 0` there is none to go to, and the offence itself is all. */
void tarpit_trapped(struct tarpit *t, const struct tarpit_who *who, uint64_t now)
{
    struct ledger_key client = client_key(who);
    struct ledger_decay d = decay(t);
    struct ledger_entry c;
    const struct tarpit_rules *r = &t->rules;

    if (look(t, who, now).free || r->shield <= 0)
        return;
    ledger_get(t->ledger, &client, &d, now, &c);
    double covered = r->good_ratio > 0 ? c.good / r->good_ratio : 0;
    ledger_raise_offences(t->ledger, &client, &d, now, 2 * (r->shield + covered));
    ledger_set_flags(t->ledger, &client, now, LEDGER_TRAPPED, 0);
}

/* Marks it, to be seen, once a half-life. Its offences are raised then, or `always`. */
static void suspect(struct tarpit *t, const struct tarpit_who *who, double offences, uint64_t now,
                    bool always)
{
    struct ledger_key client = client_key(who);
    struct ledger_decay d = decay(t);

    if (look(t, who, now).free)
        return;
    bool news = ledger_mark(t->ledger, &client, now, LEDGER_SUSPECT, t->rules.half_life);
    if (news || always)
        ledger_raise_offences(t->ledger, &client, &d, now, offences);
}

void tarpit_suspect(struct tarpit *t, const struct tarpit_who *who, double offences, uint64_t now)
{
    suspect(t, who, offences, now, false);
}

void tarpit_listed(struct tarpit *t, const struct tarpit_who *who, double offences, uint64_t now)
{
    suspect(t, who, offences, now, true);
}

double tarpit_debt(const struct tarpit *t, const struct tarpit_who *who, uint64_t now)
{
    return look(t, who, now).debt;
}
