/* The tarpit's arithmetic: rules and what is known of a client in, times out. Pure functions, no
 * ledger, no clock. What is decided with them, and in which order, is tarpit.c.
 *
 * A client's *debt* is the one number that all rules go by: its live offences less what its good
 * mail covers (R8). 0 is out of debt. */
#ifndef MIRED_TARPIT_POLICY_H
#define MIRED_TARPIT_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/offence.h"
#include "tarpit/rules.h"

struct tarpit_hold;

/* A whole reply, from command to last octet, must stay under 290 s (PEERS: Postfix, Exim and
 * OpenSMTPD give up at 300 s); this leaves the directory, the network and a busy loop their share
 * of it. */
enum { POLICY_HOLD_MAX = 285000 };

/* Continuation lines in one reply. With a first line of 250 octets, 40 of 12 and a last of 150 it
 * stays under 900 octets, where Exim begins to cut, and under msmtp's 50 lines. */
enum { POLICY_DRIP_LINES = 40 };

/* No limit. */
#define POLICY_NEVER UINT64_MAX

/* What one offence adds; 0 for OFFENCE_NONE. */
double policy_weight(enum offence offence);

/* Whether the reply tells if something exists or is right, and so takes a turn (R4). */
bool policy_is_verdict(enum offence offence);

/* R8: the debt of a client with these live amounts. */
double policy_debt(const struct tarpit_rules *r, double offences, double good);

/* R21: a mailbox earns for client and pair both; the pair's is worth this share of it, the client's
 * the rest. The larger it is, the better a correspondent stands beside a harvester that has spent
 * the client's; the smaller, the better a client of many small domains pays for its typos. */
#define POLICY_PAIR_SHARE 0.75

/* R8, R21: what credit of a client and of its pair come to. */
double policy_credit(double of_client, double of_pair);

/* R9: where offences of this kind stop to add up. Ordinary ones do a little above the shield, where
 * more would change nothing but how long it lasts. What others can cause or what may be an accident
 * of protocols (a backend that refuses forwarded mail, a failed handshake) stops far below it. */
double policy_most(const struct tarpit_rules *r, enum offence offence);

/* R13: the same for what a client does as <>, which forged senders cause. */
double policy_most_bounces(const struct tarpit_rules *r);

/* R15: where a trap puts a client. */
double policy_most_trap(const struct tarpit_rules *r);

/* R10: a client's part in its network's account, with these live offences; and whether a network
 * with that much on its account is bad. */
double policy_part(const struct tarpit_rules *r, double offences);
bool policy_network_bad(const struct tarpit_rules *r, double network_offences);

/* Longer turns than Exchange's ten minutes are not taken, whatever the rules ask for: the ledger
 * believes in no end further away than LEDGER_HORIZON_MS. */
enum { POLICY_TIME_MAX = 600000 };

/* R1: T(n) in ms; T(1) for any n below 1. Never above `max`. */
uint64_t policy_time(const struct tarpit_rules *r, double n);

/* R4: whether every verdict to a client with this debt takes a turn. */
bool policy_paced(const struct tarpit_rules *r, double debt);

/* R7. */
bool policy_shielded(const struct tarpit_rules *r, double debt);

/* R12, R13: no reply may wait longer than this; POLICY_NEVER: no such limit. patience_ms 0: not
 * known. */
uint64_t policy_cap(const struct tarpit_rules *r, double debt, uint32_t patience_ms,
                    bool null_sender);

/* R5: how far away a turn of `length` may begin: within `max`, and so that it ends within
 * POLICY_HOLD_MAX. One that is longer than that must begin at once. */
uint64_t policy_reach(const struct tarpit_rules *r, uint64_t length);

/* R5: how long a masked reply is held; also the longest wait of R3. */
uint64_t policy_masked_time(const struct tarpit_rules *r);

/* R18. */
bool policy_freezes(const struct tarpit_rules *r, double debt, uint64_t hold_ms);

/* R11: when the first continuation line may go out, in ms from now, for a hold of `hold_ms` whose
 * turn begins in `turn_in_ms` (negative: it has begun): `drip` after that. Not sooner, although a
 * sender's timer would like it: two verdicts of one client would then be told closer together than
 * their turns (P1). 0: none. */
uint64_t policy_drip_at(const struct tarpit_rules *r, uint64_t hold_ms, int64_t turn_in_ms);

/* R11: when the next continuation line of a hold is due, for a reply held since `held_since` of
 * which `sent_lines` have gone out; 0: none before the reply itself. Any clock. A line that is late
 * is due at `now`; the ones behind it keep their times. When `drip` is so short that the lines
 * would run out, they are spread over the hold. */
uint64_t drip_next(const struct tarpit_rules *r, uint64_t held_since,
                   const struct tarpit_hold *hold, uint32_t sent_lines, uint64_t now);

#endif
