/* The keeper's checks of proposals; see ledger_disposal.h. */
#include "tarpit/ledger_disposal.h"

#include <math.h>

#include "tarpit/allowance.h"
#include "tarpit/ledger_allowance.h"
#include "tarpit/ledger_amount.h"
#include "tarpit/ledger_disposal_part.h"
#include "tarpit/ledger_others.h"
#include "tarpit/ledger_reserve.h"
#include "tarpit/policy.h"

struct deed {
    struct disposal *d;
    struct ledger *l;
    const struct disposal_rules *r;
    const struct proposal *p;
    struct ledger_key key;
    struct ledger_decay decay;
    uint64_t now;   /* when the worker did it, as far as that can be true */
    uint64_t clock; /* the keeper's time, which rates go by: the worker cannot choose it */
};

static bool may(struct disposal *d, enum disposal_rate rate, uint64_t now)
{
    return disposal_may_have(d, rate, 1, now);
}

static enum disposal_result done_if(bool did)
{
    return did ? DISPOSAL_DONE : DISPOSAL_TOO_MANY;
}

/* ---- keys ---- */

static enum ledger_kind kind_of(const struct deed *e)
{
    return ledger_kind(e->key.hash);
}

/* Whether it is a key that the ledger could have made. A label is what people see and what the
 * fleet tells others, so it must belong to the hash. */
static bool is_key(const struct ledger *l, const struct ledger_key *k)
{
    uint8_t kind = k->hash & (LEDGER_KIND_BITS | LEDGER_KIND_IP6);
    struct ledger_name name = {k->label, kind};

    if (!ledger_in_use(k->hash) || ledger_kind(k->hash) != k->kind || k->kind == 0)
        return false;
    return !ledger_name_is_label(kind) || ledger_key_named(l, &name).hash == k->hash;
}

static bool is_client(const struct deed *e)
{
    return kind_of(e) == LEDGER_CLIENT || kind_of(e) == LEDGER_BOUNCES;
}

static bool has_amounts(const struct deed *e)
{
    return ledger_is_common(e->key.hash) && kind_of(e) != LEDGER_ACCOUNT_NETWORK;
}

/* Of a client or a pair: the label of its network. */
static uint64_t network_of(const struct deed *e)
{
    struct addr a = ledger_key_addr(&e->key);

    return kind_of(e) == LEDGER_PAIR ? e->key.label : ledger_key_network(e->l, &a).label;
}

/* Whether the client has delivered good mail. */
static bool is_proven(const struct deed *e)
{
    struct ledger_name name = {e->key.label,
                               (uint8_t)(LEDGER_CLIENT | (e->key.hash & LEDGER_KIND_IP6))};
    struct ledger_key client = ledger_key_named(e->l, &name);
    struct ledger_entry known;

    ledger_get(e->l, &client, &e->decay, e->now, &known);
    return known.delivered_ms || known.good >= 1;
}

/* How many offences the client may have after a booking that would raise them from `before` to
 * `after`. */
static double may_reach(const struct deed *e, double before, double after)
{
    if (before < DISPOSAL_SHALLOW) {
        double added = fmin(after, DISPOSAL_SHALLOW) - before;
        bool ok = is_proven(e) ? disposal_may_have(e->d, DISPOSAL_PROVEN, fmax(added, 1), e->clock)
                               : may(e->d, before < 0.5 ? DISPOSAL_NEW : DISPOSAL_CLIENT, e->clock);
        if (!ok)
            return before;
    }
    double reached = fmax(before, DISPOSAL_SHALLOW);
    if (after > reached && !disposal_may_have(e->d, DISPOSAL_DEEP, after - reached, e->clock))
        return reached;
    return after;
}

/* ---- amounts ----
 *
 * Two true workers may earn, spend or give back the same at one moment, before they see what the
 * other has proposed. The keeper then does what there is, which is less or nothing. */

/* Lowers offences by what good mail of the same network has paid for. */
static enum disposal_result pay(const struct deed *e)
{
    double ratio = e->r->tarpit.good_ratio, by = -e->p->x;

    if (!is_client(e) || ratio <= 0)
        return DISPOSAL_WRONG;
    if (e->d->spent <= 0 || e->d->spent_network != network_of(e))
        return DISPOSAL_DONE;
    by = fmin(by, e->d->spent / ratio);
    e->d->spent -= by * ratio;
    ledger_add_offences(e->l, &e->key, &e->decay, e->now, -by);
    return DISPOSAL_DONE;
}

/* What one booking adds at most: a trap, or a client's part in its network. */
static double most_at_once(const struct disposal_rules *r)
{
    return fmax(8, 2 * policy_part(&r->tarpit, INFINITY));
}

/* R8: the client and its correspondent may now pay for its offences, those before included. Only
 * what was added now has been counted in a rate. */
static void let_pay(const struct deed *e, double added, double offences)
{
    e->d->due = e->r->tarpit.good_ratio * fmax(offences, e->p->x);
    e->d->due_added = e->r->tarpit.good_ratio * fmax(added, 0);
    e->d->due_network = network_of(e);
}

static enum disposal_result offences_of_client(const struct deed *e, double most)
{
    struct ledger_entry own;

    ledger_get(e->l, &e->key, &e->decay, e->now, &own);
    double after = fmax(own.offences, fmin(own.offences + e->p->x, most));
    double reach = may_reach(e, own.offences, after);
    if (reach > own.offences || after <= own.offences)
        let_pay(
            e, reach - own.offences,
            ledger_add_offences_to(e->l, &e->key, &e->decay, e->now, e->p->x, fmin(most, reach)));
    return done_if(reach >= after);
}

static enum disposal_result offences(const struct deed *e)
{
    bool client = is_client(e);

    if (!isfinite(e->p->x) || !isfinite(e->p->y) || !has_amounts(e))
        return DISPOSAL_WRONG;
    if (e->p->x < 0)
        return pay(e);
    double most = fmin(e->p->y, LEDGER_AMOUNT_MAX);
    if (kind_of(e) != LEDGER_NETWORK)
        most = fmin(most, policy_most(&e->r->tarpit, OFFENCE_RECIPIENT));
    if (e->p->x > most_at_once(e->r))
        return DISPOSAL_WRONG;
    if (client)
        return offences_of_client(e, most);
    if (!may(e->d, kind_of(e) == LEDGER_ACCOUNT ? DISPOSAL_ACCOUNT : DISPOSAL_CLIENT, e->clock))
        return DISPOSAL_TOO_MANY;
    ledger_add_offences_to(e->l, &e->key, &e->decay, e->now, e->p->x, most);
    return DISPOSAL_DONE;
}

static enum disposal_result raise_offences(const struct deed *e)
{
    struct ledger_entry own;
    double ratio = e->r->tarpit.good_ratio;

    if (!isfinite(e->p->x) || !is_client(e))
        return DISPOSAL_WRONG;
    ledger_get(e->l, &e->key, &e->decay, e->now, &own);
    double covered = ratio > 0 ? own.good / ratio : 0;
    double after = fmax(own.offences, fmin(e->p->x, e->r->raise_most + covered));
    double reach = may_reach(e, own.offences, after);
    if (reach > own.offences)
        ledger_raise_offences(e->l, &e->key, &e->decay, e->now, reach);
    return done_if(reach >= after);
}

enum { EARNED_MOST = 1 << 16 };

static enum disposal_result earn(const struct deed *e)
{
    bool pair = kind_of(e) == LEDGER_PAIR;

    if (!pair && kind_of(e) != LEDGER_MAILBOXES)
        return DISPOSAL_WRONG;
    if (!may(e->d, DISPOSAL_GOOD, e->clock))
        return DISPOSAL_TOO_MANY;
    double earned = ledger_earn(e->l, &e->key, e->now, e->p->a);
    if (pair) {
        e->d->of_pair = fmin(e->d->of_pair + earned, EARNED_MOST);
    } else {
        e->d->earned = fmin(e->d->earned + earned, EARNED_MOST);
        e->d->earned_network = fmin(e->d->earned_network + earned, EARNED_MOST);
    }
    return DISPOSAL_DONE;
}

/* Books good mail up to what the mailboxes have earned in the ledger's own sketches. */
static enum disposal_result good(const struct deed *e)
{
    double *earned = kind_of(e) == LEDGER_CLIENT    ? &e->d->earned
                     : kind_of(e) == LEDGER_NETWORK ? &e->d->earned_network
                     : kind_of(e) == LEDGER_PAIR    ? &e->d->of_pair
                                                    : NULL;

    if (!earned || !isfinite(e->p->x) || e->p->x < 0)
        return DISPOSAL_WRONG;
    double amount = fmin(e->p->x, *earned);
    *earned -= amount;
    if (amount > 0)
        ledger_add_good(e->l, &e->key, &e->decay, e->now, amount);
    return DISPOSAL_DONE;
}

/* R8, R21: how much of an offence's price one of the amount pays for. */
static double share_of(const struct deed *e)
{
    double of_pair = e->r->tarpit.correspondents ? POLICY_PAIR_SHARE : 0;

    return kind_of(e) == LEDGER_PAIR ? fmax(of_pair, 1 - POLICY_PAIR_SHARE) : 1 - of_pair;
}

/* Takes up to `price`, of which only what the last booking did not add is limited here: a liar could
 * have one offence paid for again and again, and never use what was paid. */
static enum disposal_result take_credit(const struct deed *e, double price)
{
    struct disposal *d = e->d;
    double ratio = e->r->tarpit.good_ratio, share = share_of(e);
    double may = fmin(price, d->due_added + ratio * disposal_room(d, DISPOSAL_CREDIT, e->clock));
    double taken =
        share * ledger_spend_good(e->l, &e->key, &e->decay, e->now, 0, fmax(may, 0) / share);

    d->rate[DISPOSAL_CREDIT].level += fmax(taken - d->due_added, 0) / ratio;
    d->due_added = fmax(d->due_added - taken, 0);
    d->due -= taken;
    d->spent += taken;
    if (may >= price || taken < may)
        return DISPOSAL_DONE;
    d->rate[DISPOSAL_CREDIT].refused++;
    return DISPOSAL_TOO_MANY;
}

static enum disposal_result spend(const struct deed *e)
{
    if (!isfinite(e->p->x) || (kind_of(e) != LEDGER_CLIENT && kind_of(e) != LEDGER_PAIR))
        return DISPOSAL_WRONG;
    if (!may(e->d, DISPOSAL_GOOD, e->clock))
        return DISPOSAL_TOO_MANY;
    if (e->d->due <= 0 || e->r->tarpit.good_ratio <= 0 || e->d->due_network != network_of(e))
        return DISPOSAL_DONE;
    if (e->d->spent_network != network_of(e))
        e->d->spent = 0;
    e->d->spent_network = network_of(e);
    return take_credit(e, fmin(e->p->x * share_of(e), e->d->due));
}

/* ---- times ---- */

static uint64_t no_later(uint64_t at, uint64_t most)
{
    return at < most ? at : most;
}

static enum disposal_result times(const struct deed *e)
{
    const struct proposal *p = e->p;

    if (!has_amounts(e) ||
        (p->op == PROPOSE_DELIVERED && kind_of(e) != LEDGER_CLIENT && kind_of(e) != LEDGER_NETWORK))
        return DISPOSAL_WRONG;
    bool good = p->op == PROPOSE_DELIVERED || p->op == PROPOSE_PASS;
    if (!may(e->d,
             kind_of(e) == LEDGER_ACCOUNT ? DISPOSAL_ACCOUNT
             : good                       ? DISPOSAL_GOOD
                                          : DISPOSAL_CLIENT,
             e->clock))
        return DISPOSAL_TOO_MANY;
    switch (p->op) {
    case PROPOSE_DELIVERED: ledger_delivered(e->l, &e->key, e->now); break;
    case PROPOSE_PASS: ledger_pass(e->l, &e->key, e->now, no_later(p->a, e->now)); break;
    case PROPOSE_TURN:
        ledger_raise_turn(e->l, &e->key, e->now, no_later(p->a, e->now + LEDGER_HORIZON_MS),
                          p->b == 1);
        break;
    default: ledger_set_debt(e->l, &e->key, e->now, no_later(p->a, e->now + POLICY_TIME_MAX));
    }
    return DISPOSAL_DONE;
}

/* Only shorter than before: a client that has waited once waits so long again. */
static enum disposal_result patience(const struct deed *e)
{
    enum { LEAST_MS = 1000 };
    struct ledger_entry own;

    if (kind_of(e) != LEDGER_CLIENT || e->p->a < LEAST_MS)
        return DISPOSAL_WRONG;
    if (!may(e->d, DISPOSAL_CLIENT, e->clock))
        return DISPOSAL_TOO_MANY;
    ledger_get_alone(e->l, &e->key, &e->decay, e->now, &own);
    if (!own.patience_ms || e->p->a < own.patience_ms)
        ledger_set_patience(e->l, &e->key, e->now, (uint32_t)no_later(e->p->a, UINT32_MAX));
    return DISPOSAL_DONE;
}

/* ---- flags ---- */

/* A booking of a login needs a right password: the clerks count these. One without is told as beyond
 * the limit, too. */
static bool may_log_in(const struct deed *e, bool counted)
{
    uint32_t left = e->d->logins ? atomic_load(e->d->logins) : 1;

    if (!counted && !may(e->d, DISPOSAL_LOGIN, e->clock))
        return false;
    while (left && e->d->logins && !atomic_compare_exchange_weak(e->d->logins, &left, left - 1))
        continue;
    e->d->rate[DISPOSAL_LOGIN].refused += left == 0;
    return left > 0;
}

static enum disposal_result flags(const struct deed *e)
{
    struct ledger_entry own;

    if (kind_of(e) == LEDGER_ACCOUNT_NETWORK && e->p->a == LEDGER_KNOWN) {
        if (ledger_get_alone(e->l, &e->key, &e->decay, e->now, &own) && own.flags & LEDGER_KNOWN)
            return DISPOSAL_DONE;
        if (!may_log_in(e, false))
            return DISPOSAL_TOO_MANY;
        ledger_login(e->l, &e->key, e->now, e->now); /* without a time it would be known of old */
        return DISPOSAL_DONE;
    } else if (is_client(e) && e->p->a == LEDGER_TRAPPED) {
        if (!may(e->d, DISPOSAL_CLIENT, e->clock))
            return DISPOSAL_TOO_MANY;
        /* R15 does not do that to a client that delivers good mail. Another worker may have booked
         * that a moment ago. On the other clients the flag changes nothing below the shield, which
         * the booking before this one has raised them to, if there was room. */
        ledger_get(e->l, &e->key, &e->decay, e->now, &own);
        if (is_proven(e) || own.offences < e->r->tarpit.shield)
            return DISPOSAL_DONE;
    } else {
        return DISPOSAL_WRONG;
    }
    ledger_set_flags(e->l, &e->key, e->now, (uint32_t)e->p->a, 0);
    return DISPOSAL_DONE;
}

static enum disposal_result mark(const struct deed *e)
{
    bool suspect = kind_of(e) == LEDGER_CLIENT && e->p->a == LEDGER_SUSPECT;
    bool counted = kind_of(e) == LEDGER_NETWORK && e->p->a == LEDGER_COUNTED;

    if (!suspect && !counted)
        return DISPOSAL_WRONG;
    if (!may(e->d, DISPOSAL_CLIENT, e->clock))
        return DISPOSAL_TOO_MANY;
    ledger_mark(e->l, &e->key, e->now, (uint32_t)e->p->a, e->p->b);
    return DISPOSAL_DONE;
}

/* ---- accounts ---- */

static enum disposal_result bucket(const struct deed *e)
{
    enum { HOUR_S = 3600, DAY_S = 24 * HOUR_S };
    unsigned which = e->p->a & 0xff;
    uint64_t n = e->p->a >> 8, period_s = e->p->b & UINT32_MAX;
    struct ledger_rate rate = {(uint32_t)(e->p->b >> 32), period_s * 1000};
    bool hour = which == BUCKET_HOUR || which == BUCKET_NEW_HOUR;

    if (kind_of(e) != LEDGER_ALLOWANCE || which >= BUCKET_COUNT || rate.most == 0 ||
        rate.most > LEDGER_BUCKET_MOST || period_s != (hour ? HOUR_S : DAY_S) || n > rate.most)
        return DISPOSAL_WRONG;
    if (!may(e->d, DISPOSAL_ALLOWANCE, e->clock))
        return DISPOSAL_TOO_MANY;
    struct ledger_sent sent = {
        .bucket = (enum ledger_bucket)which, .recipients = (uint32_t)n, .most = rate.most};
    if (e->p->op == PROPOSE_TAKE) {
        if (ledger_bucket_take(e->l, &e->key, which, rate, e->now, (uint32_t)n)) {
            e->d->taken += (double)n;
            ledger_tell_sent(e->l, &e->key, &sent);
        }
        return DISPOSAL_DONE;
    }
    if ((double)n > e->d->taken)
        return DISPOSAL_DONE;
    e->d->taken -= (double)n;
    ledger_bucket_give(e->l, &e->key, which, rate, e->now, (uint32_t)n);
    sent.given_back = true;
    ledger_tell_sent(e->l, &e->key, &sent);
    return DISPOSAL_DONE;
}

/* Only the first network of an account is known from the beginning. */
static enum disposal_result login(const struct deed *e)
{
    struct ledger_entry own;
    bool first = e->p->a < e->now && e->d->settled > 0;

    if (kind_of(e) != LEDGER_ACCOUNT_NETWORK)
        return DISPOSAL_WRONG;
    bool known =
        ledger_get_alone(e->l, &e->key, &e->decay, e->now, &own) && own.flags & LEDGER_KNOWN;
    if (!known && !may_log_in(e, first)) /* PROPOSE_SETTLE counted the account's first */
        return DISPOSAL_TOO_MANY;
    e->d->settled -= first;
    ledger_login(e->l, &e->key, e->now, first ? e->p->a : e->now);
    return DISPOSAL_DONE;
}

static enum disposal_result signs(const struct deed *e)
{
    if (kind_of(e) != LEDGER_ALLOWANCE)
        return DISPOSAL_WRONG;
    if (!may(e->d, e->p->op == PROPOSE_SETTLE ? DISPOSAL_LOGIN : DISPOSAL_STOLEN, e->clock))
        return DISPOSAL_TOO_MANY;
    if (e->p->op == PROPOSE_SETTLE)
        e->d->settled += ledger_settle(e->l, &e->key, e->now);
    else if (e->p->op == PROPOSE_REFUSED)
        ledger_refused_from(e->l, &e->key, e->now, e->p->a);
    else
        ledger_looks_stolen(e->l, &e->key, e->now, no_later(e->p->a, e->now + ALLOWANCE_STOLEN_MS));
    return DISPOSAL_DONE;
}

/* ---- the whole ---- */

static enum disposal_result sight(const struct deed *e)
{
    if (!may(e->d, DISPOSAL_SIGHT, e->clock))
        return DISPOSAL_TOO_MANY;
    if (kind_of(e) == LEDGER_ALLOWANCE)
        ledger_tell_sent(e->l, &e->key, &(struct ledger_sent){0});
    else
        ledger_sight(e->l, &e->key);
    return DISPOSAL_DONE;
}

static enum disposal_result carry_out(const struct deed *e)
{
    switch ((enum proposal_op)e->p->op) {
    case PROPOSE_OFFENCES: return offences(e);
    case PROPOSE_RAISE: return raise_offences(e);
    case PROPOSE_EARN: return earn(e);
    case PROPOSE_GOOD: return good(e);
    case PROPOSE_SPEND: return spend(e);
    case PROPOSE_DELIVERED:
    case PROPOSE_PASS:
    case PROPOSE_TURN:
    case PROPOSE_DEBT: return times(e);
    case PROPOSE_PATIENCE: return patience(e);
    case PROPOSE_FLAGS: return flags(e);
    case PROPOSE_MARK: return mark(e);
    case PROPOSE_TAKE:
    case PROPOSE_GIVE: return bucket(e);
    case PROPOSE_LOGIN: return login(e);
    case PROPOSE_SETTLE:
    case PROPOSE_REFUSED:
    case PROPOSE_STOLEN: return signs(e);
    case PROPOSE_SIGHT: return sight(e);
    case PROPOSE_ELSE:
    case PROPOSE_COUNT: break;
    }
    return DISPOSAL_WRONG;
}

/* Finds a reserved place for an entry that now deserves one. Nothing that was booked is lost if it has
 * none, so this refuses no true worker anything. */
static enum disposal_result place(const struct deed *e)
{
    struct ledger_slot *from;
    enum reserve_place at = ledger_reserve_look(e->l, &e->key, e->d->maker, e->clock, &from);
    bool has = at == RESERVE_FREE ||
               (at == RESERVE_TAKES && disposal_room(e->d, DISPOSAL_CLAIM, e->clock) >= 1);
    enum disposal_result r = done_if(!has || may(e->d, DISPOSAL_KEPT, e->clock));

    has = has && r == DISPOSAL_DONE;
    if (has && from != NULL) {
        may(e->d, DISPOSAL_CLAIM, e->clock);
        ledger_reserve_leave(from);
    }
    ledger_reserve_put(e->l, &e->key, e->d->maker, !has);
    return r;
}

/* Whatever the proposal was: if there is a new entry now that strangers must not push out, this has
 * to stay within bounds, too. */
static enum disposal_result carry_out_and_place(const struct deed *e)
{
    bool had = ledger_reserve_state(e->l, &e->key, e->clock) == RESERVE_HAS;
    enum disposal_result r = carry_out(e);

    if (had || ledger_reserve_state(e->l, &e->key, e->clock) == RESERVE_NONE)
        return r;
    enum disposal_result placed = place(e);
    return r == DISPOSAL_DONE ? placed : r;
}

enum disposal_result dispose(struct disposal *d, struct ledger *l, const struct disposal_rules *r,
                             const struct proposal *p, uint64_t now)
{
    struct deed e = {.d = d,
                     .l = l,
                     .r = r,
                     .p = p,
                     .key = {p->hash, p->label, p->common, p->kind},
                     .decay = {r->tarpit.half_life, r->tarpit.good_half_life},
                     .clock = now};

    if (p->op == PROPOSE_ELSE)
        return done_if(p->b <= now || may(d, DISPOSAL_ELSE, now));
    if (!is_key(l, &e.key))
        return DISPOSAL_WRONG;
    l->present = now;
    /* The worker's time, if it can be right: the keeper may be a little late. */
    e.now = p->now + LEDGER_SKEW_MS < now || p->now > now ? now : p->now;
    return carry_out_and_place(&e);
}
