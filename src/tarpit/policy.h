/* The tarpit's arithmetic: computes times from the rules and from what is known of a client. Pure
 * functions, without ledger and clock; safe in any thread or process; none can fail. Amounts are
 * live offences or mailboxes, times are ms. tarpit.c decides with them.
 *
 * A client's *debt* is the one number that all rules use: its live offences minus those that its
 * good mail covers (R8). 0 means out of debt. */
#ifndef MIRED_TARPIT_POLICY_H
#define MIRED_TARPIT_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/offence.h"
#include "tarpit/rules.h"

struct tarpit_hold;

/* A whole reply, from command to last octet, must stay under 290 s (Postfix, Exim and OpenSMTPD
 * give up at 300 s, docs/tarpit.md R11). The 5 s between the two limits are for the directory, the
 * network and a busy loop. */
enum { POLICY_HOLD_MAX = 285000 };

/* Continuation lines in one reply. With a first line of 250 octets, 40 of 12 and a last of 150 it
 * stays under 900 octets (Exim cuts at about 940) and under msmtp's 50 lines. */
enum { POLICY_DRIP_LINES = 40 };

/* No limit. */
#define POLICY_NEVER UINT64_MAX

/* What one offence adds; 0 for OFFENCE_NONE. */
double policy_weight(enum offence offence);

/* Whether the reply tells if something exists or is right, and so takes a turn (R4). */
bool policy_is_verdict(enum offence offence);

/* R8: the debt of a client with these live amounts. */
double policy_debt(const struct tarpit_rules *r, double offences, double good);

/* R21: a mailbox earns credit for both the client and the pair. This share of it is the pair's, the
 * rest is the client's. A larger share helps a correspondent beside a harvester that has spent the
 * client's credit. A smaller share helps a client with many small domains to pay for its typos. */
#define POLICY_PAIR_SHARE 0.75

/* R8, R21: the credit of a client and its pair together, weighted by POLICY_PAIR_SHARE. */
double policy_credit(double of_client, double of_pair);

/* R9: the live offences at which offences of this kind stop adding up. For most kinds this is a
 * little above the shield: more would only prolong the shield. Kinds that others can cause, or that
 * may be an accident (a backend that refuses forwarded mail, a failed handshake), stop far below
 * it. */
double policy_most(const struct tarpit_rules *r, enum offence offence);

/* R13: the same for what a client does as <>, which forged senders cause. */
double policy_most_bounces(const struct tarpit_rules *r);

/* R15: the live offences of a client after it has written to a trap. */
double policy_most_trap(const struct tarpit_rules *r);

/* R10: how many of a client's live offences count in its network's entry; and whether a network
 * with so many in its entry is bad. */
double policy_part(const struct tarpit_rules *r, double offences);
bool policy_network_bad(const struct tarpit_rules *r, double network_offences);

/* The longest turn, whatever the rules say (Exchange's maximum is ten minutes too). It must be
 * shorter than LEDGER_HORIZON_MS, because the ledger ignores ends further away than that. */
enum { POLICY_TIME_MAX = 600000 };

/* R1: T(n) in ms; T(1) for any n below 1. Never above `max`. */
uint64_t policy_time(const struct tarpit_rules *r, double n);

/* R4: whether every verdict to a client with this debt takes a turn. */
bool policy_paced(const struct tarpit_rules *r, double debt);

/* R7: whether a client with this debt is on the shield. */
bool policy_shielded(const struct tarpit_rules *r, double debt);

/* R12, R13: the longest that a reply to this client may wait; POLICY_NEVER: no such limit.
 * patience_ms is how long it has waited before it hung up; 0: not known. */
uint64_t policy_cap(const struct tarpit_rules *r, double debt, uint32_t patience_ms,
                    bool null_sender);

/* R5: how far away a turn of `length` may begin: within `max`, and so that it ends within
 * POLICY_HOLD_MAX. 0 for a longer turn: it must begin at once. */
uint64_t policy_reach(const struct tarpit_rules *r, uint64_t length);

/* R26: the same for a retry: as far as POLICY_HOLD_MAX allows. If new queries fill a queue, it ends
 * no later than that, as long as `max` is at most half of POLICY_HOLD_MAX. So a retry finds a
 * turn whenever no other retry has taken it. */
uint64_t policy_reach_retry(uint64_t length);

/* R26: how long a retry's turn blocks a queue on the shield. */
uint64_t policy_shield_turn(uint64_t length);

/* R5: how long a masked reply is held; also the longest wait of R3. */
uint64_t policy_masked_time(const struct tarpit_rules *r);

/* R18: whether a hold of `hold_ms` may be frozen. */
bool policy_freezes(const struct tarpit_rules *r, double debt, uint64_t hold_ms);

/* R11: when the first continuation line may go out, in ms from now, for a hold of `hold_ms` whose
 * turn begins in `turn_in_ms` (negative: it has begun): `drip` after that. An earlier line would
 * help the sender's timer, but it would tell two verdicts of one client closer together than their
 * turns (P1). 0: no line. */
uint64_t policy_drip_at(const struct tarpit_rules *r, uint64_t hold_ms, int64_t turn_in_ms);

/* R11: when the next continuation line of a hold is due, for a reply that is held since
 * `held_since` and of which `sent_lines` lines have been sent; 0: none before the reply itself.
 * Times are ms of any one clock. A late line is due at `now`; the lines after it keep their times.
 * If `drip` is so short that POLICY_DRIP_LINES would not last, they are spread over the hold. */
uint64_t drip_next(const struct tarpit_rules *r, uint64_t held_since,
                   const struct tarpit_hold *hold, uint32_t sent_lines, uint64_t now);

#endif
