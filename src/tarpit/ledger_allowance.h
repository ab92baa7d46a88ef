/* What the ledger knows of accounts for their allowances (R23): how many recipients they have
 * written to, when they first logged in from each network, and whether they look stolen.
 * allowance.h decides with it; other callers use that header.
 *
 * As in ledger.h, all functions are safe from any process that mapped the ledger, nothing blocks or
 * fails, and `now` is wall ms. A process that is killed in the middle loses at most its one
 * booking. */
#ifndef MIRED_TARPIT_LEDGER_ALLOWANCE_H
#define MIRED_TARPIT_LEDGER_ALLOWANCE_H

#include "tarpit/ledger.h"

/* ---- buckets ---- */

/* Leaky buckets of recipients: `most` in `period`. A bucket has room for `most`, and a full one
 * runs empty in `period`. So in any window of w ms it takes at most most * (1 + w / period), and it
 * never refuses a caller that takes at most `most` in each window of `period`. The rate may differ
 * between calls: the recipients in the bucket stay. */
enum ledger_bucket {
    BUCKET_HOUR,     /* from networks that the account knows */
    BUCKET_DAY,      /* ... */
    BUCKET_NEW_HOUR, /* from networks that are new to it */
    BUCKET_NEW_DAY,  /* ... */
    BUCKET_COUNT
};

enum { LEDGER_BUCKET_MOST = 1000000 };

struct ledger_rate {
    uint32_t most;      /* 1..LEDGER_BUCKET_MOST */
    uint64_t period_ms; /* > 0; up to a month */
};

/* What is in the bucket of a LEDGER_ALLOWANCE entry, with fractions. */
double ledger_bucket_level(const struct ledger *l, const struct ledger_key *k,
                           enum ledger_bucket bucket, struct ledger_rate rate, uint64_t now);

/* Adds `n` to the bucket; or adds nothing and returns false if there would be more than rate.most
 * in it. Concurrent calls together never exceed that. */
bool ledger_bucket_take(struct ledger *l, const struct ledger_key *k, enum ledger_bucket bucket,
                        struct ledger_rate rate, uint64_t now, uint32_t n);

/* Gives back `n` of what was taken. */
void ledger_bucket_give(struct ledger *l, const struct ledger_key *k, enum ledger_bucket bucket,
                        struct ledger_rate rate, uint64_t now, uint32_t n);

/* Raises the level to `to`, never lowers it; for what another ledger knows of the account. */
void ledger_bucket_raise(struct ledger *l, const struct ledger_key *k, enum ledger_bucket bucket,
                         struct ledger_rate rate, uint64_t now, double to);

/* ---- logins ---- */

/* Records a login of an account from a network (a LEDGER_ACCOUNT_NETWORK key): sets LEDGER_KNOWN,
 * and the time of the first login if there is none. `since` is that time, wall ms; it is earlier
 * than `now` for a network that counts as known at once. */
void ledger_login(struct ledger *l, const struct ledger_key *k, uint64_t now, uint64_t since);

/* When the account first logged in from that network, wall ms. 1: before the ledger kept that time.
 * 0: never. */
uint64_t ledger_login_since(const struct ledger *l, const struct ledger_key *k);

/* The same without what other members of a fleet know (R25). */
uint64_t ledger_login_since_own(const struct ledger *l, const struct ledger_key *k);

/* ---- signs ---- */

struct ledger_signs {
    bool settled; /* it has had a first login, so its first network is known */
    uint64_t stolen_since, stolen_till; /* wall ms: the last time that it looked stolen; or 0 */
};

/* All false and 0 when there is no entry. */
struct ledger_signs ledger_signs(const struct ledger *l, const struct ledger_key *k, uint64_t now);

/* Sets `settled`. True if it was not set; of several concurrent calls only one gets true. */
bool ledger_settle(struct ledger *l, const struct ledger_key *k, uint64_t now);

/* Forgets what was sent and that it looked stolen; `settled` stays all the while. */
void ledger_forget_use(struct ledger *l, const struct ledger_key *k);

/* Records that a network (any hash of it) was refused, and returns how many different ones were in
 * this hour, up to 16. The result may be too low, but never too high. */
unsigned ledger_refused_from(struct ledger *l, const struct ledger_key *k, uint64_t now,
                             uint64_t network);

/* Records that the account looks stolen until `until`. If it already does, the period becomes
 * longer and keeps its beginning. True if it did not before. Exact to about a minute at the
 * beginning, and 4 minutes at the end. */
bool ledger_looks_stolen(struct ledger *l, const struct ledger_key *k, uint64_t now,
                         uint64_t until);

#endif
