/* What the tarpit says, for the connection at hand; and R20: with `observe` nothing that it says is
 * done. Each reply that would have waited is noted instead (tarpit/observed.h), and until that wait
 * would have been over, nothing more of the connection is judged: a client that really waited could
 * not have said it yet. So the ledger sees what it would see, and an attacker that is not slowed
 * does not pile up debts.
 *
 * The domains of `observe_domains` are observed at RCPT; what happens before the recipient is known
 * (R3 at the greeting and at MAIL) is done as ever. */
#ifndef MIRED_WORKER_JUDGE_H
#define MIRED_WORKER_JUDGE_H

#include "base/bytes.h"
#include "base/offence.h"
#include "tarpit/tarpit.h"

struct conn;
struct worker;

/* R14, R4..R7: as tarpit_ask(). `domain` is the recipient's; empty for AUTH. Observed, it is never
 * masked, and `unjudged` says that tarpit_verdict() is not to be called. */
struct tarpit_permit judge_ask(struct worker *w, struct conn *c, struct span user,
                               struct span domain);

/* As tarpit_verdict(). Observed, it holds nothing: `rule`, `would_ms` and `would_mask` say what
 * would have been, for the log; a reply within an earlier wait has none. The caller hands the hold to verdict_hold(), so
 * that the reply which tells the verdict is not judged once more, whether it waits or not. */
struct tarpit_hold judge_verdict(struct worker *w, struct conn *c, struct span user,
                                 struct span domain, const struct tarpit_permit *permit,
                                 enum offence offence);

/* As tarpit_offence() and tarpit_wait(). */
struct tarpit_hold judge_offence(struct worker *w, struct conn *c, enum offence offence);
struct tarpit_hold judge_wait(struct worker *w, struct conn *c);

/* The same for the greeting: R22, as tarpit_greet(), where this listener's clients are paused. */
struct tarpit_hold judge_greet(struct worker *w, struct conn *c);

/* A message has been delivered: had it been late, that is noted. Returns how late (would_ms), and
 * the rule, for the log; nothing where not everything is observed. */
struct tarpit_hold judge_delivered(struct worker *w, struct conn *c);

#endif
