/* What accounts may send, over a ledger of any content that other processes change at any moment, for
 * all limits that a configuration may have, and any account and client; also in a worker, which
 * changes copies of the entries and proposes it. */
#include "any_worker.h"

#include "any_addr.h"

#include "tarpit/allowance.h"

enum { MONTH_S = 31 * 24 * 3600 };

static struct allowance_who any_who(struct span account, const struct addr *from)
{
    return (struct allowance_who){.account = account, .from = from, .trusted = any_choice & 1};
}

static void deciding(struct ledger *l, uint64_t now)
{
    ANY_TEXT(name);
    struct span account = {name, any_choice ? sizeof name : 0};
    struct allowance_rules r = {.per_hour = (uint32_t)any_number,
                                .per_day = (uint32_t)any_number,
                                .refuse_stolen = any_choice & 1};
    struct addr from = any_addr();
    struct allowance_who who = any_who(account, &from);
    uint32_t n = (uint32_t)any_number;

    switch (any_choice) {
    case 0: (void)allowance_ask(l, &r, &who, now, n); break;
    case 1: (void)allowance_take(l, &r, &who, now, n); break;
    case 2: allowance_give(l, &r, account, any_choice & 1, now, n); break;
    case 3: (void)allowance_refused(l, &who, now); break;
    case 4: allowance_logged_in(l, &who, now); break;
    case 5: (void)allowance_may_log_in(l, &r, &who, now); break;
    case 6: (void)allowance_state(l, &r, account, now); break;
    default: allowance_forget(l, account, now, any_choice & 1);
    }
}

/* The buckets themselves, with all rates that the keeper lets pass. */
static void buckets(struct ledger *l, uint64_t now)
{
    struct ledger_key k = any_key();
    enum ledger_bucket b = (enum ledger_bucket)Frama_C_interval(0, BUCKET_COUNT - 1);
    struct ledger_rate rate = {Frama_C_unsigned_int_interval(1, LEDGER_BUCKET_MOST),
                               Frama_C_unsigned_long_interval(1, MONTH_S * UINT64_C(1000))};
    double level = ledger_bucket_level(l, &k, b, rate, now);

    //@ assert level_in_bounds: 0 <= level <= 2097152;
    switch (any_choice) {
    case 0: (void)ledger_bucket_take(l, &k, b, rate, now, (uint32_t)any_number); break;
    case 1: ledger_bucket_give(l, &k, b, rate, now, (uint32_t)any_number); break;
    case 2: ledger_bucket_raise(l, &k, b, rate, now, Frama_C_double_interval(0, 0x1p1000)); break;
    case 3: ledger_login(l, &k, now, any_number); break;
    case 4: (void)ledger_login_since(l, &k); break;
    case 5: (void)ledger_settle(l, &k, now); break;
    case 6: (void)ledger_signs(l, &k, now); break;
    case 7: (void)ledger_refused_from(l, &k, now, any_number); break;
    default: (void)ledger_looks_stolen(l, &k, now, any_number);
    }
}

int main(void)
{
    struct ledger l = any_ledger();
    uint64_t now = up_to(LATEST_MS);

    if (any_choice && !is_worker(&l))
        return 0;
    if (any_choice)
        deciding(&l, now);
    else
        buckets(&l, now);
    return 0;
}
