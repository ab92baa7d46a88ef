/* A share as octets (share.h): version 1, a set of the fields that follow, the time 6, and the
 * fields: three amounts (IEEE singles), the ends of turn and debt as ms from that time (3 octets
 * each), the last good mail (s, 4), flags (1), the last pass of a greeting or an account's first
 * login from a network (s, 4). Numbers are big-endian. A client in debt takes 18
 * octets. */
#include "fleet/share.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "fleet/numbers.h"
#include "tarpit/policy.h"

enum {
    HAS_OFFENCES = 1,
    HAS_GOOD = 2,
    HAS_SPENT = 4,
    HAS_TURN = 8,
    HAS_DEBT = 16,
    HAS_DELIVERED = 32,
    HAS_FLAGS = 64,
    HAS_PASS = 128,
    HAS_ALL = 255
};
enum { FLAGS_SHARED = LEDGER_TRAPPED | LEDGER_KNOWN | LEDGER_SUSPECT, FLAG_PACED = 0x80 };

/* No ledger has anything older: the longest half-life is a year. */
#define OLDEST_MS (UINT64_C(10) * 366 * 86400 * 1000)
#define TIME_MOST ((UINT64_C(1) << 48) - 1)

/* ---- numbers ---- */

static uint8_t *put_amount(uint8_t *at, double amount)
{
    float single = (float)amount;
    uint32_t bits;

    memcpy(&bits, &single, sizeof bits);
    return number_put(at, bits, 4);
}

static bool take_number(struct span *s, uint64_t *n, size_t octets)
{
    if (s->len < octets)
        return false;
    *n = number_take(s, octets);
    return true;
}

static bool take_amount(struct span *s, double *amount)
{
    uint64_t n;
    float single;

    if (!take_number(s, &n, 4))
        return false;
    uint32_t bits = (uint32_t)n;
    memcpy(&single, &bits, sizeof single);
    *amount = single;
    return isfinite(single) && single >= 0;
}

/* ---- values ---- */

static uint64_t ahead(uint64_t end, uint64_t at)
{
    return end > at && end - at <= LEDGER_HORIZON_MS ? end - at : 0;
}

static uint64_t moved(uint64_t ms, int64_t by)
{
    int64_t there = (int64_t)ms + by;
    return there > 0 ? (uint64_t)there : 0;
}

size_t share_write(const struct share *s, int64_t skew, uint8_t out[SHARE_VALUE_MOST])
{
    const struct ledger_share *is = &s->is;
    uint64_t turn = ahead(is->turn_ms, s->at_ms), debt = ahead(is->debt_ms, s->at_ms);
    uint8_t flags = (uint8_t)(is->flags & FLAGS_SHARED), *at = out + 2, has = 0;

    if (turn && is->paced)
        flags |= FLAG_PACED;
    at = number_put(at, s->stamp_ms, 6);
    if (is->offences > 0) {
        has |= HAS_OFFENCES;
        at = put_amount(at, is->offences);
    }
    if (is->good > 0) {
        has |= HAS_GOOD;
        at = put_amount(at, is->good);
    }
    if (is->spent > 0) {
        has |= HAS_SPENT;
        at = put_amount(at, is->spent);
    }
    if (turn) {
        has |= HAS_TURN;
        at = number_put(at, turn, 3);
    }
    if (debt) {
        has |= HAS_DEBT;
        at = number_put(at, debt, 3);
    }
    if (is->delivered_ms) {
        has |= HAS_DELIVERED;
        at = number_put(at, moved(is->delivered_ms, skew) / 1000, 4);
    }
    if (flags) {
        has |= HAS_FLAGS;
        *at++ = flags;
    }
    if (is->pass_ms) {
        has |= HAS_PASS;
        at = number_put(at, is->pass_ms > 1 ? moved(is->pass_ms, skew) / 1000 : 0, 4);
    }
    out[0] = SHARE_VERSION;
    out[1] = has;
    return (size_t)(at - out);
}

static bool read_fields(struct share *s, struct span v, uint8_t has, int64_t skew)
{
    struct ledger_share *is = &s->is;
    uint64_t n;

    if (has & HAS_OFFENCES && !take_amount(&v, &is->offences))
        return false;
    if (has & HAS_GOOD && !take_amount(&v, &is->good))
        return false;
    if (has & HAS_SPENT && !take_amount(&v, &is->spent))
        return false;
    if (has & HAS_TURN) {
        if (!take_number(&v, &n, 3) || n > LEDGER_HORIZON_MS)
            return false;
        is->turn_ms = s->at_ms + n;
    }
    if (has & HAS_DEBT) {
        if (!take_number(&v, &n, 3) || n > LEDGER_HORIZON_MS)
            return false;
        is->debt_ms = s->at_ms + n;
    }
    if (has & HAS_DELIVERED) {
        if (!take_number(&v, &n, 4))
            return false;
        is->delivered_ms = moved(n * 1000, -skew);
        if (is->delivered_ms > s->at_ms)
            is->delivered_ms = s->at_ms;
    }
    if (has & HAS_FLAGS) {
        if (!take_number(&v, &n, 1))
            return false;
        is->flags = (uint32_t)n & FLAGS_SHARED;
        is->paced = n & FLAG_PACED;
    }
    if (has & HAS_PASS) {
        if (!take_number(&v, &n, 4))
            return false;
        is->pass_ms = n ? moved(n * 1000, -skew) : 1; /* 0: before anything was kept */
        if (is->pass_ms > s->at_ms)
            is->pass_ms = s->at_ms;
    }
    return v.len == 0;
}

int share_read(struct share *s, struct span v, const struct tarpit_rules *rules, int64_t skew,
               uint64_t now)
{
    uint64_t version, has, at;

    s->is = (struct ledger_share){0};
    if (!take_number(&v, &version, 1))
        return -EINVAL;
    if (version != SHARE_VERSION)
        return -ENOTSUP;
    if (!take_number(&v, &has, 1) || has > HAS_ALL || !take_number(&v, &at, 6))
        return -EINVAL;
    s->stamp_ms = at;
    s->at_ms = moved(at, -skew);
    if (s->at_ms > now + SHARE_AHEAD_MS)
        return -ERANGE;
    if (s->at_ms + OLDEST_MS < now || !read_fields(s, v, (uint8_t)has, skew))
        return -EINVAL;
    share_bound(s, rules);
    return 0;
}

static double least(double a, double b)
{
    return a < b ? a : b;
}

void share_bound(struct share *s, const struct tarpit_rules *r)
{
    enum { BAD_NETWORKS = 4, GOOD_MOST = 12 * LEDGER_EARN_MOST };
    uint8_t kind = s->name.kind & ~LEDGER_NAME_IP6;
    double most = fmax(policy_most_trap(r), policy_most(r, OFFENCE_TRAP)); /* 0 without a shield */

    if (kind == LEDGER_NETWORK)
        most = BAD_NETWORKS * r->network_share;
    if (kind == LEDGER_BOUNCES)
        most = policy_most_bounces(r);
    s->is.good = least(s->is.good, GOOD_MOST);
    s->is.spent = least(s->is.spent, GOOD_MOST);
    /* Good mail does not cover a trap (R15). What the share itself has spent covers nothing. */
    if (kind == LEDGER_CLIENT && r->good_ratio > 0 && s->is.good > s->is.spent)
        most += (s->is.good - s->is.spent) / r->good_ratio;
    s->is.offences = least(s->is.offences, most);
}

void share_forget(struct ledger_share *s)
{
    s->offences = 0;
    s->turn_ms = s->debt_ms = 0;
    s->paced = false;
    s->flags &= ~(uint32_t)(LEDGER_TRAPPED | LEDGER_SUSPECT);
}

/* ---- records ---- */

size_t share_put(const struct share *s, int64_t skew,
                 uint8_t out[SHARE_NAME + 1 + SHARE_VALUE_MOST])
{
    out[0] = s->name.kind;
    number_put(out + 1, s->name.id, 8);
    size_t len = share_write(s, skew, out + SHARE_NAME + 1);
    out[SHARE_NAME] = (uint8_t)len;
    return SHARE_NAME + 1 + len;
}

int share_next(struct span *batch, struct ledger_name *name, struct span *value)
{
    uint64_t kind, id, len;

    if (batch->len == 0)
        return 0;
    if (!take_number(batch, &kind, 1) || !take_number(batch, &id, 8) ||
        !take_number(batch, &len, 1) || len > batch->len ||
        kind > (LEDGER_NAME_IP6 | LEDGER_BOUNCES) || !ledger_name_is_shared((uint8_t)kind))
        return -EINVAL;
    /* The hash of a pair or an account ends with its kind. */
    if (!ledger_name_is_label((uint8_t)kind) && (id & 15) != kind)
        return -EINVAL;
    *name = (struct ledger_name){id, (uint8_t)kind};
    *value = span_first(*batch, len);
    *batch = span_after(*batch, len);
    return 1;
}

/* ---- how long it counts ---- */

bool share_is_nothing(const struct ledger_share *s)
{
    return s->offences <= 0 && s->good <= 0 && s->spent <= 0 && !s->turn_ms && !s->debt_ms &&
           !s->delivered_ms && !s->pass_ms && !s->flags;
}

#define TRACE (1.0 / 16)

static double fades_in(double amount, uint64_t half_life)
{
    if (amount <= TRACE)
        return 0;
    return half_life ? log2(amount / TRACE) * (double)half_life : (double)OLDEST_MS;
}

uint64_t share_lasts(const struct share *s, const struct tarpit_rules *r)
{
    const double remembered = 30 * 86400e3; /* a delivery, a login */
    uint64_t until = s->is.pass_ms + r->greet_pass;
    double offences = fades_in(s->is.offences, r->half_life);
    double good = fades_in(s->is.good > s->is.spent ? s->is.good : s->is.spent, r->good_half_life);
    double most = offences > good ? offences : good;

    if (s->is.turn_ms > s->at_ms && most < (double)(s->is.turn_ms - s->at_ms))
        most = (double)(s->is.turn_ms - s->at_ms);
    if (s->is.debt_ms > s->at_ms && most < (double)(s->is.debt_ms - s->at_ms))
        most = (double)(s->is.debt_ms - s->at_ms);
    if ((s->is.delivered_ms || s->is.flags & LEDGER_KNOWN) && most < remembered)
        most = remembered;
    if (s->is.pass_ms && until > s->at_ms && most < (double)(until - s->at_ms))
        most = (double)(until - s->at_ms);
    return most < (double)OLDEST_MS ? (uint64_t)most : OLDEST_MS;
}
