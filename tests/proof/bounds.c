/* Contracts of the policy's bounds, which WP proves for all values of their arguments. */
#include "tarpit/policy.h"
#include "tarpit/tarpit.h"

/*@ requires \valid_read(r);
  @ assigns \nothing;
  @ ensures never_above_max: \result <= POLICY_HOLD_MAX && \result <= r->max;
  @ ensures turn_fits: \result == 0 || \result + length <= POLICY_HOLD_MAX; */
uint64_t policy_reach(const struct tarpit_rules *r, uint64_t length);

/*@ requires \valid_read(r);
  @ assigns \nothing;
  @ ensures never_above_max: \result <= POLICY_HOLD_MAX && \result <= r->max; */
uint64_t policy_masked_time(const struct tarpit_rules *r);

/*@ requires \valid_read(r) && r->drip <= 285000 && -600000 <= turn_in_ms <= 600000;
  @ assigns \nothing;
  @ ensures within_the_hold: \result == 0 || \result < hold_ms;
  @ ensures not_before_the_turn: \result == 0 || turn_in_ms <= 0 || \result >= turn_in_ms; */
uint64_t policy_drip_at(const struct tarpit_rules *r, uint64_t hold_ms, int64_t turn_in_ms);

/*@ requires \valid_read(r) && r->drip <= 285000 && \valid_read(hold);
  @ requires hold->drip_at_ms <= hold->ms <= POLICY_HOLD_MAX && held_since <= now <= 0x7fffffffffff;
  @ assigns \nothing;
  @ ensures within_the_hold: \result == 0 || \result < held_since + hold->ms;
  @ ensures never_late: \result == 0 || \result >= now; */
uint64_t drip_next(const struct tarpit_rules *r, uint64_t held_since,
                   const struct tarpit_hold *hold, uint32_t sent_lines, uint64_t now);

/*@ requires \valid_read(r);
  @ assigns \nothing;
  @ ensures only_when_on: \result ==> r->freeze != FREEZE_OFF && hold_ms > r->freeze_after; */
bool policy_freezes(const struct tarpit_rules *r, double debt, uint64_t hold_ms);

/*@ assigns \nothing;
  @ ensures retry_fits: \result == 0 || \result + length <= POLICY_HOLD_MAX; */
uint64_t policy_reach_retry(uint64_t length);

/*@ requires length <= POLICY_TIME_MAX;
  @ assigns \nothing;
  @ ensures half_the_pace: \result == 2 * length; */
uint64_t policy_shield_turn(uint64_t length);

/*@ requires \valid_read(r);
  @ assigns \nothing;
  @ ensures patience: \result == POLICY_NEVER || patience_ms == 0 || \result <= patience_ms;
  @ ensures null_sender: \result == POLICY_NEVER || !null_sender || \result <= r->null_sender_max; */
uint64_t policy_cap(const struct tarpit_rules *r, double debt, uint32_t patience_ms,
                    bool null_sender);

/*@ requires \valid_read(r);
  @ assigns \nothing;
  @ ensures only_with_pace: \result ==> r->pace; */
bool policy_paced(const struct tarpit_rules *r, double debt);

/*@ requires \valid_read(r);
  @ assigns \nothing;
  @ ensures only_with_pace: \result ==> r->pace; */
bool policy_network_bad(const struct tarpit_rules *r, double network_offences);
