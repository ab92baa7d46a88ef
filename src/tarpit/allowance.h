/* Allowances (R23 of docs/tarpit.md): how many recipients an account may write to in an hour and in
 * a day, and from networks that are new to it a tenth of that.
 *
 * A recipient counts when its message is handed over to a backend: allowance_take() counts all
 * recipients in one step before that, and allowance_give() gives back those that did not get the
 * message. At RCPT allowance_ask() says whether one more would fit, and books nothing. So a client
 * that leaves in between, or one whose worker is killed, has used nothing.
 *
 * A network is new to an account until a day after the first login from there. The first network of
 * an account is known at once. New networks have a tenth of the allowance, in buckets of their own,
 * so a thief takes nothing of the owner's allowance. If three new networks are refused in an hour,
 * the account *looks stolen* for a week, or until it is released; in that time new networks stay
 * new. Only logins with the right password count.
 *
 * Accounts go by the verifier's own name for them; ASCII case makes no difference. `now` is wall
 * ms. Safe from any process that mapped the ledger; nothing blocks or fails. */
#ifndef MIRED_TARPIT_ALLOWANCE_H
#define MIRED_TARPIT_ALLOWANCE_H

#include "tarpit/ledger_allowance.h"

enum {
    ALLOWANCE_NEW_MS = 24 * 3600 * 1000,        /* how long a network is new */
    ALLOWANCE_STOLEN_MS = 7 * ALLOWANCE_NEW_MS, /* how long an account looks stolen */
    ALLOWANCE_NETWORKS = 3,                     /* new networks refused in an hour: looks stolen */
    ALLOWANCE_PART = 10,                        /* new networks have a tenth */
};

/* What one account may do. 0: no limit. */
struct allowance_rules {
    uint32_t per_hour, per_day; /* recipients, LEDGER_BUCKET_MOST at most */
    bool refuse_stolen;         /* an account that looks stolen: nothing from new networks */
};

struct allowance_who {
    struct span account;     /* the verifier's name */
    const struct addr *from; /* the client */
    bool trusted;            /* the administrator lists the network: it is never new */
};

enum allowance_limit { ALLOWANCE_FITS, ALLOWANCE_HOUR, ALLOWANCE_DAY, ALLOWANCE_STOLEN };

struct allowance_answer {
    enum allowance_limit limit; /* the limit that is reached; ALLOWANCE_FITS: none */
    uint32_t most;              /* the allowance that is used up */
    uint64_t again_ms;          /* wall ms: when the account may send again */
    bool is_new;                /* from a network that is new to the account */
};

/* Whether there is any limit. */
static inline bool allowance_is_on(const struct allowance_rules *r)
{
    return r->per_hour || r->per_day;
}

/* Whether `n` recipients would fit. */
struct allowance_answer allowance_ask(const struct ledger *l, const struct allowance_rules *r,
                                      const struct allowance_who *who, uint64_t now, uint32_t n);

/* Takes `n` from each bucket that applies if they fit into all, or takes nothing. */
struct allowance_answer allowance_take(struct ledger *l, const struct allowance_rules *r,
                                       const struct allowance_who *who, uint64_t now, uint32_t n);

/* Gives back `n` of what was taken; `is_new` as allowance_take() said. */
void allowance_give(struct ledger *l, const struct allowance_rules *r, struct span account,
                    bool is_new, uint64_t now, uint32_t n);

/* Records that a client with the right password was refused. True if the account looks stolen from
 * now on; the caller then tells the administrator, once. */
bool allowance_refused(struct ledger *l, const struct allowance_who *who, uint64_t now);

/* Records a login with the right password. Call it even while allowances are off, so that the
 * account's networks are known when they are switched on. */
void allowance_logged_in(struct ledger *l, const struct allowance_who *who, uint64_t now);

/* Whether a login is allowed. With refuse_stolen it is not if the account looks stolen and the
 * network is new to it. Call it before allowance_logged_in(). */
bool allowance_may_log_in(const struct ledger *l, const struct allowance_rules *r,
                          const struct allowance_who *who, uint64_t now);

/* From when on a network is known (in the past if it is known now); 0 if the account has never
 * logged in from there. */
uint64_t allowance_known_from(const struct ledger *l, const struct allowance_who *who,
                              uint64_t now);

/* For reports: what is in the account's buckets; 0 without a limit. */
struct allowance_state {
    double used[BUCKET_COUNT];
    uint32_t most[BUCKET_COUNT]; /* 0: no limit */
    struct ledger_signs signs;
    bool stolen; /* it looks stolen now */
};
struct allowance_state allowance_state(const struct ledger *l, const struct allowance_rules *r,
                                       struct span account, uint64_t now);

/* Forgets for an administrator's release what was sent, that the account looks stolen, and guesses
 * against it. The caller forgets networks (ledger_forget()). */
void allowance_forget(struct ledger *l, struct span account, uint64_t now, bool settled);

#endif
