/* Records of mixed answers (relay/partial_share.h) as octets: what a member has settled, for retries
 * that come to another member. Times on the wire are fleet time. Pure; fuzzed. */
#ifndef MIRED_FLEET_SETTLED_H
#define MIRED_FLEET_SETTLED_H

#include "base/bytes.h"
#include "relay/partial_share.h"

enum { SETTLED_RECORD = 23 }; /* octets */

void settled_write(const struct partial_record *r, int64_t skew, uint8_t out[SETTLED_RECORD]);

/* The next record of a batch. 1: *r is set; 0: at its end; -EINVAL: the rest is malformed. What a
 * record says is checked by partial_take(). */
int settled_next(struct span *batch, int64_t skew, struct partial_record *r);

#endif
