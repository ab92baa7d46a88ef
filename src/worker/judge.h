/* Asks the tarpit about a connection. R20: with `observe` its decisions are not carried out.
 * Instead the connection's steps go to its shadow (tarpit/shadow.h), which judges each at the time
 * when the client would have made it if replies waited. So the ledger sees what it would see
 * without `observe`, and an attacker that is not slowed does not pile up debt.
 *
 * The domains of `observe_domains` are observed at RCPT, without a shadow: greeting and MAIL come
 * before the recipient is known, and wait as usual (R3). */
#ifndef MIRED_WORKER_JUDGE_H
#define MIRED_WORKER_JUDGE_H

#include "base/bytes.h"
#include "base/offence.h"
#include "tarpit/tarpit.h"

struct conn;
struct worker;

/* R14, R4..R7: like tarpit_ask(), for AUTH. If the connection is observed, the permit is never
 * masked, and judge_verdict() handles it. */
struct tarpit_permit judge_ask(struct worker *w, struct conn *c, struct span user);

/* The same for a password that comes with its name, like tarpit_ask_password(). */
struct tarpit_permit judge_ask_password(struct worker *w, struct conn *c, struct span user);

/* The same for RCPT, like tarpit_ask_recipient(): of this folded address, or of one that cannot be
 * folded (empty), in this domain. */
struct tarpit_permit judge_ask_recipient(struct worker *w, struct conn *c, struct span folded,
                                         struct span domain);

/* Like tarpit_verdict(). If the connection is observed, the hold is 0, and `rule`, `would_ms` and
 * `would_mask` say what it would have been, for the log; a reply during an earlier wait has none.
 * The caller passes the hold to verdict_hold(), so that the reply that tells the verdict is not
 * judged a second time, whether it waits or not. */
struct tarpit_hold judge_verdict(struct worker *w, struct conn *c, struct span user,
                                 struct span domain, const struct tarpit_permit *permit,
                                 enum offence offence);

/* Like tarpit_no_verdict(). */
void judge_no_verdict(struct worker *w, struct conn *c, const struct tarpit_permit *permit);

/* As tarpit_offence() and tarpit_wait(). Where clients must log in before they can send, nothing
 * waits before that (R3): the verdict on the password waits, and a user who shares an address
 * with a guesser must get that far. */
struct tarpit_hold judge_offence(struct worker *w, struct conn *c, enum offence offence);
struct tarpit_hold judge_wait(struct worker *w, struct conn *c);

/* The same for the greeting: R22, as tarpit_greet(), where this listener's clients are paused. */
struct tarpit_hold judge_greet(struct worker *w, struct conn *c);

/* As tarpit_good(). */
void judge_good(struct worker *w, struct conn *c, const uint64_t *mailbox, uint32_t count);

/* Call it after judge_good() when a message has been delivered. If the message would have been
 * late, that is recorded at the time when it would have come. Returns the delay that is known now
 * (would_ms), and the rule, for the log; zero unless everything is observed. */
struct tarpit_hold judge_delivered(struct worker *w, struct conn *c);

/* R21: whether the client is in debt now, and its correspondent lets the current envelope pass. */
bool judge_by_correspondent(struct worker *w, struct conn *c);

/* The connection ends: its shadow goes on by itself. */
void judge_closed(struct worker *w, const struct conn *c);

/* The worker ends: records what its shadows know by now. */
void judge_close(struct worker *w);

#endif
