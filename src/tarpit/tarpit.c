/* The tarpit: what happens to a reply (tarpit.h), decided from the rules (policy.h) and what is
 * known of the client (ledger.h). Runs in the worker, and in the simulator; owns no state of its
 * own.
 *
 * standing.c looks up what is known of the client; booking.c books offences.
 *
 * The life of a verdict: tarpit_ask() looks up the client's debt. Below `pace_after` the query is
 * free; from there on it takes a turn before anything is looked up, whatever the answer will be.
 * tarpit_verdict() then books an offence and says how long the reply waits: until the end of its
 * turn, or, for a free 5xx, until the end of the turn that it takes now. A free query is judged
 * again when its verdict is known: of a thousand that were made at the same moment only the first
 * few are still free then.
 *
 * A verdict with a turn, good or bad, is told at the end of the turn, or by a drip during the turn;
 * never before the turn begins. */
#include "tarpit/policy.h"
#include "tarpit/retries.h"
#include "tarpit/tarpit_part.h"
#include "tarpit/tries.h"

/* ---- holds ---- */

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* A reply that waits `ms` from now; its turn begins in `turn_in` ms (negative: it has begun). */
static struct tarpit_hold hold_for(const struct tarpit *t, enum tarpit_rule rule, double debt,
                                   uint64_t ms, int64_t turn_in)
{
    ms = least(ms, POLICY_HOLD_MAX);
    return (struct tarpit_hold){
        .ms = ms,
        .drip_at_ms = policy_drip_at(&t->rules, ms, turn_in),
        .freeze = policy_freezes(&t->rules, debt, ms),
        .rule = (uint8_t)rule,
    };
}

/* R5, R7: a masked reply, for which nothing was booked. It does not drip, because it has no turn. A
 * retry's is held as long as possible, so that imitated retries take long (R26). */
static struct tarpit_hold hold_masked(const struct tarpit *t, const struct standing *s,
                                      bool shielded, bool retry)
{
    uint64_t ms = least(retry ? POLICY_HOLD_MAX : policy_masked_time(&t->rules), s->cap);
    return (struct tarpit_hold){.ms = ms,
                                .masked = true,
                                .freeze = policy_freezes(&t->rules, s->debt, ms),
                                .rule = shielded ? RULE_SHIELD : RULE_MASK};
}

/* R3: what is left of the last offence's hold. With `pace = false` only the connection with the
 * offence's own reply waits, and that one answers nothing else meanwhile. */
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
    enum tarpit_rule rule = ms > 0 ? RULE_DEBT : s->correspondent ? RULE_CORRESPONDENT : RULE_NONE;
    return (struct tarpit_hold){
        .ms = ms, .freeze = policy_freezes(&t->rules, s->debt, ms), .rule = (uint8_t)rule};
}

static struct tarpit_hold wait_for(const struct tarpit *t, const struct tarpit_who *who,
                                   const struct standing *s, uint64_t now)
{
    if (s->delivered && !who->sender_known)
        return (struct tarpit_hold){0};
    return hold_waiting(t, s, now);
}

struct tarpit_hold tarpit_wait(const struct tarpit *t, const struct tarpit_who *who, uint64_t now)
{
    struct own own = own_of(t, who, now);
    if (own.clear)
        return (struct tarpit_hold){0};
    struct standing s = standing_with(t, who, &own, now);

    return wait_for(t, who, &s, now);
}

/* Without `correspondents`, a sender's domain or an offence of the client no credit of a pair is
 * looked up (credit_of() in standing.c). <> has offences of its own, but no pair. */
bool tarpit_by_correspondent(const struct tarpit *t, const struct tarpit_who *who, uint64_t now)
{
    struct ledger_key client = tarpit_client_key(who);
    struct ledger_decay d = tarpit_decay(t);
    struct ledger_entry c;

    if (!t->rules.correspondents || !who->sender_known || who->pair == 0)
        return false;
    return ledger_get(t->ledger, &client, &d, now, &c) && c.offences > 0 &&
           tarpit_wait(t, who, now).rule == RULE_CORRESPONDENT;
}

/* R22: a delay as any other, so `time = 0` turns it off too. */
struct tarpit_hold tarpit_greet(const struct tarpit *t, const struct tarpit_who *who, uint64_t now)
{
    struct own own = own_of(t, who, now);
    if (own.met)
        return (struct tarpit_hold){0};
    struct standing s = standing_with(t, who, &own, now);
    struct tarpit_hold hold = wait_for(t, who, &s, now);
    uint64_t pause = s.free || s.met || t->rules.time == 0 ? 0 : least(t->rules.greet, s.cap);

    if (pause <= hold.ms)
        return hold;
    return (struct tarpit_hold){
        .ms = pause, .freeze = policy_freezes(&t->rules, s.debt, pause), .rule = RULE_GREET};
}

void tarpit_greeted(struct tarpit *t, const struct tarpit_who *who, uint64_t now)
{
    struct ledger_key client = tarpit_client_key(who);

    if (!tarpit_is_spared(t, who, now))
        ledger_pass(t->ledger, &client, now, now);
}

/* ---- turns ---- */

struct turn {
    uint64_t begin, end; /* wall ms; 0: there is no turn that begins by `latest` */
};

/* Takes a turn of `length` in each of these queues (NULL: not in this one). In the client's queue
 * it begins no earlier than in the others, so that a client's turns never overlap. Turns taken as
 * <> are in the client's queue too, but the bounces' entry records that they pace the client
 * (R13). */
struct queues {
    const struct ledger_key *account, *network, *bounces, *client;
};

static struct turn take_turn(struct tarpit *t, struct queues q, uint64_t now, uint64_t length,
                             uint64_t latest, bool paced)
{
    const struct ledger_key *queue[] = {q.account, q.network, q.bounces, q.client};
    uint64_t begin = now;

    for (size_t i = 0; i < sizeof queue / sizeof *queue; i++) {
        if (queue[i] == NULL)
            continue;
        bool note = paced && !(queue[i] == q.client && q.bounces);
        begin = ledger_take_turn_from(t->ledger, queue[i], now, begin, length, latest, note);
        if (begin == 0)
            return (struct turn){0};
    }
    return (struct turn){begin, begin + length};
}

/* T(n) of the next offence. The guilty clients of a bad network take the longest turns, because all
 * of them share one queue and the offences of each one alone say little (R10). */
static uint64_t next_time(const struct tarpit *t, const struct standing *s, const struct account *a)
{
    if (s->shares)
        return least(t->rules.max, POLICY_TIME_MAX);
    return policy_time(&t->rules, more(s->debt, a->offences) + 1);
}

/* R5, R26: how far away a turn of `length` may begin. A retry waits longer than a new query, and
 * longer than the client's patience; call-outs do not. */
static uint64_t reach_of(const struct tarpit *t, const struct tarpit_who *who,
                         const struct standing *s, uint64_t length, bool retry)
{
    uint64_t reach = retry ? policy_reach_retry(length) : policy_reach(&t->rules, length);

    return retry && !who->null_sender ? reach : least(reach, s->cap);
}

/* Takes the turn of a query that is not free. If the client's queue is too long, the other queues
 * are left alone. On the shield only retries get here, and the queues are blocked for longer than
 * the turn (R26). */
static struct turn early_turn(struct tarpit *t, const struct tarpit_who *who,
                              const struct standing *s, const struct account *a, bool retry,
                              uint64_t now)
{
    const struct tarpit_rules *r = &t->rules;
    struct ledger_key client = tarpit_client_key(who), bounces = tarpit_offender(t, who);
    uint64_t length = next_time(t, s, a);
    uint64_t latest = now + reach_of(t, who, s, length, retry);
    struct queues q = {
        .account = policy_paced(r, a->offences) ? &a->key : NULL,
        .network = s->shares ? &s->network : NULL,
        .bounces = s->as_null ? &bounces : NULL,
        .client = s->covered ? NULL : &client,
    };

    if (!s->covered && s->turn_ms > latest)
        return (struct turn){0};
    bool shielded = policy_shielded(r, s->debt);
    struct turn turn =
        take_turn(t, q, now, shielded ? policy_shield_turn(length) : length, latest, s->paced);
    if (turn.end != 0)
        turn.end = turn.begin + length;
    return turn;
}

/* R10: until when a newcomer waits. Its first query begins the wait; all queries before the end of
 * the wait share it. */
static uint64_t once_until(struct tarpit *t, const struct tarpit_who *who, const struct standing *s,
                           uint64_t now)
{
    struct ledger_key client = tarpit_client_key(who);
    uint64_t until = now + policy_time(&t->rules, 1);

    if (s->debt_ms > now)
        return least(s->debt_ms, until);
    ledger_set_debt(t->ledger, &client, now, until);
    return until;
}

/* R26: the message that a query is about; 0: not known. The pair is the network and the sender's
 * domain; <> has none. */
static uint64_t message_of(const struct tarpit *t, const struct tarpit_who *who, uint64_t mailbox)
{
    if (t->retries == NULL || t->rules.retry_after == 0 || mailbox == 0)
        return 0;
    return retries_message(t->retries, who->pair ? who->pair : who->network, mailbox);
}

static struct tarpit_permit ask(struct tarpit *t, const struct tarpit_who *who,
                                const struct standing *s, const struct account *a, uint64_t mailbox,
                                uint64_t now)
{
    const struct tarpit_rules *r = &t->rules;
    struct tarpit_permit permit = {
        .offences = s->debt, .cap = s->cap, .correspondent = s->correspondent, .mailbox = mailbox};

    if (!s->free && a->any && !a->known)
        permit.stranger_to = a->key.hash;

    if (s->free || r->time == 0)
        return permit;
    permit.shielded = policy_shielded(r, s->debt);
    if (!permit.shielded && !s->paced && !policy_paced(r, a->offences)) {
        permit.once = s->newcomer && !a->any;
        if (permit.once)
            permit.turn_begin = permit.turn_end = once_until(t, who, s, now);
        return permit;
    }
    uint64_t message = message_of(t, who, mailbox);
    bool retry = message && retries_is_due(t->retries, message, r->retry_after, now);
    struct turn turn = {0};
    if (!permit.shielded || (retry && r->pace))
        turn = early_turn(t, who, s, a, retry, now);
    permit.turn_begin = turn.begin;
    permit.turn_end = turn.end;
    permit.covered = turn.end != 0 && s->covered;
    permit.masked = turn.end == 0;
    if (permit.masked) {
        permit.hold = hold_masked(t, s, permit.shielded, retry);
        if (message)
            retries_deferred(t->retries, message, r->retry_after, now);
    }
    return permit;
}

struct tarpit_permit tarpit_ask(struct tarpit *t, const struct tarpit_who *who, struct span user,
                                uint64_t now)
{
    struct standing s = standing_of(t, who, now);
    struct account a = account_of(t, who, user, now);
    return ask(t, who, &s, &a, 0, now);
}

/* ---- passwords out of turn ---- */

enum { TRIES_PERIOD_MS = 3600 * 1000 };

static struct ledger_rate rate_of_account(const struct tarpit_rules *r)
{
    return (struct ledger_rate){r->login_tries, TRIES_PERIOD_MS};
}

uint32_t tarpit_tries_left(const struct tarpit_rules *r, const struct tries *tries, uint64_t known,
                           uint64_t now)
{
    return tries ? tries_left(tries, known, rate_of_account(r), now) : 0;
}

/* All accounts that know a network have so much together: of a network with thousands of users,
 * whose names a guesser may know, each would have a few guesses. */
static struct ledger_rate rate_of_network(const struct tarpit_rules *r)
{
    return (struct ledger_rate){r->login_tries * TARPIT_TRIES_OF_NETWORK, TRIES_PERIOD_MS};
}

static bool take_try(struct tarpit *t, const struct tarpit_who *who, uint64_t here, uint64_t now)
{
    if (!tries_take(t->tries, here, rate_of_account(&t->rules), now))
        return false;
    if (tries_take(t->tries, who->network, rate_of_network(&t->rules), now))
        return true;
    tries_give(t->tries, here, rate_of_account(&t->rules), now);
    return false;
}

/* R14: the password of an account that knows this network may be checked out of turn if it would
 * wait. The try is taken now, whatever the password is, and a right one gives it back. A masked
 * reply must hide that a password was looked up: only a long one can, whose length does not depend
 * on when the client has hung up before. */
static void spare_login(struct tarpit *t, const struct tarpit_who *who, const struct standing *s,
                        const struct account *a, struct tarpit_permit *permit, uint64_t now)
{
    bool waits = permit->masked || permit->turn_end || wait_of(t, s, now) > 0;
    bool hides =
        !permit->masked || (s->cap == POLICY_NEVER && permit->hold.ms >= TARPIT_LOOKED_UP_MS);

    if (!t->tries || t->rules.login_tries == 0 || !a->known || !waits || !hides)
        return;
    if (take_try(t, who, a->here, now))
        permit->tried = a->here;
    else
        permit->no_try = true;
}

struct tarpit_permit tarpit_ask_password(struct tarpit *t, const struct tarpit_who *who,
                                         struct span user, uint64_t now)
{
    struct standing s = standing_of(t, who, now);
    struct account a = account_of(t, who, user, now);
    struct tarpit_permit permit = ask(t, who, &s, &a, 0, now);

    spare_login(t, who, &s, &a, &permit, now);
    return permit;
}

static void give_try(struct tarpit *t, const struct tarpit_who *who, uint64_t here, uint64_t now)
{
    tries_give(t->tries, here, rate_of_account(&t->rules), now);
    tries_give(t->tries, who->network, rate_of_network(&t->rules), now);
}

void tarpit_no_verdict(struct tarpit *t, const struct tarpit_who *who,
                       const struct tarpit_permit *permit, uint64_t now)
{
    if (permit->tried && t->tries)
        give_try(t, who, permit->tried, now);
}

struct tarpit_permit tarpit_ask_recipient(struct tarpit *t, const struct tarpit_who *who,
                                          uint64_t mailbox, uint64_t now)
{
    struct own own = own_of(t, who, now);
    struct account nobody = {0};

    if (own.proven)
        return (struct tarpit_permit){.cap = policy_cap(&t->rules, 0, own.entry.patience_ms, false),
                                      .mailbox = mailbox};
    struct standing s = standing_with(t, who, &own, now);
    return ask(t, who, &s, &nobody, mailbox, now);
}

/* ---- verdicts ---- */

static void owe_until(struct tarpit *t, const struct tarpit_who *who, uint64_t now, uint64_t ms)
{
    struct ledger_key on = tarpit_offender(t, who);
    ledger_set_debt(t->ledger, &on, now, now + ms);
}

/* Takes the turn of a free verdict that turned out bad. If the reply is told before the end of the
 * turn anyway (R12, R13), the turn may be further away. */
static struct turn late_turn(struct tarpit *t, const struct tarpit_who *who,
                             const struct standing *s, const struct account *a, uint64_t length,
                             uint64_t now)
{
    const struct tarpit_rules *r = &t->rules;
    struct ledger_key client = tarpit_client_key(who);
    uint64_t reach =
        s->cap == POLICY_NEVER ? policy_reach(r, length) : least(r->max, POLICY_TIME_MAX);
    struct queues q = {.account = a->any && !a->known ? &a->key : NULL,
                       .client = s->covered ? NULL : &client};
    return take_turn(t, q, now, length, now + reach, false);
}

/* Books a 5xx that has no turn yet, and holds it: for T(n) if it takes no turn, else until the end
 * of the turn that it takes now. If its turn is too far away it is masked (R5), but booked: a good
 * verdict would have been told by now, so silence has revealed this one. R8, R21: the reply to a
 * covered client is held alone, and makes no other reply wait. */
static struct tarpit_hold book_and_hold(struct tarpit *t, const struct tarpit_who *who,
                                        const struct standing *s, const struct account *a,
                                        enum offence offence, uint64_t now)
{
    const struct tarpit_rules *r = &t->rules;
    double owed = s->covered ? 0 : policy_debt(r, s->own + policy_weight(offence), 0);
    double of_account = a->any && !a->known ? a->offences + policy_weight(offence) : 0;
    uint64_t length = policy_time(r, more(owed, of_account)), ms = length;
    int64_t turn_in = 0;

    if (r->time > 0 && more(owed, of_account) > 0 && r->pace && policy_is_verdict(offence)) {
        struct turn turn = late_turn(t, who, s, a, length, now);
        if (turn.end == 0) {
            book_offence(t, who, s, a, offence, now);
            return hold_masked(t, s, false, false);
        }
        ms = turn.end - now;
        turn_in = (int64_t)(turn.begin - now);
    } else if (s->secret) {
        ms = policy_masked_time(r); /* not T(n), which would reveal n */
    }
    book_offence(t, who, s, a, offence, now);
    if (r->time == 0)
        return (struct tarpit_hold){0};
    enum tarpit_rule rule = s->correspondent ? RULE_CORRESPONDENT
                            : s->covered     ? RULE_COVERED
                                             : RULE_OFFENCE;
    struct tarpit_hold hold = hold_for(t, rule, owed, least(ms, s->cap), turn_in);
    if (!s->covered)
        owe_until(t, who, now, hold.ms);
    return hold;
}

/* The hold for a turn that was taken before: the reply is told at the turn's end, sooner to an
 * impatient client (R12), but never before the turn begins. */
static struct tarpit_hold hold_turn(const struct tarpit *t, const struct tarpit_permit *permit,
                                    uint64_t now)
{
    uint64_t until_begin = permit->turn_begin > now ? permit->turn_begin - now : 0;
    uint64_t until_end = permit->turn_end > now ? permit->turn_end - now : 0;
    uint64_t cap = permit->cap > until_begin ? permit->cap : until_begin;
    return hold_for(t, permit->once ? RULE_NETWORK : RULE_TURN, permit->offences,
                    least(until_end, cap), (int64_t)permit->turn_begin - (int64_t)now);
}

/* A verdict in a turn, good or bad, makes other conversations wait until the turn's end (R3). If
 * only an offence did, the greeting of a second connection would reveal the verdict earlier
 * (R6). */
struct tarpit_hold tarpit_verdict(struct tarpit *t, const struct tarpit_who *who, struct span user,
                                  const struct tarpit_permit *permit, enum offence offence,
                                  uint64_t now)
{
    struct own own = own_of(t, who, now);
    bool has_turn = permit->masked || permit->turn_end;
    if (own.proven && offence == OFFENCE_NONE && user.len == 0 && !has_turn)
        return (struct tarpit_hold){0}; /* it would get no turn */
    struct standing s = standing_with(t, who, &own, now);
    struct account a = account_of(t, who, user, now);
    struct tarpit_permit p = *permit;

    if (s.free)
        return (struct tarpit_hold){0};
    if (offence == OFFENCE_TRAP)
        tarpit_trapped(t, who, now);
    if ((p.turn_end == 0 && !p.masked) || (p.once && s.guilty) || (p.covered && !s.covered)) {
        p = ask(t, who, &s, &a, p.mailbox, now);
        p.tried = permit->tried;
        if (!p.tried)
            spare_login(t, who, &s, &a, &p, now);
    }
    if (p.tried && t->tries && offence == OFFENCE_NONE) { /* a right password takes nothing */
        give_try(t, who, p.tried, now);
        return (struct tarpit_hold){.rule = RULE_KNOWN};
    }
    if (p.masked)
        return p.hold;
    if (p.turn_end == 0 && offence == OFFENCE_NONE)
        return hold_waiting(t, &s, now);
    if (p.turn_end == 0)
        return book_and_hold(t, who, &s, &a, offence, now);

    struct tarpit_hold hold = hold_turn(t, &p, now);
    if (offence != OFFENCE_NONE)
        book_offence(t, who, &s, &a, offence, now);
    owe_until(t, who, now, hold.ms);
    return hold;
}

struct tarpit_hold tarpit_offence(struct tarpit *t, const struct tarpit_who *who,
                                  enum offence offence, uint64_t now)
{
    struct standing s = standing_of(t, who, now);
    struct account nobody = {0};
    if (s.free || offence == OFFENCE_NONE)
        return (struct tarpit_hold){0};
    return book_and_hold(t, who, &s, &nobody, offence, now);
}

/* ---- other bookings ---- */

uint64_t tarpit_mailbox(const struct tarpit *t, struct span folded)
{
    return ledger_mailbox(t->ledger, folded);
}

void tarpit_good(struct tarpit *t, const struct tarpit_who *who, const uint64_t *mailbox,
                 uint32_t count, uint64_t now)
{
    struct ledger_key client = tarpit_client_key(who), pair = tarpit_pair_key(who),
                      network = tarpit_network_key(who);
    struct ledger_decay d = tarpit_decay(t);
    double earned = 0, of_pair = 0;

    if (tarpit_is_free(who) || count == 0)
        return;
    struct addr a = tarpit_address(who);
    struct ledger_key today = ledger_key_mailboxes(t->ledger, &a);
    for (uint32_t i = 0; i < count; i++) {
        double once = ledger_earn(t->ledger, &today, now, mailbox[i]);
        earned += once;
        if (who->pair && once > 0)
            of_pair += ledger_earn(t->ledger, &pair, now, mailbox[i]);
    }
    ledger_delivered(t->ledger, &client, now);
    ledger_delivered(t->ledger, &network, now);
    if (earned > 0) {
        ledger_add_good(t->ledger, &client, &d, now, earned);
        ledger_add_good(t->ledger, &network, &d, now, earned);
    }
    if (of_pair > 0)
        ledger_add_good(t->ledger, &pair, &d, now, of_pair);
}

void tarpit_gave_up(struct tarpit *t, const struct tarpit_who *who, uint64_t waited, uint64_t now)
{
    enum {
        A_WAIT = 1000
    }; /* a client that leaves sooner did not wait at all; no mail server is that impatient */
    struct ledger_key client = tarpit_client_key(who);
    struct ledger_decay d = tarpit_decay(t);
    struct ledger_entry c;

    if (tarpit_is_free(who) || waited < A_WAIT)
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

void tarpit_trapped(struct tarpit *t, const struct tarpit_who *who, uint64_t now)
{
    struct standing s = standing_of(t, who, now);

    if (!s.free && t->rules.shield > 0)
        book_trap(t, who, &s, now);
}

/* Marks the client as a suspect, once a half-life, so that people can see it. Raises its offences
 * at the same time, or at each call with `always`. */
static void suspect(struct tarpit *t, const struct tarpit_who *who, double offences, uint64_t now,
                    bool always)
{
    struct ledger_key client = tarpit_client_key(who);
    struct ledger_decay d = tarpit_decay(t);

    if (standing_of(t, who, now).free)
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
