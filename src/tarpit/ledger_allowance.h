/* What the ledger knows of accounts for their allowances (R23): how many recipients they have
 * written to, where they have logged in first, and whether somebody else uses their password.
 * allowance.h decides with it; other callers want that header.
 *
 * As all of the ledger (ledger.h): safe from any process that mapped it, nothing blocks or fails,
 * `now` is wall ms. A process that is killed in the middle loses at most its one booking. */
#ifndef MIRED_TARPIT_LEDGER_ALLOWANCE_H
#define MIRED_TARPIT_LEDGER_ALLOWANCE_H

#include "tarpit/ledger.h"

/* ---- buckets ---- */

/* Recipients, in a bucket that leaks: `most` in `period`. A bucket is full with `most` in it, and
 * runs empty in `period`. So in any window of w ms it takes at most most * (1 + w / period), and
 * never refuses a caller that takes at most `most` in each window of `period`. The rate may be
 * another one with each call: what is in the bucket stays, as recipients. */
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

/* Takes `n`, or nothing and returns false when that would be more than rate.most in the bucket.
 * Concurrent calls never take more than there is. */
bool ledger_bucket_take(struct ledger *l, const struct ledger_key *k, enum ledger_bucket bucket,
                        struct ledger_rate rate, uint64_t now, uint32_t n);

/* Gives back `n` of what was taken. */
void ledger_bucket_give(struct ledger *l, const struct ledger_key *k, enum ledger_bucket bucket,
                        struct ledger_rate rate, uint64_t now, uint32_t n);

/* Raises the level to `to`, never lowers it: for what another ledger knows of the account. */
void ledger_bucket_raise(struct ledger *l, const struct ledger_key *k, enum ledger_bucket bucket,
                         struct ledger_rate rate, uint64_t now, double to);

/* ---- logins ---- */

/* Notes a login of an account from a network (a LEDGER_ACCOUNT_NETWORK key): sets LEDGER_KNOWN, and
 * the time of the first login unless there is one. `since` is that time, wall ms; less than `now`
 * for a network that counts as known at once. */
void ledger_login(struct ledger *l, const struct ledger_key *k, uint64_t now, uint64_t since);

/* When the account logged in from that network first, wall ms. 1: before the ledger kept that time.
 * 0: never. */
uint64_t ledger_login_since(const struct ledger *l, const struct ledger_key *k);

/* ---- signs ---- */

struct ledger_signs {
    bool settled;                       /* has had a first login: its first network is known */
    uint64_t stolen_since, stolen_till; /* wall ms: the last time that it looked stolen; or 0 */
};

/* All false and 0 when there is no entry. */
struct ledger_signs ledger_signs(const struct ledger *l, const struct ledger_key *k, uint64_t now);

/* Sets `settled`. True if it was not set; of several concurrent calls only one gets true. */
bool ledger_settle(struct ledger *l, const struct ledger_key *k, uint64_t now);

/* Notes that a network (any hash of it) was refused, and returns how many different ones have been
 * in this hour, up to 16. It may be fewer than there were, never more. */
unsigned ledger_refused_from(struct ledger *l, const struct ledger_key *k, uint64_t now,
                             uint64_t network);

/* From now on until `until` the account looks stolen. A period that goes on already is made longer,
 * and keeps its beginning. True if none went on. To about a minute, and 4 minutes at the end. */
bool ledger_looks_stolen(struct ledger *l, const struct ledger_key *k, uint64_t now,
                         uint64_t until);

#endif
