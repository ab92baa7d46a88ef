/* Decides about allowances (allowance.h), on top of the ledger's buckets. Pure except for the
 * ledger; runs in workers, in the web process for people, and in virtual time in tests. */
#include "tarpit/allowance.h"
#include "tarpit/ledger_others.h"

static const uint64_t period_of[BUCKET_COUNT] = {
    [BUCKET_HOUR] = 3600000,
    [BUCKET_DAY] = 24 * 3600000,
    [BUCKET_NEW_HOUR] = 3600000,
    [BUCKET_NEW_DAY] = 24 * 3600000,
};

/* ---- networks ---- */

uint64_t allowance_known_from(const struct ledger *l, const struct allowance_who *who, uint64_t now)
{
    struct ledger_key network = ledger_key_account_network(l, who->account, who->from);
    struct ledger_key account = ledger_key_allowance(l, who->account);
    uint64_t since = ledger_login_since(l, &network);
    struct ledger_signs s = ledger_signs(l, &account, now);

    if (since == 0)
        return 0;
    if (s.stolen_since && since + ALLOWANCE_NEW_MS > s.stolen_since && since < s.stolen_till)
        since = s.stolen_till;
    else if (since > now + LEDGER_HORIZON_MS)
        return now; /* dates from before the clock was set back */
    return since + ALLOWANCE_NEW_MS;
}

static bool is_new(const struct ledger *l, const struct allowance_who *who, uint64_t now)
{
    if (who->trusted)
        return false;
    uint64_t from = allowance_known_from(l, who, now);
    return from == 0 || from > now;
}

static bool is_stolen(const struct ledger *l, const struct ledger_key *k, uint64_t now)
{
    return ledger_signs(l, k, now).stolen_till > now;
}

void allowance_logged_in(struct ledger *l, const struct allowance_who *who, uint64_t now)
{
    struct ledger_key network = ledger_key_account_network(l, who->account, who->from);
    struct ledger_key account = ledger_key_allowance(l, who->account);

    /* The account's first network is known from the beginning. In a fleet (R25) it may have others
     * already, which only another member knows. */
    bool first = ledger_settle(l, &account, now) && !ledger_is_elsewhere(l, &account);
    ledger_login(l, &network, now, first ? 1 : now);
    ledger_tell_sent(l, &account, &(struct ledger_sent){0});
}

bool allowance_may_log_in(const struct ledger *l, const struct allowance_rules *r,
                          const struct allowance_who *who, uint64_t now)
{
    struct ledger_key k = ledger_key_allowance(l, who->account);

    return !r->refuse_stolen || !allowance_is_on(r) || !is_stolen(l, &k, now) ||
           !is_new(l, who, now);
}

/* ---- recipients ---- */

static uint32_t most_of(const struct allowance_rules *r, enum ledger_bucket bucket)
{
    bool hour = bucket == BUCKET_HOUR || bucket == BUCKET_NEW_HOUR;
    uint32_t most = hour ? r->per_hour : r->per_day;

    if (most > LEDGER_BUCKET_MOST)
        most = LEDGER_BUCKET_MOST;
    return bucket >= BUCKET_NEW_HOUR ? (most + ALLOWANCE_PART - 1) / ALLOWANCE_PART : most;
}

static struct ledger_rate rate_of(const struct allowance_rules *r, enum ledger_bucket bucket)
{
    return (struct ledger_rate){most_of(r, bucket), period_of[bucket]};
}

static enum ledger_bucket hour_of(bool of_new)
{
    return of_new ? BUCKET_NEW_HOUR : BUCKET_HOUR;
}

static enum ledger_bucket day_of(bool of_new)
{
    return of_new ? BUCKET_NEW_DAY : BUCKET_DAY;
}

/* When `n` will fit into the bucket; `now` or earlier if they fit now. */
static uint64_t fits_at(const struct ledger *l, const struct ledger_key *k,
                        enum ledger_bucket bucket, struct ledger_rate rate, uint64_t now,
                        uint32_t n)
{
    if (rate.most == 0)
        return 0;
    double over = ledger_bucket_level(l, k, bucket, rate, now) + n - rate.most;
    /* A hundredth may be rounding, which the bucket allows too. */
    return over <= 0.01 ? 0 : now + 1 + (uint64_t)(over * (double)rate.period_ms / rate.most);
}

/* The limit that `n` more would exceed; of several, the one that lasts longest. */
static struct allowance_answer look(const struct ledger *l, const struct allowance_rules *r,
                                    const struct ledger_key *k, bool of_new, uint64_t now,
                                    uint32_t n)
{
    struct ledger_rate hour = rate_of(r, hour_of(of_new)), day = rate_of(r, day_of(of_new));
    uint64_t by_hour = fits_at(l, k, hour_of(of_new), hour, now, n);
    uint64_t by_day = fits_at(l, k, day_of(of_new), day, now, n);
    struct allowance_answer a = {.is_new = of_new};

    if (of_new && r->refuse_stolen && is_stolen(l, k, now)) {
        a.limit = ALLOWANCE_STOLEN;
        a.again_ms = ledger_signs(l, k, now).stolen_till;
    } else if (by_day > by_hour) {
        a = (struct allowance_answer){ALLOWANCE_DAY, day.most, by_day, of_new};
    } else if (by_hour) {
        a = (struct allowance_answer){ALLOWANCE_HOUR, hour.most, by_hour, of_new};
    }
    return a;
}

struct allowance_answer allowance_ask(const struct ledger *l, const struct allowance_rules *r,
                                      const struct allowance_who *who, uint64_t now, uint32_t n)
{
    struct ledger_key k = ledger_key_allowance(l, who->account);

    if (!allowance_is_on(r))
        return (struct allowance_answer){0};
    return look(l, r, &k, is_new(l, who, now), now, n);
}

/* Tells the other members of a fleet. */
static void tell(const struct ledger *l, const struct ledger_key *k, enum ledger_bucket bucket,
                 struct ledger_rate rate, uint32_t n, bool given_back)
{
    if (rate.most && n)
        ledger_tell_sent(l, k, &(struct ledger_sent){bucket, n, rate.most, given_back});
}

static bool take(struct ledger *l, const struct ledger_key *k, enum ledger_bucket bucket,
                 struct ledger_rate rate, uint64_t now, uint32_t n)
{
    return rate.most == 0 || ledger_bucket_take(l, k, bucket, rate, now, n);
}

struct allowance_answer allowance_take(struct ledger *l, const struct allowance_rules *r,
                                       const struct allowance_who *who, uint64_t now, uint32_t n)
{
    struct ledger_key k = ledger_key_allowance(l, who->account);

    if (!allowance_is_on(r))
        return (struct allowance_answer){0};
    bool of_new = is_new(l, who, now);
    struct allowance_answer a = look(l, r, &k, of_new, now, n);
    if (a.limit != ALLOWANCE_FITS)
        return a;
    struct ledger_rate hour = rate_of(r, hour_of(of_new)), day = rate_of(r, day_of(of_new));
    bool in_hour = take(l, &k, hour_of(of_new), hour, now, n);
    bool in_day = in_hour && take(l, &k, day_of(of_new), day, now, n);
    if (in_hour && !in_day && hour.most)
        ledger_bucket_give(l, &k, hour_of(of_new), hour, now, n);
    if (in_day) {
        tell(l, &k, hour_of(of_new), hour, n, false);
        tell(l, &k, day_of(of_new), day, n, false);
        return a;
    }
    /* Another connection has taken the rest meanwhile. */
    a = look(l, r, &k, of_new, now, n);
    if (a.limit == ALLOWANCE_FITS)
        a = (struct allowance_answer){ALLOWANCE_HOUR, hour.most ? hour.most : day.most, now + 1000,
                                      of_new};
    return a;
}

static void give(struct ledger *l, const struct ledger_key *k, enum ledger_bucket bucket,
                 struct ledger_rate rate, uint64_t now, uint32_t n)
{
    if (rate.most)
        ledger_bucket_give(l, k, bucket, rate, now, n);
}

void allowance_give(struct ledger *l, const struct allowance_rules *r, struct span account,
                    bool is_new, uint64_t now, uint32_t n)
{
    struct ledger_key k = ledger_key_allowance(l, account);

    if (n == 0 || !allowance_is_on(r))
        return;
    give(l, &k, hour_of(is_new), rate_of(r, hour_of(is_new)), now, n);
    give(l, &k, day_of(is_new), rate_of(r, day_of(is_new)), now, n);
    tell(l, &k, hour_of(is_new), rate_of(r, hour_of(is_new)), n, true);
    tell(l, &k, day_of(is_new), rate_of(r, day_of(is_new)), n, true);
}

bool allowance_refused(struct ledger *l, const struct allowance_who *who, uint64_t now)
{
    struct ledger_key k = ledger_key_allowance(l, who->account);
    struct ledger_key network = ledger_key_network(l, who->from);

    if (!is_new(l, who, now) || ledger_refused_from(l, &k, now, network.hash) < ALLOWANCE_NETWORKS)
        return false;
    return ledger_looks_stolen(l, &k, now, now + ALLOWANCE_STOLEN_MS);
}

/* ---- for people ---- */

struct allowance_state allowance_state(const struct ledger *l, const struct allowance_rules *r,
                                       struct span account, uint64_t now)
{
    struct ledger_key k = ledger_key_allowance(l, account);
    struct allowance_state s = {.signs = ledger_signs(l, &k, now)};

    s.stolen = s.signs.stolen_till > now;
    for (enum ledger_bucket b = 0; b < BUCKET_COUNT; b++) {
        s.most[b] = most_of(r, b);
        if (s.most[b])
            s.used[b] = ledger_bucket_level(l, &k, b, rate_of(r, b), now);
    }
    return s;
}

void allowance_forget(struct ledger *l, struct span account, uint64_t now, bool settled)
{
    struct ledger_key allowance = ledger_key_allowance(l, account);
    struct ledger_key guesses = ledger_key_account(l, account);

    if (settled) { /* a login in between would make its network the account's first */
        ledger_settle(l, &allowance, now);
        ledger_forget_use(l, &allowance);
    } else {
        ledger_forget(l, &allowance);
    }
    ledger_forget(l, &guesses);
}
