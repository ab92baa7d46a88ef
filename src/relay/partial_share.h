/* The memory of mixed answers in a fleet (R25): a retry may come to another member. The fleet process
 * sends what this member has recorded and takes what others have; workers do not notice.
 *
 * An entry's name is a hash with the fleet's key of sender, recipient and the whole message, and
 * its end is the time of its record: the later one stays. So the order of arrival does not matter,
 * nor does an entry that arrives twice. Only what is recorded of messages with a Message-ID is
 * shared and counts (partial_was_delivered()), and another member's entries never take the places
 * of this member's own. `now` is wall ms. For the fleet process; workers may use the table at the
 * same time. */
#ifndef MIRED_RELAY_PARTIAL_SHARE_H
#define MIRED_RELAY_PARTIAL_SHARE_H

#include "relay/partial_delivery.h"

struct partial_record {
    uint64_t key, value;
    uint64_t until_ms;
    uint8_t what; /* 1..PARTIAL_WHATS, private to the table */
    bool gone;    /* it does not count any more */
};
enum { PARTIAL_WHATS = 3 };

/* From now on entries are named with the fleet's key. True if they were not before; then a retry of
 * an earlier message is not recognised. */
bool partial_use_key(struct partial_delivery *s, const struct sipkey *fleet);

/* Whether they are named with the key of a fleet, which may be that of an earlier start. */
bool partial_has_fleet_key(const struct partial_delivery *s);

/* The next record that has not been told and is at least a second old; it counts as told from then
 * on. (Most records of a message that has several routes are gone a moment later.) *at is 0 at
 * first; false at the end. */
bool partial_next_untold(struct partial_delivery *s, uint32_t *at, uint64_t now,
                         struct partial_record *r);

/* All records count as not told, others' too: their member may have lost them. */
void partial_tell_again(struct partial_delivery *s);

/* Takes a record of another member; it ends after `settle` at the latest. True if it is new. */
bool partial_take(struct partial_delivery *s, const struct partial_record *r, uint64_t now);

#endif
