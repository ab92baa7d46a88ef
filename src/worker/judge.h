/* What the tarpit says, for the connection at hand; and R20: with `observe` nothing that it says is
 * done. What the connection does goes to its shadow instead (tarpit/shadow.h), which judges it when
 * the client would have come to it if replies had waited. So the ledger sees what it would see, and
 * an attacker that is not slowed does not pile up debts.
 *
 * The domains of `observe_domains` are observed at RCPT, without a shadow: greeting and MAIL come
 * before the recipient is known and wait as ever (R3). */
#ifndef MIRED_WORKER_JUDGE_H
#define MIRED_WORKER_JUDGE_H

#include "base/bytes.h"
#include "base/offence.h"
#include "tarpit/tarpit.h"

struct conn;
struct worker;

/* R14, R4..R7: as tarpit_ask(). `domain` is the recipient's; empty for AUTH. Observed, it is never
 * masked, and judge_verdict() knows what to do. */
struct tarpit_permit judge_ask(struct worker *w, struct conn *c, struct span user,
                               struct span domain);

/* As tarpit_verdict(). Observed, it holds nothing: `rule`, `would_ms` and `would_mask` say what
 * would have been, for the log; a reply within an earlier wait has none. The caller hands the hold
 * to verdict_hold(), so that the reply which tells the verdict is not judged once more, whether it
 * waits or not. */
struct tarpit_hold judge_verdict(struct worker *w, struct conn *c, struct span user,
                                 struct span domain, const struct tarpit_permit *permit,
                                 enum offence offence);

/* As tarpit_offence() and tarpit_wait(). */
struct tarpit_hold judge_offence(struct worker *w, struct conn *c, enum offence offence);
struct tarpit_hold judge_wait(struct worker *w, struct conn *c);

/* The same for the greeting: R22, as tarpit_greet(), where this listener's clients are paused. */
struct tarpit_hold judge_greet(struct worker *w, struct conn *c);

/* As tarpit_good(). */
void judge_good(struct worker *w, struct conn *c, const uint64_t *mailbox, uint32_t count);

/* A message has been delivered, after judge_good(): had it been late, that is noted when it would
 * have come. Returns how late that will be as far as is known now (would_ms), and the rule, for the
 * log; nothing where not everything is observed. */
struct tarpit_hold judge_delivered(struct worker *w, struct conn *c);

/* The connection ends: its shadow goes on by itself. */
void judge_closed(struct worker *w, const struct conn *c);

/* The worker ends: what its shadows know by now is noted. */
void judge_close(struct worker *w);

#endif
